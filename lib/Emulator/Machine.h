//===- Machine.h - The device while a kernel runs ---------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_EMULATOR_MACHINE_H
#define MOEC_LIB_EMULATOR_MACHINE_H

#include "Clocks.h"
#include "Program.h"
#include "moec/Emulator/Emulator.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>

namespace mlir::moe::emu {

struct Block;
struct Cluster;
struct Grid;
struct Machine;
struct Warp;

//===----------------------------------------------------------------------===//
// Addresses
//===----------------------------------------------------------------------===//

// Global memory is a handle: buffer number in the high bits, the buffer's start
// in the middle of a range of 2^40, so that no slip reaches another buffer.
inline constexpr unsigned bufferShift = 40;
inline constexpr uint64_t bufferCentre = uint64_t(1) << 39;
inline uint64_t globalAddress(uint32_t buffer, uint64_t offset) {
  return (uint64_t(buffer) << bufferShift) + bufferCentre + offset;
}
// Generic addresses of the other spaces carry a tag in the top 16 bits.
inline constexpr uint64_t sharedTag = 0xE001, paramTag = 0xE002,
                          localTag = 0xE003;
inline uint64_t tagged(uint64_t tag, uint64_t offset) {
  return tag << 48 | (offset & 0xFFFFFFFFFFFFull);
}
// Shared memory starts behind the bytes that the system keeps. In the window of
// the cluster, bits 24 and up are the rank of the block plus one.
inline constexpr uint32_t sharedBase = 1024;
inline constexpr unsigned rankShift = 24;

/// A registered piece of global memory.
struct Buffer {
  std::string name;
  uint8_t *host = nullptr;
  uint64_t bytes = 0;
  /// One bit per byte, empty if all are initialised.
  std::vector<uint8_t> written;
  /// Last writer of each 2 bytes (`WriterStamp`); empty until someone writes.
  std::vector<uint64_t> writers;
};

//===----------------------------------------------------------------------===//
// Shared memory and its shadow
//===----------------------------------------------------------------------===//

enum class AccessKind : uint8_t { Generic, CpAsync, Async, Atomic };

/// A write that shadow cells refer to.
struct WriteEvent {
  uint32_t agent = 0;
  /// Of the agent; ~0 while the copy is in flight.
  uint32_t clock = 0;
  uint32_t place = 0;
  /// Warp that issued it, within the cluster.
  uint16_t warp = 0;
  AccessKind kind = AccessKind::Generic;
};

inline constexpr uint8_t collectiveLane = 254, noLane = 255;

/// Shadow of 4 bytes.
struct Cell {
  uint32_t write = 0; ///< index of the last WriteEvent
  uint32_t reads = 0; ///< ReadSet since then
  uint8_t writeLane = noLane, readLane = noLane;
  uint8_t init = 0; ///< bit per byte; bit 4: part of an mbarrier
  uint8_t mask = 0; ///< bytes of the last write
};
inline constexpr uint8_t mbarrierBit = 0x10;

struct MBarrier {
  uint32_t offset = 0;
  uint32_t expected = 0, pending = 0;
  int64_t tx = 0;
  uint64_t phase = 0;
  uint32_t agent = 0;
  bool fenced = false;
  uint32_t initAgent = 0, initClock = 0, place = 0;
  Knowledge gathering, released;
};

struct NamedBarrier {
  uint32_t arrived = 0, expected = 0;
  uint64_t generation = 0;
  Knowledge gathering, released;
  /// Predicates of a reduction: true ones, and all; of the last generation.
  uint32_t trueCount = 0, lanes = 0, lastTrue = 0, lastLanes = 0;
};

//===----------------------------------------------------------------------===//
// Asynchronous work
//===----------------------------------------------------------------------===//

/// A copy under way. `complete` does its effect on memory and barriers.
struct AsyncOp {
  uint32_t place = 0;
  Block *block = nullptr;
  int warp = -1;
  /// For groups: the stream's sequence number, else 0.
  uint32_t stream = 0, sequence = 0;
  std::function<void(Machine &)> complete;
};

/// Numbered operations of one issuer, committed in groups. The clock of the
/// stream's agent counts operations.
struct AsyncStream {
  uint32_t agent = 0;
  /// Bulk stores: `agent` is their reading of shared memory, this their writes.
  uint32_t writeAgent = 0;
  uint32_t issued = 0;
  /// `issued` at each commit.
  std::deque<uint32_t> commits;
  /// Operations known to be complete by a wait, and those known to have been
  /// read (bulk stores: `.read`).
  uint32_t waited = 0, waitedRead = 0;
  uint32_t lastPlace = 0;
};

/// One wgmma as its first warp saw it; the other three must agree.
struct WgmmaRecord {
  uint64_t descriptorA = 0, descriptorB = 0;
  uint32_t place = 0;
  unsigned seen = 0;
  /// Operand B as numbers, permuted for the accumulator fragment.
  std::vector<float> b;
  /// Distinct writes that B came from.
  std::vector<uint32_t> writes;
};

struct Warpgroup {
  /// Records from sequence number `first` on.
  std::deque<WgmmaRecord> records;
  uint32_t first = 1;
};

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

/// Lanes of a warp at one place.
struct Group {
  uint32_t pc = 0;
  LaneMask mask = 0;
  bool blocked = false;
  /// Ticket of the barrier that it has arrived on, 0 if none.
  uint64_t ticket = 0;
  /// Behind the operation that it lets other lanes come to, 0 if none.
  uint32_t soughtAt = 0;
  /// What it waits for, for reports.
  std::string reason;
};

struct Warp {
  Block *block = nullptr;
  unsigned id = 0;    ///< in the block
  uint32_t agent = 0; ///< in the cluster
  bool isAmd = false;
  LaneMask lanes = 0; ///< that exist
  LaneMask live = 0;  ///< that have not exited
  std::vector<Group> groups;
  std::vector<uint8_t> registers, local;
  Knowledge knows;
  /// Own accesses up to this clock are ordered for all lanes.
  uint32_t laneSync = 0;
  AsyncStream cpAsync, wgmma;
  uint32_t cpAsyncLaneSync = 0;
  std::map<unsigned, AsyncStream> bulk; ///< by lane
  bool needsWgmmaFence = true;
  /// Last wgmma that writes an accumulator at this register.
  std::map<Reg, uint32_t> accumulators;
  uint64_t clusterTicket = 0;
  bool clusterArrived = false;
  /// AMD: the generation of the barrier that it has signalled, what it knew at
  /// its last release fence, and what the next acquire fence will tell it.
  uint64_t barrierTicket = 0;
  Knowledge released, unacquired;
  unsigned registersPerThread = 0;
  /// Stamp of the accesses made now; each release raises it.
  uint32_t clock = 1;
  /// The event of the last generic write, for the next one of the same place.
  uint32_t lastEvent = 0, lastEventClock = 0, lastEventPlace = ~0u;
  /// Published by the next relaxed atomic: what was known at the last fence.
  std::map<uint64_t, uint32_t> fenced;
  /// Read by relaxed atomics, known from the next fence on.
  std::map<uint64_t, uint32_t> unfenced;
};

struct Block {
  Grid *grid = nullptr;
  Cluster *cluster = nullptr;
  std::array<uint32_t, 3> index{};
  uint32_t linear = 0, rank = 0;
  std::vector<std::unique_ptr<Warp>> warps;
  std::vector<uint8_t> shared;
  std::vector<Cell> cells;
  /// Of cells last written by atomics: the write before those, and its lane.
  std::map<uint32_t, std::pair<uint32_t, uint8_t>> beforeAtomics;
  std::map<uint32_t, MBarrier> mbarriers;
  NamedBarrier barriers[16];
  std::vector<Warpgroup> warpgroups;
  unsigned liveWarps = 0;
  /// Last use of this block's shared memory by warps of other blocks: agent to
  /// clock and place.
  std::map<uint32_t, std::pair<uint32_t, uint32_t>> remoteUses;
  /// What its warps knew when they exited.
  Knowledge atExit;
  /// Has launched dependents.
  bool released = false;
  /// A warp has waited for the launch before to end.
  bool waited = false;
};

struct Cluster {
  Grid *grid = nullptr;
  std::vector<std::unique_ptr<Block>> blocks;
  std::vector<WriteEvent> events{WriteEvent()};
  ReadSets readSets;
  /// More sets than this are looked through for those still in use.
  size_t readSetLimit = 1 << 16;
  uint32_t agents = 0;
  uint32_t arrivedThreads = 0;
  uint64_t generation = 0;
  Knowledge gathering, released;
  unsigned liveBlocks = 0;
  uint32_t linear = 0;
  bool done() const { return liveBlocks == 0; }
};

/// A launch under way.
struct Grid {
  const Launch *launch = nullptr;
  const Kernel *kernel = nullptr;
  uint32_t number = 0; ///< 1 for the first of the run
  std::array<uint32_t, 3> clusterShape{1, 1, 1};
  uint32_t blocksTotal = 0, blocksStarted = 0, blocksDone = 0;
  uint32_t blocksReleased = 0; ///< that launched dependents or ended
  /// Launches up to this number are known to have ended: to this one from its
  /// start, and to the next one, when all blocks are released.
  uint32_t endedAtStart = 0, endedForNext = ~0u;
  std::vector<uint8_t> parameters;
  std::vector<uint64_t> values;
  std::vector<std::unique_ptr<Cluster>> clusters;
  bool done() const { return blocksDone == blocksTotal; }
  bool released() const { return blocksReleased == blocksTotal; }
  /// What `block` knows to have ended becomes what the next launch knows.
  void release(const Block &block) {
    ++blocksReleased;
    endedForNext =
        std::min(endedForNext, block.waited ? number - 1 : endedAtStart);
  }
};

/// What an instruction sees.
struct Exec {
  Machine &machine;
  Warp &warp;
  Block &block;
  Grid &grid;
  uint8_t *regs;
  LaneMask mask;
  /// Index of the group in warp.groups; may change when groups merge.
  unsigned group;
  /// Lanes of a warp: words between neighbouring elements of a register.
  unsigned lanes;

