//===- TableDecode.h - Codes to bf16 by table look-up -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With AVX-512 a permute whose table is a register turns 32 codes of up to six
// bits into bf16 in one instruction. Decoding through f32 takes three to five
// times as many, and at few tokens decoding is most of the work.
//
// All functions give 32 values, the operand of one bf16 pair product.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETOCPU_TABLEDECODE_H
#define MOEC_LIB_CONVERSION_MOETILETOCPU_TABLEDECODE_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace mlir::moe::cpu {

/// Values that one look-up decodes.
constexpr int64_t tableDecodeCount = 32;

/// Whether decodeFloat8 knows the type: 8-bit floats with a sign bit.
bool hasFloat8Table(Type type);

/// vector<32xbf16> of the vector<32xi8> `stored`, whose elements mean `type`.
Value decodeFloat8(OpBuilder &b, Location loc, Value stored, Type type);

/// bf16 bits of the 16 values that a 4-bit code means: for `mx` f4E2M1, else
/// the unsigned integer less `zero`; without zero point an integer in two's
/// complement.
SmallVector<uint16_t> nibbleTable(bool mx, std::optional<int64_t> zero);

/// vector<32xbf16> of the vector<16xi8> `packed`: the low nibble comes first.
Value decodeNibbles(OpBuilder &b, Location loc, Value packed,
                    ArrayRef<uint16_t> table);

/// vector<32xbf16> of the vector<4xi32> `words`: nibbles i and i + 4 of a word
/// are the values 2 i and 2 i + 1.
Value decodeExllama(OpBuilder &b, Location loc, Value words,
                    ArrayRef<uint16_t> table);

/// vector<32xbf16> pairs of the vector<64xi8> `stored`, whose elements mean
/// `type`: values 16 i to 16 i + 7 (i = 0..3) in the first, the others in the
/// second. Needs AVX512-VBMI.
std::pair<Value, Value> decodeFloat8Pair(OpBuilder &b, Location loc,
                                         Value stored, Type type);

/// vector<32xbf16> of nibble `place` of every 16 bits of the vector<32xi16>
/// `packed`.
Value decodeNibblesAt(OpBuilder &b, Location loc, Value packed, int64_t place,
                      ArrayRef<uint16_t> table);

} // namespace mlir::moe::cpu

#endif // MOEC_LIB_CONVERSION_MOETILETOCPU_TABLEDECODE_H
