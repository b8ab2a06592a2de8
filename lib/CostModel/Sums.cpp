//===- Sums.cpp - Sums over top-k by tiles, and parts of K ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/Sums.h"

#include <algorithm>

using namespace mlir::moe;

/// Behind the stores of a tile that sums, in latencies of memory: once, and for
/// each of its rows. Layers of qwen3-30b-a3b and mixtral-8x7b on an H100: the
/// fences and additions of the rows' threads follow each other.
static const double arrivalLatencies = 1, rowLatencies = 0.24;
/// Operands of f32 that the last cache adds in a second, in bytes (H100).
static const double addRate = 1.6e12;

void mlir::moe::applySums(const GemmProblem &problem, RuleConfig &config) {
  if (problem.sumsRows && problem.splitK > 1)
    config.splitK = problem.splitK;
  if (problem.sumBy.empty())
    return;
  config.reduceBy = problem.sumBy;
  if (problem.sumBy == "panel") {
    // All rows of some columns, then the next columns: they are summed while
    // the cache has them. Threads store, who can say that they have.
    config.order = "n_major";
    if (config.store == "desc")
      config.store = "staged";
  } else if (problem.sumBy == "add_f32") {
    config.store = "vector";
    config.partial.clear();
  }
}

int64_t mlir::moe::sumBytes(const RuleConfig &config) {
  bool arrives = config.reduceBy == "panel" || config.reduceBy == "add_f32";
  // A word for each row and team.
  return arrives
             ? 4 * config.blockM * std::max<int64_t>(config.computeGroups, 2)
             : 0;
}

RuleVerdict mlir::moe::checkSplit(const GemmProblem &problem,
                                  const RuleConfig &config) {
  if (config.splitK <= 1)
    return {};
  auto number = [](int64_t n) { return std::to_string(n); };
  int64_t step = std::max<int64_t>(config.blockK, 1);
  if (problem.k % (config.splitK * step) != 0)
    return {"split_k", "K of " + number(problem.k) + " has no " +
                           number(config.splitK) + " parts of whole steps of " +
                           number(step)};
  if (problem.n % config.blockN != 0)
    return {"split_k", number(problem.n) + " columns are no whole blocks of " +
                           number(config.blockN) + ", which parts of K need"};
  if (!config.reduceBy.empty() && config.reduceBy != "rows")
    return {"split_k", "parts of K are summed with the rows, by a launch, not "
                       "by reduce_by = " +
                           config.reduceBy};
  return {};
}

SumCost mlir::moe::predictSums(const DeviceFigures &figures,
                               const RuleConfig &config, double rows,
                               double columns, double resultBytes,
                               double tokens, double aBytes, double tileRows,
                               double columnTiles) {
  SumCost cost;
  if (config.reduceBy != "panel" && config.reduceBy != "add_f32")
    return cost;
  cost.tileSeconds =
      (arrivalLatencies + rowLatencies * tileRows) * figures.latencySeconds;
  double sums = tokens * columns;
  // The sums leave as bf16.
  cost.memoryBytes += 2 * sums;
  if (config.reduceBy == "panel") {
    cost.cacheBytes += rows * columns * resultBytes;
    // A is read again for every column block if the cache cannot keep it beside
    // the rows.
    double kept = figures.l2Bytes / 2;
    if (aBytes > kept)
      cost.memoryBytes += (columnTiles - 1) * (aBytes - kept);
    return cost;
  }
  // All multiprocessors add at once.
  cost.tileSeconds +=
      4 * tileRows * double(config.blockN) * figures.computeUnits / addRate;
  // Cleared, added to, read.
  double spilled = std::max(0.0, 4 * sums - figures.l2Bytes / 2);
  cost.cacheBytes += 8 * sums;
  cost.memoryBytes += 3 * spilled;
  return cost;
}
