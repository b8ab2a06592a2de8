//===- Rows.cpp - Kernels that work row by row, for GPUs ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A row (or a scale group of one) is cut into vectors of at most 16 bytes, each
// the work of one thread; the vectors of all rows are numbered through and
// dealt out, so that few tokens spread over many blocks too. A thread runs the
// ops of its row in their order on its vector: the loads of all rows that are
// summed stand before the sum and are in flight together. A reduction along
// the row is a butterfly of lanes if a row takes a power of two of them, else
// the row is the work of one block.
//
//===----------------------------------------------------------------------===//

#include "RowEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

static bool isView(Operation *op) {
  return isa<memref::CollapseShapeOp, memref::ExpandShapeOp, memref::CastOp>(
      op);
}

bool rows::isRowKernel(tile::KernelOp kernel) {
  if (kernel.getKernelForm() != tile::Form::Seq)
    return false;
  int64_t parallel = 0;
  bool only = true, works = false;
  kernel.walk([&](Operation *op) {
    parallel += isa<scf::ParallelOp>(op);
    works |= isa<tile::StoreOp>(op);
    StringRef dialect = op->getName().getDialectNamespace();
    only &= op == kernel || isView(op) || dialect == "arith" ||
            dialect == "math" ||
            isa<memref::DimOp, scf::ParallelOp, scf::ReduceOp, scf::ForOp,
                scf::YieldOp, tile::ReturnOp, tile::YieldOp, tile::LoadOp,
                tile::StoreOp, tile::MapOp, tile::RowReduceOp, tile::RowIndexOp,
                tile::SlotRowOp, tile::AwaitLaunchOp>(op);
  });
  return only && works && parallel <= 1;
}

std::optional<int64_t> rows::constantOf(Value v) {
  IntegerAttr attr;
  if (matchPattern(v, m_Constant(&attr)))
    return attr.getInt();
  return std::nullopt;
}

/// Largest known divisor of an index, for alignment: a power of two up to 16.
static int64_t divisorOf(Value v) {
  if (auto constant = constantOf(v))
    return *constant == 0
               ? kVectorBytes
               : std::min<int64_t>(kVectorBytes,
                                   int64_t(1) << llvm::countr_zero(
                                       static_cast<uint64_t>(*constant)));
  if (auto mul = v.getDefiningOp<arith::MulIOp>())
    return std::min(kVectorBytes,
                    divisorOf(mul.getLhs()) * divisorOf(mul.getRhs()));
  if (auto add = v.getDefiningOp<arith::AddIOp>())
    return std::min(divisorOf(add.getLhs()), divisorOf(add.getRhs()));
  return 1;
}