  Group &self() { return warp.groups[group]; }
  template <typename T> T *at(Reg r) { return reinterpret_cast<T *>(regs + r); }
  bool full() const { return mask == firstLanes(lanes); }
  /// The lanes, in order.
  template <typename F> void each(F f) const {
    if (mask == firstLanes(32) && lanes == 32) {
      for (unsigned l = 0; l < 32; ++l)
        f(l);
    } else if (mask == firstLanes(64)) {
      for (unsigned l = 0; l < 64; ++l)
        f(l);
    } else {
      for (LaneMask m = mask; m; m &= m - 1)
        f(static_cast<unsigned>(__builtin_ctzll(m)));
    }
  }
  unsigned firstLane() const { return __builtin_ctzll(mask); }
};

/// Bytes that an access found; null if it was refused.
struct Bytes {
  uint8_t *host = nullptr;
  /// Set for shared memory.
  Block *block = nullptr;
  uint32_t offset = 0;
  Buffer *buffer = nullptr;
  uint64_t bufferOffset = 0;
};

struct Machine {
  const Program &program;
  const Options &options;
  std::vector<std::unique_ptr<Buffer>> &buffers;
  std::vector<std::unique_ptr<Grid>> grids;
  std::vector<AsyncOp> pending;
  std::vector<Report> reports;
  std::set<std::pair<Kind, uint32_t>> reported;
  std::mt19937_64 random;
  Statistics statistics;
  bool stopped = false;
  /// A group of lanes will go on when it gets its next turn.
  bool retry = false;
  /// Waiting groups say what they wait for: for the report of a deadlock.
  bool explain = false;
  /// Counts whatever can let a waiting warp go on.
  uint64_t effects = 0;
  int64_t budget = 0;
  /// Counters of hand-over between blocks: what their readers learn.
  std::map<uint64_t, std::map<uint64_t, uint32_t>> counters;
  /// What each moe_nv.signal had made known, with the count it led to: who
  /// awaits a smaller count has learnt less.
  std::map<uint64_t,
           std::deque<std::pair<uint32_t, std::map<uint64_t, uint32_t>>>>
      signals;

