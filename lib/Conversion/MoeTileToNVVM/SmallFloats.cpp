//===- SmallFloats.cpp - Floats of eight bits on NVIDIA GPUs --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The NVPTX back end has no type of eight-bit floats: they are i8 in registers
// and memory, and conversions are instructions on pairs. sm_80 has none of
// these: there f8E4M3FN is made of the bits of f32.
//
//===----------------------------------------------------------------------===//

#include "HopperTarget.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// `type`, or a vector of it as long as `like`.
static Type typeLike(Type type, Value like) {
  auto vector = dyn_cast<VectorType>(like.getType());
  return vector ? VectorType::get(vector.getShape(), type) : type;
}

/// Integers and floats of a scalar or a vector.
namespace {
struct Bits {
  OpBuilder &b;
  Location loc;
  Type word, real;

  Bits(OpBuilder &b, Location loc, Value like)
      : b(b), loc(loc), word(typeLike(b.getI32Type(), like)),
        real(typeLike(b.getF32Type(), like)) {}

  Value constant(Type type, TypedAttr value) {
    if (auto vector = dyn_cast<VectorType>(type))
      value = DenseElementsAttr::get(vector, cast<Attribute>(value));
    return arith::ConstantOp::create(b, loc, value);
  }
  Value i(int64_t v) { return constant(word, b.getI32IntegerAttr(int32_t(v))); }
  Value f(double v) { return constant(real, b.getF32FloatAttr(float(v))); }
  Value asWord(Value v) { return arith::BitcastOp::create(b, loc, word, v); }
  Value asReal(Value v) { return arith::BitcastOp::create(b, loc, real, v); }
  Value mask(Value v, int64_t bits) {
    return arith::AndIOp::create(b, loc, v, i(bits));
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value right(Value v, int64_t n) {
    return arith::ShRUIOp::create(b, loc, v, i(n));
  }
  Value left(Value v, int64_t n) {
    return arith::ShLIOp::create(b, loc, v, i(n));
  }
  Value less(Value x, Value y) {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, x, y);
  }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
};
} // namespace

/// f8E4M3FN to nearest even, saturating, of the bits of f32.
static Value encodeE4M3(OpBuilder &b, Location loc, Value v) {
  Bits k(b, loc, v);
  Value bits = k.asWord(v);
  Value magnitude = k.mask(bits, 0x7fffffff);
  // 20 bits of mantissa go, half of the last place and a bit for even are
  // added; the exponent's offset is 120 less.
  Value odd = k.mask(k.right(magnitude, 20), 1);
  Value normal = k.right(k.add(k.add(magnitude, k.i(0x7ffff)), odd), 20);
  normal = k.add(normal, k.i(-(120 << 3)));
  // Below 2^-6 codes are multiples of 2^-9, the last place of 1.5 * 2^14.
  constexpr double magic = 1.5 * 16384;
  Value shifted =
      arith::AddFOp::create(b, loc, k.asReal(magnitude), k.f(magic));
  Value small =
      arith::SubIOp::create(b, loc, k.asWord(shifted), k.asWord(k.f(magic)));
  Value code = k.select(k.less(magnitude, k.i(0x3c800000)), small, normal);
  code = arith::MinUIOp::create(b, loc, code, k.i(0x7e));
  code = k.select(k.less(k.i(0x7f800000), magnitude), k.i(0x7f), code);
  code = arith::OrIOp::create(b, loc, code, k.mask(k.right(bits, 24), 0x80));
  return arith::TruncIOp::create(b, loc, typeLike(b.getI8Type(), v), code);
}

static Value decodeE4M3(OpBuilder &b, Location loc, Value v) {
  Bits k(b, loc, v);
  Value code = arith::ExtUIOp::create(b, loc, k.word, v);
  Value magnitude = k.mask(code, 0x7f);
  // A number that is 2^-120 times too small, denormals too.
  Value value = arith::MulFOp::create(b, loc, k.asReal(k.left(magnitude, 20)),
                                      k.f(0x1p120));
  Value bits =
      k.select(k.less(magnitude, k.i(0x7f)), k.asWord(value), k.i(0x7fc00000));
  bits = arith::OrIOp::create(b, loc, bits, k.left(k.mask(code, 0x80), 24));
  return k.asReal(bits);
}

Value HopperTarget::truncateToSmallFloat(OpBuilder &b, Location loc, Value v,
                                         Type type) const {
  auto c32 = [&](int64_t i) { return word(b, loc, i); };
  if (isa<Float8E8M0FNUType>(type))
    return rows::truncateToPower(b, loc, v);
  if (!floats8 && isa<Float8E4M3FNType>(type))
    return encodeE4M3(b, loc, v);
  auto convert = [&](Value high, Value low) -> Value {
    return NVVM::ConvertF32x2ToF8x2Op::create(
        b, loc, b.getI16Type(), high, low, NVVM::FPRoundingMode::RN,
        NVVM::SaturationMode::SATFINITE, /*relu=*/false, type);
  };
  auto vector = dyn_cast<VectorType>(v.getType());
  if (!vector)
    return arith::TruncIOp::create(b, loc, b.getI8Type(), convert(v, v));
  auto element = [&](int64_t i) -> Value {
    return LLVM::ExtractElementOp::create(b, loc, v, c32(i));
  };
  // Vectors have a power of two of elements.
  int64_t pairs = vector.getNumElements() / 2;
  auto packedType = VectorType::get(pairs, b.getI16Type());
  Value packed = LLVM::PoisonOp::create(b, loc, packedType);
  for (int64_t i = 0; i < pairs; ++i)
    packed = LLVM::InsertElementOp::create(
        b, loc, packed, convert(element(2 * i + 1), element(2 * i)), c32(i));
  return LLVM::BitcastOp::create(b, loc, typeLike(b.getI8Type(), v), packed);
}

Value HopperTarget::extendSmallFloat(OpBuilder &b, Location loc, Value v,
                                     Type type) const {
  Type real = typeLike(b.getF32Type(), v);
  auto c32 = [&](int64_t i) { return word(b, loc, i); };
  if (isa<Float8E8M0FNUType>(type))
    return rows::extendPower(b, loc, v);
  if (!floats8 && isa<Float8E4M3FNType>(type))
    return decodeE4M3(b, loc, v);
  auto pair = VectorType::get(2, b.getI8Type());
  auto halves = VectorType::get(2, b.getF16Type());
  auto convert = [&](Value low, Value high) -> Value {
    Value both = LLVM::PoisonOp::create(b, loc, pair);
    both = LLVM::InsertElementOp::create(b, loc, both, low, c32(0));
    both = LLVM::InsertElementOp::create(b, loc, both, high, c32(1));
    return NVVM::ConvertF8x2ToF16x2Op::create(b, loc, halves, both,
                                              /*relu=*/false, type);
  };
  auto half = [&](Value two, int64_t i) -> Value {
    Value one = LLVM::ExtractElementOp::create(b, loc, two, c32(i));
    return arith::ExtFOp::create(b, loc, b.getF32Type(), one);
  };
  auto vector = dyn_cast<VectorType>(v.getType());
  if (!vector)
    return half(convert(v, v), 0);
  Value result = LLVM::PoisonOp::create(b, loc, real);
  for (int64_t i = 0; i < vector.getNumElements(); i += 2) {
    Value two = convert(LLVM::ExtractElementOp::create(b, loc, v, c32(i)),
                        LLVM::ExtractElementOp::create(b, loc, v, c32(i + 1)));
    for (int64_t j : {0, 1})
      result = LLVM::InsertElementOp::create(b, loc, result, half(two, j),
                                             c32(i + j));
  }
  return result;
}
