//===- VectorRule.cpp - Products of few rows without matrix units ---------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"

using namespace mlir::moe;

/// Warps of a block; they share nothing, so that small blocks fill a unit best.
static const int64_t blockWarps = 4;
/// Every row of a tile takes an accumulator for each weight row of a warp.
static const int64_t maxRows = 4;
/// Weight rows of a warp, best first: so many pieces of different rows are read
/// side by side, for one reading of the tile's rows.
static const int64_t warpRows[] = {4, 2, 8};

RuleVerdict mlir::moe::checkVector(const GemmProblem &problem, int64_t blockM) {
  auto number = [](int64_t n) { return std::to_string(n); };
  // Sums are of floats, and scales of rows are those of one piece.
  bool packed = problem.bBits == 4 && problem.aBits >= 16;
  if ((problem.aBits != problem.bBits && !packed) || problem.aBits < 16 ||
      problem.aGranule || problem.outGranule || problem.integers)
    return {"vector_operand",
            "products of " + number(problem.aBits) + " by " +
                number(problem.bBits) +
                " bits have no form without matrix units; known are 16 and 32 "
                "bits, and 4-bit weights beside them"};
  if (problem.bGranule % 8 != 0)
    return {"vector_scales", "scales of " + number(problem.bGranule) +
                                 " columns, not a multiple of 8"};
  int64_t pitch = problem.k * problem.bBits / 8;
  if (pitch % 16 != 0)
    return {"pitch", "rows of " + number(problem.k) + " values have " +
                         number(pitch) + " bytes, not a multiple of 16"};
  if (blockM > maxRows)
    return {"vector_rows", "block m " + number(blockM) + " is more than " +
                               number(maxRows) +
                               " rows, for which matrix units are there"};
  return {};
}

std::vector<RuleConfig>
mlir::moe::rankVectorConfigs(const GemmProblem &problem, int64_t blockM,
                             size_t limit, std::vector<RuleVerdict> &rejected) {
  std::vector<RuleConfig> ranked;
  for (int64_t count : warpRows) {
    if (ranked.size() >= limit)
      break;
    RuleConfig config;
    config.blockM = blockM;
    config.blockN = blockWarps * count / (problem.gateRun ? 2 : 1);
    config.blockK = 0;
    config.atom = "fma";
    config.warps = blockWarps;
    config.order = "block_major";
    config.claim = "stride";
    RuleVerdict verdict = checkVector(problem, blockM);
    if (verdict.ok())
      ranked.push_back(config);
    else
      rejected.push_back(verdict);
  }
  return ranked;
}