  Machine(const Program &program, const Options &options,
          std::vector<std::unique_ptr<Buffer>> &buffers)
      : program(program), options(options), buffers(buffers),
        random(options.seed) {}

  //--- Reports.cpp
  /// Notes a finding at `place`; `lane` -1 for the whole warp. Returns Stop
  /// once there are enough of them.
  Step report(const Warp *warp, int lane, uint32_t place, Kind kind,
              const std::string &text);
  Step report(Exec &x, const Instr &i, int lane, Kind kind,
              const std::string &text) {
    return report(&x.warp, lane, i.place, kind, text);
  }
  void reportDeadlock();
  std::string placeText(uint32_t place) const;

  //--- Scheduler.cpp
  void run(std::vector<std::unique_ptr<Grid>> queue);
  bool startBlocks(Grid &grid);
  bool runWarp(Warp &warp);
  void finishWarp(Warp &warp);
  void submit(AsyncOp op);
  bool completeSome();
  /// Completes what matches, oldest first.
  void completeIf(llvm::function_ref<bool(const AsyncOp &)> match);
  bool chance(unsigned n) { return options.seed && random() % n == 0; }

  //--- Memory.cpp
  /// The bytes behind an address of `space`, checked for bounds and alignment.
  Bytes resolve(Exec &x, const Instr &i, unsigned lane, unsigned space,
                uint64_t address, uint64_t bytes, unsigned align);
  /// The same for shared memory given by its offset in some block.
  Bytes resolveShared(Exec &x, const Instr &i, int lane, uint64_t address,
                      uint64_t bytes, unsigned align);
  Bytes resolveGlobal(Exec &x, const Instr &i, int lane, uint64_t address,
                      uint64_t bytes, unsigned align);
  /// Detectors of a generic access by one lane (or collectively).
  void noteRead(Exec &x, const Instr &i, unsigned lane, const Bytes &at,
                uint64_t bytes);
  void noteWrite(Exec &x, const Instr &i, unsigned lane, const Bytes &at,
                 uint64_t bytes);
  /// Global memory, also on behalf of an asynchronous copy.
  void globalRead(const Warp &warp, int lane, uint32_t place, Buffer &buffer,
                  uint64_t offset, uint64_t bytes);
  /// `agent` and `clock` stamp the write.
  void globalWrite(const Warp &warp, int lane, uint32_t place, Buffer &buffer,
                   uint64_t offset, uint64_t bytes, uint32_t agent,
                   uint32_t clock);
  /// Marks bytes as written by atomics: initialised, ordered by themselves.
  void globalAtomic(const Warp &warp, int lane, uint32_t place, Buffer &buffer,
                    uint64_t offset, uint64_t bytes);
  /// Hand-over through the counter at a global address.
  void publish(Warp &warp, uint64_t address, bool releases);
  void observe(Warp &warp, uint64_t address, bool acquires);
  void fence(Warp &warp);
  /// moe_nv.signal has brought the counter to `count`.
  void noteSignal(uint64_t address, uint32_t count);
  /// moe_nv.await has seen `target` or more.
  void observeCount(Warp &warp, uint64_t address, uint32_t target);

