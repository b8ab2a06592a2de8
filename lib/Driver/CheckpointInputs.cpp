//===- CheckpointInputs.cpp - Weights from a checkpoint -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Inputs.h"

#include "moec/Frontend/Checkpoint.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Expected;

/// Whether an argument is one that a checkpoint has.
static bool isWeight(const ArgumentSpec &argument) {
  switch (argument.role) {
  case ArgumentRole::Weight:
  case ArgumentRole::Scale:
  case ArgumentRole::ZeroPoint:
  case ArgumentRole::Global:
  case ArgumentRole::Bias:
    return true;
  default:
    return false;
  }
}

Expected<std::map<std::string, HostTensor>>
mlir::moe::readCheckpointInputs(const LayerSpec &spec,
                                const InputOptions &options) {
  // A layer says how its weights are stored, which config.json may not.
  Expected<Dtype> dtype = parseDtype(spec.dtype);
  if (!dtype)
    return dtype.takeError();
  auto config = readCheckpointConfig(options.checkpoint, *dtype);
  if (!config)
    return config.takeError();
  Expected<Checkpoint> checkpoint = Checkpoint::open(options.checkpoint);
  if (!checkpoint)
    return checkpoint.takeError();
  std::optional<int64_t> number;
  if (options.layer >= 0)
    number = options.layer;
  Expected<ExpertWeights> weights =
      readExpertWeights(*checkpoint, config->first, number, config->second);
  if (!weights)
    return weights.takeError();
  for (const ArgumentSpec &argument : spec.arguments) {
    if (!isWeight(argument))
      continue;
    auto found = weights->tensors.find(argument.name);
    if (found == weights->tensors.end())
      return llvm::createStringError(
          llvm::formatv("{0}: has nothing for argument '{1}' of '{2}'",
                        options.checkpoint, argument.name, spec.name));
    const HostTensor &tensor = found->second;
    if (tensor.getType() != argument.type ||
        tensor.getShape() != ArrayRef<int64_t>(argument.shape))
      return llvm::createStringError(llvm::formatv(
          "{0}: argument '{1}' is {2} there, '{3}' needs {4}{5}",
          options.checkpoint, argument.name, tensor.describe(), spec.name,
          getElementTypeName(argument.type), formatShape(argument.shape)));
  }
  for (const auto &[name, tensor] : weights->tensors)
    if (const ArgumentSpec *argument = spec.find(name);
        !argument || !isWeight(*argument))
      return llvm::createStringError(
          llvm::formatv("{0}: has '{1}', which '{2}' does not take",
                        options.checkpoint, name, spec.name));
  return std::move(weights->tensors);
}
