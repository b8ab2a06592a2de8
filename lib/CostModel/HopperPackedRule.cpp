//===- HopperPackedRule.cpp - Tile sizes of 4-bit weights on sm_90a -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Packed weights are decoded in registers, which only the instruction's row
// side takes: the weights always stand there, tokens are its 8 to 256 columns.
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/Sums.h"

#include <algorithm>

using namespace mlir::moe;

/// Scales of this many rows are whole 16-byte runs.
static const int64_t runRows = 8;
/// Barriers of the rings.
static const int64_t barrierBytes = 1024;
static const int64_t minStages = 4, maxStages = 12;
/// Slots from 64 tokens on: products are bound by decoding there, and more of
/// them were up to 7 % slower on an H100.
static const int64_t decodeStages = 4;
/// Bytes of a weight row in a slot, at most the period of its swizzle.
static const int64_t swizzleBytes = 128;
/// Columns of the shortest step, which may reach beyond K.
static const int64_t shortestStep = 64;
/// Slots of the ring of factors.
static const int64_t factorSlots = 2;
/// Registers of roles: two teams beside wide tiles; four, whose block of 640
/// threads is given 96 for each at its start.
static const int64_t loadRegs = 56, wideRegs = 224, narrowRegs = 104;

namespace {
/// A candidate: rows of B per tile, the k step, teams that share the rows.
struct Shape {
  int64_t weightRows, step, teams;
};
} // namespace

bool mlir::moe::usesHopperPackedRule(const RuleTarget &target,
                                     const GemmProblem &problem) {
  return std::string(target.name) == "sm_90a" && problem.aBits == 16 &&
         problem.bBits <= 8 && problem.outGranule == 0 && problem.aGranule == 0;
}

/// Candidates for tiles of `blockM` tokens, best first. Rows of weights are
/// read in runs of 128 bytes (256 columns) while the tokens leave room; from 16
/// tokens on wider tiles read the activations less often, and four teams decode
/// in cycles in which two wait for their products.
static std::vector<Shape> shapesFor(int64_t blockM) {
  if (blockM <= 8)
    return {{128, 256, 2}, {128, 128, 2}, {128, 64, 2}};
  if (blockM <= 32)
    return {{256, 128, 4}, {256, 128, 2}, {128, 128, 2}, {128, 64, 2}};
  if (blockM <= 64)
    return {{256, 128, 2}, {128, 128, 2}, {256, 64, 2}, {128, 64, 2}};
  if (blockM <= 128)
    return {{256, 64, 2}, {128, 128, 2}, {128, 64, 2}};
  return {{128, 64, 2}};
}

static RuleVerdict checkShape(const GemmProblem &problem, const Shape &shape) {
  auto number = [](int64_t n) { return std::to_string(n); };
  int64_t pitch = problem.k * problem.bBits / 8;
  if (pitch % 16 != 0)
    return {"pitch", "rows of " + number(problem.k) + " packed values have " +
                         number(pitch) + " bytes, not a multiple of 16"};
  if (problem.n % runRows != 0)
    return {"rows", number(problem.n) + " weight rows are not a multiple of " +
                        number(runRows)};
  if (problem.gateRun > 1 && !problem.gateHalves)
    return {"packed_split", "gate and up rows of packed weights must be halves "
                            "of the weights or alternate, they alternate "
                            "every " +
                                number(problem.gateRun)};
  int64_t columns = problem.gateRun ? problem.n / 2 : problem.n;
  int64_t blockN = problem.gateRun ? shape.weightRows / 2 : shape.weightRows;
  if (columns < blockN || columns % runRows != 0)
    return {"width", "block n " + number(blockN) + " for " + number(columns) +
                         " columns, which must be as many and a multiple of " +
                         number(runRows)};
  // A step beyond K would span a scale group that K does not have.
  if (shape.step > std::max(problem.k, shortestStep))
    return {"k_step", "k step " + number(shape.step) + " is longer than K of " +
                          number(problem.k)};
  if (problem.bGranule != 0 &&
      (problem.bGranule % 16 != 0 || (problem.bGranule % shape.step != 0 &&
                                      shape.step % problem.bGranule != 0)))
    return {"scale_group", "k step " + number(shape.step) +
                               " straddles scale groups of " +
                               number(problem.bGranule)};
  return {};
}