LogicalResult RowEmitter::planSegment(Segment &segment) {
  int64_t bytes = 1, limit = kVectorBytes, loads = 0;
  for (Operation *op : segment.ops)
    for (Type type :
         llvm::concat<const Type>(op->getOperandTypes(), op->getResultTypes()))
      if (auto frag = dyn_cast<tile::FragType>(type)) {
        if (frag.getRows() != 1)
          return op->emitOpError("works on ")
                 << frag.getRows() << " rows at once; the row lowering to "
                 << name() << " takes one";
        segment.cols = std::max(segment.cols, frag.getCols());
      }
  for (Operation *op : segment.ops) {
    segment.reduces |= isa<tile::RowReduceOp>(op);
    for (Type type :
         llvm::concat<const Type>(op->getOperandTypes(), op->getResultTypes()))
      if (auto frag = dyn_cast<tile::FragType>(type))
        if (frag.getCols() != 1 && frag.getCols() != segment.cols)
          return op->emitOpError("mixes tiles of ")
                 << segment.cols << " and " << frag.getCols()
                 << " columns; the row lowering to " << name()
                 << " takes one width";
    auto access = dyn_cast<tile::TileAccess>(op);
    if (!access || access.getTileShape().second == 1)
      continue;
    loads += isa<tile::LoadOp>(op);
    auto type = cast<MemRefType>(access.getMemory().getType());
    int64_t dim = access.getMemoryDim(1), inner = type.getRank() - 1;
    bytes = std::max<int64_t>(
        bytes, llvm::divideCeil(type.getElementTypeBitWidth(), 8));
    // Rows must begin at a multiple of the vector, and so must the tile.
    if (dim != inner || !type.getLayout().isIdentity() ||
        (type.getRank() > 1 && type.isDynamicDim(inner)))
      limit = 1;
    else if (type.getRank() > 1)
      limit =
          std::min(limit, int64_t(1) << llvm::countr_zero(
                              static_cast<uint64_t>(type.getDimSize(inner))));
    if (dim == inner)
      limit = std::min(limit, divisorOf(access.getIndices()[inner]));
  }
  limit = std::min(limit, kVectorBytes / bytes);
  while (limit > 1 && loads * limit * bytes > kBytesInFlight)
    limit /= 2;
  while (segment.cols % limit)
    limit /= 2;
  segment.vector = limit;
  if (!segment.reduces)
    return success();
  // One block of up to 1024 threads can hold a row; a thread takes more of it
  // if it is longer.
  int64_t vectors = segment.vectors();
  if (vectors <= k.wave())
    return success();
  while (segment.vectors() > 1024 && segment.cols % (2 * segment.vector) == 0)
    segment.vector *= 2;
  if (segment.vectors() > 1024)
    return segment.ops.front()->emitOpError("reduces rows of ")
           << segment.cols << " columns; the row lowering to " << name()
           << " takes up to "
           << "1024 vectors of a power of two of columns";
  rowPerBlock = true;
  threads =
      std::max<int64_t>(threads, llvm::alignTo(segment.vectors(), k.wave()));
  return success();
}

