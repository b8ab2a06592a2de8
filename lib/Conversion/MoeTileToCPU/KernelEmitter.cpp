//===- KernelEmitter.cpp - One tile kernel as vector code -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "Codec.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

//===----------------------------------------------------------------------===//
// Small builders
//===----------------------------------------------------------------------===//

Value KernelEmitter::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, loc, value);
}
Value KernelEmitter::add(Value x, Value y) {
  return arith::AddIOp::create(b, loc, x, y);
}
Value KernelEmitter::mul(Value x, Value y) {
  return arith::MulIOp::create(b, loc, x, y);
}
Value KernelEmitter::minimum(Value x, Value y) {
  return arith::MinSIOp::create(b, loc, x, y);
}
VectorType KernelEmitter::vec(int64_t count, Type element) {
  return VectorType::get({count}, element);
}
Value KernelEmitter::loadVector(Value flat, Value position, int64_t count) {
  Type element = cast<MemRefType>(flat.getType()).getElementType();
  return vector::LoadOp::create(b, loc, vec(count, element), flat, position);
}
void KernelEmitter::storeVector(Value vector, Value flat, Value position) {
  vector::StoreOp::create(b, loc, vector, flat, position);
}

void KernelEmitter::loop(Value lower, Value upper, int64_t step,
                         function_ref<void(Value)> body) {
  auto forOp = scf::ForOp::create(b, loc, lower, upper, index(step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(forOp.getBody());
  body(forOp.getInductionVar());
}

void KernelEmitter::columns(Value upper, int64_t lanes,
                            function_ref<void(Value, int64_t)> body) {
  Value rest = arith::RemUIOp::create(b, loc, upper, index(lanes));
  Value full = arith::SubIOp::create(b, loc, upper, rest);
  loop(index(0), full, lanes, [&](Value n) { body(n, lanes); });
  if (lanes > 1)
    loop(full, upper, 1, [&](Value n) { body(n, 1); });
}

Scratch KernelEmitter::allocate(int64_t rows, int64_t cols, Type element) {
  Type stored = storedType(element);
  int64_t bytes = rows * cols * (stored.getIntOrFloatBitWidth() / 8);
  Value offset = index(scratchBytes);
  scratchBytes += llvm::alignTo(bytes, 64);
  auto type = MemRefType::get({ShapedType::kDynamic}, stored);
  Value flat = memref::ViewOp::create(b, loc, type, scratchBase, offset,
                                      ValueRange{index(rows * cols)});
  return {flat, rows, cols, element};
}

Value KernelEmitter::scalar(Value v) {
  if (Value known = mapping.lookupOrNull(v))
    return known;
  Operation *def = v.getDefiningOp();
  if (!def || def->getNumRegions() != 0)
    return v;
  // Address arithmetic of a k_loop region: computed anew for the k at hand.
  IRMapping local;
  for (Value operand : def->getOperands())
    local.map(operand, scalar(operand));
  Operation *clone = b.clone(*def, local);
  return clone->getResult(cast<OpResult>(v).getResultNumber());
}

//===----------------------------------------------------------------------===//
// Addresses
//===----------------------------------------------------------------------===//

/// Index-typed version of a coordinate.
static Value asIndex(KernelEmitter &e, Value v) {
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

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

/// memref value over a raw pointer: its descriptor, cast; the cast vanishes
/// when memrefs become descriptors.
static Value wrapPointer(KernelEmitter &e, Value pointer, MemRefType type,
                         ArrayRef<Value> extents, ArrayRef<Value> strides) {
  MLIRContext *ctx = e.b.getContext();
  Type ptr = LLVM::LLVMPointerType::get(ctx), i64 = e.b.getI64Type();
  int64_t rank = type.getRank();
  Type list = LLVM::LLVMArrayType::get(i64, rank);
  SmallVector<Type> fields{ptr, ptr, i64};
  if (rank)
    fields.append({list, list});
  auto structType = LLVM::LLVMStructType::getLiteral(ctx, fields);
  Value d = LLVM::PoisonOp::create(e.b, e.loc, structType);
  auto insert = [&](Value v, ArrayRef<int64_t> at) {
    d = LLVM::InsertValueOp::create(e.b, e.loc, d, v, at);
  };
  auto asI64 = [&](Value v) -> Value {
    return arith::IndexCastOp::create(e.b, e.loc, i64, v);
  };
  insert(pointer, {0});
  insert(pointer, {1});
  insert(LLVM::ConstantOp::create(e.b, e.loc, i64, 0), {2});
  for (int64_t i = 0; i < rank; ++i) {
    insert(asI64(extents[i]), {3, i});
    insert(asI64(strides[i]), {4, i});
  }
  return UnrealizedConversionCastOp::create(e.b, e.loc, type, d).getResult(0);
}

LogicalResult KernelEmitter::emitArguments() {
  Block &entry = func.getBody().front();
  Value argv = entry.getArgument(0);
  Type ptr = LLVM::LLVMPointerType::get(b.getContext());
  int64_t next = 0;
  auto nextEntry = [&]() -> Value {
    Value at = LLVM::GEPOp::create(b, loc, ptr, ptr, argv,
                                   ArrayRef<LLVM::GEPArg>{int32_t(next++)});
    return LLVM::LoadOp::create(b, loc, ptr, at);
  };
  auto nextDim = [&]() -> Value {
    Value v = LLVM::LoadOp::create(b, loc, b.getI64Type(), nextEntry());
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), v);
  };
  worker = arith::IndexCastOp::create(b, loc, b.getIndexType(),
                                      entry.getArgument(1));
  workers = arith::IndexCastOp::create(b, loc, b.getIndexType(),
                                       entry.getArgument(2));
  for (BlockArgument arg : kernel.getBody().getArguments()) {
    if (auto type = dyn_cast<MemRefType>(arg.getType())) {
      if (!type.getLayout().isIdentity())
        return kernel.emitOpError()
               << "argument " << arg.getArgNumber()
               << ": the CPU lowering takes row-major memory only, got "
               << type;
      Value pointer = nextEntry();
      Memory mem;
      mem.element = type.getElementType();
      for (int64_t extent : type.getShape())
        mem.extents.push_back(ShapedType::isDynamic(extent) ? nextDim()
                                                            : index(extent));
      mem.strides.resize(type.getRank());
      Value stride = index(1);
      for (int64_t d = type.getRank() - 1; d >= 0; --d) {
        mem.strides[d] = stride;
        stride = mul(stride, mem.extents[d]);
      }
      Type stored = storedType(mem.element);
      mem.flat = wrapPointer(*this, pointer,
                             MemRefType::get({ShapedType::kDynamic}, stored),
                             {stride}, {index(1)});
      if (stored == mem.element)
        mapping.map(
            arg, wrapPointer(*this, pointer, type, mem.extents, mem.strides));
      if (kernel.getArgAttr(arg.getArgNumber(), "moe_tile.claim_counter"))
        claimCounter = mem.flat;
      memories[arg] = mem;
      continue;
    }
    if (!llvm::isa<IndexType, IntegerType>(arg.getType()))
      return kernel.emitOpError()
             << "argument " << arg.getArgNumber()
             << ": the CPU lowering takes memrefs and integers, got "
             << arg.getType();
    Value v = nextDim();
    if (!arg.getType().isIndex())
      v = arith::IndexCastOp::create(b, loc, arg.getType(), v);
    mapping.map(arg, v);
  }
  // Scratch comes last; its size is known when the body is done.
  scratchBase = nextEntry();
  return success();
}

LogicalResult KernelEmitter::emit() {
  Block *entry = func.addEntryBlock();
  b.setInsertionPointToStart(entry);
  if (failed(emitArguments()))
    return failure();
  // Placeholder for bytes per worker.
  Value perWorker = index(0);
  Value pointer = scratchBase;
  Value offset = arith::IndexCastOp::create(b, loc, b.getI64Type(),
                                            mul(worker, perWorker));
  Type ptr = LLVM::LLVMPointerType::get(b.getContext());
  pointer = LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), pointer,
                                ArrayRef<LLVM::GEPArg>{offset});
  scratchBase = wrapPointer(
      *this, pointer, MemRefType::get({ShapedType::kDynamic}, b.getI8Type()),
      {perWorker}, {index(1)});

  Block &body = kernel.getBody().front();
  bool distributed = llvm::any_of(body, [](Operation &op) {
    return llvm::isa<tile::ForTilesOp, scf::ParallelOp>(op);
  });
  if (distributed) {
    for (Operation &op : body)
      if (llvm::isa<memref::StoreOp, tile::StoreOp>(op))
        return op.emitOpError("stands beside a distributed loop: every worker "
                              "would execute it");
    if (failed(emitBlock(body)))
      return failure();
  } else {
    // A serial kernel is the business of one worker.
    Value first = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                        worker, index(0));
    auto ifOp = scf::IfOp::create(b, loc, first, /*else=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(ifOp.thenBlock());
    if (failed(emitBlock(body)))
      return failure();
  }
  b.setInsertionPointToEnd(entry);
  func::ReturnOp::create(b, loc);
  perWorker.getDefiningOp<arith::ConstantOp>().setValueAttr(
      b.getIndexAttr(scratchBytes));
  return success();
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::emitBlock(Block &block) {
  for (Operation &op : block) {
    loc = op.getLoc();
    if (failed(emitOp(op)))
      return failure();
  }
  return success();
}

LogicalResult KernelEmitter::emitStructured(Operation &op) {
  if (auto parallel = dyn_cast<scf::ParallelOp>(op)) {
    if (parallel.getNumLoops() != 1 || parallel.getNumReductions() != 0)
      return op.emitOpError("the CPU lowering distributes loops over one range "
                            "without reduction");
    if (op.getParentOp() == kernel.getOperation()) {
      Value step = scalar(parallel.getStep()[0]);
      Value lower = add(scalar(parallel.getLowerBound()[0]), mul(worker, step));
      auto forOp =
          scf::ForOp::create(b, loc, lower, scalar(parallel.getUpperBound()[0]),
                             mul(workers, step));
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(forOp.getBody());
      mapping.map(parallel.getInductionVars()[0], forOp.getInductionVar());
      for (Operation &inner : parallel.getBody()->without_terminator())
        if (failed(emitOp(inner)))
          return failure();
      return success();
    }
  }
  SmallVector<Value> operands;
  for (Value operand : op.getOperands())
    operands.push_back(scalar(operand));
  OperationState state(op.getLoc(), op.getName(), operands, op.getResultTypes(),
                       op.getAttrs());
  for (unsigned i = 0; i < op.getNumRegions(); ++i)
    state.addRegion();
  Operation *clone = b.create(state);
  for (auto [from, to] : llvm::zip(op.getRegions(), clone->getRegions())) {
    if (from.empty())
      continue;
    if (!from.hasOneBlock())
      return op.emitOpError("the CPU lowering takes structured control flow");
    Block *block = new Block;
    to.push_back(block);
    for (BlockArgument arg : from.getArguments())
      mapping.map(arg, block->addArgument(arg.getType(), arg.getLoc()));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(block);
    if (failed(emitBlock(from.front())))
      return failure();
  }
  mapping.map(op.getResults(), clone->getResults());
  return success();
}

LogicalResult KernelEmitter::emitOp(Operation &op) {
  if (llvm::isa<tile::ReturnOp, tile::YieldOp, tile::AccZeroOp,
                tile::PrefetchOp>(op))
    return success();
  if (auto list = dyn_cast<tile::RecordListOp>(op)) {
    TileList t;
    t.table = scalar(list.getTable());
    t.count = asIndex(*this, scalar(list.getCount()));
    t.tableCols = list.getTable().getType().getDimSize(1);
    tileLists[list.getList()] = t;
    return success();
  }
  if (auto list = dyn_cast<tile::BlockListOp>(op)) {
    TileList t;
    t.table = scalar(list.getTable());
    t.count = asIndex(*this, scalar(list.getCount()));
    t.blocks = true;
    t.columns = list.getColumns();
    t.blockN = list.getBlockN();
    tileLists[list.getList()] = t;
    return success();
  }
  if (auto list = dyn_cast<tile::SlotListOp>(op)) {
    TileList t;
    t.slots = list;
    t.count =
        mul(memref::DimOp::create(b, loc, scalar(list.getIds()), index(0)),
            index(list.getTopk()));
    t.blocks = true;
    t.columns = list.getColumns();
    t.blockN = list.getBlockN();
    tileLists[list.getList()] = t;
    return success();
  }
  if (auto row = dyn_cast<tile::SlotRowOp>(op)) {
    Value slot = asIndex(*this, scalar(row.getSlot()));
    Value known =
        slotExpert(row.getIds(), row.getExpertMap(), row.getDeviceTokens(),
                   row.getExperts(), row.getTopk(), slot);
    RowList list;
    list.first = slot;
    list.limit = arith::IndexCastUIOp::create(
        b, loc, b.getIndexType(),
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, known,
                              index(0)));
    rowLists[row.getResult()] = list;
    return success();
  }
  if (llvm::isa<tile::SumLastOp, tile::ClearOp>(op))
    return op.emitOpError("the CPU lowering has no counters between workers; "
                          "use reduce_by = \"rows\"");
  if (auto coords = dyn_cast<tile::CoordsOp>(op)) {
    ArrayRef<Value> values = tileCoords[coords.getTile()];
    for (auto [result, value] : llvm::zip(op.getResults(), values)) {
      Value v = value;
      if (!result.getType().isIndex())
        v = arith::IndexCastOp::create(b, loc, result.getType(), v);
      mapping.map(result, v);
    }
    return success();
  }
  if (auto rows = dyn_cast<tile::RowIndexOp>(op)) {
    RowList list;
    list.slots = scalar(rows.getSlots());
    list.first = asIndex(*this, scalar(rows.getFirst()));
    if (rows.getLimit())
      list.limit = asIndex(*this, scalar(rows.getLimit()));
    if (rows.getBound())
      list.bound = asIndex(*this, scalar(rows.getBound()));
    list.divisor = rows.getDiv();
    rowLists[rows.getResult()] = list;
    return success();
  }
  if (auto rows = dyn_cast<tile::RowIotaOp>(op)) {
    RowList list;
    list.first = asIndex(*this, scalar(rows.getFirst()));
    if (rows.getLimit())
      list.limit = asIndex(*this, scalar(rows.getLimit()));
    rowLists[rows.getResult()] = list;
    return success();
  }
  if (auto forTiles = dyn_cast<tile::ForTilesOp>(op))
    return emitForTiles(forTiles);
  if (auto kLoop = dyn_cast<tile::KLoopOp>(op))
    return emitKLoop(kLoop);
  if (auto store = dyn_cast<tile::StoreOp>(op))
    return emitStore(store);
  if (auto reduce = dyn_cast<tile::RowReduceOp>(op))
    return emitRowReduce(reduce);
  if (auto load = dyn_cast<tile::LoadOp>(op)) {
    if (!llvm::isa<tile::FragType>(load.getResult().getType()))
      return op.emitOpError("the CPU lowering takes buffers inside of a k_loop "
                            "only");
    exprs[load.getResult()] = makeLoadExpr(load);
    return success();
  }
  if (auto read = dyn_cast<tile::AccReadOp>(op)) {
    exprs[read.getResult()] = exprs.lookup(read.getAcc());
    if (!exprs.lookup(read.getResult()))
      return op.emitOpError("the CPU lowering reads accumulators of a k_loop "
                            "only");
    return success();
  }
  if (auto relayout = dyn_cast<tile::RelayoutOp>(op)) {
    exprs[relayout.getResult()] = exprs.lookup(relayout.getSource());
    return success();
  }
  if (auto splatOp = dyn_cast<tile::FragSplatOp>(op)) {
    exprs[splatOp.getResult()] = makeSplatExpr(splatOp.getResult().getType(),
                                               scalar(splatOp.getValue()));
    return success();
  }
  if (auto split = dyn_cast<tile::SplitOp>(op)) {
    TileExprPtr source = exprs.lookup(split.getSource());
    exprs[split.getFirst()] = makeSplitExpr(source, split.getBlock(), 0);
    exprs[split.getSecond()] = makeSplitExpr(source, split.getBlock(), 1);
    return success();
  }
  if (auto join = dyn_cast<tile::JoinOp>(op)) {
    exprs[join.getResult()] =
        makeJoinExpr(exprs.lookup(join.getFirst()),
                     exprs.lookup(join.getSecond()), join.getBlock());
    return success();
  }
  if (auto dequant = dyn_cast<tile::DequantOp>(op)) {
    if (dequant.getAt())
      return op.emitOpError("the CPU lowering takes scales of the tile's own "
                            "columns only, not from a column on");
    if (!llvm::isa<tile::FragType>(dequant.getResult().getType()))
      return op.emitOpError("the CPU lowering dequantises buffers inside of a "
                            "k_loop only");
    auto operand = [&](Value v) { return v ? exprs.lookup(v) : TileExprPtr(); };
    exprs[dequant.getResult()] = makeDequantExpr(
        dequant, operand(dequant.getSource()), operand(dequant.getScale()),
        operand(dequant.getZero()));
    return success();
  }
  if (auto map = dyn_cast<tile::MapOp>(op)) {
    SmallVector<TileExprPtr> inputs;
    for (Value input : map.getInputs())
      inputs.push_back(exprs.lookup(input));
    for (unsigned i = 0; i < map.getNumResults(); ++i)
      exprs[map.getResult(i)] = makeMapExpr(map, i, inputs);
    return success();
  }
  if (isa_and_nonnull<tile::MoeTileDialect>(op.getDialect()))
    return op.emitOpError("has no CPU lowering");
  if (llvm::isa<memref::CollapseShapeOp, memref::ExpandShapeOp>(op)) {
    if (failed(emitReshape(op)))
      return failure();
    // Tile accesses need no more; only element accesses read a memref, if the
    // type allows them at all.
    if (!mapping.contains(op.getOperand(0)) ||
        llvm::all_of(op.getUsers(), [](Operation *user) {
          return llvm::isa<tile::MoeTileDialect>(user->getDialect());
        }))
      return success();
  }
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    auto it = memories.find(dim.getSource());
    if (std::optional<int64_t> at = dim.getConstantIndex();
        at && it != memories.end()) {
      mapping.map(dim.getResult(), it->second.extents[*at]);
      return success();
    }
  }
  if (op.getNumRegions() != 0)
    return emitStructured(op);
  for (Value operand : op.getOperands())
    if (llvm::isa<MemRefType>(operand.getType()) && !mapping.contains(operand))
      return op.emitOpError("the CPU lowering does not access memory of ")
             << cast<MemRefType>(operand.getType()).getElementType()
             << " element by element";
  b.clone(op, mapping);
  return success();
}

LogicalResult KernelEmitter::emitReshape(Operation &op) {
  Memory mem = memories.lookup(op.getOperand(0));
  if (!mem.flat)
    return op.emitOpError("the CPU lowering reshapes kernel arguments only");
  SmallVector<Value> extents, strides;
  if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op)) {
    for (ReassociationIndices group : collapse.getReassociationIndices()) {
      Value extent = mem.extents[group[0]];
      for (int64_t d : llvm::drop_begin(group))
        extent = mul(extent, mem.extents[d]);
      extents.push_back(extent);
      strides.push_back(mem.strides[group.back()]);
    }
  } else {
    auto expand = cast<memref::ExpandShapeOp>(op);
    for (OpFoldResult size : expand.getMixedOutputShape()) {
      auto value = dyn_cast<Value>(size);
      extents.push_back(
          value ? scalar(value)
                : index(cast<IntegerAttr>(cast<Attribute>(size)).getInt()));
    }
    // Kernel arguments are row-major, and so is every view of them.
    strides.resize(extents.size());
    Value stride = index(1);
    for (size_t d = extents.size(); d-- > 0;) {
      strides[d] = stride;
      stride = mul(stride, extents[d]);
    }
  }
  mem.extents = extents;
  mem.strides = strides;
  memories[op.getResult(0)] = mem;
  return success();
}

LogicalResult KernelEmitter::emitForTiles(tile::ForTilesOp op) {
  TileList list = tileLists.lookup(op.getList());
  if (!list.table && !list.slots)
    return op.emitOpError("the CPU lowering needs the list's definition in the "
                          "kernel");
  if (op.getDies())
    return op.emitOpError("cpu: rule dies: tiles are shared by ")
           << int64_t(*op.getDies()) << " dies (xcd), the target has 1";
  Value total = list.count;
  int64_t perBlock = 1;
  if (list.blocks) {
    perBlock = llvm::divideCeil(list.columns, list.blockN);
    total = mul(list.count, index(perBlock));
  }
  auto body = [&](Value i) -> LogicalResult {
    Value entry = i, n0;
    if (list.blocks) {
      // Order is locality, not meaning: expert_major, by which GPU workers side
      // by side share weights, goes row block by row block here.
      bool nMajor = op.getOrder() == tile::Order::NMajor;
      Value divisor = nMajor ? list.count : index(perBlock);
      Value quotient = arith::DivUIOp::create(b, loc, i, divisor);
      Value remainder = arith::RemUIOp::create(b, loc, i, divisor);
      entry = nMajor ? remainder : quotient;
      n0 = mul(nMajor ? quotient : remainder, index(list.blockN));
    }
    SmallVector<Value> coords;
    if (tile::SlotListOp slots = list.slots) {
      Value known = slotExpert(slots.getIds(), slots.getExpertMap(),
                               slots.getDeviceTokens(), slots.getExperts(),
                               slots.getTopk(), entry);
      Value exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge,
                                           known, index(0));
      // Nothing of an absent slot's tile is for others.
      auto ifOp = scf::IfOp::create(b, loc, exists, /*else=*/false);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(ifOp.thenBlock());
      tileCoords[op.getTile()] = {known, entry, index(1), n0};
      return emitBlock(op.getBody().front());
    }
    for (int64_t c = 0; c < (list.blocks ? 3 : 4); ++c)
      coords.push_back(
          asIndex(*this, memref::LoadOp::create(b, loc, list.table,
                                                ValueRange{entry, index(c)})));
    if (n0)
      coords.push_back(n0);
    tileCoords[op.getTile()] = coords;
    return emitBlock(op.getBody().front());
  };
  OpBuilder::InsertionGuard guard(b);
  if (op.getClaim() != tile::Claim::Counter || !claimCounter) {
    auto forOp = scf::ForOp::create(b, loc, worker, total, workers);
    b.setInsertionPointToStart(forOp.getBody());
    return body(forOp.getInductionVar());
  }
  // Workers take the next free entry: uneven tiles and uneven cores balance.
  Type i64 = b.getI64Type();
  auto whileOp =
      scf::WhileOp::create(b, loc, TypeRange{b.getIndexType()}, ValueRange{});
  Block *before = b.createBlock(&whileOp.getBefore());
  Value one = arith::ConstantOp::create(b, loc, b.getIntegerAttr(i64, 1));
  Value taken =
      memref::AtomicRMWOp::create(b, loc, arith::AtomicRMWKind::addi, one,
                                  claimCounter, ValueRange{index(0)});
  Value next = arith::IndexCastOp::create(b, loc, b.getIndexType(), taken);
  Value more =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, next, total);
  scf::ConditionOp::create(b, loc, more, next);
  (void)before;
  Block *after =
      b.createBlock(&whileOp.getAfter(), {}, {b.getIndexType()}, {loc});
  if (failed(body(after->getArgument(0))))
    return failure();
  b.setInsertionPointToEnd(after);
  scf::YieldOp::create(b, loc);
  return success();
}

LogicalResult KernelEmitter::emitKLoop(tile::KLoopOp op) {
  TileExprPtr result = emitMatrixNest(*this, op);
  if (!result)
    return failure();
  exprs[op.getResult(0)] = result;
  return success();
}

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
