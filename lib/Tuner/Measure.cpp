//===- Measure.cpp - Times of compiled layers -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/Measure.h"

#include "llvm/Support/MemoryBuffer.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

double mlir::moe::getMedian(std::vector<double> values) {
  if (values.empty())
    return 0;
  auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static uint64_t getBytes(const ArgumentSpec &argument, int64_t tokens) {
  uint64_t count = 1;
  for (int64_t extent : argument.getShape(tokens))
    count *= extent;
  return getStorageBytes(argument.type, count);
}

MemoryEstimate mlir::moe::estimateMemory(const LayerSpec &spec, int64_t tokens,
                                         bool packs) {
  MemoryEstimate estimate;
  for (const ArgumentSpec &argument : spec.arguments) {
    uint64_t bytes = getBytes(argument, tokens);
    if (argument.isDynamic())
      // Made, and changed to the type that kernels want.
      estimate.activations += 2 * bytes;
    else
      estimate.weights += (packs ? 2 : 1) * bytes;
  }
  for (const ArgumentSpec &result : spec.results)
    estimate.activations += 2 * getBytes(result, tokens);
  // Rows between the projections and before the sum, in 4 bytes.
  estimate.workspace =
      uint64_t(tokens) * spec.topk * (spec.inner + spec.hidden) * 4;
  estimate.cacheFlush = ReadBuffer::getDefaultBytes();
  return estimate;
}

uint64_t mlir::moe::getAvailableMemoryBytes() {
  auto file = llvm::MemoryBuffer::getFileAsStream("/proc/meminfo");
  if (!file)
    return 0;
  StringRef text = (*file)->getBuffer();
  text = text.drop_front(std::min(text.find("MemAvailable:"), text.size()));
  uint64_t kib = 0;
  if (!text.consume_front("MemAvailable:") ||
      text.ltrim().consumeInteger(10, kib))
    return 0;
  return kib << 10;
}

//===----------------------------------------------------------------------===//
// CpuBench
//===----------------------------------------------------------------------===//

Expected<std::unique_ptr<CpuBench>>
CpuBench::create(const LayerSpec &spec, uint64_t seed, int workers) {
  std::unique_ptr<CpuBench> bench(new CpuBench(spec));
  bench->options.seed = seed;
  Expected<PoolHandle> pool = createPool(workers);
  if (!pool)
    return pool.takeError();
  bench->pool = std::move(*pool);
  Expected<ReadBuffer> flush =
      ReadBuffer::create(ReadBuffer::getDefaultBytes());
  if (!flush)
    return flush.takeError();
  bench->flush = std::move(*flush);
  bench->inputs.resize(spec.arguments.size());
  return std::move(bench);
}

Error CpuBench::setCase(const TuneCase &one) {
  options.routing = one.archetype;
  tokens = one.run.tokens;
  for (auto [argument, tensor] : llvm::zip_equal(spec.arguments, inputs)) {
    if (hasWeights && !argument.isDynamic())
      continue;
    Expected<HostTensor> made = makeArgument(spec, argument, one.run, options);
    if (!made)
      return made.takeError();
    tensor = std::move(*made);
  }
  hasWeights = true;
  return checkInputs(spec, inputs);
}

TuneLoad CpuBench::getLoad() const {
  TuneLoad load;
  int64_t rows = 0, active = 0;
  for (int64_t count : countExpertRows(spec, inputs)) {
    rows += count;
    active += count > 0;
  }
  load.activeExperts = double(active);
  load.tokensPerExpert = active ? double(rows) / double(active) : 0;
  load.bytes = double(countTouchedWeightBytes(spec, inputs));
  load.flops = countFlops(spec, inputs);
  return load;
}

Expected<LayerRunner> CpuBench::open(LayerOpener opener) {
  Expected<LayerRunner> runner =
      LayerRunner::create(std::move(opener), spec, pool.get());
  if (!runner)
    return runner.takeError();
  if (Error error = runner->prepare(inputs, tokens, /*repack=*/true))
    return std::move(error);
  return runner;
}

Expected<std::vector<double>> CpuBench::time(LayerRunner &runner,
                                             int64_t runs) {
  std::vector<double> samples;
  for (int64_t i = 0; i <= runs; ++i) {
    flush->read(pool.get());
    Expected<double> seconds = runner.run();
    if (!seconds)
      return seconds.takeError();
    // The first one pays for what happens once.
    if (i > 0)
      samples.push_back(*seconds * 1e6);
  }
  if (Error error = runner.checkGuards())
    return std::move(error);
  return samples;
}
