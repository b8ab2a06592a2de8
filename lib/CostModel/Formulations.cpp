//===- Formulations.cpp - Other ways to compute a layer -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/Formulations.h"

#include <algorithm>
#include <cmath>
#include <tuple>

using namespace mlir::moe;

bool mlir::moe::isFormulationBuilt(RuleTarget::Kind kind,
                                   FormulationKind formulation) {
  switch (formulation) {
  case FormulationKind::Grouped:
  case FormulationKind::Dense:
    return true;
  case FormulationKind::VectorMatrix:
    return kind != RuleTarget::Cpu;
  }
  return false;
}

//===----------------------------------------------------------------------===//
// Vector times matrix
//===----------------------------------------------------------------------===//

/// Bytes that memory moves at once for a row: two sectors of 32.
static const double lineBytes = 64;
/// Threads of a warp, and registers that a thread needs beside its weights.
static const double warpThreads = 32, baseRegisters = 32;
/// Lane operations per weight: take it apart, convert, scale, multiply-add.
static const double operationsPerWeight = 12;
/// Operations of a thread per step: addresses, waiting for the copies.
static const double operationsPerStep = 25;
/// Operations to sum the lanes of a row after every step: five shuffles of a
/// warp.
static const double operationsPerSum = 160;

double mlir::moe::predictVector(const Device &device,
                                const VectorProblem &problem,
                                const VectorConfig &config) {
  const DeviceFigures &f = device.figures;
  double bytesPerValue = double(problem.bits) / 8;
  double rowBytes = double(config.blockK) * bytesPerValue;
  double columnTiles = std::ceil(double(problem.n) / double(config.blockN));
  double steps = std::ceil(double(problem.k) / double(config.blockK));
  double programs = double(problem.pairs) * columnTiles;
  double stepBytes = double(config.blockN) * rowBytes;

  // Short pieces of rows use part of what memory moves.
  double moved = stepBytes * std::max(1.0, lineBytes / rowBytes);
  if (problem.granule)
    moved += double(config.blockN) * 2 *
             std::max(1.0, double(config.blockK) / double(problem.granule));
  double bytes = programs * steps * moved;

  // Programs that a unit holds: by registers (weights of a step, stored and as
  // 32-bit values) and by copies in shared memory.
  double threads = double(config.warps) * warpThreads;
  double values = double(config.blockN) * double(config.blockK) / threads;
  double byRegisters =
      f.registersPerUnit / (threads * (baseRegisters + 2 * values));
  double byShared =
      f.sharedBytesPerUnit / (double(config.stages) * stepBytes + 1024);
  double resident = std::floor(std::min({byRegisters, byShared, 32.0}));
  if (resident < 1 || values > 100)
    return 1e3;

  // Little's law: what is in flight per latency.
  double active = std::min(programs, f.computeUnits * resident);
  double flight = active * stepBytes * std::min(double(config.stages), steps);
  double rate = std::min({f.readRate, flight / f.latencySeconds,
                          std::min(programs, f.computeUnits) * f.unitReadRate});
  double memory = bytes / rate;

  // Operations of the fullest unit; a program by itself issues for its own
  // warps only, of which four fill a unit.
  double work =
      steps *
      (double(config.blockN) * double(config.blockK) * operationsPerWeight +
       double(config.blockN) * operationsPerSum + threads * operationsPerStep);
  double perUnit = std::ceil(programs / f.computeUnits);
  double together = std::min(perUnit, resident);
  double filled = std::min(1.0, together * double(config.warps) / 4);
  double units = work * perUnit / (f.lanes * f.clockHz * filled);
  // First bytes, then a sum over the lanes.
  double fill =
      3 * f.latencySeconds * std::ceil(programs / (f.computeUnits * resident));
  return f.launchSeconds + fill + std::max(memory, units);
}

