//===- ChoiceTest.cpp - What the selectors choose, on every target --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Properties that hold for every target, layer and number of rows: choices are
// legal by a count of their own of bytes and columns, a smaller limit gives the
// start of the same list, and every candidate is either chosen or rejected by a
// rule with a name. Then single choices whose reasons the rules state.
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"

#include <gtest/gtest.h>
#include <set>
#include <sstream>
#include <tuple>

using namespace mlir::moe;

namespace {
struct Model {
  const char *name;
  int64_t hidden, intermediate;
};
const Model models[] = {{"qwen3-30b-a3b", 2048, 768},
                        {"deepseek-v3", 7168, 2048},
                        {"mixtral-8x7b", 4096, 14336},
                        {"gpt-oss-20b", 2880, 2880},
                        {"olmoe-1b-7b", 2048, 1024},
                        {"shard", 2048, 192},
                        {"odd", 130, 70},
                        {"tiny", 16, 8}};

std::vector<std::string> targetNames() {
  std::vector<std::string> names;
  std::istringstream list(ruleTargetNames());
  for (std::string name; std::getline(list, name, ',');)
    names.push_back(name.substr(name.find_first_not_of(' ')));
  return names;
}

/// Both products of every model in every storage and arrangement.
std::vector<GemmProblem> allProblems() {
  struct Storage {
    int64_t aBits, bBits, aGranule, bGranule, outGranule;
    bool promotes;
  };
  const Storage storages[] = {
      {16, 16, 0, 0, 0, false},    {8, 8, 128, 128, 0, true},
      {8, 8, 128, 128, 128, true}, {16, 4, 0, 128, 0, false},
      {16, 4, 0, 32, 0, false},    {16, 8, 0, 0, 0, false},
      {16, 4, 0, 24, 0, false},    {32, 32, 0, 0, 0, false}};
  std::vector<GemmProblem> all;
  for (const Model &model : models)
    for (const Storage &storage : storages)
      for (int arrangement = 0; arrangement < 5; ++arrangement)
        for (double rows : {0.5, 1.0, 2.5, 8.0, 20.0, 100.0, 4096.0}) {
          GemmProblem problem;
          bool second = arrangement == 0;
          problem.n = second ? model.hidden : 2 * model.intermediate;
          problem.k = second ? model.intermediate : model.hidden;
          std::tie(problem.aBits, problem.bBits, problem.aGranule,
                   problem.bGranule, problem.outGranule) =
              std::tie(storage.aBits, storage.bBits, storage.aGranule,
                       storage.bGranule, storage.outGranule);
          problem.aPromotes = problem.bPromotes = storage.promotes;
          problem.gather = !second;
          problem.sumsRows = problem.scatters = second;
          problem.roundsRows = second && rows < 50;
          // Halves, alternating rows, alternating blocks of 64 and of 8.
          const int64_t runs[] = {0, model.intermediate, 1, 64, 8};
          problem.gateRun = runs[arrangement];
          problem.gateHalves = arrangement == 1;
          problem.rowsPerExpert = rows;
          problem.hitExperts = rows < 1 ? 4 : 64;
          problem.units = 132;
          all.push_back(problem);
        }
  return all;
}

std::string describe(const std::string &target, const GemmProblem &p,
                     const RuleConfig &c) {
  std::ostringstream os;
  os << target << ": n " << p.n << " k " << p.k << " bits " << p.aBits << "/"
     << p.bBits << " granules " << p.aGranule << "/" << p.bGranule << "/"
     << p.outGranule << " gate " << p.gateRun << " rows " << p.rowsPerExpert
     << " -> " << c.blockM << "x" << c.blockN << "x" << c.blockK << " stages "
     << c.stages << (c.swap ? " swap" : "");
  return os.str();
}

bool operator==(const RuleConfig &a, const RuleConfig &b) {
  auto fields = [](const RuleConfig &c) {
    return std::tie(c.blockM, c.blockN, c.blockK, c.stages, c.swap, c.a, c.b,
                    c.store, c.order, c.claim, c.partial, c.bPlace,
                    c.computeSplit, c.loadRegs, c.computeGroups, c.computeRegs,
                    c.xcd);
  };
  return fields(a) == fields(b);
}

/// Bytes of the slots alone: what must fit whatever else stands beside.
int64_t slotBytes(const GemmProblem &p, const RuleConfig &c) {
  int64_t weights = c.blockN * (p.gateRun ? 2 : 1);
  return c.stages * c.blockK * (c.blockM * p.aBits + weights * p.bBits) / 8;
}

TEST(Choice, IsLegalEverywhere) {
  size_t chosen = 0;
  for (const std::string &name : targetNames()) {
    const RuleTarget &target = *findRuleTarget(name);
    bool cpu = target.kind == RuleTarget::Cpu;
    for (const GemmProblem &p : allProblems()) {
      int64_t blockM = pickBlockM(target, p.rowsPerExpert);
      std::vector<RuleVerdict> rejected;
      for (const RuleConfig &c : rankConfigs(target, p, blockM, 8, rejected)) {
        ++chosen;
        std::string what = describe(name, p, c);
        EXPECT_EQ(c.blockM, blockM) << what;
        EXPECT_GE(c.blockN, 8) << what;
        if (cpu) {
          EXPECT_EQ(c.stages, 1) << what;
          EXPECT_FALSE(c.swap) << what;
          if (p.outGranule)
            EXPECT_EQ(c.blockN, p.outGranule) << what;
          continue;
        }
        EXPECT_GE(c.stages, target.kind == RuleTarget::Amd ? 1 : 2) << what;
        EXPECT_LE(c.stages, 12) << what;
        EXPECT_LE(slotBytes(p, c), target.sharedBytes) << what;
        EXPECT_GE(c.blockK, 32) << what;
        // 16 bytes at a time.
        EXPECT_EQ(c.blockK * std::min(p.aBits, p.bBits) % 128, 0) << what;
        for (int64_t granule : {p.aGranule, p.bGranule})
          if (granule)
            EXPECT_TRUE(granule % c.blockK == 0 || c.blockK % granule == 0)
                << what;
        if (p.outGranule)
          EXPECT_EQ(c.blockN % p.outGranule, 0) << what;
        if (!target.canSwap)
          EXPECT_FALSE(c.swap) << what;
        if (!target.hasDescriptors) {
          EXPECT_NE(c.a, "desc") << what;
          EXPECT_NE(c.b, "desc") << what;
        }
        // Straight to LDS rows of a list go like others.
        if (c.a == "lds_direct") {
          EXPECT_EQ(name, "gfx950") << what;
          EXPECT_EQ(c.b, c.a) << what;
          EXPECT_EQ(c.stages, 2) << what;
          EXPECT_EQ(p.k % c.blockK, 0) << what;
        } else {
          EXPECT_EQ(c.a == "gather", p.gather) << what;
        }
      }
    }
  }
  // The loops above have seen something.
  EXPECT_GT(chosen, 20000u);
}

TEST(Choice, SmallerLimitsGiveTheStartOfTheList) {
  for (const char *name : {"cpu", "sm_80", "sm_90a", "gfx942"}) {
    const RuleTarget &target = *findRuleTarget(name);
    for (const GemmProblem &p : allProblems()) {
      int64_t blockM = pickBlockM(target, p.rowsPerExpert);
      std::vector<RuleVerdict> rejected;
      auto full = rankConfigs(target, p, blockM, 100, rejected);
      EXPECT_TRUE(rankConfigs(target, p, blockM, 0, rejected).empty());
      for (size_t limit = 1; limit <= full.size(); ++limit) {
        auto some = rankConfigs(target, p, blockM, limit, rejected);
        ASSERT_EQ(some.size(), limit) << describe(name, p, full[0]);
        for (size_t i = 0; i < limit; ++i)
          EXPECT_TRUE(some[i] == full[i]) << describe(name, p, some[i]) << "\n"
                                          << describe(name, p, full[i]);
      }
      for (size_t i = 1; i < full.size(); ++i)
        for (size_t j = 0; j < i; ++j)
          EXPECT_FALSE(full[i] == full[j]) << describe(name, p, full[i]);
    }
  }
}

TEST(Choice, EveryRejectionHasARuleAndAText) {
  std::set<std::string> rules;
  for (const std::string &name : targetNames()) {
    const RuleTarget &target = *findRuleTarget(name);
    for (const GemmProblem &p : allProblems()) {
      std::vector<RuleVerdict> rejected;
      auto ranked = rankConfigs(target, p, pickBlockM(target, p.rowsPerExpert),
                                100, rejected);
      EXPECT_GT(ranked.size() + rejected.size(), 0u) << name;
      for (const RuleVerdict &verdict : rejected) {
        EXPECT_FALSE(verdict.ok());
        EXPECT_FALSE(verdict.rule.empty()) << verdict.text;
        rules.insert(verdict.rule);
      }
    }
  }
  // Each of these keeps some layer from some tile.
  for (const char *rule : {"width", "scale_group", "closing_granule",
                           "shared_memory", "pitch", "hardware_rows", "swap",
                           "swap_split", "split", "few_tiles", "packed_split"})
    EXPECT_TRUE(rules.count(rule)) << rule;
}

/// First choice of a problem.
RuleConfig first(const char *name, const GemmProblem &p, int64_t blockM) {
  std::vector<RuleVerdict> rejected;
  auto ranked = rankConfigs(*findRuleTarget(name), p, blockM, 4, rejected);
  EXPECT_FALSE(ranked.empty()) << name;
  return ranked.empty() ? RuleConfig() : ranked.front();
}

GemmProblem up(int64_t rows) {
  GemmProblem p;
  p.n = 2 * 768;
  p.k = 2048;
  p.gather = true;
  p.gateRun = 768;
  p.gateHalves = true;
  p.rowsPerExpert = rows;
  p.hitExperts = 128;
  return p;
}

TEST(Hopper, FewRowsTakeTheColumnsOfTheInstruction) {
  RuleConfig c = first("sm_90a", up(1), 8);
  EXPECT_TRUE(c.swap);
  EXPECT_EQ(c.blockN, 64); // 128 weight rows, half of them gate rows
  EXPECT_EQ(c.blockK, 64); // rows of 128 bytes
  EXPECT_EQ(c.stages, 12);
  EXPECT_EQ(c.store, "vector");
  EXPECT_EQ(c.a, "gather");
  EXPECT_EQ(c.computeGroups, 0);
}

TEST(Hopper, ManyRowsTakeTwoTeams) {
  RuleConfig c = first("sm_90a", up(64), 128);
  EXPECT_FALSE(c.swap);
  EXPECT_EQ(c.blockN, 128);
  EXPECT_EQ(c.computeGroups, 2);
  EXPECT_EQ(c.loadRegs, 40);
  EXPECT_EQ(c.computeRegs, 232);
  EXPECT_EQ(c.store, "desc");
  // (128 + 256) rows of 128 bytes beside two stages of a result.
  EXPECT_EQ(c.stages, (232448 - 1024 - 2 * 128 * 128) / ((128 + 256) * 128));
  // Rows that go to their slots are written by threads.
  GemmProblem scattered = up(64);
  scattered.scatters = true;
  EXPECT_EQ(first("sm_90a", scattered, 128).store, "staged");
  EXPECT_EQ(first("sm_90a", scattered, 128).stages, c.stages);
}

TEST(Hopper, ManyGatheredRowsOfBytesRunColumnByColumn) {
  auto order = [](double rows, int64_t blockM, int64_t bits, bool gather) {
    GemmProblem p = up(rows);
    p.gather = gather;
    p.aBits = p.bBits = bits;
    if (bits == 8) {
      p.aGranule = p.bGranule = p.outGranule = 128;
      p.aPromotes = p.bPromotes = true;
    }
    return first("sm_90a", p, blockM).order;
  };
  EXPECT_EQ(order(256, 128, 8, true), "n_major");
  EXPECT_EQ(order(128, 128, 8, true), "expert_major");
  EXPECT_EQ(order(1024, 128, 8, true), "expert_major");
  EXPECT_EQ(order(256, 64, 8, true), "expert_major");
  EXPECT_EQ(order(256, 128, 8, false), "expert_major");
  EXPECT_EQ(order(256, 128, 16, true), "expert_major");
}

TEST(Hopper, SecondChoiceHasOneSlotLess) {
  std::vector<RuleVerdict> rejected;
  auto ranked =
      rankConfigs(*findRuleTarget("sm_90a"), up(64), 128, 4, rejected);
  ASSERT_GE(ranked.size(), 2u);
  RuleConfig fewer = ranked[0];
  --fewer.stages;
  EXPECT_TRUE(ranked[1] == fewer);
}

TEST(Hopper, PairsOfGateAndUpStayTogether) {
  // Alternating rows cannot stand 64 rows apart, nor be staged.
  GemmProblem p = up(1);
  p.gateRun = 1;
  p.gateHalves = false;
  EXPECT_FALSE(canSwapWeights(p));
  std::vector<RuleVerdict> rejected;
  EXPECT_TRUE(
      rankConfigs(*findRuleTarget("sm_90a"), p, 8, 4, rejected).empty());
  RuleConfig c = first("sm_90a", p, 64);
  EXPECT_FALSE(c.swap);
  EXPECT_EQ(c.store, "vector");
  p.gateRun = 64;
  EXPECT_TRUE(canSwapWeights(p));
  p.gateRun = 63;
  EXPECT_FALSE(canSwapWeights(p));
  p.gateRun = 0;
  EXPECT_TRUE(canSwapWeights(p));
}

TEST(Hopper, SumsAreRoundedWhereTheyCost) {
  GemmProblem p;
  p.n = 2048;
  p.k = 768;
  p.sumsRows = p.roundsRows = true;
  p.hitExperts = 128;
  EXPECT_EQ(first("sm_90a", p, 64).partial, "bf16");
  EXPECT_EQ(first("sm_90a", p, 16).partial, "");
  p.roundsRows = false;
  EXPECT_EQ(first("sm_90a", p, 64).partial, "");
}

TEST(Hopper, FewExpertsTakeNarrowTiles) {
  GemmProblem p;
  p.n = 2048;
  p.k = 768;
  // 8 experts of 16 tiles are more than three quarters of 132.
  p.hitExperts = 8;
  p.units = 132;
  EXPECT_EQ(first("sm_90a", p, 8).blockN, 128);
  p.hitExperts = 6;
  EXPECT_EQ(first("sm_90a", p, 8).blockN, 64);
  // On a smaller device the same tiles are enough.
  p.units = 78;
  EXPECT_EQ(first("sm_90a", p, 8).blockN, 128);
  // Nobody knows how many are hit, or how many units there are.
  p.units = 132;
  p.hitExperts = 0;
  EXPECT_EQ(first("sm_90a", p, 8).blockN, 128);
  p.units = 0;
  p.hitExperts = 6;
  EXPECT_EQ(first("sm_90a", p, 8).blockN, 128);
}

TEST(Hopper, AppliesToPlainTypesOnly) {
  const RuleTarget &hopper = *findRuleTarget("sm_90a");
  GemmProblem p = up(1);
  EXPECT_TRUE(usesHopperRule(hopper, p));
  EXPECT_FALSE(usesHopperRule(*findRuleTarget("sm_100a"), p));
  EXPECT_FALSE(usesHopperRule(*findRuleTarget("cpu"), p));
  for (int64_t GemmProblem::*field :
       {&GemmProblem::aGranule, &GemmProblem::bGranule,
        &GemmProblem::outGranule}) {
    GemmProblem scaled = p;
    scaled.*field = 128;
    EXPECT_FALSE(usesHopperRule(hopper, scaled));
  }
  for (int64_t bits : {4, 8, 32}) {
    GemmProblem other = p;
    other.bBits = bits;
    EXPECT_FALSE(usesHopperRule(hopper, other));
    EXPECT_EQ(usesHopperPackedRule(hopper, other), bits <= 8);
  }
}

GemmProblem packed(int64_t granule) {
  GemmProblem p = up(1);
  p.bBits = 4;
  p.bGranule = granule;
  return p;
}

TEST(Packed, WeightsAlwaysTakeTheRowSide) {
  for (int64_t blockM : {8, 16, 32, 64, 128, 256}) {
    RuleConfig c = first("sm_90a", packed(128), blockM);
    EXPECT_TRUE(c.swap) << blockM;
    EXPECT_EQ(c.bPlace, "compute") << blockM;
    bool four = blockM == 16 || blockM == 32;
    EXPECT_EQ(c.computeGroups, four ? 4 : 2) << blockM;
    EXPECT_EQ(c.computeSplit, "n") << blockM;
    EXPECT_EQ(c.loadRegs != 0, blockM >= 16) << blockM;
    // What a block of 640 threads is given at its start is 96 for each.
    if (four) {
      EXPECT_LE(128 * (c.loadRegs + 4 * c.computeRegs), 640 * 96) << blockM;
    }
    // Whole 16-byte runs of a column's scales.
    EXPECT_EQ(c.blockN % 8, 0) << blockM;
  }
}

TEST(Packed, Rejections) {
  auto rejects = [](const GemmProblem &p, int64_t blockM,
                    const std::string &text) {
    std::vector<RuleVerdict> rejected;
    auto ranked =
        rankConfigs(*findRuleTarget("sm_90a"), p, blockM, 4, rejected);
    ASSERT_FALSE(rejected.empty()) << text;
    EXPECT_TRUE(ranked.empty()) << text;
    EXPECT_EQ(rejected[0].rule + ": " + rejected[0].text, text);
  };
  GemmProblem p = packed(128);
  p.k = 2040;
  rejects(p, 8,
          "pitch: rows of 2040 packed values have 1020 bytes, not a multiple "
          "of 16");
  p = packed(128);
  p.n = 1540;
  rejects(p, 8, "rows: 1540 weight rows are not a multiple of 8");
  p = packed(128);
  p.gateHalves = false;
  p.gateRun = 64;
  rejects(p, 8,
          "packed_split: gate and up rows of packed weights must be halves of "
          "the weights or alternate, they alternate every 64");
  p = packed(128);
  p.n = 2 * 56;
  p.gateRun = 56;
  rejects(p, 8,
          "width: block n 64 for 56 columns, which must be as many and a "
          "multiple of 8");
  p = packed(24);
  rejects(p, 8, "scale_group: k step 256 straddles scale groups of 24");
  rejects(packed(128), 264, "tokens: block m 264 is not 8, 16, ... 256 tokens");
  rejects(packed(128), 12, "tokens: block m 12 is not 8, 16, ... 256 tokens");
}

/// One scale group covers a short K; a step must not reach into a second.
TEST(Packed, StepsAreNoLongerThanK) {
  for (auto [k, step] : {std::pair<int64_t, int64_t>{512, 256},
                         {256, 256},
                         {192, 128},
                         {128, 128},
                         {96, 64},
                         {64, 64},
                         {32, 64}}) {
    GemmProblem p = packed(0);
    p.k = k;
    EXPECT_EQ(first("sm_90a", p, 8).blockK, step) << k;
  }
}

/// A row of a step is at most the period of a swizzle, 128 bytes.
TEST(Packed, BytesTakeShorterSteps) {
  for (int64_t blockM : {8, 16, 32, 64, 128}) {
    GemmProblem p = packed(0);
    p.bBits = 8;
    RuleConfig c = first("sm_90a", p, blockM);
    EXPECT_LE(c.blockK, 128) << blockM;
    EXPECT_EQ(c.bPlace, "compute") << blockM;
  }
}

/// A sum of scaled products sees one scale per step.
TEST(Packed, StepsEndWithTheRunOfAPromotion) {
  for (int64_t blockM : {8, 16, 32, 64}) {
    GemmProblem p = packed(128);
    p.packedRun = 128;
    EXPECT_EQ(first("sm_90a", p, blockM).blockK, 128) << blockM;
    p.bGranule = p.packedRun = 64;
    EXPECT_EQ(first("sm_90a", p, blockM).blockK, 64) << blockM;
  }
}

TEST(Packed, ScalesTakeTheirPart) {
  // Scales of groups of 16 columns of a long K leave no room for the slots.
  GemmProblem p = packed(16);
  p.k = 14336;
  std::vector<RuleVerdict> rejected;
  rankConfigs(*findRuleTarget("sm_90a"), p, 8, 4, rejected);
  ASSERT_FALSE(rejected.empty());
  EXPECT_EQ(rejected[0].rule, "shared_memory") << rejected[0].text;
  // Slots fit beside coarser ones, and there are not more of them.
  RuleConfig fine = first("sm_90a", packed(32), 8);
  RuleConfig coarse = first("sm_90a", packed(128), 8);
  EXPECT_LE(fine.stages, coarse.stages);
}

TEST(Cpu, WideBlocksNeedRows) {
  GemmProblem p = up(15);
  EXPECT_EQ(first("cpu", p, 64).blockN, 64);
  p.rowsPerExpert = 16;
  EXPECT_EQ(first("cpu", p, 64).blockN, 128);
  p.n = 2 * 832; // no whole blocks of 2 x 128 rows
  EXPECT_EQ(first("cpu", p, 64).blockN, 64);
  p.outGranule = 128;
  EXPECT_EQ(first("cpu", p, 64).blockN, 128);
  EXPECT_EQ(first("cpu", p, 64).blockK, 0);
}
} // namespace
