//===- Clocks.h - Vector clocks and sets of readers -------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Who knows of whose accesses. An agent is a warp, an mbarrier or a stream of
// asynchronous operations of one warp; an access carries its agent and the
// agent's clock, and is known to a warp whose clock for that agent is not less.
#ifndef MOEC_LIB_EMULATOR_CLOCKS_H
#define MOEC_LIB_EMULATOR_CLOCKS_H

#include <algorithm>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

namespace mlir::moe::emu {

/// One clock per agent; absent entries are 0.
class Clock {
public:
  uint32_t operator[](uint32_t agent) const {
    return agent < entries.size() ? entries[agent] : 0;
  }
  void set(uint32_t agent, uint32_t value) {
    if (agent >= entries.size())
      entries.resize(agent + 1);
    entries[agent] = value;
  }
  void raise(uint32_t agent, uint32_t value) {
    if ((*this)[agent] < value)
      set(agent, value);
  }
  void join(const Clock &other) {
    if (entries.size() < other.entries.size())
      entries.resize(other.entries.size());
    for (size_t i = 0; i < other.entries.size(); ++i)
      entries[i] = std::max(entries[i], other.entries[i]);
  }
  size_t size() const { return entries.size(); }

private:
  std::vector<uint32_t> entries;
};

/// What a thread knows: accesses that happened before, and those of them that a
/// proxy fence made visible to TMA and wgmma.
struct Knowledge {
  /// By agent of the cluster.
  Clock order, proxy;
  /// AMD: the same for accesses to global memory, which fences may leave out.
  Clock global;
  /// By cluster and agent: what came by hand-over through global memory.
  std::map<uint64_t, uint32_t> far;
  /// Whether the launch before is known to have ended.
  bool gridBefore = false;

  void join(const Knowledge &other) {
    order.join(other.order);
    proxy.join(other.proxy);
    global.join(other.global);
    joinFar(other.far);
    gridBefore |= other.gridBefore;
  }
  void joinFar(const std::map<uint64_t, uint32_t> &other) {
    for (auto [agent, clock] : other) {
      uint32_t &mine = far[agent];
      mine = std::max(mine, clock);
    }
  }
  void clear() { *this = Knowledge(); }
};

/// Interned sets of (agent, clock): many cells share few of them.
class ReadSets {
public:
  using Entry = std::pair<uint32_t, uint32_t>;
  ReadSets() : sets(1) {}
  const std::vector<Entry> &operator[](uint32_t set) const { return sets[set]; }
  /// `set` with the agent's read at `clock` in place of older ones.
  uint32_t add(uint32_t set, uint32_t agent, uint32_t clock) {
    if (set == lastSet && agent == lastAgent && clock == lastClock)
      return lastResult;
    lastSet = set, lastAgent = agent, lastClock = clock;
    for (const Entry &e : sets[set])
      if (e.first == agent && e.second == clock)
        return lastResult = set;
    uint64_t key = (uint64_t(agent) << 48) ^ (uint64_t(clock) << 24) ^ set;
    auto [it, isNew] = transitions.try_emplace(key, 0);
    if (!isNew) {
      // The key is a hash of three numbers, so the result must be looked at.
      const Step &step = steps[it->second];
      if (step.from == set && step.agent == agent && step.clock == clock)
        return lastResult = step.to;
    }
    std::vector<Entry> grown;
    for (const Entry &e : sets[set])
      if (e.first != agent)
        grown.push_back(e);
    grown.push_back({agent, clock});
    sets.push_back(std::move(grown));
    it->second = steps.size();
    steps.push_back({set, agent, clock, uint32_t(sets.size() - 1)});
    return lastResult = sets.size() - 1;
  }
  size_t size() const { return sets.size(); }

  /// Drops all sets but those in use. `visit` calls its argument on each
  /// reference to a set; references are renamed.
  template <typename Visit> void compact(Visit visit) {
    std::vector<std::vector<Entry>> old(1);
    std::swap(old, sets);
    std::unordered_map<uint32_t, uint32_t> renamed{{0, 0}};
    visit([&](uint32_t &set) {
      auto [it, isNew] = renamed.try_emplace(set, sets.size());
      if (isNew)
        sets.push_back(std::move(old[set]));
      set = it->second;
    });
    steps.clear();
    transitions.clear();
    lastSet = lastAgent = lastClock = ~0u;
  }

private:
  struct Step {
    uint32_t from, agent, clock, to;
  };
  std::vector<std::vector<Entry>> sets;
  std::vector<Step> steps;
  std::unordered_map<uint64_t, uint32_t> transitions;
  uint32_t lastSet = ~0u, lastAgent = ~0u, lastClock = ~0u, lastResult = 0;
};

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_CLOCKS_H
