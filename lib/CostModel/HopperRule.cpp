//===- HopperRule.cpp - Tile sizes of 16 and 8-bit GEMMs on sm_90a --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Shapes that were measured best on an H100: weights on the instruction's row
// side up to 64 rows per expert, where the time is that of reading them; above,
// 128 x 256 products by two teams beside one that loads. A row of a slot has
// 128 bytes, which for 8 bits is the 128 columns of one scale group.
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/Sums.h"

#include <algorithm>

using namespace mlir::moe;

/// A row of a slot is one period of the swizzle.
static const int64_t rowBytes = 128;
/// Barriers of the ring.
static const int64_t barrierBytes = 1024;
/// Columns that share a scale; a k step of bytes is as long.
static const int64_t scaleGroup = 128;
/// Slots with scales beside operands start at multiples of this.
static const int64_t slotAlignment = 1024;
/// Rows of the hardware's M side.
static const int64_t hardwareRows = 64;
/// Two slots at least; more than these bring nothing.
static const int64_t minStages = 2;
static const int64_t maxStages = 12;

/// Rows per expert up to which tiles of 64 rows have them on the column side,
/// where the product is as narrow as there are rows; from there on an expert
/// fills enough of the hardware's rows, which cost less per value. All
/// configurations of three layers on an H100, 3 to 100 rows per expert.
static double swappedRows(const GemmProblem &problem) {
  return problem.aBits == 8 ? 3 : 12;
}
/// Slots of such tiles when rows are gathered: more of them were 1 to 3 %
/// slower.
static const int64_t gatherStages = 3;
/// Rows per expert between which tiles of gathered 8-bit rows run column by
/// column. Layers on an H100, balanced and zipf1: 256 rows, two layers, 0.4 to
/// 4 % faster than expert by expert; 1024 rows, as long as the power limit
/// allows, up to 3 % slower; 128 rows up to 3 % slower.
static const double columnOrderRows = 200, columnOrderRowsEnd = 768;

namespace {
/// A candidate: rows of B per tile, and whether they take the row side.
struct Shape {
  int64_t weightRows;
  bool swap;
};
} // namespace

/// Best first. The widest swapped one is for a gated product whose result is
/// quantised: it has the 128 columns of one scale.
static const Shape shapes[] = {{128, true},  {64, true},   {256, true},
                               {256, false}, {128, false}, {64, false},
                               {32, false},  {16, false}};

/// Scales along K, which are multiplied in after every step.
static bool promotes(const GemmProblem &problem) {
  return problem.aGranule != 0 || problem.bGranule != 0 || problem.aPromotes ||
         problem.bPromotes;
}

bool mlir::moe::usesHopperRule(const RuleTarget &target,
                               const GemmProblem &problem) {
  if (std::string(target.name) != "sm_90a")
    return false;
  if (problem.aBits == 16)
    return problem.bBits == 16 && problem.outGranule == 0 && !promotes(problem);
  auto known = [](int64_t granule) {
    return granule == 0 || granule == scaleGroup;
  };
  return problem.aBits == 8 && problem.bBits == 8 && known(problem.aGranule) &&
         known(problem.bGranule);
}

bool mlir::moe::canSwapWeights(const GemmProblem &problem) {
  // Gate and up of one column must be registers of one thread: 64 rows apart.
  return problem.gateRun == 0 || problem.gateRun >= hardwareRows;
}

static RuleVerdict checkShape(const GemmProblem &problem, int64_t blockM,
                              const Shape &shape, int64_t blockN) {
  auto number = [](int64_t n) { return std::to_string(n); };
  int64_t pitch = problem.k * problem.bBits / 8;
  if (pitch % 16 != 0)
    return {"pitch", "rows of " + number(problem.k) + " values have " +
                         number(pitch) + " bytes, not a multiple of 16"};
  if (!shape.swap && blockM % hardwareRows != 0)
    return {"hardware_rows", "block m " + number(blockM) +
                                 " is not a multiple of " +
                                 number(hardwareRows) + " without swap"};
  if (shape.swap && blockM > hardwareRows)
    return {"swap",
            "block m " + number(blockM) + " is for products without " + "swap"};
  if (shape.swap && problem.gateRun != 0 &&
      (!canSwapWeights(problem) || blockN % hardwareRows != 0))
    return {"swap_split",
            "gate and up rows must stand in different groups of 64 rows; runs "
            "are " +
                number(problem.gateRun) + ", block n is " + number(blockN)};
  if (problem.gateRun > 1 && blockN % 8 != 0)
    return {"split", "block n " + number(blockN) + " is not a multiple of 8"};
  if (problem.gateRun > 1 && blockN > problem.gateRun &&
      (blockN % problem.gateRun != 0 || problem.gateRun % 8 != 0))
    return {"split", "block n " + number(blockN) +
                         " does not hold whole gate runs of " +
                         number(problem.gateRun) + " columns, a multiple of 8"};
  if (problem.gateHalves && blockN > problem.gateRun)
    return {"split", "block n " + number(blockN) + " is wider than the " +
                         number(problem.gateRun) + " gate columns"};
  // Few experts leave few tiles: halves of them let more multiprocessors read.
  if (shape.swap && shape.weightRows > hardwareRows && problem.gateRun == 0 &&
      problem.hitExperts > 0 && problem.units > 0 &&
      problem.hitExperts * double(problem.n / shape.weightRows) <
          double(problem.units) * 0.75)
    return {"few_tiles",
            "block n " + number(blockN) + " leaves " +
                number(int64_t(problem.hitExperts *
                               double(problem.n / shape.weightRows))) +
                " tiles for " + number(problem.units) + " multiprocessors"};
  if (problem.outGranule != 0 && blockN != problem.outGranule)
    return {"closing_granule",
            "block n " + number(blockN) +
                " is not the granule of the closing quantisation, " +
                number(problem.outGranule) + " columns"};
  if (shape.swap && shape.weightRows > 128 && problem.outGranule == 0)
    return {"width", "block n " + number(blockN) +
                         " is for results that are quantised at the end"};
  // The narrowest shape of each kind stays for narrow results.
  int64_t narrowest = shape.swap ? 64 : 16;
  int64_t columns = problem.gateRun ? problem.n / 2 : problem.n;
  if (problem.outGranule == 0 && shape.weightRows > narrowest &&
      blockN / 2 >= columns)
    return {"width", "block n " + number(blockN) + " for " + number(columns) +
                         " columns is half empty"};
  return {};
}