  //--- Shadow.cpp
  /// A write by `event` (already in cluster.events).
  void shadowWrite(const Warp &warp, int lane, uint32_t place, Block &block,
                   uint32_t offset, uint64_t bytes, uint32_t event, bool async);
  /// A generic read.
  void shadowRead(Warp &warp, int lane, uint32_t place, Block &block,
                  uint32_t offset, uint64_t bytes);
  /// A read-modify-write: unordered with its like, ordered with all else.
  void shadowAtomic(Warp &warp, int lane, uint32_t place, Block &block,
                    uint32_t offset, uint64_t bytes);
  /// A read by TMA or wgmma that `agent` stamps with `clock`. Appends the
  /// events read to `writes` if given.
  void shadowAsyncRead(const Warp &warp, int lane, uint32_t place, Block &block,
                       uint32_t offset, uint64_t bytes, uint32_t agent,
                       uint32_t clock, std::vector<uint32_t> *writes);
  /// Whether the async proxy may read what event `write` wrote; reports.
  bool orderedForAsync(const Warp &warp, int lane, uint32_t place, Block &block,
                       uint32_t offset, uint32_t write);
  uint32_t genericEvent(Warp &warp, uint32_t place,
                        AccessKind kind = AccessKind::Generic);
  uint32_t newEvent(Cluster &cluster, WriteEvent event);
  std::string eventText(Cluster &cluster, uint32_t event) const;
  const char *copyName() const;

  //--- Barriers.cpp
  MBarrier *findBarrier(Exec &x, const Instr &i, unsigned lane, unsigned space,
                        uint64_t address, Block *&owner);
  void completePhaseIfDone(Block &block, MBarrier &barrier);
  /// `bytes` of a copy have arrived.
  void completeTx(Block &block, MBarrier &barrier, uint64_t bytes);
  void release(Warp &warp, Knowledge &into);
  void acquire(Warp &warp, const Knowledge &from);
  /// All lanes of the warp are here: orders their accesses.
  void syncLanes(Warp &warp);
};

/// Whether all lanes in `needed` are in the group; otherwise waits for them, or
/// reports lanes that have exited.
bool converge(Exec &x, const Instr &i, LaneMask needed, Step &step);

uint32_t newAgent(Cluster &cluster);

/// A set of lanes in hexadecimal digits.
std::string maskText(unsigned lanes, LaneMask mask);

/// printf into a std::string.
std::string format(const char *pattern, ...)
    __attribute__((format(printf, 1, 2)));

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_MACHINE_H
