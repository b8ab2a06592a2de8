//===- Memory.cpp - Addresses and global memory ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

using namespace mlir::moe::emu;

namespace {
/// Who wrote two bytes of global memory last. A write by an agent whose numbers
/// do not fit, or by an atomic, is 0: not watched.
struct WriterStamp {
  uint32_t grid, cluster, agent, clock;
  uint64_t pack() const {
    if (grid >= 1u << 8 || cluster >= 1u << 20 || agent >= 1u << 12 ||
        clock >= 1u << 24)
      return 0;
    return uint64_t(grid) << 56 | uint64_t(cluster) << 36 |
           uint64_t(agent) << 24 | clock;
  }
  static WriterStamp unpack(uint64_t v) {
    return {uint32_t(v >> 56), uint32_t(v >> 36 & 0xFFFFF),
            uint32_t(v >> 24 & 0xFFF), uint32_t(v & 0xFFFFFF)};
  }
  uint64_t key() const { return uint64_t(cluster) << 12 | agent; }
};
} // namespace

Bytes Machine::resolveShared(Exec &x, const Instr &i, int lane,
                             uint64_t address, uint64_t bytes, unsigned align) {
  Block *block = &x.block;
  uint64_t local = address & ((1u << rankShift) - 1);
  uint64_t rank = address >> rankShift;
  if (rank) {
    if (rank > x.block.cluster->blocks.size()) {
      report(x, i, lane, Kind::OutOfBounds,
             format("address 0x%llx is in no block of the cluster of %zu",
                    (unsigned long long)address,
                    x.block.cluster->blocks.size()));
      return {};
    }
    block = x.block.cluster->blocks[rank - 1].get();
    if (block->liveWarps == 0) {
      report(x, i, lane, Kind::Invalid,
             format("uses shared memory of block %llu of the cluster, which "
                    "has exited",
                    (unsigned long long)rank - 1));
      return {};
    }
    if (block != &x.block)
      block->remoteUses[x.warp.agent] = {x.warp.clock, i.place};
  }
  if (local < sharedBase || local - sharedBase + bytes > block->shared.size()) {
    report(x, i, lane, Kind::OutOfBounds,
           format("%llu bytes at offset %lld of shared memory of %zu bytes",
                  (unsigned long long)bytes,
                  (long long)local - (long long)sharedBase,
                  block->shared.size()));
    return {};
  }
  if (local % align) {
    report(x, i, lane, Kind::Misaligned,
           format("shared memory address 0x%llx is not a multiple of %u",
                  (unsigned long long)local, align));
    return {};
  }
  Bytes at;
  at.block = block;
  at.offset = local - sharedBase;
  at.host = block->shared.data() + at.offset;
  return at;
}

Bytes Machine::resolveGlobal(Exec &x, const Instr &i, int lane,
                             uint64_t address, uint64_t bytes, unsigned align) {
  uint64_t id = address >> bufferShift;
  int64_t offset =
      int64_t(address & ((uint64_t(1) << bufferShift) - 1)) - bufferCentre;
  if (id == 0 || id > buffers.size()) {
    report(
        x, i, lane, Kind::OutOfBounds,
        format("address 0x%llx is in no buffer", (unsigned long long)address));
    return {};
  }
  Buffer &buffer = *buffers[id - 1];
  if (offset < 0 || uint64_t(offset) + bytes > buffer.bytes) {
    report(x, i, lane, Kind::OutOfBounds,
           format("%llu bytes at offset %lld of buffer '%s' of %llu bytes",
                  (unsigned long long)bytes, (long long)offset,
                  buffer.name.c_str(), (unsigned long long)buffer.bytes));
    return {};
  }
  if (offset % align) {
    report(x, i, lane, Kind::Misaligned,
           format("offset %lld of buffer '%s' is not a multiple of %u",
                  (long long)offset, buffer.name.c_str(), align));
    return {};
  }
  Bytes at;
  at.buffer = &buffer;
  at.bufferOffset = offset;
  at.host = buffer.host + offset;
  return at;
}

