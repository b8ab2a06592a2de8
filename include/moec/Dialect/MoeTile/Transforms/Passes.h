//===- Passes.h - Passes on the tile program --------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Passes that work on moe_tile alone.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_TRANSFORMS_PASSES_H
#define MOEC_DIALECT_MOETILE_TRANSFORMS_PASSES_H

#include "mlir/Pass/Pass.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"

namespace mlir::moe::tile {

#define GEN_PASS_DECL
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"

} // namespace mlir::moe::tile

#endif // MOEC_DIALECT_MOETILE_TRANSFORMS_PASSES_H
