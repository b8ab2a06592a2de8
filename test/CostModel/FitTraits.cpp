//===- FitTraits.cpp - Numbers of kernels from measured products ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// FitTraits PRODUCTS [MODEL]: the traits of the kernels of lib/CostModel/
// Predict.cpp, fitted anew to the products of one model in a file of
// timings.py, and what both say of the other models. The error of a product is
// the logarithm of predicted over measured time, weighted by the share that the
// fastest configuration of the cell takes of it, so that what nobody would
// choose matters less; large errors count linearly. A search along one
// trait after the other, with steps that shrink, minimises their mean. Where it
// begins makes no difference; it begins once at the table's numbers and once
// far from them to show that.
//
//===----------------------------------------------------------------------===//

#include "MeasuredProducts.h"
#include "moec/Target/DeviceFile.h"

#include "llvm/Support/Error.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace mlir::moe;

namespace {
/// A number that is fitted, and where it may lie. What is not listed is a
/// property of the generated code or of a layer of one token.
struct Parameter {
  const char *name;
  double KernelTraits::*value;
  double least, most;
  /// Of kernels with packed weights, of others.
  bool packed, plain;
};
} // namespace

static const Parameter parameters[] = {
    {"overlap", &KernelTraits::overlap, 1.5, 10, true, true},
    {"matrixShare", &KernelTraits::matrixShare, 0.5, 1.2, true, true},
    {"unitShare", &KernelTraits::unitShare, 0.3, 1, true, false},
    {"flightLatencies", &KernelTraits::flightLatencies, 0.3, 1.5, true, true},
    {"epilogueClocks", &KernelTraits::epilogueClocks, 0, 2, false, true},
    {"swappedEpilogueClocks", &KernelTraits::swappedEpilogueClocks, 0, 2, true,
     true},
    {"tileClocks", &KernelTraits::tileClocks, 0, 4000, true, true},
    {"stepClocks", &KernelTraits::stepClocks, 0, 600, true, false},
    {"tailShare", &KernelTraits::tailShare, 0, 1, true, true},
    {"decodeOps", &KernelTraits::decodeOps, 0, 10, true, false},
    {"paddedShare", &KernelTraits::paddedShare, 0, 1, false, true},
    {"swappedPaddedShare", &KernelTraits::swappedPaddedShare, 0, 1, true, true},
    {"threadStores", &KernelTraits::threadStores, 1, 4, false, true},
};

/// One product of one timing.
namespace {
struct Sample {
  const Cell *cell;
  const GemmProblem *problem;
  const RuleConfig *config;
  double measured, weight;
};
} // namespace

static double logError(const Device &device, const KernelTraits &traits,
                       const Sample &sample) {
  double seconds = predictGemm(device, traits, *sample.problem, *sample.config,
                               sample.cell->rows, sample.cell->tokens)
                       .seconds +
                   aloneSeconds;
  return std::log(seconds / sample.measured);
}

/// Mean of the weighted errors in units of 5 %: squares while small.
static double objective(const Device &device, const KernelTraits &traits,
                        const std::vector<Sample> &samples) {
  double sum = 0;
  for (const Sample &sample : samples) {
    double error = logError(device, traits, sample) * sample.weight / 0.05;
    sum += std::sqrt(1 + error * error) - 1;
  }
  return sum / double(samples.size());
}

static KernelTraits fit(const Device &device, KernelTraits traits, bool packed,
                        const std::vector<Sample> &samples) {
  double best = objective(device, traits, samples);
  // In shares of the allowed range.
  for (double step = 0.16; step > 0.0008; step /= 2) {
    for (bool moved = true; moved;) {
      moved = false;
      for (const Parameter &parameter : parameters) {
        if (!(packed ? parameter.packed : parameter.plain))
          continue;
        double &value = traits.*parameter.value;
        double distance = step * (parameter.most - parameter.least);
        for (double to : {value - distance, value + distance}) {
          double before = value;
          value = std::clamp(to, parameter.least, parameter.most);
          double now = objective(device, traits, samples);
          if (now < best * (1 - 1e-5)) {
            best = now;
            moved = true;
            break;
          }
          value = before;
        }
      }
    }
  }
  return traits;
}

