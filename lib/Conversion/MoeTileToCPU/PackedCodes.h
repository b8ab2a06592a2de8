//===- PackedCodes.h - Stored codes of any packing to f32 -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What every instruction set can do, one conversion after the other; see
// TableDecode.h for a faster way on some.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETOCPU_PACKEDCODES_H
#define MOEC_LIB_CONVERSION_MOETILETOCPU_PACKEDCODES_H

#include "mlir/IR/Builders.h"
#include "moec/Conversion/CpuLevel.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"

namespace mlir::moe::cpu {

/// f32 vector of stored values that are not packed. Integers with a zero point
/// are unsigned.
Value codesToF32(OpBuilder &b, Location loc, Value stored, Type element,
                 bool isUnsigned, const CpuLevel &isa);

/// i32 vector of the 4-bit codes, in column order, that whole stored elements
/// hold: two per byte; or eight per i32 or four bytes for exllama.
Value unpackCodes(OpBuilder &b, Location loc, Value packed,
                  tile::DequantFormat format);

/// f32 vector of what 4-bit codes (i32) mean.
Value nibblesToF32(OpBuilder &b, Location loc, Value codes,
                   tile::DequantFormat format, bool isUnsigned);

} // namespace mlir::moe::cpu

#endif // MOEC_LIB_CONVERSION_MOETILETOCPU_PACKEDCODES_H
