//===- Codec.cpp - Vectors of small floats to f32 and back ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Codec.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Sign, exponent and mantissa of a float narrower than f32.
struct SmallFloat {
  unsigned bits, exponent, mantissa;
  int bias;
  /// Has infinities (all exponent bits set); else only NaN patterns.
  bool infinity;
  /// NaN is the pattern of minus zero, there is no minus zero.
  bool fnuz;
  /// Greatest finite magnitude as bits.
  unsigned maxBits;
};
} // namespace

static std::optional<SmallFloat> smallFloat(Type type) {
  if (llvm::isa<Float8E4M3FNType>(type))
    return SmallFloat{8, 4, 3, 7, false, false, 0x7e};
  if (llvm::isa<Float8E5M2Type>(type))
    return SmallFloat{8, 5, 2, 15, true, false, 0x7b};
  if (llvm::isa<Float8E4M3FNUZType>(type))
    return SmallFloat{8, 4, 3, 8, false, true, 0x7f};
  if (llvm::isa<Float8E5M2FNUZType>(type))
    return SmallFloat{8, 5, 2, 16, false, true, 0x7f};
  if (llvm::isa<Float16Type>(type))
    return SmallFloat{16, 5, 10, 15, true, false, 0x7bff};
  return std::nullopt;
}

Type cpu::storedType(Type type) {
  if (auto floatType = dyn_cast<FloatType>(type))
    if (floatType.getWidth() <= 8)
      return IntegerType::get(type.getContext(), 8);
  return type;
}

bool cpu::fitsBf16(Type type) {
  // Integers up to 8 bits have at most 8 significant bits, as bf16 has.
  if (auto intType = dyn_cast<IntegerType>(type))
    return intType.getWidth() <= 8;
  if (auto floatType = dyn_cast<FloatType>(type))
    return floatType.getWidth() <= 8 || type.isBF16();
  return false;
}

Value cpu::splat(OpBuilder &b, Location loc, VectorType type, double value) {
  return arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(type,
                             b.getFloatAttr(type.getElementType(), value)));
}

Value cpu::splatInt(OpBuilder &b, Location loc, VectorType type,
                    int64_t value) {
  return arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(type,
                             b.getIntegerAttr(type.getElementType(), value)));
}

namespace {
/// Integer vector arithmetic with less ink.
struct Ints {
  OpBuilder &b;
  Location loc;
  VectorType type;