/// Whether tiles of `blockM` rows have them on the row side first.
static bool fillsRows(const GemmProblem &problem, int64_t blockM) {
  return blockM == hardwareRows && problem.rowsPerExpert > swappedRows(problem);
}

/// `shapes` for tiles of `blockM` rows.
static std::vector<Shape> shapesFor(const GemmProblem &problem,
                                    int64_t blockM) {
  std::vector<Shape> order(std::begin(shapes), std::end(shapes));
  if (!fillsRows(problem, blockM))
    return order;
  int64_t weightRows = problem.gateRun || problem.aBits == 16 ? 256 : 128;
  auto first = std::find_if(order.begin(), order.end(), [&](const Shape &s) {
    return !s.swap && s.weightRows == weightRows;
  });
  std::rotate(order.begin(), first, first + 1);
  return order;
}

std::vector<RuleConfig>
mlir::moe::rankHopperConfigs(const RuleTarget &target,
                             const GemmProblem &problem, int64_t blockM,
                             size_t limit, std::vector<RuleVerdict> &rejected) {
  std::vector<RuleConfig> ranked;
  for (const Shape &shape : shapesFor(problem, blockM)) {
    if (ranked.size() >= limit)
      break;
    RuleConfig config;
    config.blockM = blockM;
    config.blockN = problem.gateRun ? shape.weightRows / 2 : shape.weightRows;
    config.blockK = rowBytes * 8 / problem.aBits;
    config.swap = shape.swap;
    config.a = problem.gather ? "gather" : "desc";
    config.b = "desc";
    bool byColumns = problem.gather && problem.aBits == 8 &&
                     promotes(problem) && blockM >= 2 * hardwareRows &&
                     problem.rowsPerExpert >= columnOrderRows &&
                     problem.rowsPerExpert < columnOrderRowsEnd;
    config.order = byColumns ? "n_major" : "expert_major";
    config.claim = "stride";
    // Rows before the sum cost as much time as the weights soon (12 of 439 us
    // at 256 tokens of Qwen3-30B-A3B).
    if (problem.sumsRows && problem.roundsRows && blockM >= hardwareRows)
      config.partial = "bf16";
    RuleVerdict verdict = checkShape(problem, blockM, shape, config.blockN);
    // Fragments of few rows go straight to memory, and those that lost every
    // other column with the up rows; others through two buffers of one piece
    // each, which take pairs of columns and write 16 bytes at a time: rows of
    // whole groups of 8 columns, gate and up apart.
    bool pairs = problem.gateRun != 1 && config.blockN >= 16 &&
                 problem.n % (problem.gateRun ? 16 : 8) == 0;
    // The copy engine writes rows side by side while the next tile's products
    // run; threads write those by slot, those of sums, which leave no
    // registers, and those of one team, which has nothing else to run.
    bool summed = problem.sumsRows && blockM == hardwareRows;
    config.store = shape.swap || !pairs                              ? "vector"
                   : problem.scatters || promotes(problem) || summed ? "staged"
                                                                     : "desc";
    applySums(problem, config);
    if (verdict.ok())
      verdict = checkSplit(problem, config);
    // A quantised result is one piece, others go through two.
    int64_t pieces = problem.outGranule != 0 ? 1 : 2;
    int64_t staging = config.store != "vector" ? pieces * blockM * rowBytes : 0;
    staging += sumBytes(config);
    int64_t slot = (blockM + shape.weightRows) * rowBytes;
    if (promotes(problem))
      slot += slotAlignment;
    // What warps tell each other of a row that they share.
    if (problem.outGranule != 0 && shape.swap)
      staging += 4 * blockM * 4;
    int64_t fit = (target.sharedBytes - barrierBytes - staging) / slot;

    config.stages = std::min(fit, maxStages);
    if (!shape.swap && problem.gather && fillsRows(problem, blockM))
      config.stages = std::min(fit, gatherStages);
    if (!shape.swap && blockM >= 2 * hardwareRows) {
      config.computeGroups = 2;
      // Rows of bytes that are gathered by slot take more addresses at a time.
      bool tight = problem.gather && problem.aBits == 8 && !promotes(problem);
      config.loadRegs = tight ? 56 : 40;
      config.computeRegs = tight ? 224 : 232;
    }
    if (verdict.ok() && fit < minStages)
      verdict = {"shared_memory",
                 "slots of " + std::to_string(slot) + " bytes beside " +
                     std::to_string(staging) + " of staging do not fit twice"};
    if (verdict.ok())
      ranked.push_back(config);
    else
      rejected.push_back(verdict);
  }
  // The first choice once more with fewer slots, for an assembler that has to
  // keep part of shared memory.
  if (!ranked.empty() && ranked[0].stages > 3) {
    RuleConfig fewer = ranked[0];
    --fewer.stages;
    ranked.insert(ranked.begin() + 1, fewer);
    if (ranked.size() > limit)
      ranked.pop_back();
  }
  return ranked;
}
