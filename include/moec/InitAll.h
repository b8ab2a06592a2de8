//===- InitAll.h - Register everything of moec ------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What an embedder calls to get all dialects, extensions, passes and pipelines.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_INITALL_H
#define MOEC_INITALL_H

#include "mlir/IR/DialectRegistry.h"

namespace mlir::moe {

/// Adds the moec dialects, their interface implementations for upstream
/// dialects, and the upstream dialects that moec pipelines produce.
void registerAllDialects(DialectRegistry &registry);

/// Registers every moec pass and pipeline with the global pass registry.
void registerAllPasses();

} // namespace mlir::moe

#endif // MOEC_INITALL_H