std::vector<VectorConfig> mlir::moe::rankVector(const Device &device,
                                                const VectorProblem &problem) {
  struct Rated {
    VectorConfig config;
    double seconds;
  };
  std::vector<Rated> rated;
  for (int64_t n : {8, 16, 32, 64, 128, 256})
    for (int64_t k : {8, 16, 32, 64, 128, 256})
      for (int64_t warps : {2, 4, 8})
        for (int64_t stages : {2, 3, 4, 5}) {
          if (k > problem.k || n > problem.n)
            continue;
          VectorConfig config{n, k, warps, stages};
          rated.push_back({config, predictVector(device, problem, config)});
        }
  auto key = [](const Rated &r) {
    return std::make_tuple(r.seconds, r.config.blockN * r.config.blockK,
                           r.config.blockN, r.config.warps, r.config.stages);
  };
  std::sort(rated.begin(), rated.end(),
            [&](const Rated &a, const Rated &b) { return key(a) < key(b); });
  std::vector<VectorConfig> configs;
  for (const Rated &one : rated)
    configs.push_back(one.config);
  return configs;
}

//===----------------------------------------------------------------------===//
// Dense
//===----------------------------------------------------------------------===//

static double storedBytes(const DenseProblem &problem) {
  return double(problem.bits) / 8 +
         (problem.granule ? 1 / double(problem.granule) : 0);
}

/// Share of the device's matrix rate and of a unit's memory rate that a loop of
/// large tiles reaches.
static const double tileShare = 0.9;

/// One dense product: units take whole tiles one after the other.
static double predictProduct(const Device &device, double m, double n, double k,
                             int64_t bits, double storedBytes, int64_t tileM,
                             int64_t tileN) {
  const DeviceFigures &f = device.figures;
  double tiles = std::ceil(m / double(tileM)) * std::ceil(n / double(tileN));
  double perUnit = std::ceil(tiles / f.computeUnits);
  double matrix = 2.0 * double(tileM) * double(tileN) * k * perUnit *
                  f.computeUnits / (device.getMatrixRate(bits) * tileShare);
  double active = std::min(tiles, f.computeUnits);
  double memory = (n * storedBytes + m * double(bits) / 8) * k /
                  std::min(f.readRate, active * f.unitReadRate);
  double cache = tiles * double(tileM + tileN) * k * storedBytes / f.l2Rate;
  return f.dependentLaunchSeconds + 4 * f.latencySeconds +
         std::max({matrix, memory, cache});
}

double mlir::moe::predictDense(const Device &device,
                               const DenseProblem &problem, int64_t tokens,
                               int64_t tileM, int64_t tileN) {
  double all = double(problem.experts) * double(problem.intermediate);
  double m = double(tokens), stored = storedBytes(problem);
  return predictProduct(device, m, 2 * all, double(problem.hidden),
                        problem.bits, stored, tileM, tileN) +
         predictProduct(device, m, double(problem.hidden), all, problem.bits,
                        stored, tileM, tileN);
}

double mlir::moe::predictGrouped(const Device &device,
                                 const DenseProblem &problem,
                                 const Workload &workload, int64_t tileN) {
  KernelTraits traits;
  traits.overlap = 3;
  traits.matrixShare = tileShare;
  traits.sharedShare = 1;
  traits.swappedEpilogueClocks = 0.5;
  traits.rowStep = 8;
  traits.fillLatencies = 4;
  double best = 1e30;
  for (int64_t blockM : {8, 16, 32, 64, 128}) {
    double sum = 0;
    for (int i = 0; i < 2; ++i) {
      GemmProblem p;
      p.n = i == 0 ? 2 * problem.intermediate : problem.hidden;
      p.k = i == 0 ? problem.hidden : problem.intermediate;
      p.aBits = p.bBits = problem.bits;
      p.gather = i == 0;
      RuleConfig config;
      config.blockM = blockM;
      config.blockN = tileN;
      config.blockK = 64;
      config.swap = true;
      config.partial = "bf16";
      for (const WorkloadCase &one : workload.cases) {
        GemmPrediction product =
            predictGemm(device, traits, p, config, one.rows, workload.tokens);
        // Scales travel with their weights.
        sum += one.weight *
               (product.seconds +
                product.memory *
                    (storedBytes(problem) * 8 / double(problem.bits) - 1));
      }
    }
    best = std::min(best, sum);
  }
  LayerFrame frame;
  frame.hidden = problem.hidden;
  frame.combineBytes = 2;
  frame.quantises = problem.bits < 16;
  return best +
         predictFrame(device, frame, workload.tokens, problem.topk).seconds;
}
