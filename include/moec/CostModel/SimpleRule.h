//===- SimpleRule.h - Tile sizes by a small table ---------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The first selector of configurations: candidates in a fixed order, filtered
// by named rules. No prediction of time. Plain C++, no IR.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COSTMODEL_SIMPLERULE_H
#define MOEC_COSTMODEL_SIMPLERULE_H

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::moe {

/// What the rules know of a target. Sizes in bytes.
struct RuleTarget {
  enum Kind { Cpu, Nvidia, Amd };
  const char *name;
  Kind kind;
  /// Largest shared memory (LDS) of one block; 0 on a CPU.
  int64_t sharedBytes;
  /// Rows of the smallest matrix instruction on the token side.
  int64_t minBlockM;
  /// Weights can take the row side of the matrix instruction.
  bool canSwap;
  /// Bulk copies by descriptor.
  bool hasDescriptors;
};

/// The target called `name`, or null.
const RuleTarget *findRuleTarget(const std::string &name);
/// All names, separated by ", ".
std::string ruleTargetNames();

/// One grouped GEMM as the rules see it.
struct GemmProblem {
  /// Rows of B per expert and reduction size, in values.
  int64_t n = 0, k = 0;
  /// Bits of one stored value of A and B.
  int64_t aBits = 16, bBits = 16;
  /// K granules of the scales in columns, 0 for none or one that covers K.
  int64_t aGranule = 0, bGranule = 0;
  /// Columns of the result that share one scale of the closing quantisation, 0
  /// for none.
  int64_t outGranule = 0;
  /// Columns after which packed weights' products are scaled into a sum, 0 if
  /// the weights are scaled themselves.
  int64_t packedRun = 0;
  /// The operands are integers.
  bool integers = false;
  /// Values of B times their scales are decoded with a rounding to the
  /// operand's type.
  bool bRounds = false;
  /// Each group of B has a zero point of its own, of 8 bits.
  bool bZeros = false;
  /// The scale plan promotes this side.
  bool aPromotes = false, bPromotes = false;
  /// The values of A are scaled before they are multiplied.
  bool aScaled = false;
  /// Rows of A are found through the routing, by token or by slot.
  bool gather = false;
  /// Rows of B that are gate rows in a row before up rows follow; 0 without a
  /// gate. `gateHalves`: all gate rows stand before all up rows.
  int64_t gateRun = 0;
  bool gateHalves = false;
  /// Rows are summed over top-k afterwards; the sum is rounded to bf16.
  bool sumsRows = false, roundsRows = false;
  /// All experts multiply the same rows, those of all tokens.
  bool sharesRows = false;
  /// The reduction runs over all experts: `k` is that of all, the rows are the
  /// tokens.
  bool sumsExperts = false;
  /// Without matrix units: each weight is multiplied where it arrives.
  bool vector = false;
  /// Rows of the result stand by slot, not by expert.
  bool scatters = false;
  /// Who is to sum the rows over top-k, a value of `reduce_by`; empty: a
  /// launch.
  std::string sumBy;
  /// Parts of K that tiles of rows for a sum are to take; up to 1: all of K.
  int64_t splitK = 0;
  /// One kernel holds this product and the others of the layer.
  bool oneLaunch = false;
  /// Mean rows per expert that is hit; the number that picks block m.
  double rowsPerExpert = 0;
  /// Experts that are hit, in the mean.
  double hitExperts = 0;
  /// Units of the device (multiprocessors, compute units, cores) that tiles
  /// should occupy; 0 if no device is known.
  int64_t units = 0;
};

/// Fields of `#moe.config` that the rule sets; names and units as there.
struct RuleConfig {
  int64_t blockM = 0, blockN = 0, blockK = 0, stages = 1;
  bool swap = false;
  std::string a = "direct", b = "direct", store = "vector";
  /// Empty or 0: the field is left out.
  std::string order, claim, partial, aPlace, bPlace, bScale, computeSplit, atom,
      reduceBy;
  int64_t loadRegs = 0, computeGroups = 0, computeRegs = 0, warps = 0, xcd = 0,
          splitK = 0;
};

/// Verdict of one named rule on one candidate: empty text means legal.
struct RuleVerdict {
  std::string rule, text;
  bool ok() const { return text.empty(); }
};

/// Checks all rules in order, stops at the first that rejects.
RuleVerdict checkConfig(const RuleTarget &target, const GemmProblem &problem,
                        const RuleConfig &config);

/// Whether the shapes of sm_90a apply: 16-bit operands without scales, 8-bit
/// ones with none or one per 128 columns.
bool usesHopperRule(const RuleTarget &target, const GemmProblem &problem);

/// Whether the weights can take the row side of wgmma: gate and up of one
/// column then meet in one thread.
bool canSwapWeights(const GemmProblem &problem);

/// `rankConfigs` by the measured shapes.
std::vector<RuleConfig> rankHopperConfigs(const RuleTarget &target,
                                          const GemmProblem &problem,
                                          int64_t blockM, size_t limit,
                                          std::vector<RuleVerdict> &rejected);

/// `rankConfigs` of AMD targets.
std::vector<RuleConfig> rankAmdConfigs(const RuleTarget &target,
                                       const GemmProblem &problem,
                                       int64_t blockM, size_t limit,
                                       std::vector<RuleVerdict> &rejected);

/// Whether the shapes for 4-bit weights on sm_90a apply: activations of 16
/// bits.
bool usesHopperPackedRule(const RuleTarget &target, const GemmProblem &problem);

/// `rankConfigs` of those problems.
std::vector<RuleConfig>
rankHopperPackedConfigs(const RuleTarget &target, const GemmProblem &problem,
                        int64_t blockM, size_t limit,
                        std::vector<RuleVerdict> &rejected);

/// Whether the shapes of sm_80, sm_89 and sm_120 apply: 16-bit operands without
/// scales.
bool usesAmpereRule(const RuleTarget &target, const GemmProblem &problem);

/// `rankConfigs` of those problems.
std::vector<RuleConfig> rankAmpereConfigs(const RuleTarget &target,
                                          const GemmProblem &problem,
                                          int64_t blockM, size_t limit,
                                          std::vector<RuleVerdict> &rejected);

/// Whether a problem has a form without matrix units, on GPUs.
RuleVerdict checkVector(const GemmProblem &problem, int64_t blockM);

/// `rankConfigs` of that form.
std::vector<RuleConfig> rankVectorConfigs(const GemmProblem &problem,
                                          int64_t blockM, size_t limit,
                                          std::vector<RuleVerdict> &rejected);

/// Block rows for a layer with `rowsPerExpert` mean rows per hit expert; both
/// GEMMs share it.
int64_t pickBlockM(const RuleTarget &target, double rowsPerExpert);

/// Legal candidates with the given block rows, best first, at most `limit`.
/// `rejected` gets the verdict on every candidate that was refused.
std::vector<RuleConfig> rankConfigs(const RuleTarget &target,
                                    const GemmProblem &problem, int64_t blockM,
                                    size_t limit,
                                    std::vector<RuleVerdict> &rejected);

} // namespace mlir::moe

#endif // MOEC_COSTMODEL_SIMPLERULE_H
