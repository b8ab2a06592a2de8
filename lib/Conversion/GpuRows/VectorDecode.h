//===- VectorDecode.h - Stored weights as f32 in registers ------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_GPUROWS_VECTORDECODE_H
#define MOEC_LIB_CONVERSION_GPUROWS_VECTORDECODE_H

#include "PlainKernel.h"

namespace mlir::moe::rows {

/// How 32-bit words of stored values become f32, with few instructions: a code
/// may come with a constant added to it, which sums of products subtract.
class WordDecoder {
public:
  WordDecoder() = default;
  /// Of values of `element` as they are in memory, or of codes of four bits.
  /// `ok` is false for a type that has no decoding.
  WordDecoder(Type element, tile::DequantFormat format);

  bool ok() const { return bits != 0; }
  /// Bits of one value.
  int64_t getBits() const { return bits; }
  int64_t perWord() const { return 32 / bits; }
  /// What is added to the code of column `i` of a word.
  double getOffset(int64_t i) const;
  bool hasOffsets() const { return codes; }
  /// The other operand is to be multiplied by `2^shift`, sums by `2^back`: so
  /// values that are not scaled into the normal range stay exact.
  int64_t getShift() const { return small ? 64 : 0; }
  int64_t getBack() const { return small ? 62 : 0; }
  /// Makes the constants that decoding takes from registers, out of a number
  /// (i32) that the compiler does not know and that is not the largest one.
  void prepare(PlainKernel &k, Value unknown);
  /// The values (f32) of a word, by column.
  SmallVector<Value> decode(PlainKernel &k, Value word) const;

private:
  SmallVector<Value> decodeCodes(PlainKernel &k, Value word) const;
  SmallVector<Value> decodeSmall(PlainKernel &k, Value word) const;

  Type element;
  int64_t bits = 0;
  bool codes = false; ///< unsigned integers of four bits
  bool small = false; ///< f4E2M1FN
  bool exllama = false;
  /// 128 and 2048 as f32, in integers.
  Value magic16, magic12;
};

/// One element of a memory (a scale, a zero point) in f32; bytes of integers
/// are unsigned.
Value elementToF32(PlainKernel &k, Value v, Type element);

} // namespace mlir::moe::rows

#endif // MOEC_LIB_CONVERSION_GPUROWS_VECTORDECODE_H
