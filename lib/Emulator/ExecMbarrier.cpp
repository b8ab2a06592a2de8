//===- ExecMbarrier.cpp - Operations on mbarriers -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Ops.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

Step emu::execMbarrierInit(Exec &x, const Instr &i) {
  const uint64_t *address = x.at<uint64_t>(i.a);
  const uint32_t *count = x.at<uint32_t>(i.b);
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    Bytes at = x.machine.resolve(x, i, l, i.flags & 0xFF, address[l], 8, 8);
    if (!at.host)
      return;
    if (at.block != &x.block || count[l] == 0 || count[l] >= 1u << 20) {
      x.machine.report(x, i, l, Kind::Invalid,
                       format("count %u is not in [1, 2^20) or the barrier is "
                              "another block's",
                              count[l]));
      return;
    }
    if (x.block.mbarriers.count(at.offset)) {
      x.machine.report(x, i, l, Kind::Invalid,
                       format("the mbarrier at 0x%x is in use already",
                              at.offset + sharedBase));
      return;
    }
    x.machine.noteWrite(x, i, l, at, 8);
    x.block.cells[at.offset / 4].init |= mbarrierBit;
    x.block.cells[at.offset / 4 + 1].init |= mbarrierBit;
    MBarrier &barrier = x.block.mbarriers[at.offset];
    barrier.offset = at.offset;
    barrier.expected = barrier.pending = count[l];
    barrier.agent = newAgent(*x.block.cluster);
    barrier.initAgent = x.warp.agent;
    barrier.initClock = x.warp.clock;
    barrier.place = i.place;
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execMbarrierInval(Exec &x, const Instr &i) {
  const uint64_t *address = x.at<uint64_t>(i.a);
  x.each([&](unsigned l) {
    Block *owner;
    if (x.machine.stopped)
      return;
    MBarrier *barrier =
        x.machine.findBarrier(x, i, l, i.flags & 0xFF, address[l], owner);
    if (!barrier)
      return;
    owner->cells[barrier->offset / 4].init = 0;
    owner->cells[barrier->offset / 4 + 1].init = 0;
    owner->mbarriers.erase(barrier->offset);
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execMbarrierArrive(Exec &x, const Instr &i) {
  const uint64_t *address = x.at<uint64_t>(i.a);
  x.each([&](unsigned l) {
    Block *owner;
    if (x.machine.stopped)
      return;
    MBarrier *barrier =
        x.machine.findBarrier(x, i, l, i.flags & 0xFF, address[l], owner);
    if (!barrier)
      return;
    ++x.machine.effects;
    uint32_t bytes = i.c == noReg ? 0 : x.at<uint32_t>(i.c)[l];
    if (i.flags & mbarTxDone)
      return x.machine.completeTx(*owner, *barrier, bytes);
    barrier->tx += bytes;
    if (i.flags & mbarNoArrive)
      return;
    uint32_t count = i.b == noReg ? 1 : x.at<uint32_t>(i.b)[l];
    if (count > barrier->pending) {
      x.machine.report(
          x, i, l, Kind::Invalid,
          format("%u arrivals on the mbarrier at 0x%x, which waits for %u more "
                 "of %u in phase %llu",
                 count, barrier->offset + sharedBase, barrier->pending,
                 barrier->expected, (unsigned long long)barrier->phase));
      return;
    }
    if (i.dst != noReg)
      x.at<uint64_t>(i.dst)[l] = barrier->phase;
    if (i.flags & mbarDrop)
      barrier->expected -= count;
    if (!(i.flags & mbarRelaxed))
      x.machine.release(x.warp, barrier->gathering);
    barrier->pending -= count;
    x.machine.completePhaseIfDone(*owner, *barrier);
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execMbarrierWait(Exec &x, const Instr &i) {
  const uint64_t *address = x.at<uint64_t>(i.a);
  uint32_t readyLanes = 0;
  MBarrier *barriers[lanesPerWarp];
  x.each([&](unsigned l) {
    Block *owner;
    if (x.machine.stopped)
      return;
    MBarrier *barrier =
        x.machine.findBarrier(x, i, l, i.flags & 0xFF, address[l], owner);
    if (!barrier)
      return;
    barriers[l] = barrier;
    bool ready;
    if (i.flags & mbarState)
      ready = barrier->phase > x.at<uint64_t>(i.b)[l];
    else
      ready = (barrier->phase & 1) != (x.at<uint32_t>(i.b)[l] & 1);
    if (ready)
      readyLanes |= 1u << l;
    else if (!(i.flags & mbarTest) && x.machine.explain)
      x.self().reason = format(
          "mbarrier at 0x%x: phase %llu has %u of %u arrivals and %lld "
          "bytes outstanding",
          barrier->offset + sharedBase, (unsigned long long)barrier->phase,
          barrier->expected - barrier->pending, barrier->expected,
          (long long)barrier->tx);
  });
  if (x.machine.stopped)
    return Step::Stop;
  if (!(i.flags & mbarTest) && readyLanes != x.mask)
    return Step::Wait;
  x.each([&](unsigned l) {
    if (readyLanes >> l & 1)
      x.machine.acquire(x.warp, barriers[l]->released);
    if (i.dst != noReg)
      x.at<uint32_t>(i.dst)[l] = readyLanes >> l & 1;
  });
  return readyLanes == x.mask ? Step::Next : Step::Yield;
}
