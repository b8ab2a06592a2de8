//===- TableDecode.cpp - Codes to bf16 by table look-up -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TableDecode.h"
#include "Codec.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

static uint16_t bf16Bits(APFloat value) {
  bool loses;
  value.convert(APFloat::BFloat(), APFloat::rmNearestTiesToEven, &loses);
  return static_cast<uint16_t>(value.bitcastToAPInt().getZExtValue());
}

/// A register that holds 32 entries of a table, repeated if it is shorter.
static Value tableRegister(OpBuilder &b, Location loc,
                           ArrayRef<uint16_t> entries) {
  SmallVector<int16_t> values;
  for (int64_t i = 0; i < tableDecodeCount; ++i)
    values.push_back(static_cast<int16_t>(entries[i % entries.size()]));
  auto type = VectorType::get(tableDecodeCount, b.getI16Type());
  return arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(type, ArrayRef<int16_t>(values)));
}

static Value callIntrinsic(OpBuilder &b, Location loc, StringRef name,
                           ValueRange arguments) {
  return LLVM::CallIntrinsicOp::create(b, loc, arguments[0].getType(),
                                       b.getStringAttr(name), arguments)
      .getResult(0);
}

/// Entries of a table of 16 or 32; the low five bits of an index count.
static Value lookUp32(OpBuilder &b, Location loc, Value index,
                      ArrayRef<uint16_t> table) {
  return callIntrinsic(b, loc, "llvm.x86.avx512.permvar.hi.512",
                       {tableRegister(b, loc, table), index});
}

/// Entries of a table of 64; the low six bits of an index count.
static Value lookUp64(OpBuilder &b, Location loc, Value index,
                      ArrayRef<uint16_t> table) {
  return callIntrinsic(b, loc, "llvm.x86.avx512.vpermi2var.hi.512",
                       {tableRegister(b, loc, table.take_front(32)), index,
                        tableRegister(b, loc, table.drop_front(32))});
}

static Value asBf16(OpBuilder &b, Location loc, Value bits) {
  auto type = VectorType::get(tableDecodeCount, b.getBF16Type());
  return arith::BitcastOp::create(b, loc, type, bits);
}

//===----------------------------------------------------------------------===//
// 8-bit floats
//===----------------------------------------------------------------------===//

/// The sign is bit 7 and independent of the magnitude: not so in the fnuz
/// types, whose NaN is the pattern of minus zero.
bool cpu::hasFloat8Table(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(type);
}

Value cpu::decodeFloat8(OpBuilder &b, Location loc, Value stored, Type type) {
  const llvm::fltSemantics &semantics =
      cast<FloatType>(type).getFloatSemantics();
  SmallVector<uint16_t> table;
  for (unsigned code = 0; code < 128; ++code)
    table.push_back(bf16Bits(APFloat(semantics, APInt(8, code))));

  auto i16 = VectorType::get(tableDecodeCount, b.getI16Type());
  auto bits = [&](int64_t v) { return splatInt(b, loc, i16, v); };
  Value code = arith::ExtUIOp::create(b, loc, i16, stored);
  ArrayRef<uint16_t> all(table);
  Value low = lookUp64(b, loc, code, all.take_front(64));
  Value high = lookUp64(b, loc, code, all.drop_front(64));
  Value isHigh = arith::CmpIOp::create(
      b, loc, arith::CmpIPredicate::ne,
      arith::AndIOp::create(b, loc, code, bits(64)), bits(0));
  Value magnitude = arith::SelectOp::create(b, loc, isHigh, high, low);
  Value sign = arith::AndIOp::create(
      b, loc, arith::ShLIOp::create(b, loc, code, bits(8)), bits(-0x8000));
  return asBf16(b, loc, arith::OrIOp::create(b, loc, magnitude, sign));
}

//===----------------------------------------------------------------------===//
// 4-bit codes
//===----------------------------------------------------------------------===//

SmallVector<uint16_t> cpu::nibbleTable(bool mx, std::optional<int64_t> zero) {
  SmallVector<uint16_t> table;
  for (int64_t code = 0; code < 16; ++code) {
    int64_t integer = zero ? code - *zero : (code ^ 8) - 8;
    table.push_back(
        bf16Bits(mx ? APFloat(APFloat::Float4E2M1FN(), APInt(4, code))
                    : APFloat(static_cast<float>(integer))));
  }
  return table;
}

