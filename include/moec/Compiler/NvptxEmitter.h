//===- NvptxEmitter.h - LLVM and NVVM dialects to PTX -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_NVPTXEMITTER_H
#define MOEC_COMPILER_NVPTXEMITTER_H

#include "moec/Compiler/NvidiaChip.h"
#include "moec/Compiler/ObjectEmitter.h"

namespace mlir::moe {

/// Translates a module of the LLVM and NVVM dialects, which
/// buildNvvmToLLVMPipeline makes, to LLVM IR, optimises it (O3) and returns
/// PTX text. `kernels` are the entry points: each must be an `llvm.func` with
/// `nvvm.kernel` and a name that PTX takes as it is. All else becomes internal
/// and vanishes where it is not used. Equal modules give equal texts. The
/// module is not changed; the context must have been given to registerEmission.
///
/// Errors are diagnostics, at the operation where that is known: everything of
/// checkNvptxLegal, a missing kernel, whatever LLVM refuses. Threads may emit
/// different modules of one context at the same time.
FailureOr<std::string> emitPtx(ModuleOp module, const NvidiaChip &chip,
                               ArrayRef<std::string> kernels,
                               EmitTimes *times = nullptr);

/// As emitPtx, but the optimised LLVM IR as text.
FailureOr<std::string> emitNvptxLLVMText(ModuleOp module,
                                         const NvidiaChip &chip,
                                         ArrayRef<std::string> kernels);

/// Refuses, at the operation, what LLVM's NVPTX back end would abort on or
/// silently get wrong: operations of other dialects, intrinsics and functions
/// that it has no instructions for (exp, tanh, ...), calls that leave the
/// module, atomic operations with an order, of which it keeps only the
/// atomicity.
LogicalResult checkNvptxLegal(ModuleOp module);

} // namespace mlir::moe

#endif // MOEC_COMPILER_NVPTXEMITTER_H
