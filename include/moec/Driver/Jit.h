//===- Jit.h - From a function to kernels in this process -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_JIT_H
#define MOEC_DRIVER_JIT_H

#include "moec/Compiler/Compile.h"
#include "moec/Driver/Runner.h"

namespace mlir::moe {

/// A module with `function` and what is no function: the compiler takes one
/// layer at a time.
OwningOpRef<ModuleOp> isolate(func::FuncOp function);

/// What opens a layer that was compiled without linking, as often as wanted.
/// Errors of the linker are diagnostics at `location`.
LayerOpener openInMemory(Location location, CompiledLayer compiled);

/// Compiles the layer `function` for this machine and returns what opens it.
/// isa: the highest instruction set to use, empty: all there is. tokens: the
/// counts to optimise for, empty: the compiler's default. Errors of the
/// compiler are diagnostics at the function.
llvm::Expected<LayerOpener> compileInMemory(func::FuncOp function,
                                            std::string isa,
                                            llvm::ArrayRef<int64_t> tokens);

} // namespace mlir::moe

#endif // MOEC_DRIVER_JIT_H
