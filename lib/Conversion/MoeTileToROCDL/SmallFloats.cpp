//===- SmallFloats.cpp - Floats of eight bits on AMD GPUs -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Memory holds the OCP formats on every chip, whatever its matrix instructions
// take. Conversions are integer arithmetic: it is the same on chips without
// instructions for them, with those of other formats (gfx942), and with those
// that make infinities and NaN of what is too large.
//
//===----------------------------------------------------------------------===//

#include "AmdTarget.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

namespace {
/// Arithmetic on i32 and f32, or vectors of them.
struct Lanes {
  Lanes(OpBuilder &b, Location loc, Type like)
      : b(b), loc(loc), like(dyn_cast<VectorType>(like)) {}

  Type of(Type type) {
    return like ? VectorType::get(like.getShape(), type) : type;
  }
  Value constant(TypedAttr v) {
    if (like)
      v = DenseElementsAttr::get(cast<VectorType>(of(v.getType())),
                                 cast<Attribute>(v));
    return arith::ConstantOp::create(b, loc, v);
  }
  Value word(int64_t v) {
    return constant(b.getI32IntegerAttr(static_cast<int32_t>(v)));
  }
  Value real(double v) { return constant(b.getF32FloatAttr(v)); }
  Value bits(Value v) {
    return arith::BitcastOp::create(b, loc, of(b.getI32Type()), v);
  }
  Value number(Value v) {
    return arith::BitcastOp::create(b, loc, of(b.getF32Type()), v);
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value both(Value x, Value y) { return arith::AndIOp::create(b, loc, x, y); }
  Value either(Value x, Value y) { return arith::OrIOp::create(b, loc, x, y); }
  Value left(Value x, int64_t by) {
    return arith::ShLIOp::create(b, loc, x, word(by));
  }
  Value right(Value x, int64_t by) {
    return arith::ShRUIOp::create(b, loc, x, word(by));
  }
  Value select(Value c, Value x, Value y) {
    return arith::SelectOp::create(b, loc, c, x, y);
  }

  OpBuilder &b;
  Location loc;
  VectorType like; ///< null: scalars
};

/// Where the parts of a format lie.
struct Format {
  int64_t mantissa, bias;
  double largest;
};
} // namespace

static Format formatOf(Type type) {
  return isa<Float8E5M2Type>(type) ? Format{2, 15, 57344.0}
                                   : Format{3, 7, 448.0};
}

Value AmdTarget::truncateToSmallFloat(OpBuilder &b, Location loc, Value v,
                                      Type type) const {
  if (isa<Float8E8M0FNUType>(type))
    return rows::truncateToPower(b, loc, v);
  Format format = formatOf(type);
  Lanes k(b, loc, v.getType());
  Value bits = k.bits(v);
  Value sign = k.both(k.right(bits, 24), k.word(0x80));
  Value isNan = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, v, v);
  Value size = arith::MinNumFOp::create(
      b, loc, k.number(k.both(bits, k.word(0x7FFFFFFF))),
      k.real(format.largest));
  // Half of the last place, less one unless the last place is odd, then the
  // exponent's other bias: ties go to even.
  int64_t shift = 23 - format.mantissa;
  Value sizeBits = k.bits(size);
  Value odd = k.both(k.right(sizeBits, shift), k.word(1));
  int64_t half = (int64_t(1) << (shift - 1)) - 1 - ((127 - format.bias) << 23);
  Value normal = k.right(k.add(k.add(sizeBits, odd), k.word(half)), shift);
  // Below the smallest exponent the sum with a power of two, whose last place
  // is that of the format, rounds.
  double power = std::ldexp(1.0, 24 - format.bias - format.mantissa);
  Value magic = k.real(power);
  Value denormal = arith::SubIOp::create(
      b, loc, k.bits(arith::AddFOp::create(b, loc, size, magic)),
      k.bits(magic));
  Value isSmall =
      arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, size,
                            k.real(std::ldexp(1.0, 1 - format.bias)));
  Value code = k.select(isSmall, denormal, normal);
  code = k.select(isNan, k.word(0x7F), code);
  return arith::TruncIOp::create(b, loc, k.of(b.getI8Type()),
                                 k.either(code, sign));
}

Value AmdTarget::extendSmallFloat(OpBuilder &b, Location loc, Value v,
                                  Type type) const {
  if (isa<Float8E8M0FNUType>(type))
    return rows::extendPower(b, loc, v);
  Format format = formatOf(type);
  Lanes k(b, loc, v.getType());
  Value code = arith::ExtUIOp::create(b, loc, k.of(b.getI32Type()), v);
  Value size = k.both(code, k.word(0x7F));
  Value sign = k.left(k.both(code, k.word(0x80)), 24);
  // The bits at their places are the number with a wrong bias; a product with a
  // power of two is exact and right for denormal numbers too.
  Value number = arith::MulFOp::create(
      b, loc, k.number(k.left(size, 23 - format.mantissa)),
      k.real(std::ldexp(1.0, 127 - format.bias)));
  // Codes from here on are no numbers: NaN alone, or infinity first.
  bool hasInfinity = isa<Float8E5M2Type>(type);
  int64_t first = hasInfinity ? 0x7C : 0x7F;
  Value isSpecial = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge,
                                          size, k.word(first));
  Value special = k.word(0x7FC00000);
  if (hasInfinity) {
    Value isInfinity = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                             size, k.word(first));
    special = k.select(isInfinity, k.word(0x7F800000), special);
  }
  Value bits = k.select(isSpecial, special, k.bits(number));
  return k.number(k.either(bits, sign));
}
