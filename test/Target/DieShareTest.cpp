//===- DieShareTest.cpp - Every entry once, neighbours on one die ---------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Target/DieShare.h"

#include <gtest/gtest.h>

#include <vector>

using namespace mlir::moe;

namespace {
/// Who takes each entry; fails if one is taken twice, by nobody, or lies
/// outside of the list, or if a worker takes more than its part.
std::vector<int64_t> takersOf(int64_t workers, int64_t dies, int64_t entries) {
  std::vector<int64_t> taker(entries, -1);
  for (int64_t w = 0; w < workers; ++w) {
    EntryShare share = shareOfDie(w, workers, dies, entries);
    EXPECT_GT(share.step, 0);
    EXPECT_LE(share.end, entries);
    int64_t count = 0;
    for (int64_t e = share.first; e < share.end; e += share.step, ++count) {
      EXPECT_EQ(taker[e], -1) << "entry " << e << " of " << entries << ", "
                              << workers << " workers, " << dies << " dies";
      taker[e] = w;
    }
    EXPECT_LE(count, (entries + workers - 1) / workers)
        << "worker " << w << " of " << workers << ", " << dies << " dies, "
        << entries << " entries";
  }
  return taker;
}

void check(int64_t workers, int64_t dies, int64_t entries) {
  std::vector<int64_t> taker = takersOf(workers, dies, entries);
  for (int64_t e = 0; e < entries; ++e) {
    ASSERT_GE(taker[e], 0) << "entry " << e << " of " << entries << ", "
                           << workers << " workers, " << dies << " dies";
    // Dies take runs of the list, one after the other.
    if (e)
      ASSERT_LE(taker[e - 1] % dies, taker[e] % dies);
  }
}
} // namespace

TEST(DieShare, EveryEntryHasOneWorkerOfItsDie) {
  for (int64_t dies : {1, 2, 3, 4, 8})
    for (int64_t workers = 1; workers <= 40; ++workers)
      for (int64_t entries = 0; entries <= 130; ++entries)
        check(workers, dies, entries);
}

// Grids of chips, and lists that end around whole turns.
TEST(DieShare, GridsOfChips) {
  for (int64_t workers : {80, 228, 256, 303, 304, 456, 512, 607, 608})
    for (int64_t turns : {0, 1, 2, 5, 33})
      for (int64_t more : {-9, -8, -1, 0, 1, 7, 8, 100})
        if (workers * turns + more >= 0)
          check(workers, 8, workers * turns + more);
}

TEST(DieShare, OneDieTakesThemInTurn) {
  for (int64_t workers : {1, 7, 304})
    for (int64_t w = 0; w < workers; ++w) {
      EntryShare share = shareOfDie(w, workers, 1, 1000);
      EXPECT_EQ(share.first, w);
      EXPECT_EQ(share.end, 1000);
      EXPECT_EQ(share.step, workers);
    }
}

// With as many entries as workers each worker has one, and a die its part.
TEST(DieShare, DiesHaveTheirPart) {
  for (int64_t w = 0; w < 304; ++w)
    EXPECT_EQ(shareOfDie(w, 304, 8, 304).first, w % 8 * 38 + w / 8);
  // Seven dies of three workers and one of two.
  EXPECT_EQ(shareOfDie(7, 23, 8, 230).first, 210);
  EXPECT_EQ(shareOfDie(7, 23, 8, 230).end, 230);
  EXPECT_EQ(shareOfDie(7, 23, 8, 230).step, 2);
}
