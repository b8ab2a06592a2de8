//===- Inputs.cpp - Tensors that a layer is run on ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Inputs.h"
#include "moec/Reference/Moe/Interpreter.h"
#include "moec/Support/Random.h"
#include "moec/Support/TensorIO.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

//===----------------------------------------------------------------------===//
// Random data
//===----------------------------------------------------------------------===//

/// Largest code of 8-bit formats over its standard deviation: normal weights
/// whose granule holds some thousand values reach about this far.
static constexpr double reach = 4.2;

/// The distribution of a weight's codes and its standard deviation.
static std::pair<Distribution, double> getCodes(QuantAttr quant) {
  Type elem = quant.getElem();
  // All 16 codes alike: one table look-up per code would cost more than the
  // values of a normal distribution are worth here.
  if (elem.isInteger(4))
    return {Distribution::bits(), 4.61};
  if (isa<Float4E2M1FNType>(elem))
    return {Distribution::bits(), 2.93};
  double largest = getLargestValue(*getStorageType(elem));
  return {Distribution::normal(0, static_cast<float>(largest / reach)),
          largest / reach};
}

/// A scale type so narrow that the level above must bring the values into its
/// range.
static bool hasNarrowScale(QuantAttr quant) {
  return quant && isa<Float8E4M3FNType>(quant.getScale());
}

static Distribution getScales(const ArgumentSpec &argument) {
  if (!argument.quant)
    return Distribution::uniform(0.5f, 1.5f);
  double base = 1.0 / std::sqrt(static_cast<double>(argument.reduction)) /
                getCodes(argument.quant).second;
  if (hasNarrowScale(argument.quant))
    return Distribution::uniform(0.6f, 1.4f);
  return Distribution::uniform(static_cast<float>(0.85 * base),
                               static_cast<float>(1.15 * base));
}

static Distribution getDistribution(const LayerSpec &spec,
                                    const ArgumentSpec &argument) {
  switch (argument.role) {
  case ArgumentRole::Weight:
    if (argument.quant)
      return getCodes(argument.quant).first;
    return Distribution::normal(
        0, 1.0f / std::sqrt(static_cast<float>(argument.reduction)));
  case ArgumentRole::Scale:
    return getScales(argument);
  case ArgumentRole::ZeroPoint:
    return Distribution::uniform(4, 12);
  case ArgumentRole::Global: {
    // "w1_global" belongs to "w1".
    const ArgumentSpec *weight =
        spec.find(StringRef(argument.name).take_front(2));
    if (!weight || !hasNarrowScale(weight->quant))
      return Distribution::uniform(0.8f, 1.25f);
    double base = 1.0 / std::sqrt(static_cast<double>(weight->reduction)) /
                  getCodes(weight->quant).second;
    return Distribution::uniform(static_cast<float>(0.85 * base),
                                 static_cast<float>(1.15 * base));
  }
  case ArgumentRole::Bias:
    return Distribution::normal(0, 0.1f);
  default:
    if (isFloatType(argument.type))
      return Distribution::normal(0, 1);
    return Distribution::uniform(0, 8);
  }
}

