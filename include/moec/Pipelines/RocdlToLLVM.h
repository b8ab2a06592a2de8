//===- RocdlToLLVM.h - From ROCDL kernels to the LLVM dialect - -*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The last MLIR step before LLVM IR: what `moe-to-rocdl` leaves becomes the
// LLVM and ROCDL dialects. Nothing that is left calls a device library.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_PIPELINES_ROCDLTOLLVM_H
#define MOEC_PIPELINES_ROCDLTOLLVM_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::moe {

/// Options of `moe-rocdl-to-llvm`.
struct RocdlToLLVMOptions : PassPipelineOptions<RocdlToLLVMOptions> {
  Option<std::string> chip{
      *this, "chip", llvm::cl::init("gfx942"),
      llvm::cl::desc("Chip whose instructions amdgpu ops become")};
};

/// Appends the passes to `passes`, which run on a module.
void buildRocdlToLLVMPipeline(OpPassManager &passes,
                              const RocdlToLLVMOptions &options);

/// Registers `moe-rocdl-to-llvm`.
void registerRocdlToLLVM();

} // namespace mlir::moe

#endif // MOEC_PIPELINES_ROCDLTOLLVM_H
