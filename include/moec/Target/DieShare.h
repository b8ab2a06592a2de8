//===- DieShare.h - Entries of a list by dies -------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Chips of several dies, each with a second-level cache of its own, deal
// workgroups to the dies in turn. Neighbours in a list of tiles read the same
// weights or rows, so each die takes neighbours. Plain C++, no IR.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TARGET_DIESHARE_H
#define MOEC_TARGET_DIESHARE_H

#include <algorithm>
#include <cstdint>

namespace mlir::moe {

/// Entries first, first + step, ... below end.
struct EntryShare {
  int64_t first, end, step;
};

/// What `worker` of `workers` takes of a list of `entries`; worker w is on die
/// w mod `dies`. A die takes a run of the list in proportion to its workers:
/// from entries * before / workers on, rounded down, `before` the workers of
/// the dies before it. Every entry has one worker, and no worker takes more
/// than the ceiling of entries / workers. 0 <= worker < workers, dies >= 1;
/// workers below 65536 keep every product below 2^32.
inline EntryShare shareOfDie(int64_t worker, int64_t workers, int64_t dies,
                             int64_t entries) {
  int64_t die = worker % dies, perDie = workers / dies, more = workers % dies;
  int64_t whole = entries / workers, left = entries % workers;
  auto startOf = [&](int64_t d) {
    int64_t before = d * perDie + std::min(d, more);
    return whole * before + left * before / workers;
  };
  return {startOf(die) + worker / dies, startOf(die + 1),
          perDie + (die < more ? 1 : 0)};
}

} // namespace mlir::moe

#endif // MOEC_TARGET_DIESHARE_H