std::vector<RuleConfig> mlir::moe::rankHopperPackedConfigs(
    const RuleTarget &target, const GemmProblem &problem, int64_t blockM,
    size_t limit, std::vector<RuleVerdict> &rejected) {
  std::vector<RuleConfig> ranked;
  for (const Shape &shape : shapesFor(blockM)) {
    if (ranked.size() >= limit)
      break;
    // A sum sees one factor per step.
    int64_t step = std::min(shape.step, swizzleBytes * 8 / problem.bBits);
    if (problem.packedRun)
      step = std::min(step, problem.packedRun);
    RuleConfig config;
    config.blockM = blockM;
    config.blockN = problem.gateRun ? shape.weightRows / 2 : shape.weightRows;
    config.blockK = step;
    config.swap = true;
    config.a = problem.gather ? "gather" : "desc";
    config.b = "desc";
    config.bPlace = "compute";
    // Experts with one tile of rows have nothing to share of their weights; the
    // same column block of all of them was 1 to 8 % faster on an H100.
    config.order = blockM >= 16 && blockM <= 32 ? "n_major" : "expert_major";
    config.claim = "stride";
    config.store = "vector";
    config.computeGroups = shape.teams;
    config.computeSplit = "n";
    if (problem.sumsRows && problem.roundsRows && blockM >= 32)
      config.partial = "bf16";
    if (shape.teams > 2 || blockM >= 64) {
      config.loadRegs = loadRegs;
      config.computeRegs = shape.teams > 2 ? narrowRegs : wideRegs;
    }
    applySums(problem, config);
    RuleVerdict verdict =
        checkShape(problem, {shape.weightRows, step, shape.teams});
    if (verdict.ok())
      verdict = checkSplit(problem, config);
    if (blockM > 256 || blockM % 8 != 0)
      verdict = {"tokens", "block m " + std::to_string(blockM) +
                               " is not 8, 16, ... 256 tokens"};
    int64_t slot =
        (blockM * problem.aBits + shape.weightRows * problem.bBits) * step / 8;
    // Scales of 16 bits, and zero points of 8 where there are any, for all of
    // K; those of 32 values of 8 bits are bytes alone.
    bool bytes = problem.bGranule == 32 && problem.bBits == 8;
    int64_t factors = 0;
    if (problem.bGranule)
      factors = factorSlots * shape.weightRows *
                ((problem.k + problem.bGranule - 1) / problem.bGranule) *
                (bytes            ? 1
                 : problem.bZeros ? 3
                                  : 2);
    int64_t fit = (target.sharedBytes - barrierBytes - factors -
                   sumBytes(config) - 2 * factorSlots * 1024) /
                  slot;
    config.stages = std::min(fit, blockM < 64 ? maxStages : decodeStages);
    if (verdict.ok() && fit < minStages)
      verdict = {"shared_memory",
                 "slots of " + std::to_string(slot) + " bytes beside " +
                     std::to_string(factors) + " of scales fit " +
                     std::to_string(std::max<int64_t>(fit, 0)) + " times"};
    // Shapes that differ in a step longer than the longest are one.
    bool known = false;
    for (const RuleConfig &other : ranked)
      known |= other.blockN == config.blockN && other.blockK == config.blockK &&
               other.computeGroups == config.computeGroups;
    if (known)
      continue;
    if (verdict.ok())
      ranked.push_back(config);
    else
      rejected.push_back(verdict);
  }
  return ranked;
}
