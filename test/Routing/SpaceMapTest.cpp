//===- SpaceMapTest.cpp - Histograms and blocks ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Routing/SpaceMap.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::moe;

TEST(Blocks, ByHand) {
  BlockStatistics s = countBlocks({0, 1, 16, 17, 8, 9}, 16);
  EXPECT_EQ(s.rows, 51);
  EXPECT_EQ(s.blocks, 6);       // 0 1 1 2 1 1
  EXPECT_EQ(s.skinnyBlocks, 3); // 1, the last of 17, 8
  EXPECT_EQ(s.getPaddedRows(), 96);
  EXPECT_DOUBLE_EQ(s.getUsePercent(), 100.0 * 51 / 96);
  EXPECT_DOUBLE_EQ(s.getSkinnyPercent(), 50.0);
}

TEST(Blocks, SmallBlocksAreAllSkinny) {
  BlockStatistics s = countBlocks({20, 3}, 8);
  EXPECT_EQ(s.blocks, 4);
  EXPECT_EQ(s.skinnyBlocks, 4);
}

TEST(Blocks, NoTokens) {
  BlockStatistics s = countBlocks({0, 0}, 32);
  EXPECT_EQ(s.blocks, 0);
  EXPECT_EQ(s.getUsePercent(), 0.0);
  EXPECT_EQ(s.getSkinnyPercent(), 0.0);
  HistogramStatistics h = describeHistogram({0, 0});
  EXPECT_EQ(h.deadExperts, 2);
  EXPECT_EQ(h.max, 0);
  EXPECT_EQ(h.mean, 0.0);
}

// Against counting one row at a time.
TEST(Blocks, RandomAgainstBruteForce) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<int64_t> counts(20);
    for (int64_t &count : counts)
      count = random() % 3 ? random() % 70 : 0;
    int64_t blockM = 1 + random() % 40, blocks = 0, skinny = 0;
    for (int64_t count : counts)
      while (count > 0) {
        int64_t rows = std::min(count, blockM);
        ++blocks;
        skinny += rows <= 8;
        count -= rows;
      }
    BlockStatistics s = countBlocks(counts, blockM);
    ASSERT_EQ(s.blocks, blocks);
    ASSERT_EQ(s.skinnyBlocks, skinny);
  }
}

TEST(Histogram, MedianIsCut) {
  HistogramStatistics h = describeHistogram({5, 0, 2, 7, 4});
  EXPECT_EQ(h.median, 4); // (4 + 5) / 2
  EXPECT_EQ(h.max, 7);
  EXPECT_EQ(h.rows, 18);
  EXPECT_EQ(h.deadExperts, 1);
  EXPECT_DOUBLE_EQ(h.mean, 4.5);
  EXPECT_EQ(describeHistogram({3, 1, 2}).median, 2);
}

TEST(SpaceMap, OtherShapes) {
  SpaceMapOptions options;
  options.experts = 8;
  options.topk = 2;
  options.tokens = {4, 16};
  options.archetypes = {RoutingArchetype::Balanced, RoutingArchetype::Zipf1};
  std::vector<SpaceMapRow> rows = llvm::cantFail(computeSpaceMap(options));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[1].histogram.max, 4);
  EXPECT_EQ(rows[1].block16.blocks, 8);
  EXPECT_EQ(rows[3].histogram.rows, 32);

  options.archetypes = {RoutingArchetype::Hot16};
  auto refused = computeSpaceMap(options);
  ASSERT_FALSE(static_cast<bool>(refused));
  EXPECT_EQ(llvm::toString(refused.takeError()),
            "routing 'hot16' needs more than 16 experts, not 8");
}

TEST(SpaceMap, PrintsHeadingAndBlankLines) {
  std::string text;
  llvm::raw_string_ostream os(text);
  printSpaceMap(os, uint64_t(0));
  llvm::SmallVector<llvm::StringRef> lines;
  llvm::StringRef(text).split(lines, '\n');
  ASSERT_EQ(lines.size(), 61u); // heading, 55 rows, 4 blank, the last newline
  EXPECT_EQ(lines[1], "balanced     16    128    1.0    1     1  128      6.2 "
                      "100      3.1 100    128   128");
  EXPECT_TRUE(lines[12].empty());
  EXPECT_TRUE(lines[13].starts_with("uniform "));

  SpaceMapOptions options;
  options.tokens = {0};
  options.archetypes = {RoutingArchetype::Uniform};
  text.clear();
  printSpaceMap(os, llvm::cantFail(computeSpaceMap(options)));
  EXPECT_TRUE(llvm::StringRef(text).ends_with(
      "uniform       0      0    0.0    0     0  256      0.0   0      0.0   0 "
      "     0     0\n"))
      << text;
}
