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

#include "PlainKernel.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Bytes of one access.
static constexpr int64_t kVectorBytes = 16;
/// Bytes that a thread has in flight at most: they take registers.
static constexpr int64_t kBytesInFlight = 256;
/// Threads of a block whose threads share nothing.
static constexpr int64_t kThreads = 128;

namespace {
/// Ops that run once per row, or `count` times with a counter of their own;
/// all tiles are `cols` wide or one element.
struct Segment {
  scf::ForOp loop; ///< null: once per row
  SmallVector<Operation *> ops;
  int64_t count = 1;  ///< of the loop
  int64_t cols = 1;   ///< widest tile
  int64_t vector = 1; ///< elements of one thread
  bool reduces = false;
  int64_t vectors() const { return cols / vector; }
  /// Threads of one tile row; a butterfly takes a power of two.
  int64_t lanes() const {
    return reduces ? llvm::PowerOf2Ceil(vectors()) : vectors();
  }
  int64_t perRow() const { return count * lanes(); }
};

class RowEmitter {
public:
  explicit RowEmitter(PlainKernel &k) : k(k) {}
  LogicalResult emit();

private:
  LogicalResult plan();
  LogicalResult planSegment(Segment &segment);
  LogicalResult emitSegment(Segment &segment);
  LogicalResult emitOp(Operation *op);
  LogicalResult emitScalar(Operation *op);
  LogicalResult emitRowIndex(tile::RowIndexOp op);
  LogicalResult emitLoad(tile::LoadOp op);
  LogicalResult emitRowLoads(ArrayRef<tile::LoadOp> loads);
  void gatherRowLoads(Segment &segment);
  LogicalResult emitStore(tile::StoreOp op);
  LogicalResult emitMap(tile::MapOp op);
  LogicalResult emitRowReduce(tile::RowReduceOp op);

  /// Element offset (i64) of this thread's part of a tile, and whether it
  /// exists (null: it does). `clamp`: the offset is in bounds even if not.
  FailureOr<Value> place(tile::TileAccess access, Value &exists,
                         bool clamp = false);
  bool isWide(Type tile) {
    return cast<tile::FragType>(tile).getCols() > 1 && segment->vector > 1;
  }
  Type typeOf(Type element, bool wide) {
    element = storageOf(element);
    return wide ? VectorType::get(segment->vector, element) : element;
  }
  Value spread(Value v);
  Value zero(Type type) {
    return arith::ConstantOp::create(k.b, k.loc, k.b.getZeroAttr(type));
  }
  FailureOr<Value> cloneScalar(Operation *op, IRMapping &map, bool wide);
  Value exponential(Operation *op, ValueRange operands, Type type);

  PlainKernel &k;
  scf::ParallelOp rows; ///< null: one row
  Value rowCount;       ///< of the tile program
  SmallVector<Segment> segments;
  int64_t threads = kThreads;
  bool rowPerBlock = false;

  Segment *segment = nullptr;
  DenseMap<Value, Value> values; ///< tile program to this thread
  /// Loads of several rows of one memory, by the first of them.
  DenseMap<Operation *, SmallVector<tile::LoadOp>> rowLoads;
  Value part;   ///< number of the thread's vector in the row
  Value active; ///< whether the row exists
};
} // namespace

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

static bool isView(Operation *op) {
  return isa<memref::CollapseShapeOp, memref::ExpandShapeOp, memref::CastOp>(
      op);
}

bool nvvm::isRowKernel(tile::KernelOp kernel) {
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
                tile::AwaitLaunchOp>(op);
  });
  return only && works && parallel <= 1;
}

/// A constant index, or nothing.
static std::optional<int64_t> constantOf(Value v) {
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
                 << frag.getRows()
                 << " rows at once; the row lowering to NVVM takes one";
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
                 << " columns; the row lowering to NVVM takes one width";
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
  if (vectors <= 32)
    return success();
  while (segment.vectors() > 1024 && segment.cols % (2 * segment.vector) == 0)
    segment.vector *= 2;
  if (segment.vectors() > 1024)
    return segment.ops.front()->emitOpError("reduces rows of ")
           << segment.cols << " columns; the row lowering to NVVM takes up to "
           << "1024 vectors of a power of two of columns";
  rowPerBlock = true;
  threads = std::max<int64_t>(threads, llvm::alignTo(segment.vectors(), 32));
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
        return op.emitOpError("the row lowering to NVVM takes loops over rows "
                              "from 0 with step 1");
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
        return op.emitOpError("the row lowering to NVVM takes loops from 0 by "
                              "1 to a constant");
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
      return op->emitOpError("uses a value without lowering to NVVM");
    operands.push_back(wide ? spread(mapped) : mapped);
  }
  Type to = op->getResult(0).getType();
  if (isa<arith::TruncFOp>(op) && isSmallFloat(to) &&
      op->getOperand(0).getType().isF32())
    return truncateToSmallFloat(k, operands[0], to);
  if (isa<arith::ExtFOp>(op) && to.isF32() &&
      isSmallFloat(op->getOperand(0).getType()))
    return extendSmallFloat(k, operands[0], op->getOperand(0).getType());
  StringRef dialect = op->getName().getDialectNamespace();
  if ((dialect != "arith" && dialect != "math") || op->getNumResults() != 1 ||
      op->getNumRegions() != 0 || isSmallFloat(to) ||
      llvm::any_of(op->getOperandTypes(), isSmallFloat))
    return op->emitOpError("has no lowering to NVVM");
  auto element = dyn_cast<FloatType>(op->getResult(0).getType());
  if (dialect == "math" && element && !element.isF32())
    return op->emitOpError("functions of ")
           << element << " have no lowering to NVVM, only those of f32";
  if (Value v = exponential(op, operands, type))
    return v;
  if (dialect == "math" &&
      !isa<math::AbsFOp, math::RoundEvenOp, math::FloorOp, math::CeilOp,
           math::FmaOp, math::CopySignOp, math::SqrtOp>(op))
    return op->emitOpError("has no lowering to NVVM");
  OperationState state(k.loc, op->getName(), operands, type, op->getAttrs());
  return b.create(state)->getResult(0);
}

