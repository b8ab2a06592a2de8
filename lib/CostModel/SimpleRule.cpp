//===- SimpleRule.cpp - Tile sizes by a small table -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"

#include <algorithm>
#include <iterator>

using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

static const RuleTarget targets[] = {
    // name, kind, shared bytes per block, min block m, swap, descriptors
    {"cpu", RuleTarget::Cpu, 0, 1, false, false},
    {"sm_80", RuleTarget::Nvidia, 166912, 16, true, false},
    {"sm_89", RuleTarget::Nvidia, 101376, 16, true, false},
    {"sm_90a", RuleTarget::Nvidia, 232448, 8, true, true},
    {"sm_100a", RuleTarget::Nvidia, 232448, 8, true, true},
    {"sm_120", RuleTarget::Nvidia, 101376, 16, true, true},
    {"gfx942", RuleTarget::Amd, 65536, 16, false, false},
    {"gfx950", RuleTarget::Amd, 163840, 16, false, false},
    {"gfx1100", RuleTarget::Amd, 65536, 16, false, false},
    {"gfx1151", RuleTarget::Amd, 65536, 16, false, false},
    {"gfx1201", RuleTarget::Amd, 65536, 16, false, false},
};

/// Block rows by mean rows per expert: the first line whose bound is not
/// exceeded; the last line has no bound.
struct BlockMRow {
  double maxRows;
  int64_t blockM;
};
static const BlockMRow cpuBlockM[] = {{0, 64}};
static const BlockMRow gpuBlockM[] = {{16, 16}, {32, 32}, {64, 64}, {0, 128}};
/// Tokens on the narrow side. Products of such tiles are as wide as the tile
/// has rows, so that 64 cost an expert with few rows little, and one with many
/// reads its weights once; two teams of 64 rows are best from 100 rows on
/// (measured on an H100, balanced and zipf1).
static const BlockMRow gpuBlockM8[] = {{1.25, 8}, {3, 16}, {100, 64}, {0, 128}};

/// Columns and k step of the candidates, best first. k = 0 is all of K.
struct BlockNK {
  int64_t n, k;
};
static const BlockNK cpuBlocks[] = {{128, 0}, {64, 0}};
static const BlockNK gpuBlocks[] = {{128, 128}, {128, 64}, {64, 128},
                                    {64, 64},   {64, 32},  {32, 32}};

/// A CPU copies the rows of A for every block of columns, which many rows make
/// worth a wider one; few rows leave few tiles, for which all threads compete.
static const double cpuWideRows = 16;

/// Ring slots: more than eight bring nothing with tiles of this size.
static const int64_t maxStages = 8;
static const int64_t minStages = 2;
/// Smallest k step of a CPU tile that is not all of K: below it the accumulator
/// tile travels through the cache too often.
static const int64_t cpuMinStep = 128;

const RuleTarget *mlir::moe::findRuleTarget(const std::string &name) {
  for (const RuleTarget &target : targets)
    if (name == target.name)
      return &target;
  return nullptr;
}

std::string mlir::moe::ruleTargetNames() {
  std::string text;
  for (const RuleTarget &target : targets)
    text += (text.empty() ? "" : ", ") + std::string(target.name);
  return text;
}

//===----------------------------------------------------------------------===//
// Rules
//===----------------------------------------------------------------------===//

static int64_t slotBytes(const GemmProblem &problem, const RuleConfig &config) {
  // A column of a gated result takes a gate row and an up row.
  int64_t weightRows = problem.gateRun ? 2 * config.blockN : config.blockN;
  return config.blockK *
         (config.blockM * problem.aBits + weightRows * problem.bBits) / 8;
}

/// A k step never spans two scale groups unless the plan promotes.
static std::string checkGranule(int64_t step, int64_t granule, bool promotes,
                                const char *side) {
  if (granule == 0 || step == 0 || granule % step == 0 ||
      (promotes && step % granule == 0))
    return {};
  return "k step " + std::to_string(step) + " spans two scale groups of " +
         std::to_string(granule) + " columns of " + side;
}

/// A tile holds whole granules of what it quantises at its end; a CPU tile,
/// whose scale is one number per row, exactly one.
static std::string checkClosing(const RuleTarget &target,
                                const GemmProblem &problem,
                                const RuleConfig &config) {
  bool cpu = target.kind == RuleTarget::Cpu;
  if (problem.outGranule == 0 ||
      (cpu ? config.blockN == problem.outGranule
           : config.blockN % problem.outGranule == 0))
    return {};
  return "block n " + std::to_string(config.blockN) + " must " +
         (cpu ? "equal" : "be a multiple of") +
         " the granule of the closing quantisation, " +
         std::to_string(problem.outGranule) + " columns";
}

static std::string checkSharedMemory(const RuleTarget &target,
                                     const GemmProblem &problem,
                                     const RuleConfig &config) {
  int64_t need = config.stages * slotBytes(problem, config);
  if (target.kind == RuleTarget::Cpu || need <= target.sharedBytes)
    return {};
  return std::to_string(config.stages) + " stages need " +
         std::to_string(need) + " bytes, " + target.name + " has " +
         std::to_string(target.sharedBytes);
}

/// A row of a k step fills whole 16-byte copies on a GPU.
static std::string checkAlignment(const RuleTarget &target,
                                  const GemmProblem &problem,
                                  const RuleConfig &config) {
  if (target.kind == RuleTarget::Cpu)
    return {};
  int64_t bits = std::min(problem.aBits, problem.bBits) * config.blockK;
  if (bits % 128 == 0)
    return {};
  return "a row of " + std::to_string(config.blockK) + " values has " +
         std::to_string(bits / 8) + " bytes, not a multiple of 16";
}

