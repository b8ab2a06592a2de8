//===- MoeDialect.h - The moe dialect ---------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The moe dialect: types, attributes, operations.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_IR_MOEDIALECT_H
#define MOEC_DIALECT_MOE_IR_MOEDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "moec/Dialect/Moe/IR/MoeDialect.h.inc"
#include "moec/Dialect/Moe/IR/MoeEnums.h.inc"

#define GET_TYPEDEF_CLASSES
#include "moec/Dialect/Moe/IR/MoeTypes.h.inc"
#define GET_ATTRDEF_CLASSES
#include "moec/Dialect/Moe/IR/MoeAttrs.h.inc"
#define GET_OP_CLASSES
#include "moec/Dialect/Moe/IR/MoeOps.h.inc"

namespace mlir::moe {

/// Kind of the value of one field of `#moe.config`.
enum class ConfigFieldKind { Int, Ints, String, Bool };

/// One field of `#moe.config`: name, kind, default (as text) and meaning.
struct ConfigField {
  StringRef name;
  ConfigFieldKind kind;
  StringRef defaultText;
  StringRef meaning;
};

/// All fields that `#moe.config` knows, in printing order.
ArrayRef<ConfigField> configFields();

/// Largest finite value of a quantised element type (448 for f8E4M3FN, 127 for
/// i8, ...); 0 for a type that `moe.quantize` does not support.
double getMaxFinite(Type elementType);

/// Registers the implementations of upstream interfaces (bufferisation,
/// tiling) for the ops of the dialect.
void registerMoeInterfaceModels(DialectRegistry &registry);

/// Attaches `TilingInterface` to moe.grouped_gemm, activate, quantize,
/// dequantize and combine, on tensors. Loops count the least parts that can be
/// computed alone: rows of activate, quantize and dequantize; columns of all
/// but dequantize, in whole scale groups and runs of gate and up columns.
/// Slices that a verifier must know (scale groups, weight rows) need tile sizes
/// that divide the number of parts; others are a diagnostic.
void registerMoeTilingModels(DialectRegistry &registry);

} // namespace mlir::moe

#endif // MOEC_DIALECT_MOE_IR_MOEDIALECT_H
