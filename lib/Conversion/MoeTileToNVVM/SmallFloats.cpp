//===- SmallFloats.cpp - Floats of eight bits on Hopper GPUs --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The NVPTX back end has no type of eight-bit floats: they are i8 in registers
// and memory, and conversions are instructions on pairs.
//
//===----------------------------------------------------------------------===//

#include "PlainKernel.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

bool nvvm::isSmallFloat(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type, Float8E8M0FNUType>(type);
}

Type nvvm::storageOf(Type type) {
  return isSmallFloat(type) ? IntegerType::get(type.getContext(), 8) : type;
}

/// `type`, or a vector of it as long as `like`.
static Type typeLike(Type type, Value like) {
  auto vector = dyn_cast<VectorType>(like.getType());
  return vector ? VectorType::get(vector.getShape(), type) : type;
}

static Value constantLike(PlainKernel &k, int64_t v, Type type) {
  Attribute one = k.b.getI32IntegerAttr(v);
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(k.b, k.loc,
                                     DenseElementsAttr::get(vector, one));
  return arith::ConstantOp::create(k.b, k.loc, cast<TypedAttr>(one));
}

Value nvvm::truncateToSmallFloat(PlainKernel &k, Value v, Type type) {
  OpBuilder &b = k.b;
  Type word = typeLike(b.getI32Type(), v), byte = typeLike(b.getI8Type(), v);
  if (isa<Float8E8M0FNUType>(type)) {
    // A positive power of two: its exponent.
    Value bits = arith::BitcastOp::create(b, k.loc, word, v);
    bits = arith::ShRUIOp::create(b, k.loc, bits, constantLike(k, 23, word));
    return arith::TruncIOp::create(b, k.loc, byte, bits);
  }
  auto convert = [&](Value high, Value low) -> Value {
    return NVVM::ConvertF32x2ToF8x2Op::create(
        b, k.loc, b.getI16Type(), high, low, NVVM::FPRoundingMode::RN,
        NVVM::SaturationMode::SATFINITE, /*relu=*/false, type);
  };
  auto vector = dyn_cast<VectorType>(v.getType());
  if (!vector)
    return arith::TruncIOp::create(b, k.loc, b.getI8Type(), convert(v, v));
  auto element = [&](int64_t i) -> Value {
    return LLVM::ExtractElementOp::create(b, k.loc, v, k.c32(i));
  };
  // Vectors have a power of two of elements.
  int64_t pairs = vector.getNumElements() / 2;
  auto packedType = VectorType::get(pairs, b.getI16Type());
  Value packed = LLVM::PoisonOp::create(b, k.loc, packedType);
  for (int64_t i = 0; i < pairs; ++i)
    packed = LLVM::InsertElementOp::create(
        b, k.loc, packed, convert(element(2 * i + 1), element(2 * i)),
        k.c32(i));
  return LLVM::BitcastOp::create(b, k.loc, byte, packed);
}

Value nvvm::extendSmallFloat(PlainKernel &k, Value v, Type type) {
  OpBuilder &b = k.b;
  Type word = typeLike(b.getI32Type(), v), real = typeLike(b.getF32Type(), v);
  if (isa<Float8E8M0FNUType>(type)) {
    // 2^(x - 127): the exponent, but for the denormal end and for NaN.
    Value x = arith::ExtUIOp::create(b, k.loc, word, v);
    Value bits = arith::ShLIOp::create(b, k.loc, x, constantLike(k, 23, word));
    auto replace = [&](int64_t from, int64_t to) {
      Value is = arith::CmpIOp::create(b, k.loc, arith::CmpIPredicate::eq, x,
                                       constantLike(k, from, word));
      bits = arith::SelectOp::create(b, k.loc, is, constantLike(k, to, word),
                                     bits);
    };
    replace(0, 0x00400000);
    replace(255, 0x7fc00000);
    return arith::BitcastOp::create(b, k.loc, real, bits);
  }
  auto pair = VectorType::get(2, b.getI8Type());
  auto halves = VectorType::get(2, b.getF16Type());
  auto convert = [&](Value low, Value high) -> Value {
    Value both = LLVM::PoisonOp::create(b, k.loc, pair);
    both = LLVM::InsertElementOp::create(b, k.loc, both, low, k.c32(0));
    both = LLVM::InsertElementOp::create(b, k.loc, both, high, k.c32(1));
    return NVVM::ConvertF8x2ToF16x2Op::create(b, k.loc, halves, both,
                                              /*relu=*/false, type);
  };
  auto half = [&](Value two, int64_t i) -> Value {
    Value one = LLVM::ExtractElementOp::create(b, k.loc, two, k.c32(i));
    return arith::ExtFOp::create(b, k.loc, b.getF32Type(), one);
  };
  auto vector = dyn_cast<VectorType>(v.getType());
  if (!vector)
    return half(convert(v, v), 0);
  Value result = LLVM::PoisonOp::create(b, k.loc, real);
  for (int64_t i = 0; i < vector.getNumElements(); i += 2) {
    Value two =
        convert(LLVM::ExtractElementOp::create(b, k.loc, v, k.c32(i)),
                LLVM::ExtractElementOp::create(b, k.loc, v, k.c32(i + 1)));
    for (int64_t j : {0, 1})
      result = LLVM::InsertElementOp::create(b, k.loc, result, half(two, j),
                                             k.c32(i + j));
  }
  return result;
}
