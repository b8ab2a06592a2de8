//===- Addresses.cpp - Where an element of a tile stands in memory -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

Value cpu::asIndex(KernelEmitter &e, Value v) {
  if (v.getType().isIndex())
    return v;
  return arith::IndexCastOp::create(e.b, e.loc, e.b.getIndexType(), v);
}

/// Start of tile coordinate `x` in memory, boxes considered.
static Value boxed(KernelEmitter &e, tile::TileAccess access, unsigned tileDim,
                   Value x) {
  auto boxes = access.getBoxes();
  if (!boxes || access.getBoxDim() != tileDim)
    return x;
  auto [rows, cols] = access.getTileShape();
  int64_t size = (tileDim == 0 ? rows : cols) / int64_t(boxes->size());
  if (!x)
    x = e.index(0);
  Value shift = e.index((*boxes)[0]);
  for (size_t i = 1; i < boxes->size(); ++i) {
    Value inBox = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge,
                                        x, e.index(int64_t(i) * size));
    shift = arith::SelectOp::create(
        e.b, e.loc, inBox, e.index((*boxes)[i] - int64_t(i) * size), shift);
  }
  return e.add(x, shift);
}

Value KernelEmitter::position(tile::TileAccess access, Value r, Value c,
                              Value row) {
  const Memory &mem = memory(access.getMemory());
  int64_t rowsAt = access.getRowsPosition();
  r = boxed(*this, access, 0, r);
  c = boxed(*this, access, 1, c);
  Value flat;
  for (size_t d = 0; d < mem.extents.size(); ++d) {
    Value at;
    if (int64_t(d) == rowsAt) {
      at = row;
    } else {
      at = asIndex(*this, scalar(access.getIndices()[d]));
      if (int64_t granule = access.getGranuleOf(d); granule != 1)
        at = arith::DivUIOp::create(b, loc, at, index(granule));
      bool moves = false;
      if (r && access.getMemoryDim(0) == int64_t(d) && rowsAt != int64_t(d)) {
        at = add(at, r);
        moves = true;
      }
      if (c && access.getMemoryDim(1) == int64_t(d)) {
        at = add(at, c);
        moves = true;
      }
      // A tile may reach beyond the memory; such elements are never used, but
      // reading them must stay inside.
      if (moves && d + 1 < mem.extents.size())
        at = minimum(at,
                     arith::SubIOp::create(b, loc, mem.extents[d], index(1)));
    }
    Value term = mul(at, mem.strides[d]);
    flat = flat ? add(flat, term) : term;
  }
  return flat ? flat : index(0);
}

bool KernelEmitter::mayBeAbsent(const RowList &list) {
  return list.slots || list.limit;
}

Value KernelEmitter::rowNumber(const RowList &list, Value m) {
  auto less = [&](arith::CmpIPredicate p, Value x, Value y) -> Value {
    return arith::CmpIOp::create(b, loc, p, x, y);
  };
  auto both = [&](Value x, Value y) -> Value {
    return x ? Value(arith::AndIOp::create(b, loc, x, y)) : y;
  };
  Value number = add(list.first, m);
  Value present;
  if (list.limit)
    present = less(arith::CmpIPredicate::slt, m, list.limit);
  if (list.slots) {
    Value extent = memref::DimOp::create(b, loc, list.slots, 0);
    Value inside = less(arith::CmpIPredicate::slt, number, extent);
    present = both(present, inside);
    Value safe = arith::MaxSIOp::create(
        b, loc, index(0),
        minimum(number, arith::SubIOp::create(b, loc, extent, index(1))));
    Value slot = memref::LoadOp::create(b, loc, list.slots, safe);
    slot = asIndex(*this, slot);
    present = both(present, less(arith::CmpIPredicate::sge, slot, index(0)));
    if (list.bound)
      present =
          both(present, less(arith::CmpIPredicate::slt, slot, list.bound));
    number =
        list.divisor == 1
            ? slot
            : Value(arith::DivUIOp::create(b, loc, slot, index(list.divisor)));
  }
  if (!present)
    return number;
  return arith::SelectOp::create(b, loc, present, number, index(-1));
}

Value KernelEmitter::evalAt(TileExpr &expr, Value m, Value n, int64_t count) {
  Value row = expr.rows == 1 ? index(0) : m;
  if (expr.cols != 1)
    return expr.eval(*this, row, n, count);
  Value one = expr.eval(*this, row, index(0), 1);
  if (count == 1)
    return one;
  Value element = vector::ExtractOp::create(b, loc, one, 0);
  return vector::BroadcastOp::create(b, loc, vec(count, element.getType()),
                                     element);
}

TileExprPtr KernelEmitter::materialise(TileExprPtr expr, Value rows) {
  Scratch scratch = allocate(expr->rows, expr->cols, expr->element);
  loop(index(0), rows, 1, [&](Value m) {
    columns(index(expr->cols), isa.lanes, [&](Value n, int64_t count) {
      Value value = evalAt(*expr, m, n, count);
      storeVector(value, scratch.flat, add(mul(m, index(expr->cols)), n));
    });
  });
  return makeScratchExpr(scratch);
}
