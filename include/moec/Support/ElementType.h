//===- ElementType.h - Storage types and exact conversions ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every storage type that occurs in a Mixture-of-Experts layer, with its name,
// width and bit-exact conversions. All roundings are to nearest, ties to even,
// done once from the source value (never through an intermediate type).
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_ELEMENTTYPE_H
#define MOEC_SUPPORT_ELEMENTTYPE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <cstring>
#include <optional>

namespace mlir::moe {

/// Storage types. The 4-bit ones are stored two per byte, the even element in
/// the low nibble.
enum class ElementType : uint8_t {
  F64,
  F32,
  BF16,
  F16,
  /// 4 exponent bits, no infinity, NaN = S.1111.111, largest value 448.
  F8E4M3FN,
  /// IEEE-like, largest finite value 57344.
  F8E5M2,
  /// No infinity, no -0, NaN = 0x80, largest value 240.
  F8E4M3FNUZ,
  /// No infinity, no -0, NaN = 0x80, largest value 57344.
  F8E5M2FNUZ,
  /// Unsigned power of two, code c = 2^(c-127), NaN = 0xFF; no zero.
  F8E8M0FNU,
  /// 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives; neither NaN nor infinity.
  F4E2M1FN,
  I4,
  U4,
  I8,
  U8,
  I32,
  I64,
};

/// All storage types, in the order of the enumeration.
llvm::ArrayRef<ElementType> getAllElementTypes();

/// The name as MLIR writes it (`bf16`, `f8E4M3FN`, `i32`); unsigned integers
/// are `u4` and `u8`.
llvm::StringRef getElementTypeName(ElementType type);

/// The inverse of getElementTypeName; nothing for an unknown name.
std::optional<ElementType> parseElementType(llvm::StringRef name);

/// Bits of one element: 4, 8, 16, 32 or 64.
unsigned getBitWidth(ElementType type);

/// Bytes of `count` consecutive elements; an odd count of 4-bit elements ends
/// with a half-filled byte.
inline uint64_t getStorageBytes(ElementType type, uint64_t count) {
  unsigned bits = getBitWidth(type);
  return bits == 4 ? count / 2 + count % 2 : count * (bits / 8);
}

/// Whether values of the type are floating-point numbers.
bool isFloatType(ElementType type);

/// Whether two elements share a byte.
inline bool isPackedType(ElementType type) { return getBitWidth(type) == 4; }

/// The largest finite value (448 for f8E4M3FN, 127 for i8).
double getLargestValue(ElementType type);

/// What becomes of a finite value beyond the range and of infinity.
/// Integers and f4E2M1FN saturate in both modes.
enum class Overflow : uint8_t {
  /// Infinity where the type has one, else NaN, as IEEE and LLVM's APFloat do.
  Native,
  /// The largest finite value with the sign of the source: quantisation.
  Saturate,
};

/// Encodes one value; the code stands in the low bits of the result.
/// NaN becomes the type's NaN; where there is none: f4E2M1FN gives +6 (as PTX
/// `cvt.satfinite` does) and integers 0. Integers round to nearest even.
/// f8E8M0FNU rounds to the nearest power of two (1.5 upwards), never below
/// 2^-127, which zero also becomes; negative values become NaN.
uint64_t encode(ElementType type, double value,
                Overflow overflow = Overflow::Native);

/// The value of a code (given in the low bits), rounded to f64 for i64 only.
double decode(ElementType type, uint64_t code);

/// Converts `count` consecutive elements at `source` to f32. Exact for all
/// types of up to 16 bits; f64, i32, i64 round once.
void convertToFloat(ElementType type, const void *source, float *target,
                    uint64_t count);

/// As convertToFloat; only i64 rounds.
void convertToDouble(ElementType type, const void *source, double *target,
                     uint64_t count);

/// Converts `count` f32 values to `type` at `target`, by the rules of encode.
/// The unused nibble after an odd count of 4-bit elements becomes zero.
void convertFromFloat(ElementType type, const float *source, void *target,
                      uint64_t count, Overflow overflow = Overflow::Native);

/// As convertFromFloat, rounding once from f64.
void convertFromDouble(ElementType type, const double *source, void *target,
                       uint64_t count, Overflow overflow = Overflow::Native);

/// f32 to bf16, round to nearest even, NaN becomes 0x7fc0 with its sign.
inline uint16_t encodeBF16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>((bits >> 16 & 0x8000u) | 0x7fc0u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

/// bf16 to f32, exact.
inline float decodeBF16(uint16_t code) {
  uint32_t bits = static_cast<uint32_t>(code) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

} // namespace mlir::moe

#endif // MOEC_SUPPORT_ELEMENTTYPE_H
