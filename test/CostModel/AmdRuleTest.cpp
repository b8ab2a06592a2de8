//===- AmdRuleTest.cpp - Where AMD GPUs decode packed weights -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"

#include <gtest/gtest.h>

using namespace mlir::moe;

namespace {
GemmProblem problem(int64_t aBits, int64_t bBits) {
  GemmProblem p;
  p.n = 1024;
  p.k = 2048;
  p.aBits = aBits;
  p.bBits = bBits;
  p.bGranule = bBits < 8 ? 128 : 0;
  p.rowsPerExpert = 64;
  return p;
}

std::vector<RuleConfig> rank(const char *name, const GemmProblem &p,
                             size_t limit, int64_t blockM = 64) {
  std::vector<RuleVerdict> rejected;
  return rankAmdConfigs(*findRuleTarget(name), p, blockM, limit, rejected);
}

// Lanes of RDNA3 that hold the same operand would decode it twice: decoded
// before it stands in LDS, in one stage, and beside the product where two such
// tiles fail.
TEST(AmdRule, RepeatedOperandsAreDecodedOnTheirWay) {
  for (const char *name : {"gfx1100", "gfx1151"}) {
    auto ranked = rank(name, problem(16, 4), 100);
    ASSERT_EQ(ranked.size(), 6u);
    const char *places[] = {"transform", "transform", "compute",
                            "compute",   "compute",   "transform"};
    for (size_t i = 0; i < ranked.size(); ++i) {
      EXPECT_EQ(ranked[i].bPlace, places[i]) << name << " " << i;
      EXPECT_EQ(ranked[i].stages, 1) << name << " " << i;
    }
    // A smaller limit gives the start of the list.
    for (size_t limit = 0; limit <= ranked.size(); ++limit) {
      auto some = rank(name, problem(16, 4), limit);
      ASSERT_EQ(some.size(), limit);
      for (size_t i = 0; i < limit; ++i) {
        EXPECT_EQ(some[i].bPlace, ranked[i].bPlace);
        EXPECT_EQ(some[i].blockN, ranked[i].blockN);
      }
    }
  }
}

TEST(AmdRule, OtherChipsDecodeBesideTheProduct) {
  for (const char *name : {"gfx942", "gfx950", "gfx1201"})
    for (const RuleConfig &config : rank(name, problem(16, 4), 100))
      EXPECT_EQ(config.bPlace, "compute") << name;
}

// Where scales of weights would be rounded, few tokens scale sums, beside the
// product also where others decode on the way; many tokens do not.
TEST(AmdRule, FewTokensScaleSums) {
  GemmProblem p = problem(16, 4);
  p.bRounds = true;
  for (const char *name : {"gfx942", "gfx950", "gfx1100", "gfx1201"}) {
    auto few = rank(name, p, 100, 16), many = rank(name, p, 100, 64);
    ASSERT_FALSE(few.empty());
    for (const RuleConfig &config : few) {
      EXPECT_EQ(config.bPlace, "compute") << name;
      EXPECT_EQ(config.bScale, "sums") << name;
    }
    for (const RuleConfig &config : many)
      EXPECT_EQ(config.bScale, "") << name;
    // Powers of two round nothing.
    p.bRounds = false;
    for (const RuleConfig &config : rank(name, p, 100, 16))
      EXPECT_EQ(config.bScale, "") << name;
    p.bRounds = true;
  }
}

TEST(AmdRule, BytesBesideHalvesAreDecoded) {
  GemmProblem p = problem(16, 8);
  for (const char *name : {"gfx942", "gfx1100", "gfx1201"}) {
    auto ranked = rank(name, p, 100);
    ASSERT_FALSE(ranked.empty());
    for (const RuleConfig &config : ranked)
      EXPECT_EQ(config.bPlace, "compute") << name;
  }
}

// RDNA3 widens 8-bit floats, not integers; gfx942 clears floats alone of
// negative zeros.
TEST(AmdRule, IntegersStayBytes) {
  GemmProblem p = problem(8, 8);
  auto step = [&](const char *name, bool integers) {
    p.integers = integers;
    return rank(name, p, 1)[0].blockK;
  };
  EXPECT_EQ(step("gfx1100", true), 128);
  EXPECT_EQ(step("gfx1100", false), 64);
  EXPECT_EQ(step("gfx942", true), 128);
}

TEST(AmdRule, PlainWeightsAreDecodedNowhere) {
  for (const char *name : {"gfx942", "gfx1100", "gfx1201"})
    for (int64_t bits : {8, 16})
      for (const RuleConfig &config : rank(name, problem(bits, bits), 100))
        EXPECT_EQ(config.bPlace, "") << name << " " << bits;
}

// Weights that stand decoded in LDS need room for 16 bits each.
TEST(AmdRule, DecodedWeightsNeedTheirRoom) {
  GemmProblem p = problem(16, 4);
  std::vector<RuleVerdict> rejected;
  auto ranked =
      rankAmdConfigs(*findRuleTarget("gfx1100"), p, 448, 100, rejected);
  // 448 x 64 rows of tokens, 16 bits: 56 KiB; 128 rows of weights 4 or 16 KiB.
  ASSERT_FALSE(ranked.empty());
  EXPECT_EQ(ranked.front().bPlace, "transform");
  EXPECT_EQ(ranked.front().blockN, 64);
  ASSERT_FALSE(rejected.empty());
  for (const RuleVerdict &verdict : rejected)
    EXPECT_EQ(verdict.rule, "shared_memory") << verdict.text;
}

// Tiles of an expert share weights or rows: dies with a cache of their own take
// neighbours, where there are such dies and more than one tile.
TEST(AmdRule, DiesTakeNeighbours) {
  for (const char *name : {"gfx942", "gfx950", "gfx1100", "gfx1151", "gfx1201"})
    for (int64_t n : {32, 128, 1024})
      for (double rows : {1.0, 64.0, 65.0, 500.0}) {
        GemmProblem p = problem(16, 16);
        p.n = n;
        p.rowsPerExpert = rows;
        for (const RuleConfig &config : rank(name, p, 100)) {
          bool several = n > config.blockN || rows > 64;
          bool dies =
              std::string(name) == "gfx942" || std::string(name) == "gfx950";
          EXPECT_EQ(config.xcd, several && dies ? 8 : 0)
              << name << " n " << n << " rows " << rows;
          EXPECT_EQ(config.claim, "stride");
        }
      }
}

// Floats of 8 bits that are widened in registers: one stage on RDNA3.
TEST(AmdRule, WidenedFloatsHaveOneStage) {
  for (const RuleConfig &config : rank("gfx1100", problem(8, 8), 100, 16))
    EXPECT_EQ(config.stages, 1);
  EXPECT_EQ(rank("gfx1201", problem(8, 8), 100, 16).back().stages, 2);
  EXPECT_EQ(rank("gfx1100", problem(16, 16), 100, 16).front().stages, 1);
  EXPECT_EQ(rank("gfx1100", problem(16, 16), 100, 16).back().stages, 2);
}
} // namespace
