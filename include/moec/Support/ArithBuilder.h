//===- ArithBuilder.h - Integer arithmetic by short names -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What every lowering to GPU kernels writes all the time: constants, sums and
// comparisons of integers at one place of the code.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_ARITHBUILDER_H
#define MOEC_SUPPORT_ARITHBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

namespace mlir::moe {

/// Builds ops of arith where `b` stands. Operands of one op have one type;
/// division and remainder are those of values without sign, comparisons by
/// name of values with a sign.
class ArithBuilder {
public:
  ArithBuilder(OpBuilder builder, Location loc) : b(builder), loc(loc) {}

  Value c32(int64_t value) {
    return arith::ConstantOp::create(
        b, loc, b.getI32IntegerAttr(static_cast<int32_t>(value)));
  }
  Value c64(int64_t value) {
    return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulIOp::create(b, loc, x, y); }
  Value div(Value x, Value y) { return arith::DivUIOp::create(b, loc, x, y); }
  Value rem(Value x, Value y) { return arith::RemUIOp::create(b, loc, x, y); }
  /// By a positive constant of 32 bits; by 1 nothing is built but a zero.
  Value quotient(Value x, int64_t y) { return y == 1 ? x : div(x, c32(y)); }
  Value rest(Value x, int64_t y) { return y == 1 ? c32(0) : rem(x, c32(y)); }
  /// ceil(x / y) of x >= 0 that is y - 1 below the largest i32.
  Value ceilDiv(Value x, int64_t y) { return div(add(x, c32(y - 1)), c32(y)); }
  Value min(Value x, Value y) { return arith::MinSIOp::create(b, loc, x, y); }
  Value bitAnd(Value x, Value y) { return arith::AndIOp::create(b, loc, x, y); }
  Value bitOr(Value x, Value y) { return arith::OrIOp::create(b, loc, x, y); }
  Value bitXor(Value x, Value y) { return arith::XOrIOp::create(b, loc, x, y); }
  Value shl(Value x, Value y) { return arith::ShLIOp::create(b, loc, x, y); }
  Value shr(Value x, Value y) { return arith::ShRUIOp::create(b, loc, x, y); }
  Value cmp(arith::CmpIPredicate p, Value x, Value y) {
    return arith::CmpIOp::create(b, loc, p, x, y);
  }
  Value less(Value x, Value y) { return cmp(arith::CmpIPredicate::slt, x, y); }
  Value same(Value x, Value y) { return cmp(arith::CmpIPredicate::eq, x, y); }
  /// 0 <= x < bound, of a bound >= 0.
  Value inside(Value x, Value bound) {
    return cmp(arith::CmpIPredicate::ult, x, bound);
  }
  /// Both conditions, of which null is one that always holds.
  Value both(Value x, Value y) { return !x || !y ? (x ? x : y) : bitAnd(x, y); }
  Value select(Value condition, Value yes, Value no) {
    return arith::SelectOp::create(b, loc, condition, yes, no);
  }
  /// i32 to i64 with its sign.
  Value wide(Value x) {
    return arith::ExtSIOp::create(b, loc, b.getI64Type(), x);
  }

  OpBuilder b;
  Location loc;
};

} // namespace mlir::moe

#endif // MOEC_SUPPORT_ARITHBUILDER_H
