//===- RowValues.cpp - What a thread does with its vector of a row --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

LogicalResult RowEmitter::emitRowIndex(tile::RowIndexOp op) {
  if (op.getType().getCount() != 1)
    return op.emitOpError("gives ")
           << op.getType().getCount() << " rows; the row lowering takes one";
  if (PlainKernel::operandNumber(op.getSlots()) < 0)
    return op.emitOpError("reads memory that is no kernel argument");
  Value first = values.lookup(op.getFirst());
  Value exists = k.inside(first, k.extent(op.getSlots(), 0));
  if (op.getLimit())
    exists = k.both(exists, k.less(k.c32(0), values.lookup(op.getLimit())));
  if (active)
    exists = k.both(exists, active);
  Type element = cast<MemRefType>(op.getSlots().getType()).getElementType();
  if (!element.isInteger(32))
    return op.emitOpError("the ")
           << name() << " lowering takes slots of i32, got " << element;
  // No branch: the loads of several rows are in flight together.
  Value slot = k.select(
      exists,
      k.loadWord(k.pointer(op.getSlots()), k.select(exists, first, k.c32(0))),
      k.c32(-1));
  if (op.getBound())
    slot =
        k.select(k.less(slot, values.lookup(op.getBound())), slot, k.c32(-1));
  int64_t div = op.getDiv();
  if (div > 1)
    slot = k.select(k.less(slot, k.c32(0)), k.c32(-1), k.div(slot, k.c32(div)));
  values[op.getResult()] = slot;
  return success();
}

LogicalResult RowEmitter::emitSlotRow(tile::SlotRowOp op) {
  for (Value memory : {Value(op.getIds()), Value(op.getExpertMap()),
                       Value(op.getDeviceTokens())})
    if (memory && PlainKernel::operandNumber(memory) < 0)
      return op.emitOpError("reads memory that is no kernel argument");
  Value slot = values.lookup(op.getSlot());
  Value exists =
      k.inside(slot, k.mul(k.extent(op.getIds(), 0), k.c32(op.getTopk())));
  if (active)
    exists = k.both(exists, active);
  if (op.getDeviceTokens())
    exists = k.both(
        exists, k.less(k.div(slot, k.c32(op.getTopk())),
                       k.loadWord(k.pointer(op.getDeviceTokens()), k.c32(0))));
  // No branch: what is read elsewhere is forgotten.
  Value expert =
      k.loadWord(k.pointer(op.getIds()), k.select(exists, slot, k.c32(0)));
  if (op.getExpertMap()) {
    Value known = k.inside(expert, k.extent(op.getExpertMap(), 0));
    exists = k.both(exists, known);
    expert = k.loadWord(k.pointer(op.getExpertMap()),
                        k.select(known, expert, k.c32(0)));
  }
  exists = k.both(exists, k.inside(expert, k.c32(op.getExperts())));
  values[op.getResult()] = k.select(exists, slot, k.c32(-1));
  return success();
}

FailureOr<Value> RowEmitter::place(tile::TileAccess access, Value &exists,
                                   bool clamp) {
  Operation *op = access;
  Value memory = access.getMemory();
  auto type = cast<MemRefType>(memory.getType());
  if (PlainKernel::operandNumber(memory) < 0)
    return op->emitOpError("accesses memory that is no kernel argument");
  if (!type.getLayout().isIdentity())
    return op->emitOpError("the ")
           << name() << " lowering takes row-major memory, got " << type;
  if (access.getBoxes())
    return op->emitOpError("boxes have no row lowering to ") << name();
  exists = active;
  auto require = [&](Value condition) {
    exists = exists ? k.both(exists, condition) : condition;
  };
  int64_t cols = access.getTileShape().second;
  Value offset;
  for (auto [d, index] : llvm::enumerate(access.getIndices())) {
    if (access.getGranuleOf(d) != 1)
      return op->emitOpError("granules have no row lowering to ") << name();
    Value v = values.lookup(index);
    if (!v)
      return op->emitOpError("uses a value without lowering to ") << name();
    bool along = access.getMemoryDim(1) == static_cast<int64_t>(d);
    auto start = constantOf(index);
    int64_t reach = along ? cols : 1;
    if (along && cols > 1)
      v = k.add(v, k.mul(part, k.c32(segment->vector)));
    bool known = start && *start >= 0 && !type.isDynamicDim(d) &&
                 *start + reach <= type.getDimSize(d);
    if (!known) {
      Value extent = k.extent(memory, d);
      require(k.inside(v, extent));
      if (clamp)
        v = k.select(k.inside(v, extent), v, k.c32(0));
    }
    if (d)
      offset = arith::MulIOp::create(k.b, k.loc, offset,
                                     k.wide(k.extent(memory, d)));
    Value wide = k.wide(v);
    offset = d ? k.add(offset, wide) : wide;
  }
  if (!offset)
    offset = k.c64(0);
  return offset;
}

