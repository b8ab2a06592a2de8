//===- FusedDecode.cpp - Few rows by codes decoded in registers -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// At few rows of A a product reads every code once, and its time is that of
// decoding or of memory. Here a cache line of codes goes to bf16 vectors and
// from there into the products, never through memory. Decoding leaves the
// columns in an order of its own; A is copied in the same order, once per tile.
//
// A scale that the tile program multiplies into B's f32 values is multiplied
// into the sums of its columns instead; every lane sums columns of one scale.
//
//===----------------------------------------------------------------------===//

#include "Codec.h"
#include "MatrixNest.h"
#include "PackedCodes.h"
#include "TableDecode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

/// Bytes of B ahead of those that are multiplied to prefetch. With one row of A
/// the hardware keeps up with fp8 codes by itself, and prefetching disturbs it
/// (31 to 25 GB/s on a Zen 4 core; with two rows 16 to 19 GB/s).
static constexpr int64_t fusedAhead = 2048;

//===----------------------------------------------------------------------===//
// What can be fused
//===----------------------------------------------------------------------===//

/// The way to decode what `side` stores.
static FusedCodes codesOf(const Side &side) {
  FusedCodes codes;
  tile::DequantOp dq = side.dequant;
  auto format = dq ? dq.getFormat() : tile::DequantFormat::Plain;
  auto add = [&](function_ref<int64_t(int64_t)> column) {
    SmallVector<int64_t> columns;
    for (int64_t i = 0; i < tableDecodeCount; ++i)
      columns.push_back(column(i));
    codes.columns.push_back(columns);
  };
  if (format == tile::DequantFormat::Plain) {
    if (side.element.isInteger(8)) {
      codes.kind = FusedCodes::Integers;
      codes.chunk = 32;
      add([](int64_t i) { return i; });
    } else if (hasFloat8Table(side.element)) {
      codes.kind = FusedCodes::Float8;
      codes.chunk = 64;
      for (int64_t from : {0, 8})
        add([&](int64_t i) { return i / 8 * 16 + from + i % 8; });
    }
    return codes;
  }
  bool words = format == tile::DequantFormat::Exllama;
  codes.kind = words ? FusedCodes::Words : FusedCodes::Nibbles;
  codes.chunk = 128;
  for (int64_t place = 0; place < 4; ++place)
    add([&](int64_t i) {
      return words ? i / 2 * 8 + 2 * place + i % 2 : 4 * i + place;
    });
  return codes;
}

/// Whether factors of the columns from k on follow each other in memory, or
/// there is one.
static bool contiguousFactor(tile::KLoopOp op, Value operand) {
  auto load = traceArgument(op, operand).getDefiningOp<tile::LoadOp>();
  if (!load)
    return false;
  auto access = cast<tile::TileAccess>(load.getOperation());
  return load.getTileShape().second == 1 ||
         access.getMemoryDim(1) == load.getMemory().getType().getRank() - 1;
}

bool MatrixNest::canFuse() {
  if (!e.isa.bf16Dot || !decodesToBf16(a))
    return false;
  fused = codesOf(w);
  if (fused.kind == FusedCodes::None || k % fused.chunk != 0)
    return false;
  // A step is unrolled.
  if (promote && (step % fused.chunk != 0 || step > 512))
    return false;
  tile::DequantOp dq = w.dequant;
  if (!dq || (!dq.getScale() && !dq.getZero()))
    return true;
  // Values that are rounded to less than f32 after scaling are not sums'.
  Type result = tile::getTileElementType(dq.getResult().getType());
  if (dq.getScale() ? !result.isF32() : !decodesToBf16(w))
    return false;
  for (Value operand : {dq.getScale(), dq.getZero()})
    if (operand && !contiguousFactor(op, operand))
      return false;
  fused.group = dq.getScaleGranule().second;
  if (fused.group >= k || fused.group % fused.chunk == 0)
    return true;
  if (fused.chunk % fused.group != 0)
    return false;
  // A lane adds the two columns of its place in every vector.
  for (int64_t lane = 0; lane < e.isa.lanes; ++lane)
    for (ArrayRef<int64_t> columns : fused.columns)
      for (int64_t i : {2 * lane, 2 * lane + 1})
        if (columns[i] / fused.group !=
            fused.columns[0][2 * lane] / fused.group)
          return false;
  return true;
}

