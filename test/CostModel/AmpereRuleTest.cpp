//===- AmpereRuleTest.cpp - Tests of tile sizes for mma.sync --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"

#include <gtest/gtest.h>

using namespace mlir::moe;

/// The up-projection of Qwen3-30B-A3B.
static GemmProblem upProjection() {
  GemmProblem problem;
  problem.n = 1536;
  problem.k = 2048;
  problem.gather = true;
  problem.gateRun = 768;
  problem.gateHalves = true;
  return problem;
}

static std::vector<RuleConfig> rank(const char *target,
                                    const GemmProblem &problem, int64_t blockM,
                                    std::string *lastRule = nullptr) {
  std::vector<RuleVerdict> rejected;
  auto ranked =
      rankConfigs(*findRuleTarget(target), problem, blockM, 10, rejected);
  if (lastRule)
    *lastRule = rejected.empty() ? "" : rejected.back().rule;
  return ranked;
}

TEST(AmpereRule, WideTilesComeFirstWhileThreeSlotsFit) {
  auto large = rank("sm_80", upProjection(), 128);
  ASSERT_FALSE(large.empty());
  EXPECT_EQ(large[0].blockN, 128);
  EXPECT_EQ(large[0].blockK, 64);
  EXPECT_EQ(large[0].stages, 3);
  EXPECT_EQ(large[0].a, "gather");
  EXPECT_EQ(large[0].b, "vector");
  EXPECT_FALSE(large[0].swap);
  // Two slots of 48 KiB are all that sm_89 holds, three of 32 KiB fit.
  auto small = rank("sm_89", upProjection(), 128);
  ASSERT_EQ(small.size(), 2u);
  EXPECT_EQ(small[0].blockN, 64);
  EXPECT_EQ(small[0].stages, 3);
  EXPECT_EQ(small[1].blockN, 128);
  EXPECT_EQ(small[1].stages, 2);
}

TEST(AmpereRule, AWarpKeepsGateAndUpTogether) {
  GemmProblem narrow = upProjection();
  narrow.n = 64;
  narrow.gateRun = 32;
  std::string rule;
  auto ranked = rank("sm_80", narrow, 16, &rule);
  ASSERT_EQ(ranked.size(), 1u);
  EXPECT_EQ(ranked[0].blockN, 64);
  EXPECT_EQ(rule, "split");
  narrow.gateRun = 0;
  ranked = rank("sm_80", narrow, 16);
  ASSERT_EQ(ranked.size(), 1u);
  EXPECT_EQ(ranked[0].blockN, 64);
}

TEST(AmpereRule, PackedWeightsTakeTheRowSide) {
  GemmProblem packed = upProjection();
  packed.bBits = 4;
  packed.bGranule = 128;
  for (const RuleConfig &config : rank("sm_80", packed, 64)) {
    EXPECT_TRUE(config.swap);
    EXPECT_EQ(config.bPlace, "compute");
    EXPECT_EQ(config.blockN % 64, 0);
    EXPECT_GE(config.stages, 2);
  }
  EXPECT_EQ(rank("sm_80", packed, 64).size(), 4u);
  packed.gateHalves = false;
  std::string rule;
  EXPECT_TRUE(rank("sm_80", packed, 16, &rule).empty());
  EXPECT_EQ(rule, "packed_split");
  packed = upProjection();
  packed.bBits = 4;
  packed.bGranule = 24;
  EXPECT_TRUE(rank("sm_80", packed, 16, &rule).empty());
  EXPECT_EQ(rule, "scale_group");
}

/// A layer of Qwen3.5 that one token takes through eight experts.
static GemmProblem oneToken(int64_t n, int64_t k, bool gated) {
  GemmProblem problem;
  problem.n = n;
  problem.k = k;
  problem.bBits = 4;
  problem.bGranule = 128;
  problem.gather = gated;
  problem.gateRun = gated ? n / 2 : 0;
  problem.gateHalves = gated;
  problem.rowsPerExpert = 1;
  problem.hitExperts = 8;
  problem.units = 108;
  return problem;
}

static bool offers(const std::vector<RuleConfig> &ranked, size_t best,
                   int64_t blockN, int64_t blockK) {
  for (size_t i = 0; i < std::min(best, ranked.size()); ++i)
    if (ranked[i].blockN == blockN && ranked[i].blockK == blockK)
      return true;
  return false;
}

