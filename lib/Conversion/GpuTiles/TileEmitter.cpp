//===- TileEmitter.cpp - Arguments, scalars and loops of kernels ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::gpu_tiles;

//===----------------------------------------------------------------------===//
// Values and their parts
//===----------------------------------------------------------------------===//

Value TileEmitter::asI32(Value v) {
  if (!v)
    return v;
  Value s = scalar(v);
  if (s.getType().isInteger(64))
    return arith::TruncIOp::create(b, loc, b.getI32Type(), s);
  return s;
}

SmallVector<Value> TileEmitter::flatten(ValueRange values) {
  SmallVector<Value> flat;
  for (Value v : values)
    llvm::append_range(flat, parts.find(v)->second);
  return flat;
}

void TileEmitter::bindFlat(ValueRange values, ValueRange flat) {
  // The lists of the values have the lengths of what they were made from.
  for (Value v : values) {
    size_t count = parts.find(v)->second.size();
    parts[v] = llvm::to_vector(flat.take_front(count));
    flat = flat.drop_front(count);
  }
}

void TileEmitter::ifThen(Value condition, function_ref<void()> body) {
  if (!condition)
    return body();
  auto ifOp = scf::IfOp::create(b, loc, condition, /*else=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(ifOp.thenBlock());
  body();
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

Value TileEmitter::addParameter(Type type, DictionaryAttr how) {
  params.push_back(how);
  return func.getBody().front().addArgument(type, loc);
}

LogicalResult TileEmitter::addArguments() {
  Type global = LLVM::LLVMPointerType::get(b.getContext(), 1);
  for (BlockArgument arg : kernel.getBody().getArguments()) {
    unsigned number = arg.getArgNumber();
    NamedAttribute operand =
        b.getNamedAttr("operand", b.getI64IntegerAttr(number));
    if (auto type = dyn_cast<MemRefType>(arg.getType())) {
      if (!type.getLayout().isIdentity())
        return refuse(kernel)
               << "argument " << number << ": the " << language
               << " lowering takes row-major memory only, got " << type;
      Memory memory;
      memory.type = type;
      memory.operand = number;
      memory.pointer = addParameter(global, b.getDictionaryAttr({operand}));
      memories[arg] = memory;
      continue;
    }
    if (!isa<IndexType, IntegerType, FloatType>(arg.getType()))
      return refuse(kernel)
             << "argument " << number << ": the " << language
             << " lowering takes memrefs and scalars, got " << arg.getType();
    Type type = scalarType(arg.getType());
    parts[arg] = {addParameter(
        type, b.getDictionaryAttr(
                  {operand, b.getNamedAttr("type", TypeAttr::get(type))}))};
  }
  return success();
}

Value TileEmitter::dimension(BlockArgument memory, int64_t dim) {
  Value &known = dimensions[{memory, dim}];
  if (!known)
    known = addParameter(
        b.getI32Type(),
        b.getDictionaryAttr(
            {b.getNamedAttr("operand",
                            b.getI64IntegerAttr(memory.getArgNumber())),
             b.getNamedAttr("dim", b.getI64IntegerAttr(dim)),
             b.getNamedAttr("type", TypeAttr::get(b.getI32Type()))}));
  return known;
}

Value TileEmitter::extent(const Memory &memory, int64_t dim) {
  if (!memory.type.isDynamicDim(dim))
    return c32(memory.type.getDimSize(dim));
  BlockArgument arg = kernel.getBody().getArgument(memory.operand);
  auto original = cast<MemRefType>(arg.getType());
  if (memory.whole)
    return dimension(arg, dim);
  // A view that collapses dimensions: the product of what it covers. Only the
  // first extent of a row-major memory can be dynamic there.
  int64_t inner = 1;
  for (int64_t i = 1; i < memory.type.getRank(); ++i)
    inner *= memory.type.getDimSize(i);
  int64_t originalInner = 1;
  for (int64_t i = 1; i < original.getRank(); ++i)
    originalInner *= original.getDimSize(i);
  return mul(dimension(arg, 0), c32(originalInner / inner));
}

void TileEmitter::finishFunction() {
  Block &entry = func.getBody().front();
  b.setInsertionPointToEnd(&entry);
  loc = kernel.getLoc();
  LLVM::ReturnOp::create(b, loc, ValueRange());
  SmallVector<Type> types(entry.getArgumentTypes());
  func.setFunctionType(LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), types));
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

LogicalResult TileEmitter::emitView(Operation &op) {
  auto type = cast<MemRefType>(op.getResult(0).getType());
  auto it = memories.find(op.getOperand(0));
  if (it == memories.end())
    return refuse(&op) << "is a view of memory that is no kernel argument";
  Memory memory = it->second;
  auto dynamicInner = [](MemRefType t) {
    return llvm::any_of(t.getShape().drop_front(t.getRank() ? 1 : 0),
                        ShapedType::isDynamic);
  };
  if (dynamicInner(type) || dynamicInner(memory.type) ||
      !type.getLayout().isIdentity())
    return refuse(&op) << "the " << language
                       << " lowering takes views of row-major memory whose "
                          "first extent alone is dynamic";
  memory.type = type;
  memory.whole = false;
  memories[op.getResult(0)] = memory;
  return success();
}

LogicalResult TileEmitter::emitMemRefLoad(memref::LoadOp op) {
  auto it = memories.find(op.getMemRef());
  if (it == memories.end())
    return refuse(op) << "reads memory that is no kernel argument";
  Value at = c64(0);
  for (auto [d, index] : llvm::enumerate(op.getIndices())) {
    if (d)
      at = mul(at, wide(extent(it->second, d)));
    at = add(at, wide(asI32(index)));
  }
  parts[op.getResult()] = {loadRouting(op.getResult().getType(),
                                       globalAt(it->second, at),
                                       /*alignment=*/0, /*settled=*/false)};
  return success();
}