//===----------------------------------------------------------------------===//
// A in the order of the codes
//===----------------------------------------------------------------------===//

/// Elements `columns` of the vectors `from`, which are 32 elements each.
static Value gatherColumns(OpBuilder &b, Location loc, ArrayRef<Value> from,
                           ArrayRef<int64_t> columns) {
  if (from.size() <= 2)
    return vector::ShuffleOp::create(b, loc, from.front(), from.back(),
                                     columns);
  // Ascending columns: the first half of them is in the first two vectors.
  Value halves[2];
  for (int64_t half : {0, 1}) {
    SmallVector<int64_t> order;
    for (int64_t column : columns.slice(half * 16, 16))
      order.push_back(column - half * 64);
    halves[half] = vector::ShuffleOp::create(b, loc, from[2 * half],
                                             from[2 * half + 1], order);
  }
  SmallVector<int64_t> all;
  for (int64_t i = 0; i < tableDecodeCount; ++i)
    all.push_back(i);
  return vector::ShuffleOp::create(b, loc, halves[0], halves[1], all);
}

void MatrixNest::fillFused(Value rows) {
  Type bf16 = b.getBF16Type(), f32 = b.getF32Type();
  fusedA = e.allocate(std::min(m, fusedRows), stride, bf16);
  bool sums = w.dequant && w.dequant.getZero();
  int64_t chunks = k / fused.chunk;
  if (sums)
    fusedSums = e.allocate(std::min(m, fusedRows), chunks * e.isa.lanes, f32);
  e.loop(e.index(0), rows, 1, [&](Value r) {
    Value base = e.mul(r, e.index(stride));
    e.loop(e.index(0), e.index(chunks), 1, [&](Value c) {
      Value from = e.add(base, e.mul(c, e.index(fused.chunk)));
      SmallVector<Value> vectors;
      for (int64_t at = 0; at < fused.chunk; at += tableDecodeCount) {
        Value v = e.loadVector(a.scratch.flat, e.add(from, e.index(at)),
                               tableDecodeCount);
        vectors.push_back(
            fromF32(b, loc, toF32(b, loc, v, compute, e.isa), bf16, e.isa));
      }
      Value sum = splat(b, loc, e.vec(e.isa.lanes, f32), 0.0);
      Value ones = splat(b, loc, e.vec(tableDecodeCount, bf16), 1.0);
      for (auto [i, columns] : llvm::enumerate(fused.columns)) {
        Value v = gatherColumns(b, loc, vectors, columns);
        e.storeVector(v, fusedA.flat,
                      e.add(from, e.index(i * tableDecodeCount)));
        if (sums)
          sum = pairProduct(v, ones, sum);
      }
      if (sums)
        e.storeVector(
            sum, fusedSums.flat,
            e.mul(e.add(e.mul(r, e.index(chunks)), c), e.index(e.isa.lanes)));
    });
  });
}

//===----------------------------------------------------------------------===//
// One row of B
//===----------------------------------------------------------------------===//

