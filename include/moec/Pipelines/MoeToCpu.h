//===- MoeToCpu.h - From moe to the LLVM dialect for CPUs -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The way of a layer to CPU kernels, in three parts. A driver looks at the
// module between them: at the configs after the first, at the plan after the
// second.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_PIPELINES_MOETOCPU_H
#define MOEC_PIPELINES_MOETOCPU_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::moe {

/// Options of `moe-to-cpu`.
struct MoeToCpuOptions : PassPipelineOptions<MoeToCpuOptions> {
  Option<std::string> isa{
      *this, "isa", llvm::cl::init("avx2"),
      llvm::cl::desc("Instruction set: x86-64, avx2, avx512 or avx512bf16")};
  Option<int64_t> tokens{
      *this, "tokens", llvm::cl::init(16),
      llvm::cl::desc("Token count that tile sizes are chosen for")};
};

/// Decomposes layers, fuses, places scales and chooses formulations. All
/// decisions, here and below, are attributes; those that are there stay. With
/// `gpuTokens` packed weights are scaled as GPUs do for so many tokens: where
/// they are decoded or, for few, in the sums (0: as for many).
void buildFusePipeline(OpPassManager &passes,
                       std::optional<int64_t> gpuTokens = std::nullopt);

/// Chooses tile sizes.
void buildSelectPipeline(OpPassManager &passes, const MoeToCpuOptions &options);

/// Both, one after the other.
void buildDecidePipeline(OpPassManager &passes, const MoeToCpuOptions &options);

/// Turns the moe operations of each function into tile kernels and a plan.
void buildTilePipeline(OpPassManager &passes);

/// Turns sequential tile kernels into functions of the LLVM dialect with the
/// run time's kernel signature. Plans are dropped: read them before.
void buildTileToCpuPipeline(OpPassManager &passes,
                            const MoeToCpuOptions &options);

/// The three parts, one after the other: `moe-to-cpu`.
void buildMoeToCpuPipeline(OpPassManager &passes,
                           const MoeToCpuOptions &options);

/// Registers `moe-to-cpu` and `moe-drop-plans`.
void registerMoeToCpu();

} // namespace mlir::moe

#endif // MOEC_PIPELINES_MOETOCPU_H
