//===- AmdgcnEmitter.h - LLVM and ROCDL dialects to objects -----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_AMDGCNEMITTER_H
#define MOEC_COMPILER_AMDGCNEMITTER_H

#include "moec/Compiler/ObjectEmitter.h"
#include "moec/Target/AmdChip.h"

#include <map>

namespace mlir::moe {

/// How many waves of a kernel one SIMD has at a time, by the kernel's name.
using WavesPerSimd = std::map<std::string, int64_t>;

/// Translates a module of the LLVM and ROCDL dialects to LLVM IR, optimises it
/// (O3) and returns a relocatable object for linkHsaco. `kernels` are the entry
/// points: each must be an `llvm.func` with `rocdl.kernel`. One with
/// `moe.launch` is compiled for blocks of that size alone. All else becomes
/// internal and vanishes where it is not used. Equal modules give equal
/// objects. The module is not changed; the context must have been given to
/// registerEmission. `waves` gets what the back end says of each kernel, with
/// static LDS.
///
/// Errors are diagnostics, at the operation where that is known: everything of
/// checkAmdgcnLegal, a missing kernel, more LDS than the chip has, whatever
/// LLVM refuses. Threads may emit different modules of one context at the same
/// time.
FailureOr<std::string> emitAmdgcnObject(ModuleOp module, const AmdChip &chip,
                                        ArrayRef<std::string> kernels,
                                        EmitTimes *times = nullptr,
                                        WavesPerSimd *waves = nullptr);

/// As emitAmdgcnObject, but the optimised LLVM IR as text.
FailureOr<std::string> emitAmdgcnLLVMText(ModuleOp module, const AmdChip &chip,
                                          ArrayRef<std::string> kernels);

/// As emitAmdgcnObject, but assembly text.
FailureOr<std::string> emitAmdgcnAssembly(ModuleOp module, const AmdChip &chip,
                                          ArrayRef<std::string> kernels);

/// Refuses, at the operation and with the rule, what LLVM's AMDGPU back end
/// would end the process on: operations of other dialects, functions that there
/// is no code for (tanh, erf, ...), calls that leave the module, instructions
/// that the chip does not have.
LogicalResult checkAmdgcnLegal(ModuleOp module, const AmdChip &chip);

} // namespace mlir::moe

#endif // MOEC_COMPILER_AMDGCNEMITTER_H