//===----------------------------------------------------------------------===//
// Control flow and scalars
//===----------------------------------------------------------------------===//

LogicalResult TileEmitter::emitScalar(Operation &op) {
  SmallVector<Value> operands;
  for (Value operand : op.getOperands()) {
    if (!known(operand))
      return refuse(&op) << "has an operand without lowering to " << language;
    operands.push_back(scalar(operand));
  }
  SmallVector<Type> types;
  for (Type type : op.getResultTypes()) {
    if (!isa<IndexType, IntegerType, FloatType>(type))
      return refuse(&op) << "has no lowering to " << language;
    types.push_back(scalarType(type));
  }
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    TypedAttr value = constant.getValue();
    if (constant.getType().isIndex()) {
      int64_t number = cast<IntegerAttr>(value).getInt();
      if (!llvm::isInt<32>(number))
        return refuse(&op) << "coordinates have 32 bits, got " << number;
      value = b.getI32IntegerAttr(number);
    }
    parts[op.getResult(0)] = {arith::ConstantOp::create(b, loc, value)};
    return success();
  }
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op)) {
    // One of both sides was an index and is i32 now.
    Value v = operands[0];
    unsigned from = v.getType().getIntOrFloatBitWidth();
    unsigned to = types[0].getIntOrFloatBitWidth();
    if (from > to)
      v = arith::TruncIOp::create(b, loc, types[0], v);
    else if (from < to && isa<arith::IndexCastUIOp>(op))
      v = arith::ExtUIOp::create(b, loc, types[0], v);
    else if (from < to)
      v = arith::ExtSIOp::create(b, loc, types[0], v);
    parts[op.getResult(0)] = {v};
    return success();
  }
  OperationState state(loc, op.getName(), operands, types, op.getAttrs());
  Operation *clone = b.create(state);
  for (auto [from, to] : llvm::zip(op.getResults(), clone->getResults()))
    parts[from] = {to};
  return success();
}