LogicalResult RowEmitter::plan() {
  Block *body = &k.kernel.getBody().front();
  for (Operation &op : *body)
    if (auto parallel = dyn_cast<scf::ParallelOp>(op)) {
      if (parallel.getNumLoops() != 1 ||
          constantOf(parallel.getLowerBound()[0]) != 0 ||
          constantOf(parallel.getStep()[0]) != 1 ||
          parallel.getNumReductions() != 0)
        return op.emitOpError("the row lowering to ")
               << name() << " takes loops over rows from 0 with step 1";
      rows = parallel;
      rowCount = parallel.getUpperBound()[0];
    }
  if (rows)
    body = rows.getBody();
  SmallVector<Operation *> scalars, tiles;
  for (Operation &op : *body) {
    if (auto loop = dyn_cast<scf::ForOp>(op)) {
      auto upper = constantOf(loop.getUpperBound());
      if (constantOf(loop.getLowerBound()) != 0 ||
          constantOf(loop.getStep()) != 1 || !upper ||
          loop.getNumResults() != 0)
        return op.emitOpError("the row lowering to ")
               << name() << " takes loops from 0 by 1 to a constant";
      Segment segment;
      segment.loop = loop;
      segment.count = *upper;
      for (Operation &inner : loop.getBody()->without_terminator())
        segment.ops.push_back(&inner);
      segments.push_back(segment);
    } else if (op.getNumRegions() == 0 && !isa<tile::StoreOp>(op) &&
               llvm::none_of(op.getResultTypes(),
                             llvm::IsaPred<tile::FragType>)) {
      if (!isa<tile::ReturnOp, tile::AwaitLaunchOp, scf::ReduceOp>(op))
        scalars.push_back(&op);
    } else if (!isa<scf::ParallelOp>(op)) {
      tiles.push_back(&op);
    }
  }
  // Tiles that meet in an op are dealt out in the same way; each lot of them
  // needs the scalars of the row again, since its threads have other rows.
  llvm::EquivalenceClasses<Operation *> meet;
  for (Operation *op : tiles) {
    meet.insert(op);
    for (Value v : op->getOperands())
      if (isa<tile::FragType>(v.getType()))
        meet.unionSets(op, v.getDefiningOp());
  }
  for (Segment &segment : segments)
    segment.ops.insert(segment.ops.begin(), scalars.begin(), scalars.end());
  llvm::MapVector<Operation *, Segment> lots;
  for (Operation *op : tiles) {
    Segment &lot = lots[meet.getLeaderValue(op)];
    if (lot.ops.empty())
      lot.ops = scalars;
    lot.ops.push_back(op);
  }
  for (auto &[leader, lot] : lots)
    segments.push_back(lot);
  for (Segment &segment : segments) {
    if (failed(planSegment(segment)))
      return failure();
    gatherRowLoads(segment);
  }
  if (rowPerBlock)
    for (Segment &segment : segments)
      if (segment.loop || segment.vectors() > threads)
        return k.kernel.emitOpError(
            "reduces whole rows beside other work, which has no lowering");
  return success();
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

Value RowEmitter::spread(Value v) {
  if (segment->vector == 1 || isa<VectorType>(v.getType()))
    return v;
  auto type = VectorType::get(segment->vector, v.getType());
  Value poison = LLVM::PoisonOp::create(k.b, k.loc, type);
  Value one = LLVM::InsertElementOp::create(k.b, k.loc, poison, v, k.c32(0));
  SmallVector<int32_t> mask(segment->vector, 0);
  return LLVM::ShuffleVectorOp::create(k.b, k.loc, one, poison, mask);
}

/// Functions without an instruction; null for others.
Value RowEmitter::exponential(Operation *op, ValueRange operands, Type type) {
  OpBuilder &b = k.b;
  auto flags =
      arith::FastMathFlagsAttr::get(b.getContext(), arith::FastMathFlags::afn);
  if (isa<math::Exp2Op>(op))
    return math::Exp2Op::create(b, k.loc, operands[0], flags);
  if (!isa<math::ExpOp>(op))
    return {};
  TypedAttr log2e = b.getF32FloatAttr(1.4426950408889634);
  if (auto vector = dyn_cast<VectorType>(type))
    log2e = DenseElementsAttr::get(vector, log2e);
  Value scaled = arith::MulFOp::create(
      b, k.loc, operands[0], arith::ConstantOp::create(b, k.loc, log2e));
  return math::Exp2Op::create(b, k.loc, scaled, flags);
}

/// A scalar op of a map's body, or of the row itself, on this thread's values.
FailureOr<Value> RowEmitter::cloneScalar(Operation *op, IRMapping &map,
                                         bool wide) {
  OpBuilder &b = k.b;
  Type type = typeOf(op->getResult(0).getType(), wide);
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    TypedAttr value = constant.getValue();
    if (auto vector = dyn_cast<VectorType>(type))
      value = DenseElementsAttr::get(vector, cast<Attribute>(value));
    return arith::ConstantOp::create(b, k.loc, value).getResult();
  }
  SmallVector<Value> operands;
  for (Value v : op->getOperands()) {
    Value mapped = map.lookupOrNull(v);
    if (!mapped)
      return op->emitOpError("uses a value without lowering to ") << name();
    operands.push_back(wide ? spread(mapped) : mapped);
  }
  Type to = op->getResult(0).getType();
  if (isa<arith::TruncFOp>(op) && isSmallFloat(to) &&
      op->getOperand(0).getType().isF32())
    return k.target.truncateToSmallFloat(b, k.loc, operands[0], to);
  if (isa<arith::ExtFOp>(op) && to.isF32() &&
      isSmallFloat(op->getOperand(0).getType()))
    return k.target.extendSmallFloat(b, k.loc, operands[0],
                                     op->getOperand(0).getType());
  StringRef dialect = op->getName().getDialectNamespace();
  if ((dialect != "arith" && dialect != "math") || op->getNumResults() != 1 ||
      op->getNumRegions() != 0 || isSmallFloat(to) ||
      llvm::any_of(op->getOperandTypes(), isSmallFloat))
    return op->emitOpError("has no lowering to ") << name();
  auto element = dyn_cast<FloatType>(op->getResult(0).getType());
  if (dialect == "math" && element && !element.isF32())
    return op->emitOpError("functions of ")
           << element << " have no lowering to " << name()
           << ", only those of f32";
  if (Value v = exponential(op, operands, type))
    return v;
  if (dialect == "math" &&
      !isa<math::AbsFOp, math::RoundEvenOp, math::FloorOp, math::CeilOp,
           math::FmaOp, math::CopySignOp, math::SqrtOp>(op))
    return op->emitOpError("has no lowering to ") << name();
  OperationState state(k.loc, op->getName(), operands, type, op->getAttrs());
  return b.create(state)->getResult(0);
}

