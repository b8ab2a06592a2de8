//===- GpuRows.cpp - Kernels without matrix products for GPUs -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlainKernel.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

WaveTarget::~WaveTarget() = default;

LogicalResult rows::convertPlainKernels(ModuleOp module,
                                        const WaveTarget &target,
                                        int64_t &converted) {
  converted = 0;
  for (auto kernel :
       llvm::make_early_inc_range(module.getOps<tile::KernelOp>())) {
    auto convert = isAlignKernel(kernel)    ? convertAlignKernel
                   : isTopkKernel(kernel)   ? convertTopkKernel
                   : isVectorKernel(kernel) ? convertVectorKernel
                   : isRowKernel(kernel)    ? convertRowKernel
                   : isScalarKernel(kernel) ? convertScalarKernel
                                            : nullptr;
    if (!convert)
      continue;
    OpBuilder b(kernel);
    if (failed(convert(kernel, b, target)))
      return failure();
    kernel.erase();
    ++converted;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Floats of eight bits
//===----------------------------------------------------------------------===//

bool rows::isSmallFloat(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type, Float8E8M0FNUType>(type);
}

Type rows::storageOf(Type type) {
  return isSmallFloat(type) ? IntegerType::get(type.getContext(), 8) : type;
}

/// `type`, or a vector of it as long as `like`.
static Type typeLike(Type type, Value like) {
  auto vector = dyn_cast<VectorType>(like.getType());
  return vector ? VectorType::get(vector.getShape(), type) : type;
}

static Value constantLike(OpBuilder &b, Location loc, int64_t v, Type type) {
  Attribute one = b.getI32IntegerAttr(v);
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(b, loc,
                                     DenseElementsAttr::get(vector, one));
  return arith::ConstantOp::create(b, loc, cast<TypedAttr>(one));
}

Value rows::truncateToPower(OpBuilder &b, Location loc, Value v) {
  // A positive power of two: its exponent.
  Type word = typeLike(b.getI32Type(), v), byte = typeLike(b.getI8Type(), v);
  Value bits = arith::BitcastOp::create(b, loc, word, v);
  bits = arith::ShRUIOp::create(b, loc, bits, constantLike(b, loc, 23, word));
  return arith::TruncIOp::create(b, loc, byte, bits);
}

Value rows::extendPower(OpBuilder &b, Location loc, Value v) {
  // 2^(x - 127): the exponent, but for the denormal end and for NaN.
  Type word = typeLike(b.getI32Type(), v), real = typeLike(b.getF32Type(), v);
  Value x = arith::ExtUIOp::create(b, loc, word, v);
  Value bits = arith::ShLIOp::create(b, loc, x, constantLike(b, loc, 23, word));
  auto replace = [&](int64_t from, int64_t to) {
    Value is = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x,
                                     constantLike(b, loc, from, word));
    bits = arith::SelectOp::create(b, loc, is, constantLike(b, loc, to, word),
                                   bits);
  };
  replace(0, 0x00400000);
  replace(255, 0x7fc00000);
  return arith::BitcastOp::create(b, loc, real, bits);
}
