//===- Shadow.cpp - Detectors of shared memory ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

using namespace mlir::moe::emu;

uint32_t Machine::newEvent(Cluster &cluster, WriteEvent event) {
  cluster.events.push_back(event);
  return cluster.events.size() - 1;
}

uint32_t Machine::genericEvent(Warp &warp, uint32_t place, AccessKind kind) {
  if (warp.lastEventPlace == place && warp.lastEventClock == warp.clock)
    return warp.lastEvent;
  warp.lastEventPlace = place;
  warp.lastEventClock = warp.clock;
  return warp.lastEvent = newEvent(*warp.block->cluster,
                                   {warp.agent, warp.clock, place,
                                    static_cast<uint16_t>(warp.agent), kind});
}

/// How a copy into shared memory is called on the chip.
const char *Machine::copyName() const {
  return program.amd ? "copy into LDS" : "cp.async";
}

std::string Machine::eventText(Cluster &cluster, uint32_t event) const {
  const WriteEvent &e = cluster.events[event];
  unsigned perBlock = cluster.blocks.front()->warps.size();
  std::string who = format("warp %u", e.warp % perBlock);
  if (cluster.blocks.size() > 1)
    who += format(" of block %u of the cluster", e.warp / perBlock);
  const char *how = e.kind == AccessKind::Async     ? "bulk copy"
                    : e.kind == AccessKind::CpAsync ? copyName()
                    : e.kind == AccessKind::Atomic  ? "atomic"
                                                    : "write";
  return format("%s%s by %s at %s", how,
                e.clock == ~0u ? " still in flight" : "", who.c_str(),
                placeText(e.place).c_str());
}

/// Whether `warp` knows that write `e` has happened; `lane` < 0 or
/// collectiveLane asks for all lanes.
static bool knowsWrite(const Warp &warp, int lane, const WriteEvent &e,
                       uint8_t writeLane) {
  if (e.clock == ~0u)
    return false;
  bool sameLane = lane == writeLane && writeLane < mostLanes;
  if (e.agent == warp.agent)
    return sameLane || e.clock <= warp.laneSync;
  if (e.kind == AccessKind::CpAsync && e.agent == warp.cpAsync.agent)
    return e.clock <= warp.cpAsyncLaneSync ||
           (sameLane && e.clock <= warp.cpAsync.waited);
  return e.clock <= warp.knows.order[e.agent];
}

/// Offset in the block as an address in the window of shared memory.
static std::string where(uint32_t offset) {
  return format("shared memory at 0x%x", offset + sharedBase);
}

/// The bits of the bytes of cell `index` that [offset, offset + bytes) covers.
static uint8_t maskOf(uint32_t index, uint32_t offset, uint64_t bytes) {
  uint32_t begin = std::max(offset, index * 4) - index * 4;
  uint32_t end = std::min<uint64_t>(offset + bytes, index * 4 + 4) - index * 4;
  return ((1u << end) - 1) & ~((1u << begin) - 1);
}

void Machine::shadowWrite(const Warp &warp, int lane, uint32_t place,
                          Block &block, uint32_t offset, uint64_t bytes,
                          uint32_t event, bool async) {
  if (!options.checkShared)
    return;
  Cluster &cluster = *block.cluster;
  uint32_t knownWrite = 0, knownSet = 0;
  uint8_t knownLane = noLane;
  uint8_t laneByte = lane < 0 ? collectiveLane : lane;
  for (uint32_t c = offset / 4, e = (offset + bytes + 3) / 4; c < e; ++c) {
    Cell &cell = block.cells[c];
    uint8_t mask = maskOf(c, offset, bytes);
    if (cell.init & mbarrierBit) {
      report(&warp, lane, place, Kind::Invalid,
             "writes over the mbarrier object in " + where(c * 4));
      return;
    }
    if (cell.write &&
        (cell.write != knownWrite || cell.writeLane != knownLane) &&
        cell.write != event && (cell.mask & mask)) {
      const WriteEvent &old = cluster.events[cell.write];
      if (!knowsWrite(warp, lane, old, cell.writeLane)) {
        report(&warp, lane, place, Kind::Race,
               "overwrites " + where(c * 4) + " without order after the " +
                   eventText(cluster, cell.write));
        return;
      }
      if (async && old.kind != AccessKind::Async &&
          old.clock > warp.knows.proxy[old.agent]) {
        report(&warp, lane, place, Kind::MissingProxyFence,
               "bulk copy into " + where(c * 4) +
                   " without fence.proxy.async after the " +
                   eventText(cluster, cell.write));
        return;
      }
      knownWrite = cell.write;
      knownLane = cell.writeLane;
    }
    if (cell.reads && cell.reads != knownSet) {
      for (auto [agent, clock] : cluster.readSets[cell.reads]) {
        bool ok = clock <= warp.knows.order[agent];
        if (agent == warp.agent)
          ok = clock <= warp.laneSync || cell.readLane == collectiveLane ||
               cell.readLane == laneByte || lane < 0;
        else if (agent == warp.wgmma.agent)
          ok = clock <= warp.wgmma.waited;
        if (!ok) {
          const Block &first = *cluster.blocks.front();
          unsigned perBlock = first.warps.size();
          std::string who = "an asynchronous operation (wgmma or bulk store)";
          if (agent < cluster.blocks.size() * perBlock)
            who = format("warp %u", agent % perBlock);
          report(&warp, lane, place, Kind::Race,
                 "overwrites " + where(c * 4) +
                     " without order after a read by " + who);
          return;
        }
      }
      knownSet = cell.reads;
    }
    cell.write = event;
    cell.writeLane = laneByte;
    cell.mask = mask;
    cell.reads = 0;
    cell.readLane = noLane;
    cell.init |= mask;
  }
}

