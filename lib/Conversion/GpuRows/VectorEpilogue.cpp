//===- VectorEpilogue.cpp - Where lanes read and what they store
//-----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VectorEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

Value VectorEmitter::beforeSplit(int64_t block, int64_t part, Value c) {
  Value run = k.div(c, k.c32(block));
  Value at = k.add(k.mul(run, k.c32(2 * block)), k.rem(c, k.c32(block)));
  return part ? k.add(at, k.c32(part * block)) : at;
}

FailureOr<Value> VectorEmitter::rowNumber(Value list, Value m, Value &exists) {
  auto require = [&](Value condition) {
    exists = exists ? k.both(exists, condition) : condition;
  };
  if (auto iota = list.getDefiningOp<tile::RowIotaOp>()) {
    if (iota.getLimit())
      require(k.less(m, values.lookup(iota.getLimit())));
    Value number = k.add(values.lookup(iota.getFirst()), m);
    return exists ? k.select(exists, number, k.c32(0)) : number;
  }
  auto op = list.getDefiningOp<tile::RowIndexOp>();
  if (!op || PlainKernel::operandNumber(op.getSlots()) < 0 ||
      !cast<MemRefType>(op.getSlots().getType()).getElementType().isInteger(32))
    return failure();
  if (op.getLimit())
    require(k.less(m, values.lookup(op.getLimit())));
  Value at = k.add(values.lookup(op.getFirst()), m);
  require(k.inside(at, k.extent(op.getSlots(), 0)));
  Value slot =
      k.loadWord(k.pointer(op.getSlots()), k.select(exists, at, k.c32(0)));
  Value bound = op.getBound() ? values.lookup(op.getBound()) : k.c32(INT32_MAX);
  require(k.inside(slot, bound));
  slot = k.select(exists, slot, k.c32(0));
  return op.getDiv() > 1 ? k.div(slot, k.c32(op.getDiv())) : slot;
}

FailureOr<Value> VectorEmitter::offsetOf(tile::TileAccess access, Value m,
                                         Value c, Value &exists) {
  Operation *op = access;
  Value memory = access.getMemory();
  if (PlainKernel::operandNumber(memory) < 0)
    return refuse(op) << "memory that is no kernel argument";
  // Where a tile is cut into boxes, its rows or columns jump.
  if (auto boxes = access.getBoxes()) {
    auto [tileRows, tileCols] = access.getTileShape();
    int64_t along = access.getBoxDim() ? tileCols : tileRows;
    int64_t length = along / int64_t(boxes->size());
    Value &at = access.getBoxDim() ? c : m;
    Value box = k.div(at, k.c32(length)), shift = k.c32(0);
    for (auto [i, offset] : llvm::enumerate(*boxes))
      shift = k.select(k.cmp(arith::CmpIPredicate::eq, box, k.c32(i)),
                       k.c32(offset), shift);
    at = k.add(shift, k.rem(at, k.c32(length)));
  }
  Value offset = k.c64(0);
  for (auto [d, index] : llvm::enumerate(access.getIndices())) {
    int64_t granule = access.getGranuleOf(d);
    Value v;
    if (isa<tile::RowsType>(index.getType())) {
      if (granule != 1)
        return refuse(op) << "granules of rows in a list";
      bool columns = access.getMemoryDim(1) == int64_t(d);
      FailureOr<Value> number = rowNumber(index, columns ? c : m, exists);
      if (failed(number))
        return refuse(op) << "rows of a list that is none of 32-bit slots";
      v = *number;
    } else {
      v = values.lookup(index);
      if (granule != 1)
        v = k.div(v, k.c32(granule));
      if (access.getMemoryDim(0) == int64_t(d))
        v = k.add(v, m);
      else if (access.getMemoryDim(1) == int64_t(d))
        v = k.add(v, c);
      Value inside = k.inside(v, k.extent(memory, d));
      exists = exists ? k.both(exists, inside) : inside;
    }
    if (d)
      offset = k.mul(offset, k.wide(k.extent(memory, d)));
    offset = k.add(offset, k.wide(v));
  }
  return offset;
}

//===----------------------------------------------------------------------===//
// The epilogue
//===----------------------------------------------------------------------===//