LogicalResult RowEmitter::emitLoad(tile::LoadOp op) {
  auto frag = dyn_cast<tile::FragType>(op.getType());
  if (!frag)
    return op.emitOpError("the row lowering to ")
           << name() << " loads fragments, not " << op.getType();
  auto group = rowLoads.find(op);
  if (group != rowLoads.end())
    return group->second.empty() ? success() : emitRowLoads(group->second);
  // A branch around one element costs more than the element.
  bool clamp = !isWide(frag) && segment->vector > 1;
  Value exists;
  FailureOr<Value> offset = place(op, exists, clamp);
  if (failed(offset))
    return failure();
  Type element = storageOf(frag.getElementType());
  Type type = typeOf(element, isWide(frag));
  int64_t bytes = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
  if (isWide(frag))
    bytes *= segment->vector;
  Value address = k.at(k.pointer(op.getMemory()), *offset, element);
  auto read = [&]() -> Value {
    return k.load(type, address, std::min(bytes, kVectorBytes));
  };
  Value &v = values[op.getResult()];
  if (!exists)
    v = read();
  else if (clamp)
    v = k.select(exists, read(), zero(type));
  else
    v = k.choose(exists, read, zero(type));
  return success();
}

/// Finds loads that differ in their row alone, and moves what gives the rows
/// before them.
void RowEmitter::gatherRowLoads(Segment &segment) {
  llvm::SmallDenseSet<int64_t> written;
  for (Operation *op : segment.ops)
    if (auto store = dyn_cast<tile::StoreOp>(op))
      written.insert(PlainKernel::operandNumber(store.getMemory()));
  std::vector<SmallVector<tile::LoadOp>> groups;
  for (Operation *op : segment.ops) {
    auto load = dyn_cast<tile::LoadOp>(op);
    if (!load || load.getIndices().size() != 2 || load.getDims() ||
        load.getGranule() || load.getBoxes() ||
        !isa_and_nonnull<tile::RowIndexOp, tile::SlotRowOp>(
            load.getIndices()[0].getDefiningOp()) ||
        constantOf(load.getIndices()[1]) != 0 ||
        written.contains(PlainKernel::operandNumber(load.getMemory())))
      continue;
    auto group = llvm::find_if(groups, [&](auto &group) {
      return group[0].getMemory() == load.getMemory() &&
             group[0].getType() == load.getType();
    });
    if (group == groups.end())
      groups.push_back({load});
    else
      group->push_back(load);
  }
  for (SmallVector<tile::LoadOp> &group : groups) {
    if (group.size() < 2)
      continue;
    for (tile::LoadOp load : group)
      rowLoads[load] = {};
    rowLoads[group[0]] = group;
  }
  SmallVector<Operation *> first, rest;
  for (Operation *op : segment.ops) {
    bool early = op->getNumRegions() == 0 && op->getNumResults() == 1 &&
                 op->getResult(0).getType().isIntOrIndexOrFloat();
    if (auto index = dyn_cast<tile::RowIndexOp>(op))
      early = !written.contains(PlainKernel::operandNumber(index.getSlots()));
    // Ids, maps and counts are i32, sums are floats.
    early |= isa<tile::SlotRowOp>(op);
    (early ? first : rest).push_back(op);
  }
  llvm::append_range(first, rest);
  segment.ops = first;
}