static Expected<HostTensor> makeIds(const LayerSpec &spec,
                                    const ArgumentSpec &argument,
                                    const RunCase &run,
                                    const InputOptions &options) {
  auto ids = [&]() -> Expected<TopkIds> {
    if (!run.idsFile.empty())
      return readTopkIds(run.idsFile, spec.globalExperts);
    return sampleRouting(options.routing, run.tokens, spec.globalExperts,
                         spec.topk, options.seed);
  }();
  if (!ids)
    return ids.takeError();
  if (ids->tokens != run.tokens || ids->topk != spec.topk)
    return llvm::createStringError(llvm::formatv(
        "{0}: holds ids of {1} tokens x {2}, the run needs {3} "
        "tokens x {4}",
        run.idsFile, ids->tokens, ids->topk, run.tokens, spec.topk));
  return topkIdsToTensor(*ids);
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

static Expected<HostTensor> readTensor(StringRef path, StringRef name,
                                       ElementType type) {
  if (!path.ends_with(".safetensors"))
    return readNpy(path, type);
  Expected<SafetensorsFile> file = SafetensorsFile::open(path);
  if (!file)
    return file.takeError();
  return file->read(name, type);
}

static Expected<HostTensor> readArgument(const ArgumentSpec &argument,
                                         int64_t tokens, StringRef path) {
  Expected<HostTensor> tensor = readTensor(path, argument.name, argument.type);
  if (!tensor)
    return tensor.takeError();
  SmallVector<int64_t, 4> shape = argument.getShape(tokens);
  if (tensor->getShape() != ArrayRef<int64_t>(shape))
    return llvm::createStringError(llvm::formatv(
        "{0}: shape {1}, argument '{2}' needs {3}", path,
        formatShape(tensor->getShape()), argument.name, formatShape(shape)));
  return tensor;
}

//===----------------------------------------------------------------------===//
// Interface
//===----------------------------------------------------------------------===//

Expected<HostTensor> mlir::moe::makeArgument(const LayerSpec &spec,
                                             const ArgumentSpec &argument,
                                             const RunCase &run,
                                             const InputOptions &options) {
  int64_t tokens = run.tokens;
  if (auto file = options.files.find(argument.name);
      file != options.files.end())
    return readArgument(argument, tokens, file->second);
  if (argument.role == ArgumentRole::TopkIds && spec.topk > 0)
    return makeIds(spec, argument, run, options);

  SmallVector<int64_t, 4> shape = argument.getShape(tokens);
  Expected<HostTensor> tensor =
      HostTensor::createUninitialized(argument.type, shape);
  if (!tensor)
    return tensor.takeError();
  if (argument.role == ArgumentRole::Output) {
    std::memset(tensor->getData(), 0xFF, tensor->getByteSize());
    return tensor;
  }
  if (argument.role == ArgumentRole::TopkWeights && shape.size() == 2) {
    std::vector<float> weights =
        makeRouterWeights(shape[0], shape[1], options.seed);
    return HostTensor::fromFloats(argument.type, shape, weights);
  }
  if (argument.role == ArgumentRole::ExpertMap) {
    // This rank holds the first experts.
    std::vector<float> map(tensor->getNumElements());
    for (auto [i, local] : llvm::enumerate(map))
      local = static_cast<int64_t>(i) < spec.experts ? static_cast<float>(i)
                                                     : -1.0f;
    return HostTensor::fromFloats(argument.type, shape, map);
  }
  if (Error error = fillRandom(
          *tensor, RandomStream::forName(options.seed, argument.name),
          getDistribution(spec, argument), options.threads))
    return std::move(error);
  return tensor;
}

static Error checkFinite(const ArgumentSpec &argument,
                         const HostTensor &tensor) {
  std::vector<float> values = tensor.toFloats();
  for (auto [i, value] : llvm::enumerate(values)) {
    if (std::isfinite(value))
      continue;
    SmallVector<int64_t, 4> index(tensor.getRank());
    int64_t rest = static_cast<int64_t>(i);
    for (int64_t d = tensor.getRank() - 1; d >= 0; --d) {
      index[d] = rest % tensor.getDim(d);
      rest /= tensor.getDim(d);
    }
    return llvm::createStringError(
        llvm::formatv("argument '{0}': the scale at {1} is {2}; scales must be "
                      "finite",
                      argument.name, formatShape(index), value));
  }
  return Error::success();
}

static Error checkMap(const LayerSpec &spec, const HostTensor &tensor) {
  std::vector<float> map = tensor.toFloats();
  for (auto [i, local] : llvm::enumerate(map))
    if (!(local >= -1 && local < static_cast<float>(spec.experts)))
      return llvm::createStringError(
          llvm::formatv("expert map: entry {0} is {1}, not in [-1, {2})", i,
                        static_cast<int64_t>(local), spec.experts));
  return Error::success();
}

Error mlir::moe::checkInputs(const LayerSpec &spec,
                             ArrayRef<HostTensor> tensors) {
  for (auto [argument, tensor] : llvm::zip_equal(spec.arguments, tensors)) {
    if (argument.role == ArgumentRole::TopkIds && spec.globalExperts > 0) {
      Expected<TopkIds> ids =
          topkIdsFromTensor(tensor, spec.globalExperts, argument.name);
      if (!ids)
        return ids.takeError();
    }
    if (argument.role == ArgumentRole::Scale ||
        argument.role == ArgumentRole::Global)
      if (Error error = checkFinite(argument, tensor))
        return error;
    if (argument.role == ArgumentRole::ExpertMap)
      if (Error error = checkMap(spec, tensor))
        return error;
  }
  return Error::success();
}

std::vector<int64_t> mlir::moe::countExpertRows(const LayerSpec &spec,
                                                ArrayRef<HostTensor> tensors) {
  std::vector<int64_t> rows(spec.experts);
  const HostTensor *ids = nullptr, *map = nullptr;
  for (auto [argument, tensor] : llvm::zip_equal(spec.arguments, tensors)) {
    if (argument.role == ArgumentRole::TopkIds)
      ids = &tensor;
    if (argument.role == ArgumentRole::ExpertMap)
      map = &tensor;
  }
  if (!ids || ids->getType() != ElementType::I32)
    return rows;
  for (int32_t id : ids->getAs<int32_t>()) {
    if (map && id >= 0 && map->getType() == ElementType::I32)
      id = map->getAs<int32_t>()[id];
    if (id >= 0 && id < spec.experts)
      ++rows[id];
  }
  return rows;
}

uint64_t mlir::moe::countTouchedWeightBytes(const LayerSpec &spec,
                                            ArrayRef<HostTensor> tensors) {
  if (spec.experts == 0)
    return 0;
  std::vector<int64_t> rows = countExpertRows(spec, tensors);
  uint64_t hit = rows.size() - llvm::count(rows, 0);
  uint64_t bytes = 0;
  for (auto [argument, tensor] : llvm::zip_equal(spec.arguments, tensors)) {
    switch (argument.role) {
    case ArgumentRole::Weight:
    case ArgumentRole::Scale:
    case ArgumentRole::ZeroPoint:
    case ArgumentRole::Bias:
      bytes += StringRef(argument.name).starts_with("shared")
                   ? tensor.getByteSize()
                   : tensor.getByteSize() / spec.experts * hit;
      break;
    default:
      break;
    }
  }
  return bytes;
}

double mlir::moe::countFlops(const LayerSpec &spec,
                             ArrayRef<HostTensor> tensors) {
  int64_t rows = 0, tokens = 0;
  for (int64_t count : countExpertRows(spec, tensors))
    rows += count;
  double flops = 0;
  for (auto [argument, tensor] : llvm::zip_equal(spec.arguments, tensors)) {
    if (argument.role == ArgumentRole::Activation && tensor.getRank() == 2)
      tokens = tensor.getDim(0);
    if (argument.role != ArgumentRole::Weight)
      continue;
    bool shared = StringRef(argument.name).starts_with("shared");
    double perRow = 2.0 * static_cast<double>(argument.reduction);
    if (argument.shape.size() >= 2)
      perRow *= static_cast<double>(argument.shape[argument.shape.size() - 2]);
    flops += perRow * static_cast<double>(shared ? tokens : rows);
  }
  return flops;
}
