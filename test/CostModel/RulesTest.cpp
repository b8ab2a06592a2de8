//===- RulesTest.cpp - Every rule rejects what it is for, and no more -----===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One configuration per line: the rule that must reject it and what it says,
// or nothing. Lines come in pairs, one on each side of a rule's bound.
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"

#include <gtest/gtest.h>
#include <set>
#include <sstream>

using namespace mlir::moe;

namespace {
std::vector<std::string> targetNames() {
  std::vector<std::string> names;
  std::istringstream list(ruleTargetNames());
  for (std::string name; std::getline(list, name, ',');)
    names.push_back(name.substr(name.find_first_not_of(' ')));
  return names;
}

TEST(RuleTarget, NamesAreFound) {
  std::vector<std::string> names = targetNames();
  EXPECT_EQ(names.size(), 11u);
  EXPECT_EQ(names.front(), "cpu");
  std::set<std::string> different(names.begin(), names.end());
  EXPECT_EQ(different.size(), names.size());
  for (const std::string &name : names) {
    const RuleTarget *target = findRuleTarget(name);
    ASSERT_NE(target, nullptr) << name;
    EXPECT_EQ(name, target->name);
  }
}

TEST(RuleTarget, UnknownNamesAreNot) {
  for (const char *name : {"", "sm_90", "SM_90A", "sm_90a ", "gfx90a", "avx2"})
    EXPECT_EQ(findRuleTarget(name), nullptr) << name;
}

TEST(RuleTarget, KindsHaveWhatTheyAreNamedFor) {
  for (const std::string &name : targetNames()) {
    const RuleTarget &target = *findRuleTarget(name);
    bool nvidia = name.rfind("sm_", 0) == 0, amd = name.rfind("gfx", 0) == 0;
    EXPECT_EQ(target.kind == RuleTarget::Nvidia, nvidia) << name;
    EXPECT_EQ(target.kind == RuleTarget::Amd, amd) << name;
    // A CPU has no shared memory to fill; every GPU has at least 64 KiB.
    if (target.kind == RuleTarget::Cpu)
      EXPECT_EQ(target.sharedBytes, 0) << name;
    else
      EXPECT_GE(target.sharedBytes, 65536) << name;
    // AMD's matrix instructions are square, and it has no copies by descriptor.
    if (amd) {
      EXPECT_FALSE(target.canSwap) << name;
      EXPECT_FALSE(target.hasDescriptors) << name;
    }
    EXPECT_GE(target.minBlockM, 1) << name;
  }
}

TEST(BlockM, ByMeanRows) {
  struct Line {
    const char *target;
    double rows;
    int64_t blockM;
  };
  const Line lines[] = {
      // One size on a CPU.
      {"cpu", 0, 64},
      {"cpu", 1, 64},
      {"cpu", 1e9, 64},
      // Instructions of 16 rows: bounds belong to the smaller size.
      {"sm_80", 0, 16},
      {"sm_80", 16, 16},
      {"sm_80", 16.01, 32},
      {"sm_80", 32, 32},
      {"sm_80", 33, 64},
      {"sm_80", 64, 64},
      {"sm_80", 64.5, 128},
      {"gfx942", 15, 16},
      {"gfx942", 17, 32},
      {"gfx942", 1e9, 128},
      {"gfx1201", 16, 16},
      // Instructions of 8 columns.
      {"sm_90a", 0.1, 8},
      {"sm_90a", 1.25, 8},
      {"sm_90a", 1.26, 16},
      {"sm_90a", 3, 16},
      {"sm_90a", 3.1, 64},
      {"sm_90a", 100, 64},
      {"sm_90a", 100.1, 128},
      {"sm_100a", 1, 8},
      {"sm_100a", 1e9, 128},
  };
  for (const Line &line : lines)
    EXPECT_EQ(pickBlockM(*findRuleTarget(line.target), line.rows), line.blockM)
        << line.target << " " << line.rows;
}

TEST(BlockM, NeverShrinksWithMoreRows) {
  for (const std::string &name : targetNames()) {
    const RuleTarget &target = *findRuleTarget(name);
    int64_t before = 0;
    for (double rows = 0.125; rows < 10000; rows *= 1.1) {
      int64_t blockM = pickBlockM(target, rows);
      EXPECT_GE(blockM, before) << name << " " << rows;
      EXPECT_EQ(blockM % target.minBlockM, 0) << name << " " << rows;
      before = blockM;
    }
  }
}

/// A problem that all rules of all targets accept with `plain()`.
GemmProblem problem() {
  GemmProblem problem;
  problem.n = 1024;
  problem.k = 2048;
  problem.rowsPerExpert = 64;
  problem.hitExperts = 8;
  return problem;
}
RuleConfig plain() {
  RuleConfig config;
  config.blockM = config.blockN = 64;
  config.blockK = 64;
  config.stages = 2;
  return config;
}

/// The verdict as "rule: text", or "".
std::string verdict(const char *target, const GemmProblem &problem,
                    const RuleConfig &config) {
  RuleVerdict verdict = checkConfig(*findRuleTarget(target), problem, config);
  return verdict.ok() ? "" : verdict.rule + ": " + verdict.text;
}

TEST(Rules, Block) {
  RuleConfig config = plain();
  for (const std::string &name : targetNames()) {
    config.blockK = name == "cpu" ? 0 : 64;
    EXPECT_EQ(verdict(name.c_str(), problem(), config), "") << name;
  }
  config.blockK = 64;
  config.blockM = 0;
  EXPECT_EQ(verdict("sm_80", problem(), config),
            "block: block m and n must be positive, got 0 and 64");
  config.blockM = 64;
  config.blockN = -1;
  EXPECT_EQ(verdict("sm_80", problem(), config),
            "block: block m and n must be positive, got 64 and -1");
  config.blockN = 64;
  config.blockM = 8;
  EXPECT_EQ(verdict("sm_80", problem(), config),
            "block: block m 8 is not a multiple of the instruction's 16");
  EXPECT_EQ(verdict("sm_90a", problem(), config), "");
  config.blockM = 12;
  EXPECT_EQ(verdict("sm_90a", problem(), config),
            "block: block m 12 is not a multiple of the instruction's 8");
  config.blockM = 24;
  EXPECT_EQ(verdict("gfx942", problem(), config),
            "block: block m 24 is not a multiple of the instruction's 16");
}

TEST(Rules, StepOfACpu) {
  RuleConfig config = plain();
  GemmProblem wide = problem();
  auto say = [&](int64_t step, int64_t k) {
    config.blockK = step;
    wide.k = k;
    return verdict("cpu", wide, config);
  };
  EXPECT_EQ(say(0, 2048), "");
  EXPECT_EQ(say(128, 2048), "");
  EXPECT_EQ(say(127, 2048),
            "k_step: k step 127 of a CPU tile must be all of K (0) or at least "
            "128");
  // All of a short K is enough.
  EXPECT_EQ(say(96, 96), "");
  EXPECT_EQ(say(95, 96),
            "k_step: k step 95 of a CPU tile must be all of K (0) or at least "
            "128");
}

TEST(Rules, StepOfAGpu) {
  RuleConfig config = plain();
  for (int64_t step : {0, -64}) {
    config.blockK = step;
    std::string text = verdict("sm_80", problem(), config);
    EXPECT_EQ(text, "k_step: a GPU tile needs a k step, got 0") << step;
  }
}

TEST(Rules, ScaleGroups) {
  RuleConfig config = plain();
  GemmProblem scaled = problem();
  auto say = [&](int64_t step, int64_t a, int64_t b, bool promotes) {
    config.blockK = step;
    scaled.aGranule = a;
    scaled.bGranule = b;
    scaled.aPromotes = scaled.bPromotes = promotes;
    return verdict("sm_80", scaled, config);
  };
  // A step inside of one group, of all of it, across two.
  EXPECT_EQ(say(64, 128, 128, false), "");
  EXPECT_EQ(say(128, 128, 128, false), "");
  EXPECT_EQ(say(128, 64, 128, false),
            "scale_group: k step 128 spans two scale groups of 64 columns of "
            "a");
  EXPECT_EQ(say(128, 128, 64, false),
            "scale_group: k step 128 spans two scale groups of 64 columns of "
            "b");
  // A promotion takes whole groups, and no parts of them.
  EXPECT_EQ(say(128, 64, 32, true), "");
  EXPECT_EQ(say(96, 64, 0, true),
            "scale_group: k step 96 spans two scale groups of 64 columns of a");
  // A group that the step does not cut evenly.
  EXPECT_EQ(say(64, 96, 0, false),
            "scale_group: k step 64 spans two scale groups of 96 columns of a");
  // No scales along K.
  EXPECT_EQ(say(64, 0, 0, false), "");
}

TEST(Rules, ClosingGranule) {
  RuleConfig config = plain();
  GemmProblem closing = problem();
  auto say = [&](const char *target, int64_t blockN, int64_t granule) {
    config.blockN = blockN;
    config.blockK = std::string(target) == "cpu" ? 0 : 64;
    closing.outGranule = granule;
    return verdict(target, closing, config);
  };
  EXPECT_EQ(say("cpu", 128, 128), "");
  EXPECT_EQ(say("cpu", 256, 128),
            "closing_granule: block n 256 must equal the granule of the "
            "closing quantisation, 128 columns");
  EXPECT_EQ(say("sm_80", 256, 128), "");
  EXPECT_EQ(say("sm_80", 64, 128),
            "closing_granule: block n 64 must be a multiple of the granule of "
            "the closing quantisation, 128 columns");
  EXPECT_EQ(say("gfx942", 64, 64), "");
}

TEST(Rules, Alignment) {
  RuleConfig config = plain();
  GemmProblem packed = problem();
  auto say = [&](int64_t step, int64_t aBits, int64_t bBits) {
    config.blockK = step;
    packed.aBits = aBits;
    packed.bBits = bBits;
    return verdict("gfx942", packed, config);
  };
  EXPECT_EQ(say(8, 16, 16), "");
  EXPECT_EQ(say(4, 16, 16),
            "alignment: a row of 4 values has 8 bytes, not a multiple of 16");
  EXPECT_EQ(say(16, 16, 8), "");
  EXPECT_EQ(say(16, 16, 4),
            "alignment: a row of 16 values has 8 bytes, not a multiple of 16");
  EXPECT_EQ(say(32, 16, 4), "");
  // A CPU has no such copies.
  config.blockK = 0;
  packed.k = 7;
  EXPECT_EQ(verdict("cpu", packed, config), "");
}

TEST(Rules, SharedMemory) {
  RuleConfig config = plain();
  GemmProblem gated = problem();
  config.blockM = config.blockN = 128;
  // 64 columns of 128 + 128 rows of 16 bits: 32 KiB a slot.
  auto say = [&](const char *target, int64_t stages, int64_t gateRun) {
    config.stages = stages;
    gated.gateRun = gateRun;
    return verdict(target, gated, config);
  };
  EXPECT_EQ(say("gfx942", 2, 0), "");
  EXPECT_EQ(say("gfx942", 3, 0),
            "shared_memory: 3 stages need 98304 bytes, gfx942 has 65536");
  EXPECT_EQ(say("sm_89", 3, 0), "");
  EXPECT_EQ(say("sm_89", 4, 0),
            "shared_memory: 4 stages need 131072 bytes, sm_89 has 101376");
  // With a gate a column takes two rows of weights.
  EXPECT_EQ(say("gfx942", 2, 512),
            "shared_memory: 2 stages need 98304 bytes, gfx942 has 65536");
  EXPECT_EQ(say("gfx942", 1, 512), "");
  // On a CPU tiles stand in caches, which nobody counts.
  config.blockK = 0;
  EXPECT_EQ(say("cpu", 1000, 0), "");
}

/// The first rule in the order that the header promises is the one named.
TEST(Rules, StopAtTheFirst) {
  RuleConfig config = plain();
  GemmProblem scaled = problem();
  config.blockM = 3;
  config.blockK = 0;
  scaled.outGranule = 100;
  EXPECT_EQ(verdict("sm_80", scaled, config).substr(0, 6), "block:");
  config.blockM = 16;
  EXPECT_EQ(verdict("sm_80", scaled, config).substr(0, 7), "k_step:");
  config.blockK = 64;
  scaled.bGranule = 48;
  EXPECT_EQ(verdict("sm_80", scaled, config).substr(0, 12), "scale_group:");
  scaled.bGranule = 0;
  EXPECT_EQ(verdict("sm_80", scaled, config).substr(0, 16), "closing_granule:");
}
} // namespace