  Value c(int64_t v) { return splatInt(b, loc, type, v); }
  Value And(Value x, int64_t v) {
    return arith::AndIOp::create(b, loc, x, c(v));
  }
  Value Or(Value x, Value y) { return arith::OrIOp::create(b, loc, x, y); }
  Value shl(Value x, int64_t v) {
    return arith::ShLIOp::create(b, loc, x, c(v));
  }
  Value shr(Value x, int64_t v) {
    return arith::ShRUIOp::create(b, loc, x, c(v));
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value cmp(arith::CmpIPredicate p, Value x, int64_t v) {
    return arith::CmpIOp::create(b, loc, p, x, c(v));
  }
  Value select(Value cond, Value x, Value y) {
    return arith::SelectOp::create(b, loc, cond, x, y);
  }
  Value asFloat(Value x) {
    return arith::BitcastOp::create(b, loc, type.clone(b.getF32Type()), x);
  }
};
} // namespace

/// f32 from the bits of a small float, by shifting them into place and scaling
/// by a power of two, which also normalises subnormals exactly.
static Value decodeBits(OpBuilder &b, Location loc, Value stored,
                        const SmallFloat &f) {
  auto storedTy = cast<VectorType>(stored.getType());
  VectorType i32 = storedTy.clone(b.getI32Type());
  VectorType f32 = storedTy.clone(b.getF32Type());
  Ints i{b, loc, i32};
  if (llvm::isa<FloatType>(storedTy.getElementType())) // f16
    stored = arith::BitcastOp::create(
        b, loc, storedTy.clone(b.getIntegerType(f.bits)), stored);
  Value bits = arith::ExtUIOp::create(b, loc, i32, stored);
  Value magnitude = i.And(bits, (1u << (f.bits - 1)) - 1);
  Value sign = i.shl(i.And(bits, 1u << (f.bits - 1)), 32 - f.bits);
  // The magnitude as an integer times 2^k stays exact and never meets a
  // subnormal f32, which many processors multiply slowly.
  Value body = i.shl(magnitude, 23 - f.mantissa);
  Value exponentField = i.shr(magnitude, f.mantissa);
  Value isSubnormal = i.cmp(arith::CmpIPredicate::eq, exponentField, 0);
  Value normal = i.asFloat(i.add(body, i.c(int64_t(127 - f.bias) << 23)));
  Value subnormal = arith::MulFOp::create(
      b, loc, arith::SIToFPOp::create(b, loc, f32, magnitude),
      splat(b, loc, f32, std::ldexp(1.0, 1 - f.bias - int(f.mantissa))));
  Value value = arith::SelectOp::create(b, loc, isSubnormal, subnormal, normal);
  Value valueBits = arith::BitcastOp::create(b, loc, i32, value);
  if (f.infinity) {
    // All exponent bits set: the f32 pattern with all of its own set.
    int64_t infBits = ((1ll << f.exponent) - 1) << f.mantissa;
    Value special = i.cmp(arith::CmpIPredicate::uge, magnitude, infBits);
    valueBits = i.select(special, i.Or(body, i.c(0x7f800000)), valueBits);
  } else if (!f.fnuz) {
    Value nan = i.cmp(arith::CmpIPredicate::ugt, magnitude, f.maxBits);
    valueBits = i.select(nan, i.c(0x7fc00000), valueBits);
  }
  valueBits = i.Or(valueBits, sign);
  if (f.fnuz) {
    Value nan = i.cmp(arith::CmpIPredicate::eq, bits, 1u << (f.bits - 1));
    valueBits = i.select(nan, i.c(0x7fc00000), valueBits);
  }
  return arith::BitcastOp::create(b, loc, f32, valueBits);
}

/// Bits of a small float from f32, rounded to nearest even.
static Value encodeBits(OpBuilder &b, Location loc, Value value,
                        const SmallFloat &f) {
  VectorType f32 = cast<VectorType>(value.getType());
  VectorType i32 = f32.clone(b.getI32Type());
  Ints i{b, loc, i32};
  Value bits = arith::BitcastOp::create(b, loc, i32, value);
  Value magnitude = i.And(bits, 0x7fffffff);
  Value sign = i.And(i.shr(bits, 32 - f.bits), 1u << (f.bits - 1));
  // Normal results: add half of the last place (less one if the kept bit is
  // even), drop the rest, move the exponent's bias.
  unsigned drop = 23 - f.mantissa;
  Value odd = i.And(i.shr(magnitude, drop), 1);
  Value rounded = i.add(i.add(magnitude, odd), i.c((1ll << (drop - 1)) - 1));
  Value normal =
      i.sub(i.shr(rounded, drop), i.c(int64_t(127 - f.bias) << f.mantissa));
  // Subnormal results: the adder rounds; the last place of the magic number is
  // the type's smallest subnormal.
  int magicExponent = 1 - f.bias - int(f.mantissa) + 23;
  Value magic = splat(b, loc, f32, std::ldexp(1.0, magicExponent));
  Value sum = arith::AddFOp::create(b, loc, i.asFloat(magnitude), magic);
  Value subnormal = i.sub(arith::BitcastOp::create(b, loc, i32, sum),
                          i.c(int64_t(magicExponent + 127) << 23));
  Value small =
      i.cmp(arith::CmpIPredicate::ult, magnitude, int64_t(128 - f.bias) << 23);
  Value result = i.select(small, subnormal, normal);
  // Beyond the greatest finite value: infinity, or NaN where there is none.
  int64_t overflow = f.infinity ? ((1ll << f.exponent) - 1) << f.mantissa
                     : f.fnuz   ? 1ll << (f.bits - 1)
                                : (1ll << (f.bits - 1)) - 1;
  Value tooBig = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt,
                                       result, i.c(f.maxBits));
  result = i.select(tooBig, i.c(overflow), result);
  Value isNan = i.cmp(arith::CmpIPredicate::ugt, magnitude, 0x7f800000);
  int64_t nan = f.infinity ? overflow | (1ll << (f.mantissa - 1)) : overflow;
  result = i.select(isNan, i.c(nan), result);
  if (f.fnuz) {
    // No minus zero, and the NaN pattern has the sign bit already.
    Value plain = i.cmp(arith::CmpIPredicate::eq, i.And(result, 0x7f), 0);
    sign = i.select(plain, i.c(0), sign);
  }
  return i.Or(result, sign);
}

