//===- MatrixNest.cpp - Matrix products of the CPU lowering ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both operands of a tile product are rows with k innermost, so the natural
// CPU form is a nest of dot products: microRows x microCols accumulators, each
// a vector of partial sums along k, reduced across lanes once per tile. It
// reads weights as they lie in memory (no packing), each weight row once per
// group of token rows, and AVX512-BF16's pair product is the same instruction
// pattern. Operands that the multiplier does not take (fp8, 4-bit, f16) are
// decoded row by row into cache-resident scratch just before.
//
//===----------------------------------------------------------------------===//

#include "MatrixNest.h"
#include "Codec.h"
#include "PackedCodes.h"
#include "TableDecode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Dialect/X86Vector/X86VectorDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

//===----------------------------------------------------------------------===//
// The register tile
//===----------------------------------------------------------------------===//

Value MatrixNest::pairProduct(Value x, Value y, Value acc) {
  return x86vector::DotBF16Op::create(b, loc, acc.getType(), acc, x, y);
}

Value MatrixNest::multiply(Value x, Value y, Value acc) {
  if (compute.isBF16())
    return pairProduct(x, y, acc);
  if (e.isa.fma)
    return vector::FMAOp::create(b, loc, x, y, acc);
  return arith::AddFOp::create(b, loc, arith::MulFOp::create(b, loc, x, y),
                               acc);
}

/// Partial dot products over k in [from, from + count), from zero.
SmallVector<Value> MatrixNest::dotRange(ArrayRef<Value> aBases,
                                        ArrayRef<Value> bBases, Value from,
                                        int64_t count, bool unrolled) {
  VectorType accType = e.vec(e.isa.lanes, b.getF32Type());
  Value zero = splat(b, loc, accType, 0.0);
  SmallVector<Value> accs(aBases.size() * bBases.size(), zero);
  auto body = [&](Value at, ArrayRef<Value> in, int64_t mask) {
    SmallVector<Value> next(in);
    SmallVector<Value> ws;
    for (auto [j, base] : llvm::enumerate(bBases)) {
      ws.push_back(loadOperand(w, base, at, mask));
      if (w.direct && prefetchAhead && !mask) {
        // The rows of the next column block, line by line: hardware follows a
        // row, not the step to the next ones.
        Value line = e.add(bBases[0], e.mul(at, e.index(bBases.size())));
        Value ahead = e.add(line, e.index(prefetchAhead + j * lanes));
        memref::PrefetchOp::create(b, loc, e.memory(w.load.getMemory()).flat,
                                   ValueRange{ahead}, /*isWrite=*/false,
                                   /*localityHint=*/2, /*isDataCache=*/true);
      }
    }
    for (size_t i = 0; i < aBases.size(); ++i) {
      Value av = loadOperand(a, aBases[i], at, mask);
      for (size_t j = 0; j < ws.size(); ++j)
        next[i * ws.size() + j] = multiply(av, ws[j], next[i * ws.size() + j]);
    }
    return next;
  };
  int64_t vectors = count / lanes;
  if (unrolled) {
    for (int64_t v = 0; v < vectors; ++v)
      accs = body(e.add(from, e.index(v * lanes)), accs, 0);
  } else if (vectors) {
    int64_t unroll = accs.size() <= 12 && vectors % 2 == 0 ? 2 : 1;
    auto forOp =
        scf::ForOp::create(b, loc, from, e.add(from, e.index(vectors * lanes)),
                           e.index(unroll * lanes), accs);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(forOp.getBody());
    SmallVector<Value> inner(forOp.getRegionIterArgs());
    for (int64_t u = 0; u < unroll; ++u)
      inner =
          body(e.add(forOp.getInductionVar(), e.index(u * lanes)), inner, 0);
    scf::YieldOp::create(b, loc, inner);
    accs.assign(forOp.getResults().begin(), forOp.getResults().end());
  }
  if (int64_t tail = count % lanes)
    accs = body(e.add(from, e.index(vectors * lanes)), accs, tail);
  return accs;
}

Value MatrixNest::factorAt(Factor &factor, bool isRow, Value at, Value kAt) {
  if (!factor.load)
    return arith::ConstantOp::create(b, loc,
                                     b.getF32FloatAttr(factor.constant));
  setK(kAt);
  auto access = cast<tile::TileAccess>(factor.load.getOperation());
  const Memory &mem = e.memory(factor.load.getMemory());
  Value row = presentRow(e, factor.load, at);
  if (factor.extent == 1)
    at = e.index(0);
  Value where = isRow ? e.position(access, at, Value(), row)
                      : e.position(access, Value(), at, row);
  Value one = e.loadVector(mem.flat, where, 1);
  one = codesToF32(b, loc, one, mem.element, factor.isZero, e.isa);
  return vector::ExtractOp::create(b, loc, one, 0);
}