TEST(AmpereRule, FewerUnitsTakeWiderTiles) {
  GemmProblem problem = oneToken(1024, 2048, true);
  EXPECT_EQ(rank("sm_80", problem, 16)[0].blockN, 64);
  // 64 tiles of 128 rows would be two rounds for some of them.
  problem.units = 40;
  EXPECT_EQ(rank("sm_80", problem, 16)[0].blockN, 128);
}

TEST(AmpereRule, OneTokenIsOfferedNarrowTilesAndLongSteps) {
  auto up = rank("sm_80", oneToken(1024, 2048, true), 16);
  EXPECT_TRUE(offers(up, 6, 8, 256));
  EXPECT_TRUE(offers(up, 10, 8, 128));
  // Sixteen rows are the instruction's: without a gate all are columns.
  auto down = rank("sm_80", oneToken(2048, 512, false), 16);
  EXPECT_TRUE(offers(down, 6, 16, 256));
  EXPECT_TRUE(offers(down, 10, 16, 128));
  // Eight warps of the widest tile that leaves no multiprocessor a second one
  // decode first.
  EXPECT_EQ(up[0].blockN, 64);
  EXPECT_EQ(up[0].blockK, 256);
  for (const RuleConfig &config : up)
    EXPECT_GE(config.stages, 3);
  // Many tokens share wide tiles.
  for (const RuleConfig &config :
       rank("sm_80", oneToken(1024, 2048, true), 64)) {
    EXPECT_GE(config.blockN, 64);
    EXPECT_LE(config.blockK, 128);
  }
}

TEST(AmpereRule, FewTokensScaleSums) {
  GemmProblem problem = oneToken(1024, 2048, true);
  for (bool rounds : {false, true}) {
    problem.bRounds = rounds;
    EXPECT_EQ(rank("sm_80", problem, 16)[0].bScale, rounds ? "sums" : "");
    EXPECT_EQ(rank("sm_80", problem, 64)[0].bScale, "");
  }
}

TEST(AmpereRule, BytesAreDecodedAsPackedWeightsAre) {
  GemmProblem bytes = oneToken(1024, 2048, true);
  bytes.bBits = 8;
  bytes.bGranule = 0;
  auto ranked = rank("sm_80", bytes, 16);
  ASSERT_FALSE(ranked.empty());
  EXPECT_EQ(ranked[0].bPlace, "compute");
  // A row of a step has no more bytes than its swizzle.
  for (const RuleConfig &config : ranked)
    EXPECT_LE(config.blockK, 128);
}

TEST(AmpereRule, ScalesOfSmallGroupsAreBytes) {
  // 128 groups of a row; of three bytes each those of 128 rows would fill the
  // shared memory of sm_89.
  GemmProblem groups = oneToken(2048, 2048, false);
  groups.bGranule = 16;
  EXPECT_FALSE(rank("sm_89", groups, 64).empty());
  groups.bGranule = 32;
  groups.k = 14336;
  std::string rule;
  EXPECT_TRUE(rank("sm_89", groups, 64, &rule).empty());
  EXPECT_EQ(rule, "shared_memory");
}

TEST(AmpereRule, EightBitTilesAreOneGranuleWide) {
  GemmProblem floats = upProjection();
  floats.aBits = floats.bBits = 8;
  floats.aGranule = floats.bGranule = 128;
  floats.outGranule = 128;
  auto ranked = rank("sm_89", floats, 64);
  ASSERT_EQ(ranked.size(), 1u);
  EXPECT_EQ(ranked[0].blockN, 128);
  EXPECT_EQ(ranked[0].blockK, 128);
}

TEST(AmpereRule, WhatDoesNotFitHasARule) {
  std::string rule;
  GemmProblem odd = upProjection();
  odd.k = 2044;
  EXPECT_TRUE(rank("sm_80", odd, 16, &rule).empty());
  EXPECT_EQ(rule, "pitch");
  EXPECT_TRUE(rank("sm_80", upProjection(), 24, &rule).empty());
  EXPECT_EQ(rule, "block");
  // More than 128 accumulators in a thread.
  for (const RuleConfig &config : rank("sm_80", upProjection(), 256))
    EXPECT_LE(config.blockN, 64);
  GemmProblem packed = upProjection();
  packed.bBits = 4;
  packed.bGranule = 128;
  EXPECT_FALSE(rank("sm_80", packed, 64).empty());
  EXPECT_TRUE(rank("sm_80", packed, 128, &rule).empty());
  EXPECT_EQ(rule, "registers");
}