void Machine::shadowRead(Warp &warp, int lane, uint32_t place, Block &block,
                         uint32_t offset, uint64_t bytes) {
  if (!options.checkShared)
    return;
  Cluster &cluster = *block.cluster;
  uint8_t laneByte = lane < 0 ? collectiveLane : lane;
  for (uint32_t c = offset / 4, e = (offset + bytes + 3) / 4; c < e; ++c) {
    Cell &cell = block.cells[c];
    uint8_t mask = maskOf(c, offset, bytes);
    if (cell.init & mbarrierBit) {
      report(&warp, lane, place, Kind::Invalid,
             "reads the mbarrier object in " + where(c * 4));
      return;
    }
    if ((cell.init & mask) != mask) {
      report(&warp, lane, place, Kind::Uninitialised,
             "reads " + where(c * 4) + ", which nobody wrote");
      return;
    }
    if (cell.write && (cell.mask & mask) &&
        !knowsWrite(warp, lane, cluster.events[cell.write], cell.writeLane)) {
      report(&warp, lane, place, Kind::Race,
             "reads " + where(c * 4) + " without order after the " +
                 eventText(cluster, cell.write));
      return;
    }
    cell.reads = cluster.readSets.add(cell.reads, warp.agent, warp.clock);
    cell.readLane = cell.readLane == noLane || cell.readLane == laneByte
                        ? laneByte
                        : collectiveLane;
  }
}

void Machine::shadowAtomic(Warp &warp, int lane, uint32_t place, Block &block,
                           uint32_t offset, uint64_t bytes) {
  if (!options.checkShared)
    return;
  Cluster &cluster = *block.cluster;
  uint32_t event = genericEvent(warp, place, AccessKind::Atomic);
  for (uint32_t c = offset / 4, e = (offset + bytes + 3) / 4; c < e; ++c) {
    Cell &cell = block.cells[c];
    uint8_t mask = maskOf(c, offset, bytes);
    // Among atomics the last one stands for all.
    if (cell.write && cluster.events[cell.write].kind == AccessKind::Atomic) {
      auto [before, beforeLane] = block.beforeAtomics[c];
      if (before &&
          !knowsWrite(warp, lane, cluster.events[before], beforeLane)) {
        report(&warp, lane, place, Kind::Race,
               "updates " + where(c * 4) + " without order after the " +
                   eventText(cluster, before));
        return;
      }
      cell.write = event;
      cell.writeLane = lane;
      continue;
    }
    block.beforeAtomics[c] = {cell.write, cell.writeLane};
    if ((cell.init & mask) != mask) {
      report(&warp, lane, place, Kind::Uninitialised,
             "updates " + where(c * 4) + ", which nobody wrote");
      return;
    }
    shadowWrite(warp, lane, place, block, c * 4, 4, event, /*async=*/false);
    if (stopped)
      return;
  }
}

bool Machine::orderedForAsync(const Warp &warp, int lane, uint32_t place,
                              Block &block, uint32_t offset, uint32_t write) {
  Cluster &cluster = *block.cluster;
  const WriteEvent &e = cluster.events[write];
  // The lane does not matter: whoever starts the copy speaks for the writers
  // that were ordered before it.
  bool ordered = e.agent == warp.agent
                     ? true
                     : knowsWrite(warp, collectiveLane, e, noLane);
  if (!ordered) {
    report(&warp, lane, place, Kind::Race,
           "reads " + where(offset) + " without order after the " +
               eventText(cluster, write));
    return false;
  }
  if (e.kind != AccessKind::Async && e.clock > warp.knows.proxy[e.agent]) {
    report(&warp, lane, place, Kind::MissingProxyFence,
           "reads " + where(offset) +
               " through the async proxy without fence.proxy.async after the " +
               eventText(cluster, write));
    return false;
  }
  return true;
}

void Machine::shadowAsyncRead(const Warp &warp, int lane, uint32_t place,
                              Block &block, uint32_t offset, uint64_t bytes,
                              uint32_t agent, uint32_t clock,
                              std::vector<uint32_t> *writes) {
  if (!options.checkShared)
    return;
  Cluster &cluster = *block.cluster;
  uint32_t known = 0;
  for (uint32_t c = offset / 4, e = (offset + bytes + 3) / 4; c < e; ++c) {
    Cell &cell = block.cells[c];
    uint8_t mask = maskOf(c, offset, bytes);
    if ((cell.init & mask) != mask || (cell.init & mbarrierBit)) {
      report(&warp, lane, place, Kind::Uninitialised,
             "reads " + where(c * 4) + ", which nobody wrote");
      return;
    }
    if (cell.write != known && cell.write) {
      if (!orderedForAsync(warp, lane, place, block, c * 4, cell.write))
        return;
      known = cell.write;
      if (writes && (writes->empty() || writes->back() != known))
        writes->push_back(known);
    }
    cell.reads = cluster.readSets.add(cell.reads, agent, clock);
    cell.readLane = collectiveLane;
  }
}