/// Vector of the lane sums of several accumulators. Halves of pairs are added
/// until one vector holds all sums: fewer shuffles than one by one.
Value MatrixNest::reduceRow(ArrayRef<Value> accs) {
  SmallVector<Value> level(accs);
  int64_t count = e.isa.lanes, segments = 1;
  while (level.size() > 1) {
    int64_t length = count / segments;
    SmallVector<int64_t> low, high;
    for (int64_t source = 0; source < 2; ++source)
      for (int64_t s = 0; s < segments; ++s)
        for (int64_t l = 0; l < length / 2; ++l) {
          low.push_back(source * count + s * length + l);
          high.push_back(source * count + s * length + length / 2 + l);
        }
    SmallVector<Value> next;
    for (size_t i = 0; i < level.size(); i += 2) {
      Value x = vector::ShuffleOp::create(b, loc, level[i], level[i + 1], low);
      Value y = vector::ShuffleOp::create(b, loc, level[i], level[i + 1], high);
      next.push_back(arith::AddFOp::create(b, loc, x, y));
    }
    level = next;
    segments *= 2;
  }
  Value v = level[0];
  for (int64_t length = count / segments; length > 1; length /= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t s = 0; s < segments; ++s)
      for (int64_t l = 0; l < length / 2; ++l) {
        low.push_back(s * length + l);
        high.push_back(s * length + length / 2 + l);
      }
    Value x = vector::ShuffleOp::create(b, loc, v, v, low);
    Value y = vector::ShuffleOp::create(b, loc, v, v, high);
    v = arith::AddFOp::create(b, loc, x, y);
  }
  return v;
}

SmallVector<Value> MatrixNest::promoteParts(MutableArrayRef<Value> parts,
                                            ArrayRef<Value> main,
                                            ArrayRef<Value> mRows,
                                            ArrayRef<Value> columns,
                                            Value from) {
  VectorType accType = e.vec(e.isa.lanes, b.getF32Type());
  int64_t rows = mRows.size();
  SmallVector<Value> next(main);
  auto perRow = [&](std::optional<Factor> &factor) {
    SmallVector<Value> made;
    if (factor)
      for (Value r : mRows)
        made.push_back(factorAt(*factor, true, r, from));
    return made;
  };
  auto perColumn = [&](std::optional<Factor> &factor) {
    SmallVector<Value> made;
    if (!factor)
      return made;
    int64_t run = n / factor->extent;
    for (size_t j = 0; j < columns.size(); ++j) {
      // Columns of one run share their factor.
      if (j && run % int64_t(columns.size()) == 0) {
        made.push_back(made[0]);
        continue;
      }
      Value at =
          run == 1
              ? columns[j]
              : Value(arith::DivUIOp::create(b, loc, columns[j], e.index(run)));
      made.push_back(factorAt(*factor, false, at, from));
    }
    return made;
  };
  SmallVector<Value> rowScale = perRow(rowFactor), sums = perRow(rowSum);
  SmallVector<Value> colScale = perColumn(colFactor);
  SmallVector<Value> zeros = perColumn(zero);
  if (rowSum)
    for (int64_t i = 0; i < rows; ++i)
      for (size_t j = 0; j < columns.size(); ++j) {
        // Subtracted once: from the first of the lanes.
        Value &part = parts[i * columns.size() + j];
        Value lane = vector::ExtractOp::create(b, loc, part, 0);
        lane = arith::SubFOp::create(
            b, loc, lane, arith::MulFOp::create(b, loc, sums[i], zeros[j]));
        part = vector::InsertOp::create(b, loc, lane, part, 0);
      }
  for (int64_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns.size(); ++j) {
      Value s;
      if (rowFactor)
        s = rowScale[i];
      if (colFactor)
        s = s ? Value(arith::MulFOp::create(b, loc, s, colScale[j]))
              : colScale[j];
      if (auto factor = promote.getFactorAttr()) {
        Value f = arith::ConstantOp::create(
            b, loc, b.getF32FloatAttr(factor.getValueAsDouble()));
        s = s ? Value(arith::MulFOp::create(b, loc, s, f)) : f;
      }
      size_t at = i * columns.size() + j;
      if (!s) {
        next[at] = arith::AddFOp::create(b, loc, next[at], parts[at]);
        continue;
      }
      Value sv = vector::BroadcastOp::create(b, loc, accType, s);
      if (e.isa.fma)
        next[at] = vector::FMAOp::create(b, loc, parts[at], sv, next[at]);
      else
        next[at] = arith::AddFOp::create(
            b, loc, arith::MulFOp::create(b, loc, parts[at], sv), next[at]);
    }
  return next;
}