Bytes Machine::resolve(Exec &x, const Instr &i, unsigned lane, unsigned space,
                       uint64_t address, uint64_t bytes, unsigned align) {
  if (space == 0) {
    uint64_t tag = address >> 48;
    uint64_t rest = address & 0xFFFFFFFFFFFFull;
    if (tag == sharedTag)
      return resolveShared(x, i, lane, rest, bytes, align);
    if (tag == paramTag) {
      if (rest + bytes > x.grid.parameters.size()) {
        report(x, i, lane, Kind::OutOfBounds,
               format("offset %llu of the kernel parameters",
                      (unsigned long long)rest));
        return {};
      }
      Bytes at;
      at.host = x.grid.parameters.data() + rest;
      return at;
    }
    if (tag == localTag)
      space = 5, address = rest;
    else
      space = 1;
  }
  if (space == 3 || space == 7)
    return resolveShared(x, i, lane, address, bytes, align);
  if (space == 5) {
    uint64_t size = x.grid.kernel->localBytes;
    if (address + bytes > size || address % align) {
      report(x, i, lane, Kind::OutOfBounds,
             format("%llu bytes at offset %llu of local memory of %llu bytes",
                    (unsigned long long)bytes, (unsigned long long)address,
                    (unsigned long long)size));
      return {};
    }
    Bytes at;
    at.host = x.warp.local.data() + lane * size + address;
    return at;
  }
  return resolveGlobal(x, i, lane, address, bytes, align);
}

void Machine::noteRead(Exec &x, const Instr &i, unsigned lane, const Bytes &at,
                       uint64_t bytes) {
  if (at.block)
    shadowRead(x.warp, lane, i.place, *at.block, at.offset, bytes);
  else if (at.buffer)
    globalRead(x.warp, lane, i.place, *at.buffer, at.bufferOffset, bytes);
}

void Machine::noteWrite(Exec &x, const Instr &i, unsigned lane, const Bytes &at,
                        uint64_t bytes) {
  if (at.block)
    shadowWrite(x.warp, lane, i.place, *at.block, at.offset, bytes,
                genericEvent(x.warp, i.place), /*async=*/false);
  else if (at.buffer)
    globalWrite(x.warp, lane, i.place, *at.buffer, at.bufferOffset, bytes,
                x.warp.agent, x.warp.clock);
}

/// What `warp` knows of accesses to global memory by its own cluster.
static const Clock &globalClock(const Warp &warp) {
  return warp.isAmd ? warp.knows.global : warp.knows.order;
}

/// Whether `warp` knows that the write stamped `s` has happened. Within one
/// cluster the agent's clock says so; from anywhere, a hand-over; from a
/// launch before, that launch's end: known when the block started, or waited
/// for.
static bool knowsGlobal(const Warp &warp, const WriterStamp &s) {
  const Grid &grid = *warp.block->grid;
  if (s.grid != grid.number)
    return s.grid <= grid.endedAtStart || !grid.launch->earlyStart ||
           warp.knows.gridBefore;
  if (s.cluster == warp.block->cluster->linear &&
      (s.agent == warp.agent || s.clock <= globalClock(warp)[s.agent]))
    return true;
  // Teams of one block may hand over through global memory, too.
  auto it = warp.knows.far.find(s.key());
  return it != warp.knows.far.end() && s.clock <= it->second;
}

static std::string stampText(const Warp &warp, const WriterStamp &s) {
  const Grid &grid = *warp.block->grid;
  if (s.grid != grid.number)
    return "the launch before (griddepcontrol wait is missing)";
  if (s.cluster != warp.block->cluster->linear)
    return format("another block (cluster %u)", s.cluster);
  return "another warp or copy of the block";
}

void Machine::globalRead(const Warp &warp, int lane, uint32_t place,
                         Buffer &buffer, uint64_t offset, uint64_t bytes) {
  if (!buffer.written.empty())
    for (uint64_t b = offset; b < offset + bytes; ++b) {
      if (b % 8 == 0 && b + 8 <= offset + bytes &&
          buffer.written[b / 8] == 0xFF) {
        b += 7;
        continue;
      }
      if (!(buffer.written[b / 8] >> (b % 8) & 1)) {
        report(&warp, lane, place, Kind::Uninitialised,
               format("reads offset %llu of buffer '%s', which nobody wrote",
                      (unsigned long long)b, buffer.name.c_str()));
        return;
      }
    }
  if (buffer.writers.empty())
    return;
  uint64_t known = 0;
  for (uint64_t g = offset / 2, e = (offset + bytes + 1) / 2; g < e; ++g) {
    uint64_t packed = buffer.writers[g];
    if (packed == known || !packed)
      continue;
    WriterStamp s = WriterStamp::unpack(packed);
    if (!knowsGlobal(warp, s)) {
      report(&warp, lane, place, Kind::Race,
             format("reads offset %llu of buffer '%s' without order after the "
                    "write by %s",
                    (unsigned long long)g * 2, buffer.name.c_str(),
                    stampText(warp, s).c_str()));
      return;
    }
    known = packed;
  }
}

