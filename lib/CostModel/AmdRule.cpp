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

using namespace mlir::moe;

/// Bytes of one row of a stage: the period of its XOR pattern.
static const int64_t rowBytes = 128;
/// Bytes of a vector that one lane reads.
static const int64_t kVectorBytes = 16;
/// Weight rows of the candidates, best first.
static const int64_t weightRows[] = {128, 64, 32};
/// Blocks that should fit next to each other: one multiplies while the other
/// waits for memory.
static const int64_t residentBlocks = 2;

std::vector<RuleConfig>
mlir::moe::rankAmdConfigs(const RuleTarget &target, const GemmProblem &problem,
                          int64_t blockM, size_t limit,
                          std::vector<RuleVerdict> &rejected) {
  std::vector<RuleConfig> ranked;
  // Operands stand in LDS as they are multiplied.
  int64_t step = rowBytes * 8 / std::max<int64_t>(problem.aBits, 8);
  // 8-bit floats that are multiplied as f16 fill twice the registers.
  const AmdChip *chip = findAmdChip(target.name);
  bool widens = problem.aBits == 8 && chip && chip->fp8 == AmdFp8::None;
  if (widens)
    step /= 2;
  for (int64_t rows : weightRows) {
    if (ranked.size() >= limit)
      break;
    RuleConfig config;
    config.blockM = blockM;
    // The closing quantisation decides the columns.
    config.blockN = problem.outGranule ? problem.outGranule
                    : problem.gateRun  ? rows / 2
                                       : rows;
    config.blockK = step;
    int64_t tileRows = problem.gateRun ? 2 * config.blockN : config.blockN;
    int64_t stage =
        step * (blockM * problem.aBits + tileRows * problem.bBits) / 8;
    config.stages = std::clamp<int64_t>(target.sharedBytes / residentBlocks /
                                            std::max<int64_t>(stage, 1),
                                        1, 2);
    config.b = "vector";
    config.order = "expert_major";
    config.a = problem.gather ? "gather" : "vector";
    // Operands that both halves of a wave hold, and that are made in registers,
    // leave none for the addresses of a second stage.
    if (chip && chip->repeatsOperands() && (widens || problem.bBits < 8))
      config.stages = 1;
    // Straight to LDS where one load brings as much as one to registers. A last
    // step that is not whole is filled up with zeros, codes of 8 bits are
    // cleared of negative ones: on the way through registers.
    bool whole = problem.k % step == 0;
    bool cleared = chip && chip->fp8 == AmdFp8::Fnuz && problem.aBits == 8;
    if (chip && chip->directToLdsBytes == kVectorBytes && whole && !cleared &&
        config.stages == 2)
      config.a = config.b = "lds_direct";
    GemmProblem checked = problem;
    if (problem.aScaled)
      config.aPlace = "compute";
    if (problem.bBits < 8 || problem.aScaled) {
      // Packed weights are decoded on the way to the instruction, where a step
      // may have several scales.
      config.bPlace = "compute";
      if (problem.bGranule && step % problem.bGranule == 0)
        checked.bGranule = 0;
    }
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