void MatrixNest::emitMicro(Value mAt, int64_t rows, ArrayRef<Value> columns,
                           ArrayRef<Value> scratchRows, Value outColumn) {
  SmallVector<Value> mRows, aBases, bBases;
  for (int64_t i = 0; i < rows; ++i) {
    mRows.push_back(e.add(mAt, e.index(i)));
    aBases.push_back(rowBase(a, mRows.back(), mRows.back()));
  }
  for (auto [column, scratchRow] : llvm::zip(columns, scratchRows))
    bBases.push_back(rowBase(w, column, scratchRow));

  SmallVector<Value> accs;
  if (!promote) {
    accs = dotRange(aBases, bBases, e.index(0), k, /*unrolled=*/false);
  } else {
    VectorType accType = e.vec(e.isa.lanes, b.getF32Type());
    int64_t total = rows * int64_t(columns.size());
    accs.assign(total, splat(b, loc, accType, 0.0));
    // One scale group: partial sums, scaled into the main ones.
    auto group = [&](Value from, int64_t count, ArrayRef<Value> main) {
      SmallVector<Value> parts =
          dotRange(aBases, bBases, from, count, count / lanes <= 8);
      return promoteParts(parts, main, mRows, columns, from);
    };
    int64_t full = k / step * step;
    if (full) {
      auto forOp = scf::ForOp::create(b, loc, e.index(0), e.index(full),
                                      e.index(step), accs);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(forOp.getBody());
      SmallVector<Value> inner(forOp.getRegionIterArgs());
      inner = group(forOp.getInductionVar(), step, inner);
      scf::YieldOp::create(b, loc, inner);
      accs.assign(forOp.getResults().begin(), forOp.getResults().end());
    }
    if (full < k)
      accs = group(e.index(full), k - full, accs);
  }
  for (int64_t i = 0; i < rows; ++i) {
    Value sums = reduceRow(
        ArrayRef<Value>(accs).slice(i * columns.size(), columns.size()));
    e.storeVector(sums, out.flat,
                  e.add(e.mul(mRows[i], e.index(n)), outColumn));
  }
}

//===----------------------------------------------------------------------===//
// The nest
//===----------------------------------------------------------------------===//

/// At most `most` rows of A, by one row of B (or two) after the other: the
/// fastest way to read B once.
void MatrixNest::emitStreamed(Value rows, int64_t most) {
  SmallVector<int64_t> cases;
  for (int64_t r = 1; r <= most; ++r)
    cases.push_back(r);
  auto choice = scf::IndexSwitchOp::create(b, loc, TypeRange{}, rows, cases,
                                           cases.size());
  OpBuilder::InsertionGuard guard(b);
  for (auto [count, region] : llvm::zip(cases, choice.getCaseRegions())) {
    b.setInsertionPointToStart(&region.emplaceBlock());
    int64_t width = count >= pairedRows && boxSize % 2 == 0 ? 2 : 1;
    prefetchAhead =
        count == 1 ? 0
                   : width * streamAhead * 8 / compute.getIntOrFloatBitWidth();
    e.loop(e.index(0), e.index(n), width, [&, count = count](Value j) {
      SmallVector<Value> columns{j};
      if (width == 2)
        columns.push_back(e.add(j, e.index(1)));
      emitMicro(e.index(0), count, columns, columns, j);
    });
    scf::YieldOp::create(b, loc);
  }
  prefetchAhead = prefetchRows * k;
  b.setInsertionPointToStart(&choice.getDefaultRegion().emplaceBlock());
  scf::YieldOp::create(b, loc);
}

