//===- Inputs.h - Tensors that a layer is run on --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_INPUTS_H
#define MOEC_DRIVER_INPUTS_H

#include "moec/Driver/LayerSpec.h"
#include "moec/Routing/Routing.h"
#include "llvm/ADT/StringMap.h"

#include <map>

namespace mlir::moe {

/// One run of a layer.
struct RunCase {
  int64_t tokens = 0;
  /// Recorded expert ids; empty: those of the archetype.
  std::string idsFile;
};

/// Where the tensors come from.
struct InputOptions {
  uint64_t seed = 0;
  RoutingArchetype routing = RoutingArchetype::Balanced;
  /// Files by argument name: .npy, or .safetensors that holds an entry of that
  /// name. A tensor from a file must have the argument's type and shape.
  llvm::StringMap<std::string> files;
  /// A Hugging Face checkpoint that the weights come from, and which of its
  /// decoder layers; negative: the first that has experts.
  std::string checkpoint;
  int64_t layer = -1;
  /// Threads that fill tensors; 0: as many as the machine has.
  unsigned threads = 0;
};

/// Makes or reads the tensor of one argument for one run. Random data
/// are a function of (seed, name of the argument, index) and valid for their
/// role: weights have the variance 1 / K, codes and scales are drawn directly
/// so that their products have it too. Outputs are poisoned: every byte 0xFF,
/// which is NaN in all float types that have one.
llvm::Expected<HostTensor> makeArgument(const LayerSpec &spec,
                                        const ArgumentSpec &argument,
                                        const RunCase &run,
                                        const InputOptions &options);

/// Reads the weights, scales, zero points and biases of `spec` from
/// `options.checkpoint`, by argument. Errors, beside those of
/// readExpertWeights: a tensor that the layer has and the checkpoint does not,
/// the other way round, or of another type or shape.
llvm::Expected<std::map<std::string, HostTensor>>
readCheckpointInputs(const LayerSpec &spec, const InputOptions &options);

/// Refuses what a layer has no meaning for: ids outside [-1, experts), naming
/// token and slot, map entries outside [-1, local experts), and scales that are
/// NaN or infinite. `tensors` has one tensor per argument of `spec`.
llvm::Error checkInputs(const LayerSpec &spec,
                        llvm::ArrayRef<HostTensor> tensors);

/// How often each expert of this rank is chosen by `tensors`; experts with a
/// count of zero are those whose weights a run need not read.
std::vector<int64_t> countExpertRows(const LayerSpec &spec,
                                     llvm::ArrayRef<HostTensor> tensors);

/// Bytes of all weights, scales and zero points of the experts that are hit.
uint64_t countTouchedWeightBytes(const LayerSpec &spec,
                                 llvm::ArrayRef<HostTensor> tensors);

/// Multiplications and additions of both projections, two per product.
double countFlops(const LayerSpec &spec, llvm::ArrayRef<HostTensor> tensors);

} // namespace mlir::moe

#endif // MOEC_DRIVER_INPUTS_H