LogicalResult TileEmitter::emitLoop(
    Value from, Value to, Value step, ValueRange carried, ValueRange inits,
    ValueRange results,
    function_ref<FailureOr<SmallVector<Value>>(scf::ForOp)> body,
    ValueRange more) {
  SmallVector<Value> first = flatten(inits);
  llvm::append_range(first, more);
  auto loop = scf::ForOp::create(b, loc, from, to, step, first);
  // Copies: an insertion moves what the map holds.
  for (auto [inside, init] : llvm::zip(carried, inits))
    parts[inside] = parts.lookup(init);
  for (auto [result, init] : llvm::zip(results, inits))
    parts[result] = parts.lookup(init);
  bindFlat(carried, ValueRange(loop.getRegionIterArgs()));
  {
    OpBuilder::InsertionGuard guard(b);
    Block *block = loop.getBody();
    if (!block->empty() && isa<scf::YieldOp>(block->back()))
      block->back().erase();
    b.setInsertionPointToEnd(block);
    FailureOr<SmallVector<Value>> yielded = body(loop);
    if (failed(yielded))
      return failure();
    scf::YieldOp::create(b, loc, *yielded);
  }
  bindFlat(results, loop.getResults());
  return success();
}

LogicalResult
TileEmitter::emitLoop(scf::ForOp op,
                      function_ref<LogicalResult(scf::ForOp)> body) {
  return emitLoop(
      scalar(op.getLowerBound()), scalar(op.getUpperBound()),
      scalar(op.getStep()), op.getRegionIterArgs(), op.getInitArgs(),
      op.getResults(), [&](scf::ForOp loop) -> FailureOr<SmallVector<Value>> {
        parts[op.getInductionVar()] = {loop.getInductionVar()};
        if (failed(body(loop)))
          return failure();
        return flatten(op.getBody()->getTerminator()->getOperands());
      });
}

LogicalResult TileEmitter::emitBlock(Block &block) {
  for (Operation &op : block) {
    loc = op.getLoc();
    if (!op.hasTrait<OpTrait::IsTerminator>() && failed(emitOp(op)))
      return failure();
  }
  return success();
}

LogicalResult TileEmitter::emitCommon(Operation &op) {
  return TypeSwitch<Operation *, LogicalResult>(&op)
      .Case([&](tile::BlockListOp op) {
        TileList list;
        list.table = op.getTable();
        list.count = asI32(op.getCount());
        list.columns = op.getColumns();
        list.blockN = op.getBlockN();
        tileLists[op.getList()] = list;
        return success();
      })
      .Case([&](tile::DenseListOp op) {
        emitDenseList(op);
        return success();
      })
      .Case([&](tile::SlotListOp op) { return emitSlotList(op); })
      .Case([&](tile::CoordsOp op) {
        ArrayRef<Value> coords = tileCoords[op.getTile()];
        for (auto [result, coord] : llvm::zip(op.getResults(), coords))
          parts[result] = {result.getType().isInteger(64) ? wide(coord)
                                                          : Value(coord)};
        return success();
      })
      .Case([&](tile::RowIndexOp op) {
        rowLists[op.getResult()] = {op.getSlots(), asI32(op.getFirst()),
                                    asI32(op.getLimit()), asI32(op.getBound()),
                                    int64_t(op.getDiv())};
        return success();
      })
      .Case([&](tile::RowIotaOp op) {
        rowLists[op.getResult()] = {Value(), asI32(op.getFirst()),
                                    asI32(op.getLimit()), Value(), 1};
        return success();
      })
      .Case([&](tile::LoadOp op) { return emitLoad(op); })
      .Case([&](tile::MapOp op) { return emitMap(op); })
      .Case([&](tile::SplitOp op) { return emitSplit(op); })
      .Case([&](tile::FragSplatOp op) { return emitSplat(op); })
      .Case<memref::CollapseShapeOp, memref::ExpandShapeOp>(
          [&](auto op) { return emitView(*op); })
      .Case([&](memref::DimOp op) -> LogicalResult {
        auto it = memories.find(op.getSource());
        std::optional<int64_t> dim = op.getConstantIndex();
        if (it == memories.end() || !dim)
          return refuse(op) << "asks for an extent that is no argument's";
        parts[op.getResult()] = {extent(it->second, *dim)};
        return success();
      })
      .Case([&](memref::LoadOp op) { return emitMemRefLoad(op); })
      .Default([&](Operation *op) -> LogicalResult {
        StringRef dialect = op->getName().getDialectNamespace();
        if ((dialect == "arith" || dialect == "math") &&
            op->getNumRegions() == 0)
          return emitScalar(*op);
        return refuse(op) << "has no lowering to " << language;
      });
}