FailureOr<Value> VectorEmitter::elementOf(Value fragment, Value m, Value c) {
  if (Value known = evaluated.lookupOrNull(fragment))
    return known;
  Operation *op = fragment.getDefiningOp();
  k.loc = op->getLoc();
  if (fragment == product)
    return mine[0];
  if (auto cut = dyn_cast<tile::SplitOp>(op)) {
    int64_t part = fragment == cut.getSecond();
    if (cut == split)
      return mine[part];
    if (!cut.getSource().getDefiningOp<tile::LoadOp>())
      return refuse(op) << "only products and operands are split";
    return elementOf(cut.getSource(), m, beforeSplit(cut.getBlock(), part, c));
  }
  auto type = cast<tile::FragType>(fragment.getType());
  if (auto load = dyn_cast<tile::LoadOp>(op)) {
    Value exists;
    Value zero = k.c32(0);
    FailureOr<Value> offset =
        offsetOf(cast<tile::TileAccess>(op), type.getRows() == 1 ? zero : m,
                 type.getCols() == 1 ? zero : c, exists);
    if (failed(offset))
      return failure();
    Value at = exists ? k.select(exists, *offset, k.c64(0)) : *offset;
    Type stored = storageOf(type.getElementType());
    return k.load(stored, k.at(k.pointer(load.getMemory()), at, stored),
                  stored.getIntOrFloatBitWidth() / 8);
  }
  if (auto splat = dyn_cast<tile::FragSplatOp>(op))
    return values.lookup(splat.getValue());
  auto map = dyn_cast<tile::MapOp>(op);
  if (!map)
    return refuse(op) << "an epilogue of other ops than maps, splits and loads";
  IRMapping inner;
  Block &body = map.getBody().front();
  for (auto [argument, input] :
       llvm::zip(body.getArguments(), map.getInputs())) {
    FailureOr<Value> v = elementOf(input, m, c);
    if (failed(v))
      return failure();
    inner.map(argument, *v);
  }
  k.loc = op->getLoc();
  for (Operation &one : body.without_terminator()) {
    // Constants stand above the body.
    for (Value operand : one.getOperands())
      if (Value outer = values.lookup(operand);
          outer && !inner.contains(operand))
        inner.map(operand, outer);
    FailureOr<Value> v = bodies.cloneScalar(&one, inner, /*wide=*/false);
    if (failed(v))
      return failure();
    inner.map(one.getResult(0), *v);
  }
  for (auto [result, yielded] :
       llvm::zip(map.getResults(), body.getTerminator()->getOperands()))
    evaluated.map(result, inner.lookupOrDefault(yielded));
  return evaluated.lookup(fragment);
}

LogicalResult VectorEmitter::emitStore(tile::StoreOp op, Value m, Value c) {
  if (op.getValues().size() != 1 || op.getMode() != tile::StoreMode::Plain)
    return refuse(op) << "one fragment is stored, and not added";
  FailureOr<Value> v = elementOf(op.getValues()[0], m, c);
  if (failed(v))
    return failure();
  k.loc = op.getLoc();
  Value exists;
  if (op.getLimit())
    exists = k.less(m, values.lookup(op.getLimit()));
  FailureOr<Value> offset =
      offsetOf(cast<tile::TileAccess>(op.getOperation()), m, c, exists);
  if (failed(offset))
    return failure();
  Type stored = (*v).getType();
  auto store = [&] {
    k.store(*v, k.at(k.pointer(op.getMemory()), *offset, stored),
            stored.getIntOrFloatBitWidth() / 8);
  };
  if (exists)
    k.when(exists, store);
  else
    store();
  return success();
}

/// Every lane stores its element of the result.
LogicalResult VectorEmitter::emitStores() {
  // Lane m * perGroup + i of a group has row m of the group's i-th column.
  int64_t groups = k.wave() / rowLanes, perGroup = perWarp / groups;
  Value m = k.div(laneInRow, k.c32(perGroup));
  Value i = k.rem(laneInRow, k.c32(perGroup));
  mine.assign(parts,
              arith::ConstantOp::create(b, k.loc, b.getF32FloatAttr(0.0)));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < perGroup; ++column) {
      Value is = k.cmp(arith::CmpIPredicate::eq, laneInRow,
                       k.c32(row * perGroup + column));
      for (int64_t part = 0; part < parts; ++part)
        mine[part] = k.select(is, sums[(column * parts + part) * rows + row],
                              mine[part]);
    }
  Value c =
      k.add(k.mul(warp, k.c32(perWarp)), k.add(k.mul(i, k.c32(groups)), group));
  Value valid = k.both(k.less(laneInRow, k.c32(rows * perGroup)),
                       k.less(c, k.c32(columns)));
  evaluated = IRMapping();
  LogicalResult result = success();
  k.when(valid, [&] {
    for (auto op : tiles.getBody().getOps<tile::StoreOp>())
      if (succeeded(result))
        result = emitStore(op, m, c);
  });
  return result;
}
