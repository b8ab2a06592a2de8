//===- Measure.h - Times of compiled layers ---------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TUNER_MEASURE_H
#define MOEC_TUNER_MEASURE_H

#include "moec/Driver/Inputs.h"
#include "moec/Driver/Machine.h"
#include "moec/Driver/Runner.h"

namespace mlir::moe {

/// One routing of a cell.
struct TuneCase {
  RunCase run;
  RoutingArchetype archetype = RoutingArchetype::Balanced;
  /// For people: the archetype's name, or the file.
  std::string name;
};

/// What a cell's routings ask of the machine, the mean over them.
struct TuneLoad {
  double tokensPerExpert = 0, activeExperts = 0, bytes = 0, flops = 0;
};

/// Bytes that tuning a layer takes, before any are taken.
struct MemoryEstimate {
  uint64_t weights = 0, activations = 0, workspace = 0, cacheFlush = 0;
  uint64_t total() const {
    return weights + activations + workspace + cacheFlush;
  }
};

/// For `tokens` tokens at most. Weights count twice where kernels may want them
/// packed.
MemoryEstimate estimateMemory(const LayerSpec &spec, int64_t tokens,
                              bool packs);

/// Bytes of memory that a program may still take; 0: unknown.
uint64_t getAvailableMemoryBytes();

/// A layer on this machine's CPU.
class CpuBench {
public:
  /// Makes the weights. `function` must outlive this.
  static llvm::Expected<std::unique_ptr<CpuBench>>
  create(const LayerSpec &spec, uint64_t seed, int workers);

  /// What later calls run with.
  llvm::Error setCase(const TuneCase &one);
  TuneLoad getLoad() const;

  /// Opens compiled kernels for the current case.
  llvm::Expected<LayerRunner> open(LayerOpener opener);
  /// Microseconds of `runs` runs with cold caches, after one that is not timed.
  llvm::Expected<std::vector<double>> time(LayerRunner &runner, int64_t runs);

private:
  CpuBench(const LayerSpec &spec) : spec(spec) {}

  const LayerSpec &spec;
  InputOptions options;
  PoolHandle pool;
  std::optional<ReadBuffer> flush;
  SmallVector<HostTensor> inputs;
  int64_t tokens = 0;
  bool hasWeights = false;
};

/// The middle one; 0 of none.
double getMedian(std::vector<double> values);

} // namespace mlir::moe

#endif // MOEC_TUNER_MEASURE_H