static std::string checkStep(const RuleTarget &target,
                             const GemmProblem &problem,
                             const RuleConfig &config) {
  if (target.kind == RuleTarget::Cpu) {
    if (config.blockK == 0 || config.blockK >= std::min(cpuMinStep, problem.k))
      return {};
    return "k step " + std::to_string(config.blockK) +
           " of a CPU tile must be all of K (0) or at least " +
           std::to_string(cpuMinStep);
  }
  if (config.blockK > 0)
    return {};
  return "a GPU tile needs a k step, got 0";
}

/// A wide CPU block needs the rows to pay for it and whole blocks of gate and
/// of up columns. What the closing quantisation asks for is no choice.
static std::string checkWidth(const RuleTarget &target,
                              const GemmProblem &problem, int64_t blockN) {
  if (target.kind != RuleTarget::Cpu || blockN <= 64 || problem.outGranule)
    return {};
  if (problem.rowsPerExpert >= cpuWideRows && problem.n % (2 * blockN) == 0)
    return {};
  return "block n " + std::to_string(blockN) + " is for " +
         std::to_string(int64_t(cpuWideRows)) +
         " and more rows per expert and multiples of " +
         std::to_string(2 * blockN) + " weight rows";
}

static std::string checkBlock(const RuleTarget &target,
                              const RuleConfig &config) {
  if (config.blockM < 1 || config.blockN < 1)
    return "block m and n must be positive, got " +
           std::to_string(config.blockM) + " and " +
           std::to_string(config.blockN);
  if (config.blockM % target.minBlockM == 0)
    return {};
  return "block m " + std::to_string(config.blockM) +
         " is not a multiple of the instruction's " +
         std::to_string(target.minBlockM);
}

RuleVerdict mlir::moe::checkConfig(const RuleTarget &target,
                                   const GemmProblem &problem,
                                   const RuleConfig &config) {
  if (config.atom == "fma" && target.kind != RuleTarget::Cpu)
    return checkVector(problem, config.blockM);
  const RuleVerdict verdicts[] = {
      {"block", checkBlock(target, config)},
      {"k_step", checkStep(target, problem, config)},
      {"scale_group",
       checkGranule(config.blockK, problem.aGranule, problem.aPromotes, "a")},
      {"scale_group",
       checkGranule(config.blockK, problem.bGranule, problem.bPromotes, "b")},
      {"closing_granule", checkClosing(target, problem, config)},
      {"alignment", checkAlignment(target, problem, config)},
      {"shared_memory", checkSharedMemory(target, problem, config)},
  };
  for (const RuleVerdict &verdict : verdicts)
    if (!verdict.ok())
      return verdict;
  return {};
}

//===----------------------------------------------------------------------===//
// Choice
//===----------------------------------------------------------------------===//

int64_t mlir::moe::pickBlockM(const RuleTarget &target, double rowsPerExpert) {
  bool cpu = target.kind == RuleTarget::Cpu;
  const BlockMRow *row = cpu                     ? std::begin(cpuBlockM)
                         : target.minBlockM <= 8 ? std::begin(gpuBlockM8)
                                                 : std::begin(gpuBlockM);
  while (row->maxRows != 0 && rowsPerExpert > row->maxRows)
    ++row;
  return row->blockM;
}

std::vector<RuleConfig>
mlir::moe::rankConfigs(const RuleTarget &target, const GemmProblem &problem,
                       int64_t blockM, size_t limit,
                       std::vector<RuleVerdict> &rejected) {
  if (problem.vector)
    return rankVectorConfigs(problem, blockM, limit, rejected);
  if (usesHopperRule(target, problem))
    return rankHopperConfigs(target, problem, blockM, limit, rejected);
  if (usesHopperPackedRule(target, problem))
    return rankHopperPackedConfigs(target, problem, blockM, limit, rejected);
  if (target.kind == RuleTarget::Amd)
    return rankAmdConfigs(target, problem, blockM, limit, rejected);
  if (usesAmpereRule(target, problem))
    return rankAmpereConfigs(target, problem, blockM, limit, rejected);
  bool cpu = target.kind == RuleTarget::Cpu;
  const BlockNK *begin = cpu ? std::begin(cpuBlocks) : std::begin(gpuBlocks);
  const BlockNK *end = cpu ? std::end(cpuBlocks) : std::end(gpuBlocks);
  // The closing quantisation decides the columns of a CPU tile.
  if (cpu && problem.outGranule)
    end = begin + 1;
  std::vector<RuleConfig> ranked;
  for (const BlockNK *block = begin; block != end && ranked.size() < limit;
       ++block) {
    RuleConfig config;
    config.blockM = blockM;
    config.blockN = cpu && problem.outGranule ? problem.outGranule : block->n;
    config.blockK = block->k;
    if (!cpu) {
      int64_t fit =
          target.sharedBytes / std::max<int64_t>(slotBytes(problem, config), 1);
      config.stages = std::clamp(fit, minStages, maxStages);
      // Few tokens leave the row side of the instruction empty.
      config.swap = target.canSwap && blockM < 64;
      config.b = target.hasDescriptors ? "desc" : "vector";
      config.a = problem.gather ? "gather" : config.b;
      config.store = "vector";
    }
    RuleVerdict verdict = {"width", checkWidth(target, problem, config.blockN)};
    if (verdict.ok())
      verdict = checkConfig(target, problem, config);
    if (verdict.ok())
      ranked.push_back(config);
    else
      rejected.push_back(verdict);
  }
  return ranked;
}
