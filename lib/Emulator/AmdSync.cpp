//===- AmdSync.cpp - Fences, barriers and waits of AMD waves ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// An AMD barrier moves no memory by itself: what a wave knows at its last
// release fence goes into the barrier, and comes out of it at the next acquire
// fence behind. A fence may be of LDS alone; copies into LDS are done when they
// have been waited for, whatever fences there are.
#include "Amd.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

bool emu::gatherLanes(Exec &x, const Instr &i, Step &step) {
  Group &group = x.self();
  if (x.mask == x.warp.live || group.soughtAt == x.self().pc + 1) {
    group.soughtAt = 0;
    return true;
  }
  // The others get one turn to come here; then it goes without them.
  group.soughtAt = x.self().pc + 1;
  x.machine.retry = true;
  step = Step::Wait;
  return false;
}

Step emu::execAmdFence(Exec &x, const Instr &i) {
  Warp &w = x.warp;
  Machine &m = x.machine;
  m.syncLanes(w);
  if (!(i.flags & fenceGroup))
    return Step::Next;
  if (i.flags & fenceAcquire) {
    if (i.flags & fenceShared)
      w.knows.order.join(w.unacquired.order);
    if (i.flags & fenceGlobal)
      w.knows.global.join(w.unacquired.global);
  }
  if (i.flags & fenceRelease) {
    if (i.flags & fenceShared) {
      w.knows.order.set(w.agent, w.clock);
      w.released.order = w.knows.order;
    }
    if (i.flags & fenceGlobal) {
      w.knows.global.set(w.agent, w.clock);
      w.released.global = w.knows.global;
    }
    ++w.clock;
  }
  if (i.flags & fenceAgent && i.flags & fenceGlobal)
    m.fence(w);
  return Step::Next;
}

Step emu::execAmdBarrier(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, x.warp.live, step))
    return step;
  Warp &w = x.warp;
  NamedBarrier &barrier = x.block.barriers[0];
  bool signal = i.flags & 1, wait = i.flags & 2;
  if (signal && !(wait && x.self().ticket)) {
    if (w.barrierTicket)
      return x.machine.report(x, i, -1, Kind::Invalid,
                              "second signal without a wait between");
    w.barrierTicket = barrier.generation + 1;
    if (wait)
      x.self().ticket = w.barrierTicket;
    ++barrier.arrived;
    // A copy that has been waited for is done for all.
    w.released.order.raise(w.cpAsync.agent, w.cpAsync.waited);
    barrier.gathering.join(w.released);
    ++x.machine.effects;
  }
  if (barrier.arrived && barrier.arrived >= x.block.liveWarps) {
    ++barrier.generation;
    barrier.arrived = 0;
    barrier.released = barrier.gathering;
    ++x.machine.effects;
  }
  if (!wait)
    return Step::Next;
  if (!w.barrierTicket)
    return x.machine.report(x, i, -1, Kind::Invalid,
                            "wait without a signal before");
  if (barrier.generation < w.barrierTicket) {
    if (x.machine.explain)
      x.self().reason = format("the barrier: %u of %u waves have arrived",
                               barrier.arrived, x.block.liveWarps);
    return Step::Wait;
  }
  x.self().ticket = 0;
  w.barrierTicket = 0;
  w.unacquired.join(barrier.released);
  return Step::Next;
}

Step emu::execAmdWait(Exec &x, const Instr &i) {
  AsyncStream &stream = x.warp.cpAsync;
  // Copies finish in order. Other loads may only make the wait longer.
  if (stream.issued > i.imm)
    stream.waited =
        std::max(stream.waited, static_cast<uint32_t>(stream.issued - i.imm));
  x.warp.knows.order.raise(stream.agent, stream.waited);
  x.warp.cpAsyncLaneSync = std::max(x.warp.cpAsyncLaneSync, stream.waited);
  return Step::Next;
}
