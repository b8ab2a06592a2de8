//===- DecideTest.cpp - Which choice of a cell is used --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/Measure.h"
#include "moec/Tuner/Tune.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

TunedCell makeCell(std::vector<double> times) {
  TunedCell cell;
  for (double us : times) {
    cell.choices.emplace_back();
    cell.choices.back().us = us;
  }
  return cell;
}

TEST(Decide, Fastest) {
  EXPECT_EQ(findFastest(makeCell({5, 4, 6})), 1u);
  EXPECT_EQ(findFastest(makeCell({5, 5, 5})), 0u);
  // 0 is no time.
  EXPECT_EQ(findFastest(makeCell({5, 0, 6})), 0u);
  EXPECT_EQ(findFastest(makeCell({0, 0, 6})), 2u);
  EXPECT_EQ(findFastest(makeCell({0, 0})), 0u);
}

TEST(Decide, AWinExceedsTheMarginEachTime) {
  const std::pair<std::vector<double>, bool> cases[] = {
      {{0.9, 0.9, 0.9}, true},
      {{0.97}, true},
      {{0.98}, false},
      {{0.9, 0.9, 0.99}, false},
      {{1.1, 0.5}, false},
      {{0.9, 0}, false},
      {{}, false}};
  for (const auto &[ratios, won] : cases) {
    TunedCell cell = makeCell({10, 12, 9});
    decideCell(cell, 0.02, ratios);
    EXPECT_EQ(cell.won, won);
    EXPECT_EQ(cell.best, won ? 2u : 0u);
  }
}

TEST(Decide, TheSelectorsOwnIsFastest) {
  TunedCell cell = makeCell({8, 12, 9});
  decideCell(cell, 0.02, {0.5, 0.5});
  EXPECT_FALSE(cell.won);
  EXPECT_EQ(cell.best, 0u);
}

/// What does not run is no choice, whatever the margin says.
TEST(Decide, TheSelectorsOwnDoesNotRun) {
  TunedCell cell = makeCell({0, 12, 9});
  decideCell(cell, 0.02, {});
  EXPECT_FALSE(cell.won);
  EXPECT_EQ(cell.best, 2u);
}

TEST(Measure, Median) {
  EXPECT_EQ(getMedian({}), 0);
  EXPECT_EQ(getMedian({3}), 3);
  EXPECT_EQ(getMedian({9, 1, 5}), 5);
  EXPECT_EQ(getMedian({1, 100, 2, 3, 4}), 3);
}

TEST(Measure, Memory) {
  LayerSpec spec;
  spec.topk = 2;
  spec.inner = 8;
  spec.hidden = 16;
  ArgumentSpec x, weights;
  x.shape = {ShapedType::kDynamic, 16};
  weights.shape = {4, 16, 16};
  spec.arguments = {x, weights};
  MemoryEstimate plain = estimateMemory(spec, 10, /*packs=*/false);
  MemoryEstimate packed = estimateMemory(spec, 10, /*packs=*/true);
  EXPECT_EQ(plain.weights, 4u * 16 * 16 * 4);
  EXPECT_EQ(packed.weights, 2 * plain.weights);
  EXPECT_EQ(plain.activations, 2u * 10 * 16 * 4);
  EXPECT_EQ(plain.workspace, 10u * 2 * (8 + 16) * 4);
  EXPECT_EQ(plain.total(), plain.weights + plain.activations + plain.workspace +
                               plain.cacheFlush);
  EXPECT_GT(estimateMemory(spec, 1000, false).total(), plain.total());
  EXPECT_GT(getAvailableMemoryBytes(), uint64_t(1) << 20);
}

} // namespace
