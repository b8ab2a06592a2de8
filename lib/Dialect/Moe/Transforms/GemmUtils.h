//===- GemmUtils.h - Taking grouped GEMMs apart -----------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A grouped GEMM as plain data that a pass may change, and its epilogue region
// as named arguments instead of positions.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_DIALECT_MOE_TRANSFORMS_GEMMUTILS_H
#define MOEC_LIB_DIALECT_MOE_TRANSFORMS_GEMMUTILS_H

#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe {

/// Arguments of an epilogue region by kind. A col operand has two values (gate,
/// up) where it spans both, else one.
struct EpilogueArgs {
  SmallVector<Value> acc, row, expert, elt;
  SmallVector<SmallVector<Value>> col;
  /// In the order of the region's block arguments.
  SmallVector<Value> flat() const;
};

/// Operands and attributes of a `moe.grouped_gemm`. Result types follow from
/// `outs`.
struct GemmParts {
  Value a, aScale, aSums, b, bScale, bZero, routing;
  SmallVector<Value> row, col, expert, elt, outs;
  RowSource rows = RowSource::Gather;
  RowLayout aLayout = RowLayout::Token, out = RowLayout::FlatTopk;
  GateUpAttr gateUp;
  QuantAttr aQuant, bQuant, quantize;
  ScalePlanAttr scales;
  FormulationAttr formulation;
  ArrayAttr config;
  /// Attributes that the op does not define.
  DictionaryAttr discardable;

  GemmParts() = default;
  /// The parts of `gemm`.
  explicit GemmParts(GroupedGemmOp gemm);

  /// Builds the op; `body` gets the region's arguments and returns the value
  /// that the region yields.
  GroupedGemmOp
  create(OpBuilder &builder, Location loc,
         function_ref<Value(OpBuilder &, const EpilogueArgs &)> body) const;
};

/// Names the block arguments `args` of the epilogue of `gemm`.
EpilogueArgs splitEpilogueArgs(GroupedGemmOp gemm, ValueRange args);

/// Clones the body of `block` (an epilogue or activation region), its arguments
/// replaced by `args`, and returns the value that it yields.
Value cloneScalarBody(OpBuilder &builder, Block &block, ValueRange args);

/// An uninitialised tensor `[sizes...]` of `element`.
Value createEmpty(OpBuilder &builder, Location loc,
                  ArrayRef<OpFoldResult> sizes, Type element);

/// The inits (values, scales) of quantising `[rows, cols]` by `quant`, whose
/// granule has one row. `cols` fills whole stored elements.
SmallVector<Value> createQuantInits(OpBuilder &builder, Location loc,
                                    OpFoldResult rows, int64_t cols,
                                    QuantAttr quant);

/// Product of an extent and a constant, folded if the extent is static.
OpFoldResult mulExtent(OpBuilder &builder, Location loc, OpFoldResult extent,
                       int64_t factor);

/// Erases every `tensor.empty` below `root` that nobody reads, and what was
/// computed for it alone: what rebuilding a GEMM leaves behind.
void eraseDeadInits(Operation *root, RewriterBase &rewriter);

} // namespace mlir::moe

#endif // MOEC_LIB_DIALECT_MOE_TRANSFORMS_GEMMUTILS_H