/// Marks bytes as initialised.
static void markWritten(Buffer &buffer, uint64_t offset, uint64_t bytes) {
  if (buffer.written.empty())
    return;
  uint64_t b = offset, end = offset + bytes;
  for (; b < end && b % 8; ++b)
    buffer.written[b / 8] |= 1 << (b % 8);
  for (; b + 8 <= end; b += 8)
    buffer.written[b / 8] = 0xFF;
  for (; b < end; ++b)
    buffer.written[b / 8] |= 1 << (b % 8);
}

void Machine::globalWrite(const Warp &warp, int lane, uint32_t place,
                          Buffer &buffer, uint64_t offset, uint64_t bytes,
                          uint32_t agent, uint32_t clock) {
  markWritten(buffer, offset, bytes);
  if (buffer.writers.empty())
    buffer.writers.resize((buffer.bytes + 1) / 2);
  const Grid &grid = *warp.block->grid;
  uint64_t stamp =
      WriterStamp{grid.number, warp.block->cluster->linear, agent, clock}
          .pack();
  // Two writers may share a pair of bytes: single bytes are not compared.
  bool compare = bytes > 1;
  uint64_t known = stamp;
  for (uint64_t g = offset / 2, e = (offset + bytes + 1) / 2; g < e; ++g) {
    uint64_t packed = buffer.writers[g];
    if (compare && packed && packed != known) {
      WriterStamp s = WriterStamp::unpack(packed);
      if (!knowsGlobal(warp, s)) {
        report(&warp, lane, place, Kind::Race,
               format("overwrites offset %llu of buffer '%s' without order "
                      "after the write by %s",
                      (unsigned long long)g * 2, buffer.name.c_str(),
                      stampText(warp, s).c_str()));
        compare = false;
      }
      known = packed;
    }
    buffer.writers[g] = stamp;
  }
}

void Machine::globalAtomic(const Warp &warp, int lane, uint32_t place,
                           Buffer &buffer, uint64_t offset, uint64_t bytes) {
  globalRead(warp, lane, place, buffer, offset, bytes);
  markWritten(buffer, offset, bytes);
  if (!buffer.writers.empty())
    for (uint64_t g = offset / 2, e = (offset + bytes + 1) / 2; g < e; ++g)
      buffer.writers[g] = 0;
}

/// All that `warp` knows, by cluster and agent, its own accesses included.
static std::map<uint64_t, uint32_t> everything(Warp &warp) {
  std::map<uint64_t, uint32_t> all = warp.knows.far;
  uint64_t cluster = uint64_t(warp.block->cluster->linear) << 12;
  const Clock &known = globalClock(warp);
  for (uint32_t a = 0; a < known.size(); ++a)
    if (uint32_t clock = known[a])
      all[cluster | a] = clock;
  all[cluster | warp.agent] = warp.clock;
  return all;
}

static void joinInto(std::map<uint64_t, uint32_t> &into,
                     const std::map<uint64_t, uint32_t> &from) {
  for (auto [agent, clock] : from) {
    uint32_t &mine = into[agent];
    mine = std::max(mine, clock);
  }
}

void Machine::publish(Warp &warp, uint64_t address, bool releases) {
  ++effects;
  if (!releases) {
    if (!warp.fenced.empty())
      joinInto(counters[address], warp.fenced);
    return;
  }
  joinInto(counters[address], everything(warp));
  ++warp.clock;
}

void Machine::observe(Warp &warp, uint64_t address, bool acquires) {
  auto it = counters.find(address);
  if (it != counters.end())
    joinInto(acquires ? warp.knows.far : warp.unfenced, it->second);
}

void Machine::noteSignal(uint64_t address, uint32_t count) {
  auto &log = signals[address];
  log.push_back({count, counters[address]});
  if (log.size() > 1024)
    log.pop_front();
}

void Machine::observeCount(Warp &warp, uint64_t address, uint32_t target) {
  auto it = signals.find(address);
  if (it != signals.end())
    for (auto &[count, known] : it->second)
      if (count >= target)
        return joinInto(warp.knows.far, known);
  observe(warp, address, /*acquires=*/true);
}

void Machine::fence(Warp &warp) {
  joinInto(warp.knows.far, warp.unfenced);
  warp.unfenced.clear();
  warp.fenced = everything(warp);
  ++warp.clock;
}