/// Indices of the two nibbles at bits 0 and 16 of every word.
static Value lookUpPairs(OpBuilder &b, Location loc, Value pairs,
                         ArrayRef<uint16_t> table) {
  auto i32 = cast<VectorType>(pairs.getType());
  auto i16 = VectorType::get(tableDecodeCount, b.getI16Type());
  Value index =
      arith::AndIOp::create(b, loc, pairs, splatInt(b, loc, i32, 0x000f000f));
  return asBf16(
      b, loc,
      lookUp32(b, loc, vector::BitCastOp::create(b, loc, i16, index), table));
}

Value cpu::decodeNibbles(OpBuilder &b, Location loc, Value packed,
                         ArrayRef<uint16_t> table) {
  auto i32 = VectorType::get(tableDecodeCount / 2, b.getI32Type());
  Value byte = arith::ExtUIOp::create(b, loc, i32, packed);
  Value high = arith::ShLIOp::create(b, loc, byte, splatInt(b, loc, i32, 12));
  return lookUpPairs(b, loc, arith::OrIOp::create(b, loc, byte, high), table);
}

Value cpu::decodeExllama(OpBuilder &b, Location loc, Value words,
                         ArrayRef<uint16_t> table) {
  auto i32 = VectorType::get(tableDecodeCount / 2, b.getI32Type());
  SmallVector<int64_t> fourTimes;
  SmallVector<int32_t> shifts;
  for (int64_t i = 0; i < tableDecodeCount / 2; ++i) {
    fourTimes.push_back(i / 4);
    shifts.push_back(static_cast<int32_t>(4 * (i % 4)));
  }
  Value spread = vector::ShuffleOp::create(b, loc, words, words, fourTimes);
  Value by = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(i32, ArrayRef<int32_t>(shifts)));
  return lookUpPairs(b, loc, arith::ShRUIOp::create(b, loc, spread, by), table);
}

//===----------------------------------------------------------------------===//
// Whole cache lines
//===----------------------------------------------------------------------===//

Value cpu::decodeNibblesAt(OpBuilder &b, Location loc, Value packed,
                           int64_t place, ArrayRef<uint16_t> table) {
  // The look-up takes five bits: one of the next nibble, which the repeated
  // table ignores.
  if (place)
    packed = arith::ShRUIOp::create(
        b, loc, packed,
        splatInt(b, loc, cast<VectorType>(packed.getType()), 4 * place));
  return asBf16(b, loc, lookUp32(b, loc, packed, table));
}

std::pair<Value, Value> cpu::decodeFloat8Pair(OpBuilder &b, Location loc,
                                              Value stored, Type type) {
  const llvm::fltSemantics &semantics =
      cast<FloatType>(type).getFloatSemantics();
  auto i8 = VectorType::get(2 * tableDecodeCount, b.getI8Type());
  // A register of 64 entries: one byte of the bf16 values from `first` on.
  auto half = [&](int64_t first, unsigned shift) -> Value {
    SmallVector<int8_t> bytes;
    for (int64_t i = 0; i < 2 * tableDecodeCount; ++i) {
      uint16_t bits = bf16Bits(APFloat(semantics, APInt(8, first + i)));
      bytes.push_back(static_cast<int8_t>(bits >> shift));
    }
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(i8, ArrayRef<int8_t>(bytes)));
  };
  // The look-up takes seven bits; the eighth is the sign.
  auto lookUp = [&](unsigned shift) {
    return LLVM::CallIntrinsicOp::create(
               b, loc, i8, b.getStringAttr("llvm.x86.avx512.vpermi2var.qi.512"),
               ValueRange{half(0, shift), stored, half(64, shift)})
        .getResult(0);
  };
  Value low = lookUp(0), high = lookUp(8);
  Value sign =
      arith::AndIOp::create(b, loc, stored, splatInt(b, loc, i8, -128));
  high = arith::OrIOp::create(b, loc, high, sign);
  auto interleave = [&](int64_t from) -> Value {
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < 4; ++lane)
      for (int64_t i = 0; i < 8; ++i) {
        order.push_back(16 * lane + from + i);
        order.push_back(16 * lane + from + i + 2 * tableDecodeCount);
      }
    Value both = vector::ShuffleOp::create(b, loc, low, high, order);
    return vector::BitCastOp::create(
        b, loc, VectorType::get(tableDecodeCount, b.getBF16Type()), both);
  };
  return {interleave(0), interleave(8)};
}
