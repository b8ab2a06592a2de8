//===- Codec.h - Vectors of small floats to f32 and back --------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Conversions between f32 vectors and the storage types that LLVM does not
// know or would turn into calls: fp8 in all forms, f16 without F16C, bf16
// without AVX512-BF16, packed 4-bit values. Stored values are vectors of
// integers (i8, i16) or of bf16/f16/f32.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETOCPU_CODEC_H
#define MOEC_LIB_CONVERSION_MOETILETOCPU_CODEC_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "moec/Conversion/CpuLevel.h"

namespace mlir::moe::cpu {

/// Type by which a value of `type` lies in memory and in vectors: i8 for 8-bit
/// floats, else the type itself.
Type storedType(Type type);

/// Exact f32 vector of a stored vector whose elements mean `type`.
Value toF32(OpBuilder &b, Location loc, Value stored, Type type,
            const CpuLevel &isa);

/// f32 vector rounded to nearest even into the stored form of `type`.
/// Overflow gives what the type has for it (infinity or NaN); integers
/// saturate.
Value fromF32(OpBuilder &b, Location loc, Value value, Type type,
              const CpuLevel &isa);

/// Whether every value of `type` is a bf16 value.
bool fitsBf16(Type type);

/// Vector constant with all elements equal.
Value splat(OpBuilder &b, Location loc, VectorType type, double value);
Value splatInt(OpBuilder &b, Location loc, VectorType type, int64_t value);

} // namespace mlir::moe::cpu

#endif // MOEC_LIB_CONVERSION_MOETILETOCPU_CODEC_H
