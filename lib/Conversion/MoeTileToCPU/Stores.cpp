//===- Stores.cpp - Results of tiles: stores and sums of rows ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Codec.h"
#include "KernelEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

Value KernelEmitter::validRows(tile::TileAccess access, int64_t rows) {
  Value upper = index(rows);
  const Memory &mem = memory(access.getMemory());
  int64_t dim = access.getMemoryDim(0);
  if (dim >= 0 && dim != access.getRowsPosition()) {
    Value at = asIndex(*this, scalar(access.getIndices()[dim]));
    if (int64_t granule = access.getGranuleOf(dim); granule != 1)
      at = arith::DivUIOp::create(b, loc, at, index(granule));
    upper = minimum(upper, arith::SubIOp::create(b, loc, mem.extents[dim], at));
  }
  return upper;
}

LogicalResult KernelEmitter::emitStore(tile::StoreOp op) {
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &mem = memory(op.getMemory());
  bool adds = op.getMode() != tile::StoreMode::Plain;
  auto [rows, cols] = op.getTileShape();
  Value rowsEnd = validRows(access, rows);
  if (op.getLimit())
    rowsEnd = minimum(rowsEnd, asIndex(*this, scalar(op.getLimit())));
  int64_t colDim = cols == 1 ? -1 : access.getMemoryDim(1);
  Value colsEnd = index(cols);
  if (colDim >= 0) {
    Value at = asIndex(*this, scalar(op.getIndices()[colDim]));
    if (int64_t granule = access.getGranuleOf(colDim); granule != 1)
      at = arith::DivUIOp::create(b, loc, at, index(granule));
    colsEnd = minimum(colsEnd,
                      arith::SubIOp::create(b, loc, mem.extents[colDim], at));
  }
  bool contiguous = colDim == int64_t(mem.extents.size()) - 1;
  int64_t lanes = contiguous && !adds ? isa.lanes : 1;
  int64_t rowsAt = access.getRowsPosition();
  RowList *list = rowsAt < 0 ? nullptr : rowList(op.getIndices()[rowsAt]);

  SmallVector<TileExprPtr> values;
  for (Value v : op.getValues()) {
    TileExprPtr value = exprs.lookup(v);
    if (!value)
      return op.emitOpError("the CPU lowering stores fragments only");
    values.push_back(value);
  }
  loop(index(0), rowsEnd, 1, [&](Value m) {
    Value row;
    OpBuilder::InsertionGuard guard(b);
    if (list) {
      row = rowNumber(*list, m);
      Value present = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge,
                                            row, index(0));
      auto ifOp = scf::IfOp::create(b, loc, present, /*else=*/false);
      b.setInsertionPointToStart(ifOp.thenBlock());
    }
    int64_t start = 0;
    for (TileExprPtr &value : values) {
      // Columns of this value that exist.
      Value end = arith::MaxSIOp::create(
          b, loc, index(0),
          minimum(index(value->cols),
                  arith::SubIOp::create(b, loc, colsEnd, index(start))));
      columns(end, lanes, [&](Value n, int64_t count) {
        Value at = position(access, m, add(n, index(start)), row);
        Value stored = evalAt(*value, m, n, count);
        if (adds)
          memref::AtomicRMWOp::create(
              b, loc, arith::AtomicRMWKind::addf,
              vector::ExtractOp::create(b, loc, stored, 0), mem.flat,
              ValueRange{at});
        else
          storeVector(stored, mem.flat, at);
      });
      start += value->cols;
    }
  });
  return success();
}

/// Largest power of two <= lanes that divides `extent`.
static int64_t lanesFor(int64_t extent, int64_t lanes) {
  while (extent % lanes)
    lanes /= 2;
  return lanes;
}

LogicalResult KernelEmitter::emitRowReduce(tile::RowReduceOp op) {
  int64_t group = op.getGroup();
  auto resultType = op.getResult().getType();
  SmallVector<TileExprPtr> inputs;
  // What is reduced is used again afterwards: compute it once.
  for (Value v : op.getInputs()) {
    TileExprPtr once =
        materialise(exprs.lookup(v), usedRows(resultType.getRows()));
    exprs[v] = once;
    inputs.push_back(once);
  }
  Type f32 = b.getF32Type();
  Scratch out = allocate(resultType.getRows(), resultType.getCols(),
                         resultType.getElementType());
  auto combine = [&](Value x, Value y) -> Value {
    if (op.getKind() == tile::ReduceKind::Sum)
      return arith::AddFOp::create(b, loc, x, y);
    return arith::MaximumFOp::create(b, loc, x, y);
  };
  double identity = op.getKind() == tile::ReduceKind::Max ? -INFINITY : 0.0;
  // Folds columns [from, from + count) of an input into `acc`.
  auto fold = [&](TileExpr &input, Value m, Value from, int64_t count,
                  int64_t lanes, Value acc) -> Value {
    auto forOp = scf::ForOp::create(b, loc, index(0), index(count),
                                    index(lanes), ValueRange{acc});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(forOp.getBody());
    Value v = evalAt(input, m, add(from, forOp.getInductionVar()), lanes);
    v = toF32(b, loc, v, input.element, isa);
    if (op.getKind() == tile::ReduceKind::AbsMax)
      v = math::AbsFOp::create(b, loc, v);
    scf::YieldOp::create(b, loc, combine(forOp.getRegionIterArg(0), v));
    return forOp.getResult(0);
  };
  auto finish = [&](Value acc, Value m, Value column) {
    auto kind = op.getKind() == tile::ReduceKind::Sum
                    ? vector::CombiningKind::ADD
                    : vector::CombiningKind::MAXIMUMF;
    Value one = vector::ReductionOp::create(b, loc, kind, acc);
    Value single = vector::BroadcastOp::create(b, loc, vec(1, f32), one);
    storeVector(fromF32(b, loc, single, out.element, isa), out.flat,
                add(mul(m, index(out.cols)), column));
  };
  loop(index(0), usedRows(resultType.getRows()), 1, [&](Value m) {
    bool inside = llvm::all_of(
        inputs, [&](TileExprPtr &x) { return x->cols % group == 0; });
    if (inside) {
      int64_t column = 0, lanes = lanesFor(group, isa.lanes);
      for (TileExprPtr &input : inputs) {
        int64_t groups = input->cols / group;
        loop(index(0), index(groups), 1, [&](Value g) {
          Value acc = splat(b, loc, vec(lanes, f32), identity);
          acc = fold(*input, m, mul(g, index(group)), group, lanes, acc);
          finish(acc, m, add(g, index(column)));
        });
        column += groups;
      }
      return;
    }
    // Groups that cross inputs: walk the pieces in order.
    int64_t lanes = isa.lanes;
    for (TileExprPtr &input : inputs)
      lanes = lanesFor(std::gcd(input->cols, group), lanes);
    Value acc = splat(b, loc, vec(lanes, f32), identity);
    int64_t filled = 0, column = 0;
    for (TileExprPtr &input : inputs) {
      for (int64_t from = 0; from < input->cols;) {
        int64_t count = std::min(group - filled, input->cols - from);
        acc = fold(*input, m, index(from), count, lanes, acc);
        from += count;
        filled += count;
        if (filled == group) {
          finish(acc, m, index(column++));
          acc = splat(b, loc, vec(lanes, f32), identity);
          filled = 0;
        }
      }
    }
  });
  exprs[op.getResult()] = makeScratchExpr(out);
  return success();
}
