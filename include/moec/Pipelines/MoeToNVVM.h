//===- MoeToNVVM.h - From moe to NVVM kernels -------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The pipeline `moe-to-nvvm`, in parts: a compiler looks at the module between
// them, as with `moe-to-cpu`.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_PIPELINES_MOETONVVM_H
#define MOEC_PIPELINES_MOETONVVM_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::moe {

/// Options of `moe-to-nvvm`.
struct MoeToNVVMOptions : PassPipelineOptions<MoeToNVVMOptions> {
  Option<std::string> chip{*this, "chip", llvm::cl::init("sm_90a"),
                           llvm::cl::desc("Chip: sm_90a")};
  Option<int64_t> tokens{
      *this, "tokens", llvm::cl::init(1024),
      llvm::cl::desc("Token count that tile sizes are chosen for")};
  Option<bool> pdl{
      *this, "pdl", llvm::cl::init(true),
      llvm::cl::desc("Launch each kernel before the one before it has ended")};
};

/// Chooses tile sizes and mapping for `options.chip`; what is there stays.
void buildNVVMSelectPipeline(OpPassManager &passes,
                             const MoeToNVVMOptions &options);

/// Turns moe operations with configurations into explicit tile kernels and a
/// plan.
void buildNVVMTilePipeline(OpPassManager &passes,
                           const MoeToNVVMOptions &options);

/// Turns tile kernels into functions of llvm, nvvm and moe_nv ops, each with
/// the attribute `moe.launch`. The plan stays.
void buildTileToNVVMPipeline(OpPassManager &passes,
                             const MoeToNVVMOptions &options);

/// Fusing and all of the above: `moe-to-nvvm`.
void buildMoeToNVVMPipeline(OpPassManager &passes,
                            const MoeToNVVMOptions &options);

/// Registers `moe-to-nvvm`.
void registerMoeToNVVM();

} // namespace mlir::moe

#endif // MOEC_PIPELINES_MOETONVVM_H
