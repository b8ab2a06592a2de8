//===- MoeToROCDL.h - From moe to ROCDL kernels --------------- -*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The pipeline `moe-to-rocdl`, in parts: a compiler looks at the module between
// them, as with `moe-to-nvvm`.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_PIPELINES_MOETOROCDL_H
#define MOEC_PIPELINES_MOETOROCDL_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::moe {

/// Options of `moe-to-rocdl`.
struct MoeToROCDLOptions : PassPipelineOptions<MoeToROCDLOptions> {
  Option<std::string> chip{
      *this, "chip", llvm::cl::init("gfx942"),
      llvm::cl::desc("Chip: gfx942, gfx950, gfx1100, gfx1151 or gfx1201")};
  Option<int64_t> tokens{
      *this, "tokens", llvm::cl::init(1024),
      llvm::cl::desc("Token count that tile sizes are chosen for")};
};

/// Chooses tile sizes and mapping for `options.chip`; what is there stays.
void buildROCDLSelectPipeline(OpPassManager &passes,
                              const MoeToROCDLOptions &options);

/// Turns moe operations with configurations into explicit tile kernels and a
/// plan.
void buildROCDLTilePipeline(OpPassManager &passes,
                            const MoeToROCDLOptions &options);

/// Turns tile kernels into functions of llvm, rocdl and amdgpu ops, each with
/// the attribute `moe.launch`. The plan stays.
void buildTileToROCDLPipeline(OpPassManager &passes,
                              const MoeToROCDLOptions &options);

/// Fusing and all of the above: `moe-to-rocdl`.
void buildMoeToROCDLPipeline(OpPassManager &passes,
                             const MoeToROCDLOptions &options);

/// Registers `moe-to-rocdl`.
void registerMoeToROCDL();

} // namespace mlir::moe

#endif // MOEC_PIPELINES_MOETOROCDL_H
