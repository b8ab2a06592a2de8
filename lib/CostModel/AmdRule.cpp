//===- AmdRule.cpp - Tile sizes for AMD GPUs ------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"
#include "moec/Target/AmdChip.h"

#include <algorithm>
#include <cmath>

using namespace mlir::moe;

/// Bytes of one row of a stage: the period of its XOR pattern.
static const int64_t rowBytes = 128;
/// Bytes of a vector that one lane reads.
static const int64_t kVectorBytes = 16;
/// Weight rows of the candidates, best first.
static const int64_t weightRows[] = {128, 64, 32};
/// Token rows of a tile up to which scaling the sums takes no more operations
/// than scaling the weights.
static const int64_t fewRows = 16;
/// Blocks that should fit next to each other: one multiplies while the other
/// waits for memory.
static const int64_t residentBlocks = 2;

namespace {
/// What the candidates of one kind have in common.
struct Kind {
  int64_t blockM, step;
  bool widens;
  std::string bPlace;
};
} // namespace

/// All candidates of one kind, best first.
static std::vector<RuleConfig> rankKind(const RuleTarget &target,
                                        const GemmProblem &problem,
                                        const Kind &kind,
                                        std::vector<RuleVerdict> &rejected) {
  std::vector<RuleConfig> ranked;
  const AmdChip *chip = findAmdChip(target.name);
  // As the operands stand in LDS.
  GemmProblem checked = problem;
  bool decoded = kind.bPlace == "transform";
  if (decoded)
    checked.bBits = problem.aBits;
  // A step may have several scales of values that are decoded.
  if (!kind.bPlace.empty() && problem.bGranule &&
      kind.step % problem.bGranule == 0)
    checked.bGranule = 0;
  for (int64_t rows : weightRows) {
    RuleConfig config;
    config.blockM = kind.blockM;
    // The closing quantisation decides the columns.
    config.blockN = problem.outGranule ? problem.outGranule
                    : problem.gateRun  ? rows / 2
                                       : rows;
    config.blockK = kind.step;
    int64_t tileRows = problem.gateRun ? 2 * config.blockN : config.blockN;
    int64_t stage = kind.step *
                    (kind.blockM * checked.aBits + tileRows * checked.bBits) /
                    8;
    config.stages = std::clamp<int64_t>(target.sharedBytes / residentBlocks /
                                            std::max<int64_t>(stage, 1),
                                        1, 2);
    // Operands that both halves of a wave hold, and that are made in registers,
    // leave none for the addresses of a second stage.
    if (chip && chip->repeatsOperands() &&
        (kind.widens || problem.bBits < problem.aBits))
      config.stages = 1;
    config.b = "vector";
    config.order = "expert_major";
    config.claim = "stride";
    // Dies have a cache each. Tiles of one expert read the same weights or the
    // same rows: on one die they are fetched once, dealt out in turn once for
    // each die.
    double tiles = std::ceil(double(problem.n) / double(tileRows)) *
                   std::ceil(problem.rowsPerExpert / double(kind.blockM));
    if (chip && chip->dies > 1 && tiles > 1)
      config.xcd = chip->dies;
    config.a = problem.gather ? "gather" : "vector";
    // Straight to LDS where one load brings as much as one to registers. A last
    // step that is not whole is filled up with zeros, codes of 8 bits are
    // cleared of negative ones: on the way through registers.
    bool whole = problem.k % kind.step == 0;
    bool cleared = chip && chip->fp8 == AmdFp8::Fnuz && problem.aBits == 8 &&
                   !problem.integers;
    if (chip && chip->directToLdsBytes == kVectorBytes && whole && !cleared &&
        config.stages == 2)
      config.a = config.b = "lds_direct";
    if (problem.aScaled)
      config.aPlace = "compute";
    config.bPlace = kind.bPlace;
    // Rows of few tokens would show each rounding of the weights.
    if (kind.bPlace == "compute" && problem.bRounds && kind.blockM <= fewRows)
      config.bScale = "sums";
    RuleVerdict verdict = checkConfig(target, checked, config);
    if (verdict.ok())
      ranked.push_back(config);
    else
      rejected.push_back(verdict);
    if (problem.outGranule)
      break;
  }
  return ranked;
}

std::vector<RuleConfig>
mlir::moe::rankAmdConfigs(const RuleTarget &target, const GemmProblem &problem,
                          int64_t blockM, size_t limit,
                          std::vector<RuleVerdict> &rejected) {
  // Operands stand in LDS as they are multiplied.
  int64_t step = rowBytes * 8 / std::max<int64_t>(problem.aBits, 8);
  // 8-bit floats that are multiplied as f16 fill twice the registers.
  const AmdChip *chip = findAmdChip(target.name);
  bool widens = problem.aBits == 8 && !problem.integers && chip &&
                chip->fp8 == AmdFp8::None;
  if (widens)
    step /= 2;
  bool decodes = problem.bBits < problem.aBits || problem.aScaled;
  Kind kind{blockM, step, widens, decodes ? "compute" : ""};
  std::vector<RuleConfig> ranked = rankKind(target, problem, kind, rejected);
  // Packed weights are decoded on the way to the instruction. Where lanes hold
  // every value of an operand more than once each of them would decode it:
  // there they are decoded before they stand in LDS, with a third to a half of
  // the instructions by count. If two tiles do not assemble, the other place
  // may. Sums of few tokens are scaled beside the product.
  bool sums = problem.bRounds && blockM <= fewRows;
  if (problem.bBits < 8 && !problem.aScaled && !sums && chip &&
      chip->repeatsOperands()) {
    kind.bPlace = "transform";
    std::vector<RuleConfig> first = rankKind(target, problem, kind, rejected);
    size_t before = std::min<size_t>(first.size(), 2);
    ranked.insert(ranked.begin(), first.begin(), first.begin() + before);
    ranked.insert(ranked.end(), first.begin() + before, first.end());
  }
  if (ranked.size() > limit)
    ranked.resize(limit);
  return ranked;
}
