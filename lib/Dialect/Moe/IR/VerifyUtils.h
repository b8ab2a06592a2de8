//===- VerifyUtils.h - Shape checks shared by the verifiers -----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_DIALECT_MOE_IR_VERIFYUTILS_H
#define MOEC_LIB_DIALECT_MOE_IR_VERIFYUTILS_H

#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe::verify_detail {

/// True if two extents can be equal (one of them dynamic, or the same number).
inline bool sameExtent(int64_t a, int64_t b) {
  return ShapedType::isDynamic(a) || ShapedType::isDynamic(b) || a == b;
}

inline ShapedType shaped(Value v) { return cast<ShapedType>(v.getType()); }

/// Extent as a user reads it: a number or `?`.
inline std::string extentText(int64_t extent) {
  return ShapedType::isDynamic(extent) ? "?" : std::to_string(extent);
}

/// `[T, 8, 64]`-like text of a shape.
inline std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text = "[";
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(shape, os, [&](int64_t e) { os << extentText(e); });
  os << ']';
  return text;
}

/// Checks `value` against `shape` (dynamic extents match everything). On
/// mismatch reports "`label`: `what` must be SHAPE, got SHAPE".
inline LogicalResult checkShape(Operation *op, StringRef label, StringRef what,
                                Value value, ArrayRef<int64_t> shape) {
  ArrayRef<int64_t> got = shaped(value).getShape();
  bool ok = got.size() == shape.size();
  for (size_t i = 0; ok && i < shape.size(); ++i)
    ok = sameExtent(got[i], shape[i]);
  if (ok)
    return success();
  return op->emitOpError() << label << ": " << what << " must be "
                           << shapeText(shape) << ", got " << shapeText(got);
}

/// Checks a quantised operand `[batch..., rows, stored columns]` with its
/// scale and zero point against `quant` (null = plain). `columns` is the number
/// of values per row. A scale has the batch dimensions of the values. With
/// `scaleMoved` the scale must be absent: it is applied elsewhere.
LogicalResult checkQuantised(Operation *op, StringRef label, StringRef what,
                             Value values, Value scale, Value zero,
                             QuantAttr quant, bool scaleMoved = false);

/// Values per row of a possibly packed operand.
inline int64_t unpackedCols(ShapedType type, QuantAttr quant) {
  int64_t cols = type.getShape().back();
  if (ShapedType::isDynamic(cols))
    return cols;
  return cols * (quant ? quant.getColsPerStored() : 1);
}

/// A body of arith/math/yield only, `numArgs` f32 arguments, one f32 result.
LogicalResult checkScalarBody(Operation *op, StringRef label, Region &region,
                              unsigned numArgs);

} // namespace mlir::moe::verify_detail

#endif // MOEC_LIB_DIALECT_MOE_IR_VERIFYUTILS_H
