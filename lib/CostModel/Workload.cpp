//===- Workload.cpp - Rows per expert that a choice is made for -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/Workload.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir::moe;

static int64_t countHit(const std::vector<int64_t> &rows) {
  return std::count_if(rows.begin(), rows.end(),
                       [](int64_t count) { return count > 0; });
}

double Workload::getHitExperts() const {
  double hit = 0;
  for (const WorkloadCase &one : cases)
    hit += one.weight * double(countHit(one.rows));
  return hit;
}

double Workload::getRowsPerExpert() const {
  double rows = 0;
  for (const WorkloadCase &one : cases) {
    int64_t all = std::accumulate(one.rows.begin(), one.rows.end(), int64_t(0));
    rows += one.weight * double(all) /
            double(std::max<int64_t>(countHit(one.rows), 1));
  }
  return rows;
}

Workload mlir::moe::splitRows(const Workload &workload) {
  Workload split = workload;
  for (WorkloadCase &one : split.cases)
    one.rows.assign(
        std::accumulate(one.rows.begin(), one.rows.end(), int64_t(0)), 1);
  return split;
}

std::vector<int64_t> mlir::moe::balancedRows(int64_t tokens, int64_t topk,
                                             int64_t experts) {
  int64_t slots = tokens * topk;
  std::vector<int64_t> rows(experts, slots / experts);
  for (int64_t i = 0; i < slots % experts; ++i)
    ++rows[i];
  return rows;
}

/// The smallest n with P(X <= n) >= place, X of Poisson's distribution.
static int64_t poissonQuantile(double mean, double place) {
  double term = std::exp(-mean), sum = term;
  int64_t n = 0;
  while (sum < place && n < int64_t(mean) + 100) {
    ++n;
    term *= mean / double(n);
    sum += term;
  }
  return n;
}

/// The same of the normal distribution, rounded (the logistic one of the same
/// variance is near enough).
static int64_t normalQuantile(double mean, double variance, double place) {
  double logit = std::log(place / (1 - place));
  return std::llround(mean + std::sqrt(variance) * logit / 1.8138);
}

/// Odds that a token takes each expert: 1 - exp(-s p), with the s for which
/// they sum to topk, as drawing without replacement gives.
static std::vector<double> inclusionOdds(int64_t topk, int64_t experts,
                                         double exponent) {
  std::vector<double> popularity(experts), odds(experts);
  for (int64_t i = 0; i < experts; ++i)
    popularity[i] = std::pow(double(i + 1), -exponent);
  double low = 0, high = 1;
  auto total = [&](double scale) {
    double sum = 0;
    for (int64_t i = 0; i < experts; ++i)
      sum += odds[i] = 1 - std::exp(-scale * popularity[i]);
    return sum;
  };
  while (total(high) < double(topk) && high < 1e12)
    high *= 2;
  for (int step = 0; step < 60; ++step) {
    double middle = (low + high) / 2;
    (total(middle) < double(topk) ? low : high) = middle;
  }
  total(high);
  return odds;
}

std::vector<int64_t> mlir::moe::zipfRows(int64_t tokens, int64_t topk,
                                         int64_t experts, double exponent) {
  if (topk >= experts)
    return std::vector<int64_t>(experts, tokens);
  std::vector<double> odds = inclusionOdds(topk, experts, exponent);
  std::vector<int64_t> rows(experts);
  int64_t sum = 0;
  for (int64_t i = 0; i < experts; ++i) {
    double mean = odds[i] * double(tokens);
    // Places by the golden ratio: any run of them covers (0, 1) evenly.
    double place = std::fmod(0.5 + double(i) * 0.6180339887498949, 1.0);
    rows[i] = mean > 30 ? normalQuantile(mean, mean * (1 - odds[i]), place)
                        : poissonQuantile(mean, place);
    rows[i] = std::clamp<int64_t>(rows[i], 0, tokens);
    sum += rows[i];
  }
  // What is missing goes to popular experts, which feel it least; what is too
  // much comes from them as long as they keep a row, then from the least.
  int64_t slots = tokens * topk;
  for (int64_t i = 0; sum < slots; i = (i + 1) % experts)
    if (rows[i] < tokens) {
      ++rows[i];
      ++sum;
    }
  for (int64_t i = 0, left = experts * tokens; sum > slots && left > 0;
       --left) {
    if (rows[i] > 1) {
      --rows[i];
      --sum;
    }
    i = (i + 1) % experts;
  }
  for (int64_t i = experts - 1; sum > slots && i >= 0; --i) {
    sum -= rows[i];
    rows[i] = 0;
  }
  return rows;
}

Workload mlir::moe::assumeWorkload(int64_t tokens, int64_t topk,
                                   int64_t experts) {
  Workload workload;
  workload.tokens = tokens;
  workload.topk = topk;
  workload.cases = {{balancedRows(tokens, topk, experts), 0.5},
                    {zipfRows(tokens, topk, experts), 0.5}};
  workload.text = "balanced and zipf1 in turn";
  return workload;
}

std::vector<int64_t> mlir::moe::scaleRows(const std::vector<int64_t> &rows,
                                          int64_t slots) {
  int64_t sum = std::accumulate(rows.begin(), rows.end(), int64_t(0));
  std::vector<int64_t> scaled(rows.size());
  if (sum == 0)
    return scaled;
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t(0));
  int64_t left = slots;
  std::vector<double> rest(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    double exact = double(rows[i]) * double(slots) / double(sum);
    scaled[i] = int64_t(exact);
    rest[i] = exact - double(scaled[i]);
    left -= scaled[i];
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return rest[a] != rest[b] ? rest[a] > rest[b] : a < b;
  });
  for (size_t i = 0; i < order.size() && left > 0; ++i, --left)
    ++scaled[order[i]];
  return scaled;
}

Workload mlir::moe::workloadOf(const std::vector<int64_t> &rows, int64_t tokens,
                               int64_t topk, const std::string &text,
                               std::string &error) {
  Workload workload;
  workload.tokens = tokens;
  workload.topk = topk;
  workload.cases = {{rows, 1}};
  workload.text = text;
  int64_t sum = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] < 0)
      error = "expert " + std::to_string(i) + " has " +
              std::to_string(rows[i]) + " rows";
    sum += rows[i];
  }
  if (error.empty() && sum != tokens * topk)
    error = "the histogram sums to " + std::to_string(sum) + ", not to " +
            std::to_string(tokens) + " tokens x top-" + std::to_string(topk) +
            " = " + std::to_string(tokens * topk);
  return workload;
}