/// The vectors of the chunk of codes at column k of the row at `base`.
SmallVector<Value> MatrixNest::decodeFused(Value base, Value at,
                                           bool prefetches) {
  const Memory &mem = e.memory(w.load.getMemory());
  tile::DequantOp dq = w.dequant;
  bool isUnsigned = dq && (dq.getZero() || dq.getZeroValue());
  // Bytes, or words of eight codes.
  int64_t per = dq ? dq.getValuesPerElement() : 1;
  bool bytes = per == 8 && mem.element.isInteger(8);
  Value where = at;
  if (per > 1)
    where = arith::DivUIOp::create(b, loc, at, e.index(per));
  if (bytes)
    where = e.mul(where, e.index(4));
  where = e.add(base, where);
  int64_t stored = fused.chunk / per * (bytes ? 4 : 1);
  if (prefetches) {
    int64_t width = cast<MemRefType>(mem.flat.getType())
                        .getElementType()
                        .getIntOrFloatBitWidth();
    Value ahead = e.add(where, e.index(fusedAhead * 8 / width));
    memref::PrefetchOp::create(b, loc, mem.flat, ValueRange{ahead},
                               /*isWrite=*/false, /*localityHint=*/3,
                               /*isDataCache=*/true);
  }
  Value packed = e.loadVector(mem.flat, where, stored);
  if (fused.kind == FusedCodes::Float8) {
    auto [first, second] = decodeFloat8Pair(b, loc, packed, w.element);
    return {first, second};
  }
  if (fused.kind == FusedCodes::Integers) {
    Value value = codesToF32(b, loc, packed, w.element, isUnsigned, e.isa);
    if (int64_t zeroValue = dq ? dq.getZeroValue().value_or(0) : 0)
      value = arith::SubFOp::create(
          b, loc, value,
          splat(b, loc, cast<VectorType>(value.getType()), double(zeroValue)));
    return {fromF32(b, loc, value, b.getBF16Type(), e.isa)};
  }
  std::optional<int64_t> zeroValue = dq.getZeroValue();
  if (dq.getZero())
    zeroValue = 0;
  SmallVector<uint16_t> table =
      nibbleTable(dq.getFormat() == tile::DequantFormat::Mx, zeroValue);
  auto words = VectorType::get(tableDecodeCount, b.getI16Type());
  packed = vector::BitCastOp::create(b, loc, words, packed);
  SmallVector<Value> values;
  for (int64_t place = 0; place < 4; ++place)
    values.push_back(decodeNibblesAt(b, loc, packed, place, table));
  return values;
}

/// One factor per lane for the chunk at column k of a row of B.
Value MatrixNest::fusedFactor(Value operand, Value column, Value at,
                              bool isZero) {
  auto load = traceArgument(op, operand).getDefiningOp<tile::LoadOp>();
  auto access = cast<tile::TileAccess>(load.getOperation());
  const Memory &mem = e.memory(load.getMemory());
  int64_t rowsPer = n / load.getTileShape().first;
  Value row =
      rowsPer == 1
          ? column
          : Value(arith::DivUIOp::create(b, loc, column, e.index(rowsPer)));
  setK(at);
  Value where = e.position(access, row, Value(), Value());
  int64_t count = fused.group < fused.chunk ? fused.chunk / fused.group : 1;
  Value factors = codesToF32(b, loc, e.loadVector(mem.flat, where, count),
                             mem.element, isZero, e.isa);
  SmallVector<int64_t> order;
  for (int64_t lane = 0; lane < e.isa.lanes; ++lane)
    order.push_back(count == 1 ? 0 : fused.columns[0][2 * lane] / fused.group);
  return vector::ShuffleOp::create(b, loc, factors, factors, order);
}

/// Sums of the products of `rows` rows of A and one row of B over the columns
/// [from, from + count), the dequantisation's factors applied.
SmallVector<Value> MatrixNest::fusedParts(Value base, Value column,
                                          int64_t rows, Value from,
                                          int64_t count) {
  VectorType accType = e.vec(e.isa.lanes, b.getF32Type());
  Value zeros = splat(b, loc, accType, 0.0);
  tile::DequantOp dq = w.dequant;
  bool scaled = dq && (dq.getScale() || dq.getZero());
  // Two chains of products, or they wait for each other.
  SmallVector<Value> total(rows), even(rows, zeros), odd(rows, zeros);
  auto close = [&](int64_t r) -> Value {
    Value part = arith::AddFOp::create(b, loc, even[r], odd[r]);
    even[r] = odd[r] = zeros;
    return part;
  };
  bool fetches = rows > 1 || (dq && dq.getValuesPerElement() > 1);
  int64_t number = 0;
  for (int64_t at = 0; at < count; at += fused.chunk) {
    Value kAt = e.add(from, e.index(at));
    for (auto [v, values] : llvm::enumerate(decodeFused(base, kAt, fetches))) {
      for (int64_t r = 0; r < rows; ++r) {
        Value where = e.add(e.index(r * stride + v * tableDecodeCount), kAt);
        Value av = e.loadVector(fusedA.flat, where, tableDecodeCount);
        Value &acc = number % 2 ? odd[r] : even[r];
        acc = pairProduct(av, values, acc);
      }
      ++number;
    }
    if (!scaled)
      continue;
    Value scale, zeroPoint;
    if (dq.getScale())
      scale = fusedFactor(dq.getScale(), column, kAt, false);
    if (dq.getZero())
      zeroPoint = fusedFactor(dq.getZero(), column, kAt, true);
    for (int64_t r = 0; r < rows; ++r) {
      Value part = close(r);
      if (zeroPoint) {
        // sum(A (q - z)) = sum(A q) - z sum(A)
        Value chunk = arith::DivUIOp::create(b, loc, kAt, e.index(fused.chunk));
        Value where = e.mul(e.add(e.index(r * (k / fused.chunk)), chunk),
                            e.index(e.isa.lanes));
        Value sum = e.loadVector(fusedSums.flat, where, e.isa.lanes);
        part = arith::SubFOp::create(
            b, loc, part, arith::MulFOp::create(b, loc, sum, zeroPoint));
      }
      if (scale)
        total[r] =
            total[r]
                ? Value(vector::FMAOp::create(b, loc, part, scale, total[r]))
                : Value(arith::MulFOp::create(b, loc, part, scale));
      else
        total[r] = total[r]
                       ? Value(arith::AddFOp::create(b, loc, part, total[r]))
                       : part;
    }
  }
  if (!scaled)
    for (int64_t r = 0; r < rows; ++r)
      total[r] = close(r);
  return total;
}