LogicalResult RowEmitter::emitScalar(Operation *op) {
  if (op->getNumResults() != 1 ||
      !op->getResult(0).getType().isIntOrIndexOrFloat())
    return op->emitOpError("has no row lowering to NVVM");
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
      return op->emitOpError("uses a value without lowering to NVVM");
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
    return op.emitOpError("the NVVM lowering takes slots of i32, got ")
           << element;
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

FailureOr<Value> RowEmitter::place(tile::TileAccess access, Value &exists,
                                   bool clamp) {
  Operation *op = access;
  Value memory = access.getMemory();
  auto type = cast<MemRefType>(memory.getType());
  if (PlainKernel::operandNumber(memory) < 0)
    return op->emitOpError("accesses memory that is no kernel argument");
  if (!type.getLayout().isIdentity())
    return op->emitOpError("the NVVM lowering takes row-major memory, got ")
           << type;
  if (access.getBoxes())
    return op->emitOpError("boxes have no row lowering to NVVM");
  exists = active;
  auto require = [&](Value condition) {
    exists = exists ? k.both(exists, condition) : condition;
  };
  int64_t cols = access.getTileShape().second;
  Value offset;
  for (auto [d, index] : llvm::enumerate(access.getIndices())) {
    if (access.getGranuleOf(d) != 1)
      return op->emitOpError("granules have no row lowering to NVVM");
    Value v = values.lookup(index);
    if (!v)
      return op->emitOpError("uses a value without lowering to NVVM");
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
    return op.emitOpError("the row lowering to NVVM loads fragments, not ")
           << op.getType();
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
        !load.getIndices()[0].getDefiningOp<tile::RowIndexOp>() ||
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
      return load.emitOpError("uses a value without lowering to NVVM");
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
           << " tiles side by side; the row lowering to NVVM takes one";
  if (op.getMode() != tile::StoreMode::Plain)
    return op.emitOpError("adding stores have no row lowering to NVVM");
  auto frag = dyn_cast<tile::FragType>(op.getValues()[0].getType());
  Value v = values.lookup(op.getValues()[0]);
  if (!frag || !v)
    return op.emitOpError("stores a value without row lowering to NVVM");
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
      return op.emitOpError("has an input without lowering to NVVM");
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
      return op.emitOpError("yields a value without lowering to NVVM");
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
    return op.emitOpError("the row lowering to NVVM reduces one tile of f32 "
                          "to one column");
  auto combine = [&](Value x, Value y) -> Value {
    if (op.getKind() == tile::ReduceKind::Sum)
      return arith::AddFOp::create(b, k.loc, x, y);
    return arith::MaximumFOp::create(b, k.loc, x, y);
  };
  Value input = values.lookup(op.getInputs()[0]);
  if (!input)
    return op.emitOpError("has an input without lowering to NVVM");
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
    for (int64_t d = lanes / 2; d; d /= 2)
      v = combine(v, k.shuffle(NVVM::ShflKind::bfly, v, k.c32(d)));
    return v;
  };
  if (!rowPerBlock) {
    values[op.getResult()] = butterfly(v, segment->lanes());
    return success();
  }
  v = butterfly(v, 32);
  Value memory = k.shared(threads / 32 * 4);
  Value lane = k.both(k.thread(), k.c32(31));
  k.when(k.cmp(arith::CmpIPredicate::eq, lane, k.c32(0)), [&] {
    k.store(v, k.at(memory, k.div(k.thread(), k.c32(32)), b.getF32Type()), 4);
  });
  k.barrier();
  v = k.choose(
      k.less(lane, k.c32(threads / 32)),
      [&] {
        return k.load(b.getF32Type(), k.at(memory, lane, b.getF32Type()), 4);
      },
      none);
  values[op.getResult()] = butterfly(v, 32);
  return success();
}

//===----------------------------------------------------------------------===//
// Segments
//===----------------------------------------------------------------------===//

LogicalResult RowEmitter::emitOp(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](tile::RowIndexOp op) { return emitRowIndex(op); })
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

FailureOr<LLVM::LLVMFuncOp> nvvm::convertRowKernel(tile::KernelOp kernel,
                                                   OpBuilder &b) {
  PlainKernel k(kernel, b);
  RowEmitter emitter(k);
  if (failed(emitter.emit())) {
    k.func.erase();
    return failure();
  }
  return k.func;
}
