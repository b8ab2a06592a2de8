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

#include "HopperTarget.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// `type`, or a vector of it as long as `like`.
static Type typeLike(Type type, Value like) {
  auto vector = dyn_cast<VectorType>(like.getType());
  return vector ? VectorType::get(vector.getShape(), type) : type;
}

Value HopperTarget::truncateToSmallFloat(OpBuilder &b, Location loc, Value v,
                                         Type type) const {
  auto c32 = [&](int64_t i) { return word(b, loc, i); };
  if (isa<Float8E8M0FNUType>(type))
    return rows::truncateToPower(b, loc, v);
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
