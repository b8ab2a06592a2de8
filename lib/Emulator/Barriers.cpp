//===- Barriers.cpp - mbarriers and who learns what from them -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

using namespace mlir::moe::emu;

uint32_t mlir::moe::emu::newAgent(Cluster &cluster) { return cluster.agents++; }

void Machine::release(Warp &warp, Knowledge &into) {
  warp.knows.order.set(warp.agent, warp.clock);
  into.join(warp.knows);
  ++warp.clock;
}

void Machine::acquire(Warp &warp, const Knowledge &from) {
  warp.knows.join(from);
  // Own copies that others have seen complete are complete for all lanes.
  warp.cpAsyncLaneSync =
      std::max(warp.cpAsyncLaneSync, from.order[warp.cpAsync.agent]);
}

void Machine::syncLanes(Warp &warp) {
  warp.laneSync = warp.clock++;
  warp.cpAsyncLaneSync = std::max(warp.cpAsyncLaneSync, warp.cpAsync.waited);
}

MBarrier *Machine::findBarrier(Exec &x, const Instr &i, unsigned lane,
                               unsigned space, uint64_t address,
                               Block *&owner) {
  Bytes at = resolve(x, i, lane, space, address, 8, 8);
  if (!at.host)
    return nullptr;
  if (!at.block) {
    report(x, i, lane, Kind::Invalid, "mbarrier is not in shared memory");
    return nullptr;
  }
  owner = at.block;
  auto it = at.block->mbarriers.find(at.offset);
  if (it == at.block->mbarriers.end()) {
    report(x, i, lane, Kind::Uninitialised,
           format("no mbarrier was initialised at 0x%x of shared memory",
                  at.offset + sharedBase));
    return nullptr;
  }
  MBarrier &barrier = it->second;
  // The initialisation is a write like any other.
  if (barrier.initAgent != x.warp.agent
          ? barrier.initClock > x.warp.knows.order[barrier.initAgent]
          : false) {
    report(x, i, lane, Kind::Race,
           format("uses the mbarrier at 0x%x without order after its "
                  "initialisation at %s",
                  at.offset + sharedBase, placeText(barrier.place).c_str()));
    return nullptr;
  }
  if (owner != &x.block && !barrier.fenced) {
    report(x, i, lane, Kind::MissingProxyFence,
           format("uses the mbarrier at 0x%x of another block, whose "
                  "initialisation no fence.mbarrier.init follows",
                  at.offset + sharedBase));
    return nullptr;
  }
  return &barrier;
}

void Machine::completePhaseIfDone(Block &block, MBarrier &barrier) {
  if (barrier.pending || barrier.tx)
    return;
  ++barrier.phase;
  barrier.pending = barrier.expected;
  barrier.released.join(barrier.gathering);
  barrier.gathering.clear();
  barrier.released.order.set(barrier.agent, barrier.phase);
  ++effects;
}

void Machine::completeTx(Block &block, MBarrier &barrier, uint64_t bytes) {
  barrier.tx -= bytes;
  ++effects;
  completePhaseIfDone(block, barrier);
}
