//===- MatrixOperands.cpp - Rows of a product's operands ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Codec.h"
#include "MatrixNest.h"
#include "PackedCodes.h"
#include "TableDecode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

Value MatrixNest::rowsOfA() {
  auto access = cast<tile::TileAccess>(a.load.getOperation());
  Value upper = e.validRows(access, m);
  int64_t at = access.getRowsPosition();
  if (at >= 0)
    if (RowList *list = e.rowList(a.load.getIndices()[at]))
      if (list->limit)
        upper = e.minimum(upper, list->limit);
  return upper;
}

Value cpu::presentRow(KernelEmitter &e, tile::LoadOp load, Value r) {
  auto access = cast<tile::TileAccess>(load.getOperation());
  int64_t at = access.getRowsPosition();
  if (at < 0)
    return Value();
  Value row = e.rowNumber(*e.rowList(load.getIndices()[at]), r);
  return arith::MaxSIOp::create(e.b, e.loc, row, e.index(0));
}

Value MatrixNest::rowBase(Side &side, Value r, Value scratchRow) {
  if (!side.direct)
    return e.mul(scratchRow, e.index(stride));
  setK(e.index(0));
  return e.position(cast<tile::TileAccess>(side.load.getOperation()), r,
                    Value(), presentRow(e, side.load, r));
}

/// Whether 32 stored values become a bf16 vector by look-up.
bool MatrixNest::decodesByTable(Side &side) const {
  tile::DequantOp dq = side.dequant;
  if (!compute.isBF16() || (dq && (dq.getScale() || dq.getZero())))
    return false;
  if (dq && dq.getFormat() != tile::DequantFormat::Plain)
    return true;
  return hasFloat8Table(side.element) && !(dq && dq.getZeroValue());
}

Value MatrixNest::decodeByTable(Side &side, Value base, Value k) {
  const Memory &mem = e.memory(side.load.getMemory());
  tile::DequantOp dq = side.dequant;
  auto format = dq ? dq.getFormat() : tile::DequantFormat::Plain;
  if (format == tile::DequantFormat::Plain)
    return decodeFloat8(
        b, loc, e.loadVector(mem.flat, e.add(base, k), tableDecodeCount),
        side.element);
  SmallVector<uint16_t> table =
      nibbleTable(format == tile::DequantFormat::Mx, dq.getZeroValue());
  // Stored elements of 32 values: bytes, or words of 8.
  bool words = mem.element.isInteger(32);
  int64_t perElement = words ? 8 : 2;
  Value at =
      e.add(base, arith::DivUIOp::create(b, loc, k, e.index(perElement)));
  Value packed = e.loadVector(mem.flat, at, tableDecodeCount / perElement);
  if (format != tile::DequantFormat::Exllama)
    return decodeNibbles(b, loc, packed, table);
  if (!words)
    packed = vector::BitCastOp::create(
        b, loc, e.vec(tableDecodeCount / 8, b.getI32Type()), packed);
  return decodeExllama(b, loc, packed, table);
}

