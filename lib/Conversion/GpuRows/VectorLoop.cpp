//===- VectorLoop.cpp - Weights through the lanes of a warp ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A weight row is read by as many lanes as leave no lane idle at its end, in
// pieces of 16 bytes side by side; a lane has several rows, for which it reads
// and converts the tile's rows once. The pieces of the next stage are under way
// while those of the last one are multiplied, also across tiles. What scales
// weights is applied to the sum over a piece.
//
//===----------------------------------------------------------------------===//

#include "VectorEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

/// Bytes that a lane loads at once.
static constexpr int64_t kPiece = 16;

Value VectorEmitter::fma(Value x, Value y, Value z) {
  return math::FmaOp::create(b, k.loc, x, y, z);
}

Value VectorEmitter::real(double v) {
  return arith::ConstantOp::create(b, k.loc, b.getF32FloatAttr(float(v)));
}

static Type storedElement(tile::LoadOp op) {
  return storageOf(op.getMemory().getType().getElementType());
}

Value VectorEmitter::placeOf(const Factor &factor, Value column) {
  if (!factor.columns)
    return k.c32(0);
  Value granule = k.div(column, k.c32(factor.columns));
  return k.mul(granule, k.c32(factor.stride));
}

/// Where this lane's weight rows and their scales begin. Rows that do not exist
/// are read as the last one: nothing stores the result.
LogicalResult VectorEmitter::findRows() {
  weightRows.clear();
  scaleRows.clear();
  zeroRows.clear();
  int64_t groups = k.wave() / rowLanes;
  bool ragged = warps * perWarp != columns || listColumns % columns != 0;
  // Between columns of one lane lie the same bytes if both are in one box.
  auto access = cast<tile::TileAccess>(w.getOperation());
  int64_t boxes = access.getBoxes() ? int64_t(access.getBoxes()->size()) : 1;
  bool even = !ragged && boxes <= parts &&
              (!split || int64_t(split.getBlock()) == columns);
  Value first = k.add(k.mul(warp, k.c32(perWarp)), group), zeroIndex = k.c32(0);
  Value last;
  if (ragged) {
    Value n0 = k.c32(0);
    for (auto op : tiles.getBody().getOps<tile::CoordsOp>())
      n0 = values.lookup(op.getResult(3));
    last = k.min(k.c32(columns - 1), k.sub(k.c32(listColumns - 1), n0));
  }
  auto pointerTo = [&](tile::LoadOp op, Value m, Value c) -> FailureOr<Value> {
    Value exists;
    FailureOr<Value> offset =
        offsetOf(cast<tile::TileAccess>(op.getOperation()), m, c, exists);
    if (failed(offset))
      return failure();
    return k.at(k.pointer(op.getMemory()), *offset, storedElement(op));
  };
  for (int64_t i = 0; i < perWarp / groups; ++i)
    for (int64_t part = 0; part < parts; ++part) {
      int64_t down = i * groups;
      Value c = k.add(first, k.c32(down));
      if (last)
        c = k.min(c, last);
      if (split)
        c = beforeSplit(split.getBlock(), part, c);
      auto add = [&](tile::LoadOp op, SmallVector<Value> &list, int64_t share,
                     bool across) {
        auto access = cast<tile::TileAccess>(op.getOperation());
        if (even && i && share == 1) {
          int64_t dim = access.getMemoryDim(across), pitch = dim < 0 ? 0 : 1;
          for (int64_t d = dim + 1;
               dim >= 0 && d < op.getMemory().getType().getRank(); ++d)
            pitch *= op.getMemory().getType().getDimSize(d);
          list.push_back(
              k.at(list[part], k.c64(down * pitch), storedElement(op)));
          return success();
        }
        Value row = share > 1 ? k.div(c, k.c32(share)) : c;
        FailureOr<Value> at = across ? pointerTo(op, zeroIndex, row)
                                     : pointerTo(op, row, zeroIndex);
        if (succeeded(at))
          list.push_back(*at);
        return LogicalResult(at);
      };
      if (failed(add(w, weightRows, 1, false)))
        return failure();
      for (auto [factor, list] :
           {std::pair(&scale, &scaleRows), std::pair(&zero, &zeroRows)})
        if (*factor &&
            failed(add(factor->load, *list, factor->rows, factor->across)))
          return failure();
    }
  return success();
}

SmallVector<Type> VectorEmitter::stageTypes() {
  int64_t perPiece = 128 / weightDecoder.getBits() / run;
  SmallVector<Type> types(unroll * perLane,
                          VectorType::get({4}, b.getI32Type()));
  for (const Factor &factor : {scale, zero})
    if (factor)
      types.append(unroll * perLane * perPiece, storedElement(factor.load));
  return types;
}

