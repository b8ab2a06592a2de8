//===- Scalars.h - Scalar operations on host values -------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Evaluates one arith or math operation on scalars, with the rounding that
// TileInterpreter.h states.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_REFERENCE_TILE_SCALARS_H
#define MOEC_LIB_REFERENCE_TILE_SCALARS_H

#include "mlir/IR/Operation.h"
#include "moec/Reference/TileInterpreter.h"
#include "moec/Support/ElementType.h"
#include <optional>

namespace mlir::moe::tile {

/// What the evaluator needs to know of a scalar type.
struct ScalarType {
  bool isFloat = false;
  /// Integer width, 64 for index.
  unsigned width = 64;
  ElementType element = ElementType::F64;

  /// Nothing for a type that is no scalar of the interpreter.
  static std::optional<ScalarType> of(Type type);
};

/// `value` rounded to a float type; f32 stays as it is if `wide`.
double roundTo(const ScalarType &type, double value, bool wide);

/// `value` cut to an integer type's width and sign-extended; i1 to 0 or 1.
int64_t wrapTo(const ScalarType &type, int64_t value);

/// A decoded arith or math operation.
struct ScalarOp {
  enum class Code : uint8_t;
  Code code;
  ScalarType source, result;
  /// cmpi and cmpf.
  uint64_t predicate = 0;
  /// constant.
  HostScalar constant;

  /// Nothing for an operation that is not scalar or not known.
  static std::optional<ScalarOp> decode(Operation *op);

  /// Nothing for a division by zero or its overflow.
  std::optional<HostScalar> evaluate(ArrayRef<HostScalar> operands,
                                     bool wide) const;
};

} // namespace mlir::moe::tile

#endif // MOEC_LIB_REFERENCE_TILE_SCALARS_H