Value MatrixNest::decodeVector(Side &side, Value r, Value row, Value k,
                               int64_t count) {
  auto access = cast<tile::TileAccess>(side.load.getOperation());
  const Memory &mem = e.memory(side.load.getMemory());
  tile::DequantOp dq = side.dequant;
  auto format = dq ? dq.getFormat() : tile::DequantFormat::Plain;
  setK(e.index(0));
  Value base = e.position(access, r, Value(), row);
  if (count == tableDecodeCount && decodesByTable(side))
    return decodeByTable(side, base, k);
  bool isUnsigned = dq && (dq.getZero() || dq.getZeroValue());
  Value value;
  if (format == tile::DequantFormat::Plain) {
    Value stored = e.loadVector(mem.flat, e.add(base, k), count);
    if (!dq && side.element == compute)
      return stored;
    value = codesToF32(b, loc, stored, side.element, isUnsigned, e.isa);
  } else {
    // Four-bit values; count fills whole stored elements.
    int64_t per = dq.getValuesPerElement(), stored = count / per;
    Value at = arith::DivUIOp::create(b, loc, k, e.index(per));
    if (per == 8 && mem.element.isInteger(8)) { // words as four bytes
      at = e.mul(at, e.index(4));
      stored *= 4;
    }
    Value packed = e.loadVector(mem.flat, e.add(base, at), stored);
    value = nibblesToF32(b, loc, unpackCodes(b, loc, packed, format), format,
                         isUnsigned);
  }
  if (dq && dq.getZeroValue().value_or(0) != 0)
    value = arith::SubFOp::create(b, loc, value,
                                  splat(b, loc, e.vec(count, b.getF32Type()),
                                        double(*dq.getZeroValue())));
  if (dq && (dq.getScale() || dq.getZero())) {
    // All columns of the vector share one scale (checked in analyse).
    VectorType f32Type = e.vec(count, b.getF32Type());
    auto at = [&](Value operand, bool isZero) -> Value {
      auto load = traceArgument(op, operand).getDefiningOp<tile::LoadOp>();
      auto factorAccess = cast<tile::TileAccess>(load.getOperation());
      const Memory &factorMem = e.memory(load.getMemory());
      auto [scaleRows, scaleCols] = load.getTileShape();
      int64_t rowsPer =
          tile::getTileShape(dq.getResult().getType()).first / scaleRows;
      int64_t colsPer = dq.getScaleGranule().second;
      // The scales of a step start at its first k.
      Value inStep = arith::RemUIOp::create(b, loc, k, e.index(step));
      Value sr = arith::DivUIOp::create(b, loc, r, e.index(rowsPer));
      Value sc =
          scaleCols == 1
              ? e.index(0)
              : Value(arith::DivUIOp::create(b, loc, inStep, e.index(colsPer)));
      setK(arith::SubIOp::create(b, loc, k, inStep));
      Value where = e.position(factorAccess, sr, sc, presentRow(e, load, r));
      Value one = e.loadVector(factorMem.flat, where, 1);
      one = codesToF32(b, loc, one, factorMem.element, isZero, e.isa);
      Value s = vector::ExtractOp::create(b, loc, one, 0);
      return vector::BroadcastOp::create(b, loc, f32Type, s);
    };
    if (dq.getZero())
      value = arith::SubFOp::create(b, loc, value, at(dq.getZero(), true));
    if (dq.getScale())
      value = arith::MulFOp::create(b, loc, value, at(dq.getScale(), false));
    // Rounded once to the type that the tile program gives the operand.
    Type target = tile::getTileElementType(dq.getResult().getType());
    if (!target.isF32() && target != compute)
      value =
          toF32(b, loc, fromF32(b, loc, value, target, e.isa), target, e.isa);
  }
  return fromF32(b, loc, value, compute, e.isa);
}

void MatrixNest::decodeRow(Side &side, Value r, Value to) {
  Value row = presentRow(e, side.load, r);
  Value base = e.mul(to, e.index(stride));
  // Vectors must not cross a scale group and hold whole stored elements.
  int64_t unit = side.dequant ? side.dequant.getValuesPerElement() : 1;
  int64_t count = e.isa.lanes * (e.isa.lanes < 16 ? 2 : 1);
  if (unit > 1)
    count = std::max<int64_t>(16, count);
  if (side.dequant && (side.dequant.getScale() || side.dequant.getZero()))
    while (side.dequant.getScaleGranule().second < k &&
           side.dequant.getScaleGranule().second % count != 0)
      count /= 2;
  if (decodesByTable(side))
    count = tableDecodeCount;
  int64_t full = k / count * count;
  e.loop(e.index(0), e.index(full), count, [&](Value at) {
    Value v = decodeVector(side, r, row, at, count);
    e.storeVector(v, side.scratch.flat, e.add(base, at));
  });
  if (full < k)
    e.loop(e.index(full), e.index(k / unit * unit), unit, [&](Value at) {
      Value v = decodeVector(side, r, row, at, unit);
      e.storeVector(v, side.scratch.flat, e.add(base, at));
    });
  // Zeros behind the row, so that products need no mask on this side.
  for (int64_t at = k; at < int64_t(llvm::alignTo(k, lanes)); ++at)
    e.storeVector(
        arith::ConstantOp::create(b, loc, b.getZeroAttr(e.vec(1, compute))),
        side.scratch.flat, e.add(base, e.index(at)));
}

Value MatrixNest::loadOperand(Side &side, Value base, Value at, int64_t mask) {
  Value flat =
      side.direct ? e.memory(side.load.getMemory()).flat : side.scratch.flat;
  Value where = e.add(base, at);
  if (!mask || !side.direct)
    return e.loadVector(flat, where, lanes);
  // The row's tail: elements beyond k belong to others.
  VectorType type = e.vec(lanes, compute);
  Value bits = vector::ConstantMaskOp::create(
      b, loc, e.vec(lanes, b.getI1Type()), ArrayRef<int64_t>{mask});
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  return vector::MaskedLoadOp::create(b, loc, type, flat, ValueRange{where},
                                      bits, zero);
}
