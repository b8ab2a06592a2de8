//===- Emulate.h - A layer's GPU kernels on an emulated device --*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_EMULATE_H
#define MOEC_DRIVER_EMULATE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moec/Driver/LayerSpec.h"
#include "moec/Driver/RunOptions.h"
#include "moec/Support/HostTensor.h"

namespace mlir::moe {

/// What an emulated run gave.
struct EmulatedRun {
  /// In the order of the specification's results.
  SmallVector<HostTensor> outputs;
  /// One sentence for each thing that no GPU may do, place included.
  std::vector<std::string> findings;
  uint64_t workspaceBytes = 0;
  uint64_t instructions = 0;
  /// Of the run alone, without compilation.
  double seconds = 0;
};

/// The target of the emulated device: that of the options or, if they name
/// none, the GPU for which the artifact with the text `manifest` has code. Of
/// several that is sm_90a, also for an empty text and an artifact without code
/// for GPUs. Errors: several others; a target that cannot be emulated.
llvm::Expected<std::string> chooseEmulatedTarget(const RunOptions &options,
                                                 llvm::StringRef manifest);

/// Compiles the layer `function` for the GPU `target` and `tokens`, and runs
/// its launches on an emulated device as the run time would on a real one.
/// `inputs`: one per argument of the specification. Outputs and workspace are
/// poisoned. Errors: a layer that does not compile (diagnostics say why), an
/// operation without an emulation, a launch that no device takes. What the
/// detectors find is no error here.
llvm::Expected<EmulatedRun> emulate(func::FuncOp function,
                                    const LayerSpec &spec,
                                    llvm::ArrayRef<HostTensor> inputs,
                                    int64_t tokens, llvm::StringRef target,
                                    const RunOptions &options);

} // namespace mlir::moe

#endif // MOEC_DRIVER_EMULATE_H