Value cpu::toF32(OpBuilder &b, Location loc, Value stored, Type type,
                 const CpuLevel &isa) {
  VectorType f32 = cast<VectorType>(stored.getType()).clone(b.getF32Type());
  VectorType i32 = f32.clone(b.getI32Type());
  if (type.isF32())
    return stored;
  if (type.isF64())
    return arith::TruncFOp::create(b, loc, f32, stored);
  if (type.isInteger())
    return arith::SIToFPOp::create(b, loc, f32, stored);
  if (type.isBF16()) {
    Value bits = arith::BitcastOp::create(
        b, loc, f32.clone(b.getIntegerType(16)), stored);
    Value wide = arith::ExtUIOp::create(b, loc, i32, bits);
    wide = arith::ShLIOp::create(b, loc, wide, splatInt(b, loc, i32, 16));
    return arith::BitcastOp::create(b, loc, f32, wide);
  }
  if (type.isF16() && isa.f16c)
    return arith::ExtFOp::create(b, loc, f32, stored);
  if (llvm::isa<Float8E8M0FNUType>(type)) {
    // The byte is the f32 exponent; 0 means 2^-127 (subnormal), 255 NaN.
    Ints i{b, loc, i32};
    Value bits = arith::ExtUIOp::create(b, loc, i32, stored);
    Value value = i.shl(bits, 23);
    value = i.select(i.cmp(arith::CmpIPredicate::eq, bits, 0), i.c(0x00400000),
                     value);
    value = i.select(i.cmp(arith::CmpIPredicate::eq, bits, 255),
                     i.c(0x7fc00000), value);
    return i.asFloat(value);
  }
  std::optional<SmallFloat> f = smallFloat(type);
  assert(f && "legality was checked before");
  if (isa.f16c && llvm::isa<Float8E4M3FNType>(type)) {
    // As f16 bits the exponent is 8 too small; the hardware conversion takes
    // subnormals at full speed.
    VectorType i16 = f32.clone(b.getIntegerType(16));
    Ints i{b, loc, i16};
    Value bits = arith::ExtUIOp::create(b, loc, i16, stored);
    Value magnitude = i.And(bits, 0x7f);
    Value half = i.Or(i.shl(magnitude, 7), i.shl(i.And(bits, 0x80), 8));
    Value nan = i.cmp(arith::CmpIPredicate::eq, magnitude, 0x7f);
    half = i.select(nan, i.c(0x7e00), half);
    half = arith::BitcastOp::create(b, loc, f32.clone(b.getF16Type()), half);
    Value wide = arith::ExtFOp::create(b, loc, f32, half);
    return arith::MulFOp::create(b, loc, wide, splat(b, loc, f32, 256.0));
  }
  if (isa.f16c && llvm::isa<Float8E5M2Type>(type)) {
    VectorType i16 = f32.clone(b.getIntegerType(16));
    Ints i{b, loc, i16};
    Value half = i.shl(arith::ExtUIOp::create(b, loc, i16, stored), 8);
    half = arith::BitcastOp::create(b, loc, f32.clone(b.getF16Type()), half);
    return arith::ExtFOp::create(b, loc, f32, half);
  }
  return decodeBits(b, loc, stored, *f);
}

Value cpu::fromF32(OpBuilder &b, Location loc, Value value, Type type,
                   const CpuLevel &isa) {
  VectorType f32 = cast<VectorType>(value.getType());
  VectorType i32 = f32.clone(b.getI32Type());
  if (type.isF32())
    return value;
  if (type.isF64())
    return arith::ExtFOp::create(b, loc, f32.clone(type), value);
  if (type.isBF16()) {
    if (isa.bf16Dot)
      return arith::TruncFOp::create(b, loc, f32.clone(type), value);
    Ints i{b, loc, i32};
    Value bits = arith::BitcastOp::create(b, loc, i32, value);
    Value odd = i.And(i.shr(bits, 16), 1);
    Value rounded = i.shr(i.add(i.add(bits, odd), i.c(0x7fff)), 16);
    Value isNan =
        i.cmp(arith::CmpIPredicate::ugt, i.And(bits, 0x7fffffff), 0x7f800000);
    Value quiet = i.Or(i.shr(bits, 16), i.c(0x40));
    rounded = i.select(isNan, quiet, rounded);
    Value narrow = arith::TruncIOp::create(
        b, loc, f32.clone(b.getIntegerType(16)), rounded);
    return arith::BitcastOp::create(b, loc, f32.clone(type), narrow);
  }
  if (type.isF16() && isa.f16c)
    return arith::TruncFOp::create(b, loc, f32.clone(type), value);
  if (type.isInteger(8)) {
    Value low = splat(b, loc, f32, -128.0), high = splat(b, loc, f32, 127.0);
    value = arith::MaximumFOp::create(b, loc, value, low);
    value = arith::MinimumFOp::create(b, loc, value, high);
    // Adding 1.5 * 2^23 leaves the integer, rounded to even, in the low bits.
    Value magic = splat(b, loc, f32, 12582912.0);
    value = arith::AddFOp::create(b, loc, value, magic);
    value = arith::SubFOp::create(b, loc, value, magic);
    return arith::TruncIOp::create(b, loc, f32.clone(type),
                                   arith::FPToSIOp::create(b, loc, i32, value));
  }
  if (llvm::isa<Float8E8M0FNUType>(type)) {
    // The exponent of the nearest power of two; NaN, infinities and what is
    // below zero have none.
    Ints i{b, loc, i32};
    Value bits = arith::BitcastOp::create(b, loc, i32, value);
    Value code = i.shr(i.add(bits, i.c(0x400000)), 23);
    code = i.select(i.cmp(arith::CmpIPredicate::ugt, bits, 0x7f7fffff),
                    i.c(255), code);
    return arith::TruncIOp::create(b, loc, f32.clone(b.getIntegerType(8)),
                                   code);
  }
  std::optional<SmallFloat> f = smallFloat(type);
  assert(f && "legality was checked before");
  Value bits = encodeBits(b, loc, value, *f);
  Value narrow = arith::TruncIOp::create(
      b, loc, f32.clone(b.getIntegerType(f->bits)), bits);
  if (type.isF16())
    return arith::BitcastOp::create(b, loc, f32.clone(type), narrow);
  return narrow;
}