LogicalResult RowEmitter::emitRowLoads(ArrayRef<tile::LoadOp> group) {
  SmallVector<tile::LoadOp> loads(group);
  Value memory = loads[0].getMemory();
  auto frag = cast<tile::FragType>(loads[0].getType());
  Type element = storageOf(frag.getElementType()),
       type = typeOf(element, isWide(frag));
  int64_t bytes = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
  if (isWide(frag))
    bytes *= segment->vector;
  // A branch around every load would make one wait for the other. An absent
  // row is read as some other row of the same sum and forgotten.
  Value extent = k.extent(memory, 0), any, some;
  SmallVector<Value> rows, exists;
  for (tile::LoadOp load : loads) {
    Value row = values.lookup(load.getIndices()[0]);
    if (!row)
      return load.emitOpError("uses a value without lowering to ") << name();
    Value inside = k.inside(row, extent);
    rows.push_back(row);
    exists.push_back(inside);
    some = some ? k.select(inside, row, some) : row;
    any = any ? arith::OrIOp::create(k.b, k.loc, any, inside).getResult()
              : inside;
  }
  if (active)
    any = k.both(any, active);
  auto ifOp =
      scf::IfOp::create(k.b, k.loc, SmallVector<Type>(loads.size(), type), any,
                        /*withElseRegion=*/true);
  SmallVector<Value> read;
  {
    OpBuilder::InsertionGuard guard(k.b);
    k.b.setInsertionPointToStart(ifOp.thenBlock());
    Value pitch = k.wide(k.extent(memory, 1));
    Value column = k.wide(
        frag.getCols() > 1 ? k.mul(part, k.c32(segment->vector)) : k.c32(0));
    for (auto [row, inside] : llvm::zip(rows, exists)) {
      Value offset =
          k.add(arith::MulIOp::create(
                    k.b, k.loc, k.wide(k.select(inside, row, some)), pitch),
                column);
      read.push_back(k.load(type, k.at(k.pointer(memory), offset, element),
                            std::min(bytes, kVectorBytes)));
    }
    scf::YieldOp::create(k.b, k.loc, read);
    k.b.setInsertionPointToStart(ifOp.elseBlock());
    scf::YieldOp::create(k.b, k.loc,
                         SmallVector<Value>(loads.size(), zero(type)));
  }
  for (auto [i, load] : llvm::enumerate(loads))
    values[load.getResult()] =
        k.select(exists[i], ifOp.getResult(i), zero(type));
  return success();
}

LogicalResult RowEmitter::emitStore(tile::StoreOp op) {
  if (op.getValues().size() != 1)
    return op.emitOpError("stores ")
           << op.getValues().size()
           << " tiles side by side; the row lowering to " << name()
           << " takes one";
  if (op.getMode() != tile::StoreMode::Plain)
    return op.emitOpError("adding stores have no row lowering to ") << name();
  auto frag = dyn_cast<tile::FragType>(op.getValues()[0].getType());
  Value v = values.lookup(op.getValues()[0]);
  if (!frag || !v)
    return op.emitOpError("stores a value without row lowering to ") << name();
  Value exists;
  FailureOr<Value> offset = place(op, exists);
  if (failed(offset))
    return failure();
  auto require = [&](Value condition) {
    exists = exists ? k.both(exists, condition) : condition;
  };
  if (op.getLimit())
    require(k.less(k.c32(0), values.lookup(op.getLimit())));
  // A single element is the work of the row's first thread.
  if (frag.getCols() == 1 && segment->vectors() > 1)
    require(k.cmp(arith::CmpIPredicate::eq, part, k.c32(0)));
  Type element = storageOf(frag.getElementType());
  int64_t bytes = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
  if (isWide(frag)) {
    bytes *= segment->vector;
    v = spread(v);
  }
  Value address = k.at(k.pointer(op.getMemory()), *offset, element);
  auto write = [&] { k.store(v, address, std::min(bytes, kVectorBytes)); };
  if (exists)
    k.when(exists, write);
  else
    write();
  return success();
}

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

