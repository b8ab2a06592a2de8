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
  if (llvm::isa<tile::SumLastOp, tile::SumArrivedOp, tile::ClearOp,
                tile::ClearAbsentOp>(op))
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