static void printErrors(const char *what, const Device &device,
                        const KernelTraits &traits,
                        const std::vector<Sample> &samples) {
  std::vector<double> errors;
  for (const Sample &sample : samples)
    errors.push_back(std::fabs(std::exp(logError(device, traits, sample)) - 1));
  if (errors.empty())
    return;
  std::sort(errors.begin(), errors.end());
  std::printf("  %-28s %5zu products, median error %4.1f %%, 90th percentile "
              "%4.1f %%\n",
              what, errors.size(), errors[errors.size() / 2] * 100,
              errors[size_t(0.9 * double(errors.size()))] * 100);
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: FitTraits PRODUCTS [MODEL]\n");
    return 1;
  }
  std::string error, model = argc > 2 ? argv[2] : fittedModel;
  const std::vector<Cell> cells = readCells(argv[1], error);
  if (!error.empty()) {
    std::fprintf(stderr, "FitTraits: error: %s\n", error.c_str());
    return 1;
  }
  const Device &device = *getDefaultDevice("sm_90a");
  const RuleTarget &target = *findRuleTarget("sm_90a");

  bool found = false;
  for (const char *dtype : {"bf16", "fp8-block", "w4a16-g128"}) {
    // The problems stay where they are: samples point at them.
    std::vector<LayerProblem> layers(cells.size());
    std::vector<Sample> own, others;
    for (size_t i = 0; i < cells.size(); ++i) {
      const Cell &cell = cells[i];
      if (cell.dtype != dtype)
        continue;
      Workload real = workloadOf(cell.rows, cell.tokens, cell.sizes.topk,
                                 cell.routing, error);
      layers[i] = makeLayer(cell.sizes, cell.dtype, real, device);
      for (const Timing &timing : cell.timings)
        for (int part = 0; part < 2; ++part)
          (cell.model == model ? own : others)
              .push_back({&cell, &layers[i].gemms[part], &timing.configs[part],
                          timing.parts[part],
                          cell.least[part] / timing.parts[part]});
    }
    if (own.empty())
      continue;
    found = true;
    const KernelTraits &table = findKernelTraits(target, *own[0].problem);
    bool packed = own[0].problem->bBits == 4;
    KernelTraits fitted = fit(device, table, packed, own);
    KernelTraits far = table;
    for (const Parameter &parameter : parameters)
      if (packed ? parameter.packed : parameter.plain)
        far.*parameter.value = (parameter.least + parameter.most) / 2;
    KernelTraits again = fit(device, far, packed, own);

    std::printf("%s, %s\n  %-24s %10s %10s %10s\n", dtype, table.name, "",
                "table", "fit", "from afar");
    for (const Parameter &parameter : parameters)
      if (packed ? parameter.packed : parameter.plain)
        std::printf("  %-24s %10.4g %10.4g %10.4g\n", parameter.name,
                    table.*parameter.value, fitted.*parameter.value,
                    again.*parameter.value);
    double least = objective(device, fitted, own);
    std::printf("  %-24s %10.4f %10.4f %10.4f\n", "mean error",
                objective(device, table, own), least,
                objective(device, again, own));
    printErrors("table, the fitted model", device, table, own);
    printErrors("fit, the fitted model", device, fitted, own);
    printErrors("table, others", device, table, others);
    printErrors("fit, others", device, fitted, others);
    // Both judgements are of the search and of the table.
    bool same = objective(device, again, own) < 1.1 * least;
    bool near = objective(device, table, own) < 1.15 * least;
    std::printf("  %s: search %s, table %s\n", dtype,
                same ? "ends at one error" : "ends elsewhere from afar",
                near ? "is the fit" : "is not the fit");
  }
  if (!found) {
    std::fprintf(stderr, "FitTraits: error: no products of '%s'\n",
                 model.c_str());
    return 1;
  }
  return 0;
}
