//===- LowerToLLVM.h - From vectors and loops to LLVM -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_PIPELINES_LOWERTOLLVM_H
#define MOEC_PIPELINES_LOWERTOLLVM_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::moe {

/// Options of `moe-lower-to-llvm`.
struct LowerToLLVMOptions : PassPipelineOptions<LowerToLLVMOptions> {
  Option<std::string> isa{
      *this, "isa", llvm::cl::init("avx2"),
      llvm::cl::desc("Instruction set: x86-64, avx2, avx512 or avx512bf16")};
};

/// Lowers `func.func` made of arith, math, scf, memref, vector, x86vector,
/// affine and ub operations to the LLVM dialect. Exponentials and the like
/// become polynomials in f32; bf16 roundings become integer arithmetic where
/// the instruction set has none. Other operations of the module stay.
void buildLowerToLLVMPipeline(OpPassManager &passes,
                              const LowerToLLVMOptions &options);

/// Registers `moe-lower-to-llvm` and `moe-approximate-math`.
void registerLowerToLLVM();

} // namespace mlir::moe

#endif // MOEC_PIPELINES_LOWERTOLLVM_H
