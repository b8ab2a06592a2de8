//===- NvvmToLLVM.h - From NVVM kernels to the LLVM dialect -----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_PIPELINES_NVVMTOLLVM_H
#define MOEC_PIPELINES_NVVMTOLLVM_H

#include "mlir/Pass/PassManager.h"

namespace mlir::moe {

/// Lowers a builtin.module whose kernels are `llvm.func` made of nvvm, moe_nv,
/// arith, math, scf, cf, vector, index and ub operations to what LLVM's NVPTX
/// back end can translate: the LLVM dialect and NVVM operations that are
/// intrinsics. Functions of math become instructions or polynomials in f32;
/// nothing is called. Operations of other dialects stay, and are refused by
/// emitPtx.
void buildNvvmToLLVMPipeline(OpPassManager &passes);

/// `moe-nvvm-math`: functions of math become instructions that GPUs have, and
/// polynomials in f32. For any GPU.
std::unique_ptr<Pass> createGpuMathPass();

/// Registers `moe-nvvm-to-llvm` and `moe-nvvm-math`.
void registerNvvmToLLVM();

} // namespace mlir::moe

#endif // MOEC_PIPELINES_NVVMTOLLVM_H
