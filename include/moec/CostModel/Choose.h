//===- Choose.h - Configurations of a layer by predicted time ---*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Candidates come from the rules (SimpleRule.h), times from Predict.h. The
// products of a layer share the block rows of one alignment, so the choice is
// one for all of them. The same input gives the same choice.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COSTMODEL_CHOOSE_H
#define MOEC_COSTMODEL_CHOOSE_H

#include "moec/CostModel/Predict.h"

namespace mlir::moe {

/// Fields that a user insists on; 0 or -1: free.
struct FixedFields {
  int64_t blockM = 0, blockN = 0, blockK = 0, stages = 0;
  /// 0 or 1.
  int64_t swap = -1;
  /// "grouped", "gemv", "dense" (either of "dense_rows", whose rows are summed
  /// afterwards, and "dense_sum"); empty: free.
  std::string formulation;
  /// 0 or 1: the routing is executed in the form direct.
  int64_t direct = -1;
  /// Who sums rows over top-k: "rows", "last" (where the routing is direct),
  /// "panel", "add_f32", "owner"; empty: free.
  std::string reduceBy;
  /// Parts of K of products whose rows are summed; 0: free.
  int64_t splitK = 0;
};

/// Parses "block_m=128,stages=3,swap=true,align=direct,
/// reduce_by=last". Returns what is wrong, or nothing.
std::string parseFixedFields(const std::string &text, FixedFields &fields);

/// Products that share one alignment, in the order of the layer.
struct LayerProblem {
  std::vector<GemmProblem> gemms;
  LayerFrame frame;
};

struct ChoiceOptions {
  /// Longest ranked list of a product.
  size_t limit = 3;
  FixedFields fixed;
  /// Block rows that are given, e.g. by the routing's type; 0: free.
  int64_t givenBlockM = 0;
};

/// A candidate of a product with its prediction, the mean over the workload.
struct RatedConfig {
  RuleConfig config;
  GemmPrediction prediction;
};

/// One number of block rows for the whole layer.
struct LayerCandidate {
  int64_t blockM = 0;
  /// Of the products with their best configurations and all around them.
  double seconds = 0;
  FramePrediction frame;
  /// Per product, best first.
  std::vector<std::vector<RatedConfig>> gemms;
  /// Per product why candidates were refused.
  std::vector<std::vector<RuleVerdict>> rejected;
  /// The product that no candidate is legal for, -1 if there is none; its last
  /// verdict says why.
  int64_t illegalGemm = -1;

  bool legal() const { return illegalGemm < 0; }
};

struct LayerChoice {
  /// All that were looked at: the chosen one first, then by predicted time;
  /// those without legal configurations last.
  std::vector<LayerCandidate> candidates;
  /// Why the first was chosen, e.g. "least predicted time".
  std::string reason;

  bool legal() const {
    return !candidates.empty() && candidates.front().legal();
  }
  const LayerCandidate &best() const { return candidates.front(); }
};

/// Chooses for a layer. Nothing is legal if every candidate breaks a rule; then
/// `candidates` say why.
LayerChoice chooseLayer(const Device &device, const RuleTarget &target,
                        const LayerProblem &layer, const Workload &workload,
                        const ChoiceOptions &options = {});

/// Predicts a product with a configuration that is given, the mean over the
/// workload. Nothing is checked.
GemmPrediction predictConfig(const Device &device, const RuleTarget &target,
                             const GemmProblem &problem,
                             const RuleConfig &config,
                             const Workload &workload);

/// Terms of a prediction in microseconds, for messages.
std::string describePrediction(const GemmPrediction &prediction);

/// Chooses at most `cap` of the columns of `seconds` (one line per bucket of
/// token counts, one column per configuration, infinity for what does not run)
/// so that the largest of the buckets' ratios to their best column is least;
/// among equals the least sum of ratios, then the first. `baseline` is always
/// kept if it is a column. Returns for every bucket its column.
std::vector<size_t> capVariants(const std::vector<std::vector<double>> &seconds,
                                size_t cap, size_t baseline);

} // namespace mlir::moe

#endif // MOEC_COSTMODEL_CHOOSE_H
