//===- PackedCodes.cpp - Stored codes of any packing to f32 ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PackedCodes.h"
#include "Codec.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

Value cpu::codesToF32(OpBuilder &b, Location loc, Value stored, Type element,
                      bool isUnsigned, const CpuLevel &isa) {
  if (!element.isInteger() || !isUnsigned)
    return toF32(b, loc, stored, element, isa);
  VectorType i32 = cast<VectorType>(stored.getType()).clone(b.getI32Type());
  Value wide = arith::ExtUIOp::create(b, loc, i32, stored);
  return arith::SIToFPOp::create(b, loc, i32.clone(b.getF32Type()), wide);
}

Value cpu::unpackCodes(OpBuilder &b, Location loc, Value packed,
                       tile::DequantFormat format) {
  auto type = cast<VectorType>(packed.getType());
  int64_t stored = type.getNumElements();
  Type i32 = b.getI32Type();
  if (format != tile::DequantFormat::Exllama) {
    Value low =
        arith::AndIOp::create(b, loc, packed, splatInt(b, loc, type, 15));
    Value high =
        arith::ShRUIOp::create(b, loc, packed, splatInt(b, loc, type, 4));
    Value both = vector::InterleaveOp::create(b, loc, low, high);
    return arith::ExtUIOp::create(b, loc, VectorType::get(2 * stored, i32),
                                  both);
  }
  if (type.getElementType().isInteger(8)) {
    stored /= 4;
    packed =
        vector::BitCastOp::create(b, loc, VectorType::get(stored, i32), packed);
  }
  // Shift i of a word holds the pair (2i, 2i + 1) in its nibbles 0 and 4.
  VectorType words = VectorType::get(stored, i32);
  SmallVector<Value> nibbles;
  for (int64_t j = 0; j < 8; ++j) {
    int64_t nibble = j % 2 ? 4 + j / 2 : j / 2;
    Value s = packed;
    if (nibble)
      s = arith::ShRUIOp::create(b, loc, s,
                                 splatInt(b, loc, words, 4 * nibble));
    nibbles.push_back(
        arith::AndIOp::create(b, loc, s, splatInt(b, loc, words, 15)));
  }
  // Interleave 8 vectors: pairs at distance 4, then 2, then 1.
  while (nibbles.size() > 1) {
    SmallVector<Value> next;
    size_t half = nibbles.size() / 2;
    for (size_t j = 0; j < half; ++j)
      next.push_back(
          vector::InterleaveOp::create(b, loc, nibbles[j], nibbles[j + half]));
    nibbles = next;
  }
  return nibbles[0];
}

Value cpu::nibblesToF32(OpBuilder &b, Location loc, Value codes,
                        tile::DequantFormat format, bool isUnsigned) {
  auto type = cast<VectorType>(codes.getType());
  VectorType f32 = type.clone(b.getF32Type());
  auto c = [&](int64_t v) { return splatInt(b, loc, type, v); };
  if (format != tile::DequantFormat::Mx) {
    if (!isUnsigned) // two's complement
      codes = arith::SubIOp::create(
          b, loc, arith::XOrIOp::create(b, loc, codes, c(8)), c(8));
    return arith::SIToFPOp::create(b, loc, f32, codes);
  }
  // f4E2M1: 0 0.5 1 1.5 2 3 4 6, by shifting exponent and mantissa into place;
  // the two subnormals (0 and 0.5) are code * 0.5.
  Value magnitude = arith::AndIOp::create(b, loc, codes, c(7));
  Value sign = arith::ShLIOp::create(
      b, loc, arith::AndIOp::create(b, loc, codes, c(8)), c(28));
  Value normal = arith::AddIOp::create(
      b, loc, arith::ShLIOp::create(b, loc, magnitude, c(22)),
      c(int64_t(126) << 23));
  Value tiny =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, magnitude, c(2));
  Value tinyBits = arith::MulIOp::create(b, loc, magnitude, c(0x3f000000));
  Value bits = arith::SelectOp::create(b, loc, tiny, tinyBits, normal);
  bits = arith::OrIOp::create(b, loc, bits, sign);
  return arith::BitcastOp::create(b, loc, f32, bits);
}