LogicalResult RowEmitter::emitScalar(Operation *op) {
  if (op->getNumResults() != 1 ||
      !op->getResult(0).getType().isIntOrIndexOrFloat())
    return op->emitOpError("has no row lowering to ") << name();
  Value result = op->getResult(0);
  if (auto constant = dyn_cast<arith::ConstantOp>(op);
      constant && constant.getType().isIndex()) {
    int64_t v = cast<IntegerAttr>(constant.getValue()).getInt();
    if (!llvm::isInt<32>(v))
      return op->emitOpError("coordinates have 32 bits, got ") << v;
    values[result] = k.c32(v);
    return success();
  }
  IRMapping map;
  for (Value v : op->getOperands()) {
    Value mapped = values.lookup(v);
    if (!mapped)
      return op->emitOpError("uses a value without lowering to ") << name();
    map.map(v, mapped);
  }
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op)) {
    Value v = map.lookup(op->getOperand(0));
    Type type =
        result.getType().isIndex() ? k.b.getI32Type() : result.getType();
    unsigned from = v.getType().getIntOrFloatBitWidth();
    unsigned to = type.getIntOrFloatBitWidth();
    if (from < to)
      v = arith::ExtSIOp::create(k.b, k.loc, type, v);
    else if (from > to)
      v = arith::TruncIOp::create(k.b, k.loc, type, v);
    values[result] = v;
    return success();
  }
  if (result.getType().isIndex()) {
    // Index arithmetic has 32 bits here.
    SmallVector<Value> operands;
    for (Value v : op->getOperands())
      operands.push_back(map.lookup(v));
    OperationState state(k.loc, op->getName(), operands, k.b.getI32Type(),
                         op->getAttrs());
    values[result] = k.b.create(state)->getResult(0);
    return success();
  }
  FailureOr<Value> v = cloneScalar(op, map, /*wide=*/false);
  if (failed(v))
    return failure();
  values[result] = *v;
  return success();
}

//===----------------------------------------------------------------------===//
// Segments
//===----------------------------------------------------------------------===//

LogicalResult RowEmitter::emitOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](tile::RowIndexOp op) { return emitRowIndex(op); })
      .Case([&](tile::SlotRowOp op) { return emitSlotRow(op); })
      .Case([&](tile::LoadOp op) { return emitLoad(op); })
      .Case([&](tile::StoreOp op) { return emitStore(op); })
      .Case([&](tile::MapOp op) { return emitMap(op); })
      .Case([&](tile::RowReduceOp op) { return emitRowReduce(op); })
      .Case([&](memref::DimOp op) -> LogicalResult {
        auto dim = op.getConstantIndex();
        if (!dim || PlainKernel::operandNumber(op.getSource()) < 0)
          return op.emitOpError("asks for an extent that is no argument's");
        values[op.getResult()] = k.extent(op.getSource(), *dim);
        return success();
      })
      .Default([&](Operation *op) -> LogicalResult {
        if (isView(op))
          return success();
        return emitScalar(op);
      });
}

