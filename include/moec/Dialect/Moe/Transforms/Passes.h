//===- Passes.h - Passes on the moe dialect ---------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Passes that work on the moe dialect alone. Their normal order: decompose
// layer, fuse epilogue, fold scales, choose formulation, select config.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_TRANSFORMS_PASSES_H
#define MOEC_DIALECT_MOE_TRANSFORMS_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe {

/// Who sums the slots of a token: `moe.combine` over rows, or the GEMM itself.
enum class ReduceMode { Rows, Token };

/// Where zero points are subtracted: by rule, on load, by row sums where legal.
enum class ZeroChoice { Auto, Element, RowSum };

/// Formulation of a layer: by rule, only the chosen experts, all experts, left
/// to moe-select-config.
enum class FormulationChoice { Auto, Grouped, Dense, Open };

/// A dictionary on the module by which a driver tells moe-select-config what
/// holds for all targets: "device", "routing" and "fix" as its options, and
/// "batch_invariant", "deterministic" and "predict". A device of another target
/// does not count there.
StringRef getSelectionAttrName();

/// The token count by which a choice for all token counts is made.
int64_t getBatchInvariantTokens();
/// Whether the driver asks for such a choice.
bool isBatchInvariant(ModuleOp module);

/// On a grouped GEMM, where moe-select-config is asked to `predict`: an array
/// of f64, microseconds by each configuration of its list.
StringRef getPredictionAttrName();
/// Beside it on the first GEMM of a routing: f64, microseconds of launches,
/// sorting, quantising and combining around all GEMMs of the routing.
StringRef getFramePredictionAttrName();

#define GEN_PASS_DECL
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"

} // namespace mlir::moe

#endif // MOEC_DIALECT_MOE_TRANSFORMS_PASSES_H