LogicalResult RowEmitter::emitMap(tile::MapOp op) {
  bool wide = false;
  for (Type type :
       llvm::concat<const Type>(op.getOperandTypes(), op.getResultTypes()))
    wide |= isWide(type);
  IRMapping map;
  Block &body = op.getBody().front();
  for (auto [argument, input] :
       llvm::zip(body.getArguments(), op.getInputs())) {
    Value v = values.lookup(input);
    if (!v)
      return op.emitOpError("has an input without lowering to ") << name();
    map.map(argument, wide ? spread(v) : v);
  }
  // Values from above are scalars of the kernel.
  op.getBody().walk([&](Operation *inner) {
    for (Value v : inner->getOperands())
      if (!map.contains(v))
        if (Value outer = values.lookup(v))
          map.map(v, wide ? spread(outer) : outer);
  });
  for (Operation &inner : body.without_terminator()) {
    FailureOr<Value> v = cloneScalar(&inner, map, wide);
    if (failed(v))
      return failure();
    map.map(inner.getResult(0), *v);
  }
  for (auto [result, yielded] :
       llvm::zip(op.getResults(), body.getTerminator()->getOperands())) {
    Value v = map.lookupOrNull(yielded);
    if (!v)
      return op.emitOpError("yields a value without lowering to ") << name();
    values[result] = wide ? spread(v) : v;
  }
  return success();
}

LogicalResult RowEmitter::emitRowReduce(tile::RowReduceOp op) {
  OpBuilder &b = k.b;
  if (op.getInputs().size() != 1 || op.getType().getCols() != 1 ||
      !cast<tile::FragType>(op.getInputs()[0].getType())
           .getElementType()
           .isF32())
    return op.emitOpError("the row lowering to ")
           << name() << " reduces one tile of f32 to one column";
  auto combine = [&](Value x, Value y) -> Value {
    if (op.getKind() == tile::ReduceKind::Sum)
      return arith::AddFOp::create(b, k.loc, x, y);
    return arith::MaximumFOp::create(b, k.loc, x, y);
  };
  Value input = values.lookup(op.getInputs()[0]);
  if (!input)
    return op.emitOpError("has an input without lowering to ") << name();
  if (op.getKind() == tile::ReduceKind::AbsMax)
    input = math::AbsFOp::create(b, k.loc, input);
  Value v = input;
  if (isa<VectorType>(input.getType())) {
    v = LLVM::ExtractElementOp::create(b, k.loc, input, k.c32(0));
    for (int64_t i = 1; i < segment->vector; ++i)
      v = combine(v, LLVM::ExtractElementOp::create(b, k.loc, input, k.c32(i)));
  }
  // Threads behind the end of the row hold the neutral element.
  double neutral = 0;
  if (op.getKind() == tile::ReduceKind::Max)
    neutral = -std::numeric_limits<double>::infinity();
  Value none = arith::ConstantOp::create(b, k.loc, b.getF32FloatAttr(neutral));
  int64_t team = rowPerBlock ? threads : segment->lanes();
  if (segment->vectors() < team)
    v = k.select(k.inside(part, k.c32(segment->vectors())), v, none);
  auto butterfly = [&](Value v, int64_t lanes) {
    return k.target.combine(b, k.loc, v, lanes, combine);
  };
  if (!rowPerBlock) {
    values[op.getResult()] = butterfly(v, segment->lanes());
    return success();
  }
  v = butterfly(v, k.wave());
  Value memory = k.shared(threads / k.wave() * 4);
  Value lane = k.laneOf(k.thread());
  k.when(k.cmp(arith::CmpIPredicate::eq, lane, k.c32(0)), [&] {
    k.store(v, k.at(memory, k.div(k.thread(), k.c32(k.wave())), b.getF32Type()),
            4);
  });
  k.barrier();
  v = k.choose(
      k.less(lane, k.c32(threads / k.wave())),
      [&] {
        return k.load(b.getF32Type(), k.at(memory, lane, b.getF32Type()), 4);
      },
      none);
  values[op.getResult()] = butterfly(v, k.wave());
  return success();
}
