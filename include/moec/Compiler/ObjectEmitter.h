//===- ObjectEmitter.h - LLVM dialect to machine code -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels in the LLVM dialect become a relocatable object and a shared object.
// Both the artifact and the just-in-time compiler use the same bytes, so what
// they compute is equal to the last bit.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_OBJECTEMITTER_H
#define MOEC_COMPILER_OBJECTEMITTER_H

#include "mlir/IR/BuiltinOps.h"
#include "moec/Compiler/CpuIsa.h"

namespace mlir::moe {

/// Where the time of an emission went, in seconds.
struct EmitTimes {
  double translate = 0;
  double optimize = 0;
  double generate = 0;
};

/// Prepares a context for emission: registers the translations of the LLVM,
/// NVVM, ROCDL and builtin dialects. Must not be called while the context is in
/// use by several threads.
void registerEmission(MLIRContext &context);

/// Translates a module of the LLVM dialect to LLVM IR, optimises it for `isa`
/// (O3) and returns an ELF relocatable object. `kernels` stay visible, all
/// other definitions become internal and vanish where they are not used; every
/// kernel must be defined in the module. The module is not changed. Each
/// undefined symbol of the object is one of `isRuntimeSymbol`.
///
/// Errors are diagnostics at the module's location: untranslatable operations,
/// a missing kernel, undefined symbols, whatever LLVM refuses. Threads may emit
/// different modules of one context at the same time.
FailureOr<std::string> emitObject(ModuleOp module, const CpuIsa &isa,
                                  ArrayRef<std::string> kernels,
                                  EmitTimes *times = nullptr);

/// As emitObject, but the optimised LLVM IR as text.
FailureOr<std::string> emitLLVMText(ModuleOp module, const CpuIsa &isa,
                                    ArrayRef<std::string> kernels);

/// As emitObject, but assembly text.
FailureOr<std::string> emitAssembly(ModuleOp module, const CpuIsa &isa,
                                    ArrayRef<std::string> kernels);

/// True for the functions that a kernel may import: the mathematical functions
/// of libm, and memcpy, memmove, memset and memcmp of libc.
bool isRuntimeSymbol(StringRef name);

/// Links an object of emitObject into a shared object without a name of its
/// own. No file of the system takes part, so the result is the same on every
/// machine; libm.so.6 is recorded as needed if it is. Thread-safe.
FailureOr<std::string> linkSharedObject(Location location, StringRef object);

} // namespace mlir::moe

#endif // MOEC_COMPILER_OBJECTEMITTER_H