void MatrixNest::emitFusedRow(Value column, int64_t rows) {
  VectorType accType = e.vec(e.isa.lanes, b.getF32Type());
  setK(e.index(0));
  Value base = e.position(cast<tile::TileAccess>(w.load.getOperation()), column,
                          Value(), presentRow(e, w.load, column));
  SmallVector<Value> mRows;
  for (int64_t r = 0; r < rows; ++r)
    mRows.push_back(e.index(r));
  // Without a promotion several chunks per turn of the loop.
  int64_t unit = step;
  if (!promote)
    for (unit = fused.chunk; unit < 256 && k % (2 * unit) == 0;)
      unit *= 2;
  auto body = [&](Value from, ValueRange main) -> SmallVector<Value> {
    if (!promote) {
      SmallVector<Value> next = fusedParts(base, column, rows, from, unit);
      for (int64_t r = 0; r < rows; ++r)
        next[r] = arith::AddFOp::create(b, loc, next[r], main[r]);
      return next;
    }
    SmallVector<Value> parts = fusedParts(base, column, rows, from, step);
    return promoteParts(parts, SmallVector<Value>(main), mRows, {column}, from);
  };
  SmallVector<Value> accs(rows, splat(b, loc, accType, 0.0));
  int64_t full = k / unit * unit;
  if (full) {
    auto forOp = scf::ForOp::create(b, loc, e.index(0), e.index(full),
                                    e.index(unit), accs);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(forOp.getBody());
    scf::YieldOp::create(
        b, loc, body(forOp.getInductionVar(), forOp.getRegionIterArgs()));
    accs.assign(forOp.getResults().begin(), forOp.getResults().end());
  }
  if (full < k) {
    // The last step of a promotion may be short.
    SmallVector<Value> parts =
        fusedParts(base, column, rows, e.index(full), k - full);
    accs = promoteParts(parts, accs, mRows, {column}, e.index(full));
  }
  for (int64_t r = 0; r < rows; ++r)
    e.storeVector(reduceRow(accs[r]), out.flat, e.add(e.index(r * n), column));
}

void MatrixNest::emitFused(Value rows) {
  fillFused(rows);
  SmallVector<int64_t> cases;
  for (int64_t r = 1; r <= std::min(m, fusedRows); ++r)
    cases.push_back(r);
  auto choice = scf::IndexSwitchOp::create(b, loc, TypeRange{}, rows, cases,
                                           cases.size());
  OpBuilder::InsertionGuard guard(b);
  for (auto [count, region] : llvm::zip(cases, choice.getCaseRegions())) {
    b.setInsertionPointToStart(&region.emplaceBlock());
    e.loop(e.index(0), e.index(n), 1,
           [&, count = count](Value column) { emitFusedRow(column, count); });
    scf::YieldOp::create(b, loc);
  }
  b.setInsertionPointToStart(&choice.getDefaultRegion().emplaceBlock());
  scf::YieldOp::create(b, loc);
}