LogicalResult RowEmitter::emitSegment(Segment &s) {
  segment = &s;
  OpBuilder::InsertionGuard guard(k.b);
  Value rowTotal = rows ? values.lookup(rowCount) : k.c32(1);
  int64_t perRow = s.perRow();
  Value row, inRow;
  active = Value();
  if (rowPerBlock) {
    row = k.block();
    inRow = k.thread();
    if (s.vectors() < threads)
      active = k.inside(inRow, k.c32(s.vectors()));
    if (s.vectors() == 1)
      inRow = k.c32(0);
  } else {
    Value item = k.add(k.mul(k.block(), k.c32(threads)), k.thread());
    row = perRow == 1 ? item : k.div(item, k.c32(perRow));
    inRow = perRow == 1 ? k.c32(0) : k.sub(item, k.mul(row, k.c32(perRow)));
    Value exists = k.inside(row, rowTotal);
    if (s.reduces) {
      // Lanes meet in shuffles: those without a row go along.
      active = exists;
    } else {
      auto ifOp = scf::IfOp::create(k.b, k.loc, exists, false);
      k.b.setInsertionPointToStart(ifOp.thenBlock());
    }
  }
  part = inRow;
  if (s.count > 1) {
    Value number = s.lanes() == 1 ? inRow : k.div(inRow, k.c32(s.lanes()));
    part = s.lanes() == 1 ? k.c32(0)
                          : k.sub(inRow, k.mul(number, k.c32(s.lanes())));
    values[s.loop.getInductionVar()] = number;
  } else if (s.loop) {
    values[s.loop.getInductionVar()] = k.c32(0);
  }
  if (rows)
    values[rows.getInductionVars()[0]] = row;
  if (!rowPerBlock && s.lanes() != s.vectors()) {
    Value isPart = k.inside(part, k.c32(s.vectors()));
    active = active ? k.both(active, isPart) : isPart;
  }
  for (Operation *op : s.ops)
    if (failed(emitOp(op)))
      return failure();
  return success();
}

LogicalResult RowEmitter::emit() {
  if (failed(plan()))
    return failure();
  // Pointers first, in the order of the kernel's arguments.
  for (BlockArgument argument : k.kernel.getBody().getArguments()) {
    if (isa<MemRefType>(argument.getType()))
      k.pointer(argument);
    else if (argument.getType().isIntOrIndexOrFloat())
      values[argument] = k.scalar(argument);
  }
  k.awaitEarlierLaunches();
  if (rows)
    for (Operation &op : k.kernel.getBody().front()) {
      if (isa<scf::ParallelOp, tile::AwaitLaunchOp, tile::ReturnOp>(op))
        continue;
      if (failed(emitOp(&op)))
        return failure();
    }
  PlainKernel::Grid grid;
  int64_t perRow = 1;
  for (Segment &s : segments)
    perRow = std::max(perRow, s.perRow());
  for (Segment &s : segments) {
    bool works = llvm::any_of(
        s.ops, [](Operation *op) { return isa<tile::StoreOp>(op); });
    if (works && failed(emitSegment(s)))
      return failure();
  }
  if (!rows) {
    grid.blocks = rowPerBlock ? 1 : llvm::divideCeil(perRow, threads);
  } else {
    // The number of rows is an extent of some argument.
    auto dim = rowCount.getDefiningOp<memref::DimOp>();
    if (auto fixed = constantOf(rowCount)) {
      grid.blocks =
          rowPerBlock ? *fixed : llvm::divideCeil(*fixed * perRow, threads);
    } else if (dim && dim.getConstantIndex() &&
               isa<BlockArgument>(dim.getSource())) {
      grid.operand = PlainKernel::operandNumber(dim.getSource());
      grid.dim = *dim.getConstantIndex();
      grid.mul = rowPerBlock ? 1 : perRow;
      grid.div = rowPerBlock ? 1 : threads;
    } else {
      return rows.emitOpError("the number of rows must be a constant or an "
                              "extent of a kernel argument");
    }
  }
  k.finish(threads, /*cluster=*/1, grid);
  return success();
}

FailureOr<LLVM::LLVMFuncOp> rows::convertRowKernel(tile::KernelOp kernel,
                                                   OpBuilder &b,
                                                   const WaveTarget &target) {
  return convertPlain<RowEmitter>(kernel, b, target);
}