TileExprPtr MatrixNest::emit() {
  if (failed(analyse()))
    return nullptr;
  if (!compute.isF32() && !compute.isBF16())
    return nullptr;
  out = e.allocate(m, n, b.getF32Type());
  prefetchAhead = prefetchRows * k;
  Value rows = rowsOfA();
  e.currentRows = rows;
  if (!a.direct) {
    a.scratch = e.allocate(m, stride, compute);
    e.loop(e.index(0), rows, 1, [&](Value r) { decodeRow(a, r, r); });
  }
  int64_t columnBlock = boxSize % 8 == 0 ? 8 : groupCols;
  // Decoded rows stay in the first-level cache until they are multiplied.
  if (!w.direct &&
      columnBlock * stride * compute.getIntOrFloatBitWidth() / 8 > decodedBytes)
    columnBlock = groupCols;
  if (!w.direct)
    w.scratch = e.allocate(columnBlock, stride, compute);

  int64_t microRows = promote ? e.isa.promoteRows : e.isa.microRows;
  int64_t rowBytes = k * compute.getIntOrFloatBitWidth() / 8;
  int64_t streamedRows =
      w.direct && !promote ? std::min(microRows, streamedBytes / rowBytes) : 0;
  std::optional<OpBuilder::InsertionGuard> guard;
  if (canFuse()) {
    Value few = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, rows,
                                      e.index(std::min(m, fusedRows)));
    auto ifOp = scf::IfOp::create(b, loc, few, /*withElseRegion=*/true);
    guard.emplace(b);
    b.setInsertionPointToStart(ifOp.thenBlock());
    emitFused(rows);
    b.setInsertionPointToStart(ifOp.elseBlock());
  }
  if (streamedRows > 0) {
    Value few = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, rows,
                                      e.index(streamedRows));
    auto ifOp = scf::IfOp::create(b, loc, few, /*withElseRegion=*/true);
    guard.emplace(b);
    b.setInsertionPointToStart(ifOp.thenBlock());
    emitStreamed(rows, streamedRows);
    b.setInsertionPointToStart(ifOp.elseBlock());
  }
  for (int64_t box = 0; box < boxes; ++box) {
    e.loop(
        e.index(box * boxSize), e.index((box + 1) * boxSize), columnBlock,
        [&](Value j) {
          if (!w.direct)
            e.loop(e.index(0), e.index(columnBlock), 1,
                   [&](Value jj) { decodeRow(w, e.add(j, jj), jj); });
          // All column groups of the block for the token rows [mAt, mAt +
          // count).
          auto rowGroup = [&](Value mAt, int64_t count) {
            // A loop even if it runs twice only: code size is compile time.
            e.loop(e.index(0), e.index(columnBlock), groupCols, [&](Value jj) {
              SmallVector<Value> columns, scratchRows;
              for (int64_t c = 0; c < groupCols; ++c) {
                scratchRows.push_back(e.add(jj, e.index(c)));
                columns.push_back(e.add(j, scratchRows.back()));
              }
              emitMicro(mAt, count, columns, scratchRows, columns[0]);
            });
          };
          Value rest = arith::RemUIOp::create(b, loc, rows, e.index(microRows));
          Value full = arith::SubIOp::create(b, loc, rows, rest);
          e.loop(e.index(0), full, microRows,
                 [&](Value mAt) { rowGroup(mAt, microRows); });
          if (microRows == 1)
            return;
          SmallVector<int64_t> cases;
          for (int64_t r = 1; r < microRows; ++r)
            cases.push_back(r);
          auto choice = scf::IndexSwitchOp::create(b, loc, TypeRange{}, rest,
                                                   cases, cases.size());
          OpBuilder::InsertionGuard guard(b);
          for (auto [i, region] : llvm::enumerate(choice.getCaseRegions())) {
            b.setInsertionPointToStart(&region.emplaceBlock());
            rowGroup(full, cases[i]);
            scf::YieldOp::create(b, loc);
          }
          b.setInsertionPointToStart(&choice.getDefaultRegion().emplaceBlock());
          scf::YieldOp::create(b, loc);
        });
  }
  guard.reset();
  // Rows that the list leaves out read as zero.
  auto access = cast<tile::TileAccess>(a.load.getOperation());
  int64_t at = access.getRowsPosition();
  RowList *list = at < 0 ? nullptr : e.rowList(a.load.getIndices()[at]);
  if (list && list->slots) {
    Value zero = splat(b, loc, e.vec(1, b.getF32Type()), 0.0);
    e.loop(e.index(0), rows, 1, [&](Value r) {
      Value absent = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                           e.rowNumber(*list, r), e.index(0));
      auto ifOp = scf::IfOp::create(b, loc, absent, /*else=*/false);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(ifOp.thenBlock());
      e.loop(e.index(0), e.index(n), 1, [&](Value c) {
        e.storeVector(zero, out.flat, e.add(e.mul(r, e.index(n)), c));
      });
    });
  }
  return makeScratchExpr(out);
}

TileExprPtr cpu::emitMatrixNest(KernelEmitter &e, tile::KLoopOp op) {
  return MatrixNest(e, op).emit();
}
