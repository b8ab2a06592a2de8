//===- Workload.h - Rows per expert that a choice is made for ---*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Plain C++, no IR. Nothing is drawn: the same numbers give the same rows.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COSTMODEL_WORKLOAD_H
#define MOEC_COSTMODEL_WORKLOAD_H

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::moe {

/// One way in which tokens may fall on experts, and how much it counts.
struct WorkloadCase {
  std::vector<int64_t> rows;
  double weight = 1;
};

/// Calls that a choice is made for: weights of the cases sum to 1.
struct Workload {
  int64_t tokens = 0, topk = 0;
  std::vector<WorkloadCase> cases;
  /// For messages, e.g. "balanced and zipf1".
  std::string text;

  /// Means over the cases: experts that are hit, rows of those.
  double getHitExperts() const;
  double getRowsPerExpert() const;
};

/// Every row by itself, as if it were the only one of an expert.
Workload splitRows(const Workload &workload);

/// tokens x topk rows, loads that differ by at most one; the first experts are
/// the fuller ones.
std::vector<int64_t> balancedRows(int64_t tokens, int64_t topk,
                                  int64_t experts);

/// Rows as tokens give that take topk different experts with odds 1 / rank
/// each, spread as by chance: quantiles of the Poisson distribution, of a
/// normal one for popular experts, at evenly distributed places. `exponent` 0:
/// odds are equal.
std::vector<int64_t> zipfRows(int64_t tokens, int64_t topk, int64_t experts,
                              double exponent = 1);

/// What is assumed when only a number of tokens is known: half of the calls
/// balanced, half zipf1.
Workload assumeWorkload(int64_t tokens, int64_t topk, int64_t experts);

/// `rows` scaled to a sum of `slots`, by largest remainders; experts without
/// rows stay without.
std::vector<int64_t> scaleRows(const std::vector<int64_t> &rows, int64_t slots);

/// A histogram as the only case. `error` says what is wrong: a negative number,
/// a sum that is not tokens x topk.
Workload workloadOf(const std::vector<int64_t> &rows, int64_t tokens,
                    int64_t topk, const std::string &text, std::string &error);

} // namespace mlir::moe

#endif // MOEC_COSTMODEL_WORKLOAD_H
