//===- Runner.h - Running the compiled kernels of a layer -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_RUNNER_H
#define MOEC_DRIVER_RUNNER_H

#include "moec/Driver/LayerSpec.h"
#include "moec/Driver/Machine.h"
#include <functional>

namespace mlir::moe {

/// An open layer together with whatever keeps its code alive.
using LayerHandle = std::shared_ptr<const moec_layer>;

struct PoolDeleter {
  void operator()(moec_pool *pool) const { moec_pool_destroy(pool); }
};
using PoolHandle = std::unique_ptr<moec_pool, PoolDeleter>;

/// Opens the layer (function = null) or one of its further functions.
using LayerOpener =
    std::function<llvm::Expected<LayerHandle>(const char *function)>;

/// Opens an artifact directory. isa: the highest instruction set to use, empty:
/// all that this machine has.
LayerOpener openArtifact(std::string directory, std::string isa);

/// A pool of `workers` threads, 0: one per CPU.
llvm::Expected<PoolHandle> createPool(int workers);

/// The specification that a manifest alone gives: names, types and shapes, and
/// roles by the usual names ("topk_ids", "w1", "w1_scale", ...).
llvm::Expected<LayerSpec> readLayerSpec(const moec_layer &layer);

/// Runs one layer: binds the tensors of a specification to the arguments of
/// the manifest, and owns outputs and workspace, poisoned and guarded.
class LayerRunner {
public:
  /// Arguments are bound by name, or by position where the names are others;
  /// outputs belong to the specification's results in order. `pool` must
  /// outlive the runner; null: one thread.
  static llvm::Expected<LayerRunner>
  create(LayerOpener opener, const LayerSpec &spec, moec_pool *pool);

  /// Gets ready to run on `inputs` (one per argument of the specification, to
  /// be kept until the next call) with `tokens` tokens; runs the packing
  /// functions that arguments name when the weights are new (`repack`).
  llvm::Error prepare(llvm::ArrayRef<HostTensor> inputs, int64_t tokens,
                      bool repack);
  /// Poisons outputs and workspace, as for a first run.
  void poison();
  /// Runs once; returns seconds, from call to return.
  llvm::Expected<double> run();
  /// Fails if something beside the outputs and the workspace was written.
  llvm::Error checkGuards() const;
  /// Copies of the outputs, in the order of the specification's results.
  llvm::Expected<SmallVector<HostTensor>> getOutputs() const;

  uint64_t getWorkspaceBytes() const { return workspaceBytes; }
  /// "cpu avx512bf16" of the variant that a run takes.
  std::string getVariantName() const;
  const moec_layer &getLayer() const { return *layer; }

private:
  /// Where the tensor of a manifest's argument comes from.
  struct Binding {
    enum Kind : uint8_t { Input, Output, Packed, Absent } kind;
    unsigned index;
  };
  /// An argument that a function of the artifact makes from others.
  struct PackedArgument {
    unsigned argument;
    std::string function;
  };

  llvm::Error bind(const LayerSpec &spec);
  llvm::Error bindArgument(const LayerSpec &spec, int index, StringRef packedBy,
                           unsigned &inputs, unsigned &outputs,
                           bool positional);
  llvm::Error pack(llvm::ArrayRef<HostTensor> inputs);

  LayerOpener opener;
  LayerHandle layer;
  moec_pool *pool = nullptr;
  std::vector<std::string> inputNames;
  SmallVector<Binding> bindings;
  SmallVector<PackedArgument> packed;
  std::vector<HostTensor> packedTensors;
  std::vector<GuardedBuffer> outputs;
  std::optional<GuardedBuffer> workspace;
  uint64_t workspaceBytes = 0;
  int64_t tokens = 0;
  std::vector<moec_tensor> tensors;
  std::vector<SmallVector<int64_t, 4>> shapes;
  std::vector<unsigned> outputArguments;
};

} // namespace mlir::moe

#endif // MOEC_DRIVER_RUNNER_H