FailureOr<SmallVector<Value>> VectorEmitter::loadStage(Value step) {
  SmallVector<Value> stage, places;
  int64_t perPiece = 128 / weightDecoder.getBits();
  for (int64_t u = 0; u < unroll; ++u) {
    Value piece =
        k.add(k.mul(k.add(step, k.c32(u)), k.c32(rowLanes)), laneInRow);
    // Lanes with nothing left read something.
    if (steps * rowLanes != pieces)
      piece = k.min(piece, k.c32(pieces - 1));
    places.push_back(piece);
  }
  for (Value piece : places)
    for (Value row : weightRows)
      stage.push_back(k.load(
          VectorType::get({4}, b.getI32Type()),
          k.at(row, k.mul(piece, k.c32(kPiece)), b.getI8Type()), kPiece));
  for (auto [factor, list] :
       {std::pair(&scale, &scaleRows), std::pair(&zero, &zeroRows)}) {
    if (!*factor)
      continue;
    Type stored = storedElement(factor->load);
    for (Value piece : places)
      for (Value row : *list)
        for (int64_t part = 0; part < perPiece / run; ++part) {
          Value at = k.add(k.mul(piece, k.c32(perPiece)), k.c32(part * run));
          stage.push_back(k.load(stored,
                                 k.at(row, placeOf(*factor, at), stored),
                                 stored.getIntOrFloatBitWidth() / 8));
        }
  }
  return stage;
}

