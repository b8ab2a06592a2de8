//===- VectorDecode.cpp - Stored weights as f32 in registers --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Codes of four bits take one logic instruction each, and four shifts for the
// eight of a word: the code is put into the mantissa of 128 (from bit 16) or of
// 2048 (from bit 12), whose last place there is 1. f4E2M1FN is put into the
// upper bits of an f32, where it is 2^126 times too small, its denormals too.
//
//===----------------------------------------------------------------------===//

#include "VectorDecode.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

/// Where the nibbles of a word are: shifted to the left by so many bits (to the
/// right if negative) they stand from bit 16 or bit 12 up.
static const struct {
  int64_t left, bit;
} nibbles[8] = {{16, 16}, {8, 12},  {8, 16},   {0, 12},
                {0, 16},  {-4, 16}, {-12, 12}, {-12, 16}};

/// Number of the nibble that holds column `i`.
static int64_t nibbleOf(int64_t i, bool exllama) {
  return exllama ? i / 2 + i % 2 * 4 : i;
}

WordDecoder::WordDecoder(Type element, tile::DequantFormat format)
    : element(element) {
  exllama = format == tile::DequantFormat::Exllama;
  codes = exllama || format == tile::DequantFormat::LowEven;
  small = format == tile::DequantFormat::Mx;
  if (codes || small)
    bits = 4;
  else if (element.isF32() || element.isBF16() || element.isF16() ||
           isSmallFloat(element))
    bits = element.getIntOrFloatBitWidth();
}

double WordDecoder::getOffset(int64_t i) const {
  return !codes ? 0 : nibbles[nibbleOf(i, exllama)].bit == 16 ? 128 : 2048;
}

static Value shifted(PlainKernel &k, Value word, int64_t left) {
  if (left > 0)
    return arith::ShLIOp::create(k.b, k.loc, word, k.c32(left));
  if (left < 0)
    return arith::ShRUIOp::create(k.b, k.loc, word, k.c32(-left));
  return word;
}

static Value asF32(PlainKernel &k, Value word) {
  return arith::BitcastOp::create(k.b, k.loc, k.b.getF32Type(), word);
}

void WordDecoder::prepare(PlainKernel &k, Value unknown) {
  if (!codes)
    return;
  // NVIDIA's logic instruction takes one constant, and ptxas makes two of one
  // with two: unless it does not know one of them.
  Value other = k.cmp(arith::CmpIPredicate::eq, unknown, k.c32(INT32_MAX));
  magic16 = k.select(other, k.c32(0), k.c32(0x43000000));
  magic12 = k.select(other, k.c32(0), k.c32(0x45000000));
}

SmallVector<Value> WordDecoder::decodeCodes(PlainKernel &k, Value word) const {
  SmallVector<Value> list;
  for (int64_t i = 0; i < 8; ++i) {
    auto [left, bit] = nibbles[nibbleOf(i, exllama)];
    Value code = k.both(shifted(k, word, left), k.c32(int64_t(15) << bit));
    list.push_back(
        asF32(k, arith::OrIOp::create(k.b, k.loc, code,
                                      bit == 16 ? magic16 : magic12)));
  }
  return list;
}

SmallVector<Value> WordDecoder::decodeSmall(PlainKernel &k, Value word) const {
  SmallVector<Value> list;
  for (int64_t i = 0; i < 8; ++i) {
    // Three bits from bit 22 up, the sign in bit 31.
    Value magnitude =
        k.both(shifted(k, word, 22 - 4 * i), k.c32(int64_t(7) << 22));
    Value sign = k.both(shifted(k, word, 28 - 4 * i), k.c32(INT32_MIN));
    list.push_back(asF32(k, arith::OrIOp::create(k.b, k.loc, magnitude, sign)));
  }
  return list;
}

SmallVector<Value> WordDecoder::decode(PlainKernel &k, Value word) const {
  if (codes)
    return decodeCodes(k, word);
  if (small)
    return decodeSmall(k, word);
  OpBuilder &b = k.b;
  if (bits == 32)
    return {asF32(k, word)};
  if (element.isBF16())
    // The upper half of an f32.
    return {asF32(k, shifted(k, word, 16)),
            asF32(k, k.both(word, k.c32(int64_t(int32_t(0xffff0000)))))};
  SmallVector<Value> list;
  if (element.isF16()) {
    for (Value v : {word, shifted(k, word, -16)}) {
      Value half = arith::TruncIOp::create(b, k.loc, b.getI16Type(), v);
      half = arith::BitcastOp::create(b, k.loc, element, half);
      list.push_back(arith::ExtFOp::create(b, k.loc, b.getF32Type(), half));
    }
    return list;
  }
  Type four = VectorType::get({4}, b.getI8Type());
  Value bytes = LLVM::BitcastOp::create(b, k.loc, four, word);
  Value wide = k.target.extendSmallFloat(b, k.loc, bytes, element);
  for (int64_t i = 0; i < 4; ++i)
    list.push_back(LLVM::ExtractElementOp::create(b, k.loc, wide, k.c32(i)));
  return list;
}

Value rows::elementToF32(PlainKernel &k, Value v, Type element) {
  Type f32 = k.b.getF32Type();
  if (element.isF32())
    return v;
  if (isSmallFloat(element))
    return k.target.extendSmallFloat(k.b, k.loc, v, element);
  if (element.isInteger())
    return arith::UIToFPOp::create(k.b, k.loc, f32, v);
  return arith::ExtFOp::create(k.b, k.loc, f32, v);
}