FailureOr<SmallVector<Value>> VectorEmitter::loadFirst(Value entry, Value end) {
  SmallVector<Type> types = stageTypes();
  auto keptValues = values;
  auto keptWeights = weightRows, keptScales = scaleRows, keptZeros = zeroRows;
  auto yieldZeros = [&] {
    SmallVector<Value> zeros;
    for (Type type : types)
      zeros.push_back(arith::ConstantOp::create(b, k.loc, b.getZeroAttr(type)));
    scf::YieldOp::create(b, k.loc, zeros);
  };
  LogicalResult result = success();
  auto branch = [&](Value condition, function_ref<void()> body) {
    auto op = scf::IfOp::create(b, k.loc, types, condition,
                                /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(op.elseBlock());
    yieldZeros();
    b.setInsertionPointToStart(op.thenBlock());
    body();
    return op;
  };
  scf::IfOp outer = branch(k.less(entry, end), [&] {
    result = placeTile(entry);
    if (failed(result))
      return yieldZeros();
    Value present = k.c32(1);
    for (auto op : tiles.getBody().getOps<tile::CoordsOp>())
      present = values.lookup(op.getResult(2));
    scf::IfOp inner = branch(k.less(k.c32(0), present), [&] {
      FailureOr<SmallVector<Value>> stage = failure();
      if (succeeded(findRows()))
        stage = loadStage(k.c32(0));
      result = LogicalResult(stage);
      if (failed(result))
        return yieldZeros();
      scf::YieldOp::create(b, k.loc, *stage);
    });
    scf::YieldOp::create(b, k.loc, inner.getResults());
  });
  values = keptValues;
  weightRows = keptWeights;
  scaleRows = keptScales;
  zeroRows = keptZeros;
  if (failed(result))
    return failure();
  return SmallVector<Value>(outer.getResults());
}

/// Pieces of the tile's rows beside those of a stage, by step, row and piece,
/// and behind them what scales the rows, by step, row and run.
SmallVector<Value> VectorEmitter::loadInputs(Value step) {
  SmallVector<Value> inputs;
  int64_t perPiece = 128 / weightDecoder.getBits();
  int64_t bytes = perPiece * rowDecoder.getBits() / 8;
  SmallVector<Value> factors;
  for (int64_t u = 0; u < unroll; ++u) {
    Value piece =
        k.add(k.mul(k.add(step, k.c32(u)), k.c32(rowLanes)), laneInRow);
    if (steps * rowLanes != pieces)
      piece = k.min(piece, k.c32(pieces - 1));
    for (Value row : inputRows)
      for (int64_t part = 0; part < bytes / kPiece; ++part) {
        Value at = k.add(k.mul(piece, k.c32(bytes)), k.c32(part * kPiece));
        inputs.push_back(k.load(VectorType::get({4}, b.getI32Type()),
                                k.at(row, at, b.getI8Type()), kPiece));
      }
    for (Value row : rowScaleRows)
      for (int64_t part = 0; part < perPiece / run; ++part) {
        Value at = k.add(k.mul(piece, k.c32(perPiece)), k.c32(part * run));
        Type stored = storedElement(rowScale.load);
        Value v = k.load(stored, k.at(row, placeOf(rowScale, at), stored),
                         stored.getIntOrFloatBitWidth() / 8);
        factors.push_back(elementToF32(k, v, rowScale.getElement()));
      }
  }
  llvm::append_range(inputs, factors);
  return inputs;
}

/// Columns `first` and following of the tile's row `m` in step `u` of a stage,
/// as many as a word of weights has.
SmallVector<Value> VectorEmitter::valuesOfRow(ValueRange inputs, int64_t u,
                                              int64_t m, int64_t first) {
  int64_t bits = rowDecoder.getBits(), count = weightDecoder.perWord();
  int64_t perInput = bits / weightDecoder.getBits();
  SmallVector<Value> values;
  for (int64_t at = first * bits; at < (first + count) * bits; at += 32) {
    Value piece = inputs[(u * rows + m) * perInput + at / 128];
    Value word =
        LLVM::ExtractElementOp::create(b, k.loc, piece, k.c32(at % 128 / 32));
    for (Value v : rowDecoder.decode(k, word)) {
      if (int64_t shift = weightDecoder.getShift())
        v = arith::MulFOp::create(b, k.loc, v, real(std::ldexp(1.0, shift)));
      values.push_back(v);
    }
  }
  return values;
}

/// Adds the products of values that share a scale, `from` and following of
/// every piece in step `u`. Word by word, so that few values of the tile's rows
/// are held and the sums of all rows grow side by side.
void VectorEmitter::multiplyRun(ValueRange stage, ValueRange inputs, int64_t u,
                                int64_t from) {
  auto mulf = [&](Value x, Value y) -> Value {
    return arith::MulFOp::create(b, k.loc, x, y);
  };
  auto subf = [&](Value x, Value y) -> Value {
    return arith::SubFOp::create(b, k.loc, x, y);
  };
  auto addf = [&](Value x, Value y) -> Value {
    return arith::AddFOp::create(b, k.loc, x, y);
  };
  bool scaled = scale || zero || rowScale || weightDecoder.hasOffsets() ||
                weightDecoder.getShift() || zeroValue;
  int64_t perWord = weightDecoder.perWord();
  int64_t perPiece = 4 * perWord, runs = perPiece / run, part = from / run;
  int64_t perInput = rowDecoder.getBits() / weightDecoder.getBits();
  int64_t scalesAt = unroll * perLane;
  int64_t zerosAt = scale ? scalesAt + unroll * perLane * runs : scalesAt;
  SmallVector<Value> run0 = sums;
  if (scaled)
    run0.assign(sums.size(), real(0));
  // Of the rows' values: with what comes with codes, and alone.
  SmallVector<Value> offsets(rows), totals(rows);
  for (int64_t column = from; column < from + run; column += perWord) {
    SmallVector<SmallVector<Value>> x;
    for (int64_t m = 0; m < rows; ++m) {
      x.push_back(valuesOfRow(inputs, u, m, column));
      for (auto [i, v] : llvm::enumerate(x[m])) {
        double offset =
            weightDecoder.getOffset(i) + (zero ? 0 : double(zeroValue));
        if (offset)
          offsets[m] = offsets[m] ? fma(v, real(offset), offsets[m])
                                  : mulf(v, real(offset));
        if (zero)
          totals[m] = totals[m] ? addf(totals[m], v) : v;
      }
    }
    for (int64_t r = 0; r < perLane; ++r) {
      Value word = LLVM::ExtractElementOp::create(
          b, k.loc, stage[u * perLane + r], k.c32(column / perWord));
      for (auto [i, v] : llvm::enumerate(weightDecoder.decode(k, word)))
        for (int64_t m = 0; m < rows; ++m)
          run0[r * rows + m] = fma(v, x[m][i], run0[r * rows + m]);
    }
  }
  if (!scaled) {
    sums = run0;
    return;
  }
  for (int64_t r = 0; r < perLane; ++r) {
    int64_t at = (u * perLane + r) * runs + part;
    Value factor, z;
    if (scale)
      factor = elementToF32(k, stage[scalesAt + at], scale.getElement());
    if (int64_t back = weightDecoder.getBack())
      factor = factor ? mulf(factor, real(std::ldexp(1.0, back)))
                      : real(std::ldexp(1.0, back));
    if (zero)
      z = elementToF32(k, stage[zerosAt + at], zero.getElement());
    for (int64_t m = 0; m < rows; ++m) {
      Value &total = sums[r * rows + m];
      Value sum = run0[r * rows + m];
      if (offsets[m])
        sum = subf(sum, offsets[m]);
      if (zero)
        sum = subf(sum, mulf(z, totals[m]));
      Value whole = factor;
      if (rowScale) {
        Value own =
            inputs[unroll * rows * perInput + (u * rows + m) * runs + part];
        whole = whole ? mulf(own, whole) : own;
      }
      total = whole ? fma(sum, whole, total) : addf(total, sum);
    }
  }
}

void VectorEmitter::multiply(ValueRange stage, ValueRange inputs, Value step) {
  int64_t perPiece = 128 / weightDecoder.getBits();
  for (int64_t u = 0; u < unroll; ++u) {
    SmallVector<Value> before = sums;
    for (int64_t from = 0; from < perPiece; from += run)
      multiplyRun(stage, inputs, u, from);
    if (steps * rowLanes == pieces)
      continue;
    // The last lanes have nothing left.
    Value piece =
        k.add(k.mul(k.add(step, k.c32(u)), k.c32(rowLanes)), laneInRow);
    Value valid = k.less(piece, k.c32(pieces));
    for (auto [sum, old] : llvm::zip(sums, before))
      sum = k.select(valid, sum, old);
  }
}

/// A tile that has rows.
LogicalResult VectorEmitter::emitRows(ValueRange first, Value next, Value end,
                                      SmallVectorImpl<Value> &following) {
  if (failed(findRows()))
    return failure();
  inputRows.clear();
  rowScaleRows.clear();
  auto findRow = [&](tile::LoadOp op, SmallVector<Value> &list, Value m,
                     bool across) {
    Value exists, none = k.c32(0);
    FailureOr<Value> offset =
        offsetOf(cast<tile::TileAccess>(op.getOperation()), across ? none : m,
                 across ? m : none, exists);
    if (failed(offset))
      return failure();
    // What does not exist is read from the start: nothing stores the result.
    Value at = exists ? k.select(exists, *offset, k.c64(0)) : *offset;
    list.push_back(k.at(k.pointer(op.getMemory()), at, storedElement(op)));
    return success();
  };
  for (int64_t m = 0; m < rows; ++m)
    if (failed(findRow(a, inputRows, k.c32(m), false)) ||
        (rowScale &&
         failed(findRow(rowScale.load, rowScaleRows, k.c32(m / rowScale.rows),
                        rowScale.across))))
      return failure();
  sums.assign(perLane * rows, real(0));
  SmallVector<Value> stage(first);
  int64_t whole = steps - unroll;
  if (whole) {
    SmallVector<Value> carried = sums;
    llvm::append_range(carried, stage);
    auto op = scf::ForOp::create(b, k.loc, k.c32(0), k.c32(whole),
                                 k.c32(unroll), carried);
    OpBuilder::InsertionGuard guard(b);
    Block *body = op.getBody();
    if (!body->empty() && isa<scf::YieldOp>(body->back()))
      body->back().erase();
    b.setInsertionPointToEnd(body);
    Value step = op.getInductionVar();
    size_t count = sums.size();
    llvm::copy(op.getRegionIterArgs().take_front(count), sums.begin());
    SmallVector<Value> inputs = loadInputs(step);
    FailureOr<SmallVector<Value>> later = loadStage(k.add(step, k.c32(unroll)));
    if (failed(later))
      return failure();
    multiply(op.getRegionIterArgs().drop_front(count), inputs, step);
    SmallVector<Value> results = sums;
    llvm::append_range(results, *later);
    scf::YieldOp::create(b, k.loc, results);
    llvm::copy(op.getResults().take_front(count), sums.begin());
    stage.assign(op.getResults().begin() + count, op.getResults().end());
  }
  Value lastStep = k.c32(whole);
  SmallVector<Value> inputs = loadInputs(lastStep);
  FailureOr<SmallVector<Value>> later = loadFirst(next, end);
  if (failed(later))
    return failure();
  following.assign(later->begin(), later->end());
  multiply(stage, inputs, lastStep);
  for (Value &sum : sums)
    sum = k.target.combine(b, k.loc, sum, rowLanes, [&](Value x, Value y) {
      return arith::AddFOp::create(b, k.loc, x, y);
    });
  return emitStores();
}

LogicalResult VectorEmitter::emitTile(ValueRange first, Value next, Value end,
                                      SmallVectorImpl<Value> &following) {
  if (!isa<tile::SlotListOp>(tiles.getList().getDefiningOp()))
    return emitRows(first, next, end, following);
  // The tile of an absent slot has nobody's rows.
  Value present;
  for (auto op : tiles.getBody().getOps<tile::CoordsOp>())
    present = k.less(k.c32(0), values.lookup(op.getResult(2)));
  if (!present)
    return refuse(tiles) << "tiles without coordinates";
  auto op = scf::IfOp::create(b, k.loc, stageTypes(), present,
                              /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.elseBlock());
  FailureOr<SmallVector<Value>> skipped = loadFirst(next, end);
  if (failed(skipped))
    return failure();
  scf::YieldOp::create(b, k.loc, *skipped);
  b.setInsertionPointToStart(op.thenBlock());
  SmallVector<Value> later;
  if (failed(emitRows(first, next, end, later)))
    return failure();
  scf::YieldOp::create(b, k.loc, later);
  following.assign(op.getResults().begin(), op.getResults().end());
  return success();
}
