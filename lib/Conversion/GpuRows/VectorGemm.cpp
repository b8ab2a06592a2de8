//===- VectorGemm.cpp - Products of few rows without matrix units ---------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The sequential form of a product, with `atom = "fma"`: a warp (wave) takes a
// few columns of a tile. Its lanes read 16 bytes each of the weight rows of
// these columns, side by side and several rows in flight, multiply them with
// the same columns of the tile's rows in f32 and add up over the lanes at the
// end. Then every lane is one element of the result, whose epilogue it runs.
//
//===----------------------------------------------------------------------===//

#include "RowEmitter.h"
#include "ScalarEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

/// Bytes that a lane loads at once.
static constexpr int64_t kPiece = 16;
/// Pieces of weights that a lane has under way.
static constexpr int64_t kPiecesInFlight = 8;
/// Rows of a tile: each takes an accumulator for every weight row of a warp.
static constexpr int64_t kMaxRows = 4;
/// Warps of a block, if the configuration does not say it, and threads that a
/// multiprocessor should hold.
static constexpr int64_t kWarps = 4, kResidentThreads = 1024;

static moe::ConfigAttr configOf(tile::KernelOp kernel) {
  return kernel->getAttrOfType<moe::ConfigAttr>("moe.config");
}

bool rows::isVectorKernel(tile::KernelOp kernel) {
  moe::ConfigAttr config = configOf(kernel);
  return config && config.getString("atom") == "fma" &&
         kernel.getKernelForm() == tile::Form::Seq;
}

namespace {
class VectorEmitter : ScalarEmitter {
public:
  explicit VectorEmitter(PlainKernel &k) : ScalarEmitter(k), bodies(k) {}
  LogicalResult emit();

private:
  LogicalResult match();
  Value tileCount();
  void placeTile(Value entry);
  LogicalResult emitTile();
  void multiply(ArrayRef<Value> weights, ArrayRef<Value> inputs);
  SmallVector<Value> toF32(Value piece, Type element);
  Value fma(Value x, Value y, Value z) {
    return math::FmaOp::create(b, k.loc, x, y, z);
  }
  /// Number of row `m` of a row list, or of consecutive rows; `exists` is
  /// and-ed with whether there is one. Absent rows get the number 0.
  FailureOr<Value> rowNumber(Value rows, Value m, Value &exists);
  /// Offset (i64) of element (m, c) of an access; `exists` as above.
  FailureOr<Value> offsetOf(tile::TileAccess access, Value m, Value c,
                            Value &exists);
  /// Element (m, c) of a fragment of the epilogue.
  FailureOr<Value> elementOf(Value fragment, Value m, Value c);
  LogicalResult emitStore(tile::StoreOp op, Value m, Value c, Value valid);
  /// Column of what a split takes its `part` from.
  Value beforeSplit(int64_t block, int64_t part, Value c) {
    Value run = k.div(c, k.c32(block));
    Value at = k.add(k.mul(run, k.c32(2 * block)), k.rem(c, k.c32(block)));
    return part ? k.add(at, k.c32(part * block)) : at;
  }
  auto refuse(Operation *op) {
    return op->emitOpError("has no form without matrix units: ");
  }

  RowEmitter bodies;
  tile::ForTilesOp tiles;
  tile::KLoopOp loop;
  tile::LoadOp a, w;
  tile::SplitOp split; ///< of the product into gate and up; may be null
  Value product;       ///< fragment
  Type element;
  int64_t rows = 0, columns = 0; ///< of a tile's result
  int64_t depth = 0;             ///< K
  int64_t warps = 0, perWarp = 0, parts = 1;
  Value lane, warp;
  Value entryCount, tableRows;
  /// Per element of the warp's result and part: the sums, then what this lane
  /// holds of them, per part.
  SmallVector<Value> sums, mine;
  IRMapping evaluated; ///< fragments whose element is known
};
} // namespace

LogicalResult VectorEmitter::match() {
  SmallVector<tile::ForTilesOp> loops(
      k.kernel.getBody().getOps<tile::ForTilesOp>());
  if (loops.size() != 1)
    return refuse(k.kernel)
           << "it has " << loops.size() << " loops over tiles, not one";
  tiles = loops[0];
  SmallVector<tile::KLoopOp> products(tiles.getBody().getOps<tile::KLoopOp>());
  if (products.size() != 1)
    return refuse(tiles) << "it has " << products.size()
                         << " products, not one";
  loop = products[0];
  Block &compute = loop.getCompute().front();
  auto mma = dyn_cast<tile::MmaOp>(compute.front());
  if (loop.getLoaded().size() == 2) {
    a = loop.getLoaded()[0].getDefiningOp<tile::LoadOp>();
    w = loop.getLoaded()[1].getDefiningOp<tile::LoadOp>();
  }
  auto read = loop.getResult(0).hasOneUse()
                  ? dyn_cast<tile::AccReadOp>(*loop.getResult(0).user_begin())
                  : tile::AccReadOp();
  auto upper = constantOf(loop.getUpper());
  if (!mma || !a || !w || !read || compute.getOperations().size() != 2 ||
      loop.hasTransform() || constantOf(loop.getLower()) != 0 || !upper)
    return refuse(loop) << "only a plain product of two loads over all of K";
  product = read.getResult();
  depth = *upper;
  for (Operation *user : product.getUsers())
    if (auto op = dyn_cast<tile::SplitOp>(user))
      split = op;
  if (split && !product.hasOneUse())
    return refuse(split) << "the product is read beside its split";
  MemRefType weights = w.getMemory().getType();
  element = weights.getElementType();
  if (a.getMemory().getType().getElementType() != element ||
      !(element.isBF16() || element.isF16() || element.isF32()))
    return refuse(mma) << "products of "
                       << a.getMemory().getType().getElementType() << " by "
                       << element;
  int64_t bytes = element.getIntOrFloatBitWidth() / 8;
  if (weights.getRank() != 3 || weights.getDimSize(2) != depth ||
      depth * bytes % kPiece != 0)
    return refuse(w) << "rows of " << depth
                     << " values are not whole pieces of 16 bytes of a "
                        "weight's row, "
                     << weights;
  if (a.getMemory().getType().getRank() != 2)
    return refuse(a) << "rows of " << a.getMemory().getType();
  rows = mma.getType().getRows();
  columns = mma.getType().getCols() / (split ? 2 : 1);
  parts = split ? 2 : 1;
  if (rows > kMaxRows)
    return refuse(mma) << "tiles of " << rows << " rows, at most " << kMaxRows;
  warps = configOf(k.kernel).getInt("warps");
  if (warps == 0)
    warps = kWarps;
  if (warps > 1024 / k.wave())
    return refuse(k.kernel) << "blocks of " << warps << " warps";
  perWarp = llvm::divideCeil(columns, warps);
  if (perWarp * rows > k.wave())
    return refuse(mma) << perWarp << " columns of " << rows
                       << " rows for a warp of " << k.wave() << " lanes";
  return success();
}

/// Entries of the tile list.
Value VectorEmitter::tileCount() {
  Operation *list = tiles.getList().getDefiningOp();
  Value blocks;
  int64_t perBlock = 1;
  if (auto op = dyn_cast_or_null<tile::BlockListOp>(list)) {
    blocks = values.lookup(op.getCount());
    perBlock = llvm::divideCeil(op.getColumns(), op.getBlockN());
  } else if (auto op = dyn_cast_or_null<tile::DenseListOp>(list)) {
    tableRows = k.ceilDiv(values.lookup(op.getRows()), op.getBlockM());
    blocks = k.mul(tableRows, k.c32(op.getExperts()));
    perBlock = llvm::divideCeil(op.getColumns(), op.getBlockN());
  }
  return blocks ? k.mul(blocks, k.c32(perBlock)) : Value();
}

/// Coordinates of an entry. The order of entries is locality, not meaning: all
/// columns of a row block come one after the other here.
void VectorEmitter::placeTile(Value entry) {
  SmallVector<Value> coords;
  auto split = [&](int64_t columns, int64_t blockN) {
    Value perBlock = k.c32(llvm::divideCeil(columns, blockN));
    return std::pair(k.div(entry, perBlock),
                     k.mul(k.rem(entry, perBlock), k.c32(blockN)));
  };
  Operation *list = tiles.getList().getDefiningOp();
  if (auto op = dyn_cast<tile::BlockListOp>(list)) {
    auto [block, n0] = split(op.getColumns(), op.getBlockN());
    Value table = k.pointer(op.getTable());
    Value at = k.mul(block, k.extent(op.getTable(), 1));
    for (int64_t i = 0; i < 3; ++i)
      coords.push_back(k.loadWord(table, k.add(at, k.c32(i))));
    coords.push_back(n0);
  } else {
    auto dense = cast<tile::DenseListOp>(list);
    auto [block, n0] = split(dense.getColumns(), dense.getBlockN());
    Value expert = k.div(block, tableRows),
          all = values.lookup(dense.getRows());
    Value row = k.mul(k.rem(block, tableRows), k.c32(dense.getBlockM()));
    coords = {expert, k.add(k.mul(expert, all), row),
              k.min(k.sub(all, row), k.c32(dense.getBlockM())), n0};
  }
  for (auto op : tiles.getBody().getOps<tile::CoordsOp>())
    for (auto [result, coord] : llvm::zip(op.getResults(), coords))
      values[result] = coord;
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
    if (access.getGranuleOf(d) != 1)
      return refuse(op) << "granules";
    Value v;
    if (isa<tile::RowsType>(index.getType())) {
      bool columns = access.getMemoryDim(1) == int64_t(d);
      FailureOr<Value> number = rowNumber(index, columns ? c : m, exists);
      if (failed(number))
        return refuse(op) << "rows of a list that is none of 32-bit slots";
      v = *number;
    } else {
      v = values.lookup(index);
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
// The product
//===----------------------------------------------------------------------===//

/// The values of a piece, f32.
SmallVector<Value> VectorEmitter::toF32(Value piece, Type element) {
  SmallVector<Value> list;
  int64_t bits = element.getIntOrFloatBitWidth();
  Type f32 = b.getF32Type();
  for (int64_t i = 0; i < 4; ++i) {
    Value word = LLVM::ExtractElementOp::create(b, k.loc, piece, k.c32(i));
    if (bits == 32) {
      list.push_back(arith::BitcastOp::create(b, k.loc, f32, word));
      continue;
    }
    if (element.isBF16()) {
      // The upper half of an f32.
      Value low = arith::ShLIOp::create(b, k.loc, word, k.c32(16));
      Value high = k.both(word, k.c32(int64_t(int32_t(0xffff0000))));
      for (Value v : {low, high})
        list.push_back(arith::BitcastOp::create(b, k.loc, f32, v));
      continue;
    }
    Value high = arith::ShRUIOp::create(b, k.loc, word, k.c32(16));
    for (Value v : {word, high}) {
      Value half = arith::BitcastOp::create(
          b, k.loc, element,
          arith::TruncIOp::create(b, k.loc, b.getI16Type(), v));
      list.push_back(arith::ExtFOp::create(b, k.loc, f32, half));
    }
  }
  return list;
}

/// Adds the products of one piece of every weight row and one of every row.
void VectorEmitter::multiply(ArrayRef<Value> weights, ArrayRef<Value> inputs) {
  SmallVector<SmallVector<Value>> x;
  for (Value piece : inputs)
    x.push_back(toF32(piece, element));
  for (auto [r, piece] : llvm::enumerate(weights)) {
    SmallVector<Value> values = toF32(piece, element);
    for (size_t m = 0; m < x.size(); ++m)
      for (size_t i = 0; i < values.size(); ++i) {
        Value &sum = sums[r * x.size() + m];
        sum = fma(values[i], x[m][i], sum);
      }
  }
}

LogicalResult VectorEmitter::emitTile() {
  auto isTile = [](Operation &op) {
    return op.getName().getDialectNamespace() == "moe_tile";
  };
  for (Operation &op : tiles.getBody().front().without_terminator())
    if (!isTile(op) && failed(emitOp(&op)))
      return failure();
  // Scalars of the load region are of its first step: the k loop is ours.
  values[loop.getLoad().getArgument(0)] = k.c32(0);
  for (Operation &op : loop.getLoad().front().without_terminator())
    if (!isTile(op) && failed(emitOp(&op)))
      return failure();

  int64_t bytes = element.getIntOrFloatBitWidth() / 8;
  int64_t values16 = kPiece / bytes;
  Value zero = k.c32(0);
  // Where this lane starts in every row.
  SmallVector<Value> weightRows, inputRows;
  Value first = k.mul(warp, k.c32(perWarp));
  auto pointerTo = [&](tile::LoadOp op, Value m) -> FailureOr<Value> {
    Value exists;
    FailureOr<Value> offset =
        offsetOf(cast<tile::TileAccess>(op.getOperation()), m, zero, exists);
    if (failed(offset))
      return failure();
    // What does not exist is read from the start: nothing stores the result.
    Value at = exists ? k.select(exists, *offset, k.c64(0)) : *offset;
    at = k.add(at, k.wide(k.mul(lane, k.c32(values16))));
    return k.at(k.pointer(op.getMemory()), at, element);
  };
  for (int64_t j = 0; j < perWarp; ++j)
    for (int64_t part = 0; part < parts; ++part) {
      Value c = k.add(first, k.c32(j));
      if (split)
        c = beforeSplit(split.getBlock(), part, c);
      FailureOr<Value> row = pointerTo(w, c);
      if (failed(row))
        return failure();
      weightRows.push_back(*row);
    }
  for (int64_t m = 0; m < rows; ++m) {
    FailureOr<Value> row = pointerTo(a, k.c32(m));
    if (failed(row))
      return failure();
    inputRows.push_back(*row);
  }

  Value none = arith::ConstantOp::create(b, k.loc, b.getF32FloatAttr(0.0));
  sums.assign(weightRows.size() * rows, none);
  auto pieceType = VectorType::get({4}, b.getI32Type());
  int64_t step = k.wave() * values16; ///< values of a warp's pieces of a row
  int64_t unroll =
      std::max<int64_t>(1, kPiecesInFlight / int64_t(weightRows.size()));
  auto loadAll = [&](ArrayRef<Value> rows, Value at) {
    return llvm::map_to_vector(rows, [&](Value row) {
      return k.load(pieceType, k.at(row, at, element), kPiece);
    });
  };
  auto run = [&](Value from, int64_t count) {
    SmallVector<SmallVector<Value>> weights, inputs;
    for (int64_t u = 0; u < count; ++u) {
      Value at = u ? k.add(from, k.c32(u * step)) : from;
      weights.push_back(loadAll(weightRows, at));
      inputs.push_back(loadAll(inputRows, at));
    }
    for (int64_t u = 0; u < count; ++u)
      multiply(weights[u], inputs[u]);
  };
  int64_t stride = step * unroll, whole = depth / stride * stride;
  if (whole) {
    auto op =
        scf::ForOp::create(b, k.loc, zero, k.c32(whole), k.c32(stride), sums);
    OpBuilder::InsertionGuard guard(b);
    Block *body = op.getBody();
    if (!body->empty() && isa<scf::YieldOp>(body->back()))
      body->back().erase();
    b.setInsertionPointToEnd(body);
    sums = llvm::to_vector_of<Value>(op.getRegionIterArgs());
    run(op.getInductionVar(), unroll);
    scf::YieldOp::create(b, k.loc, sums);
    sums = llvm::to_vector_of<Value>(op.getResults());
  }
  if (int64_t more = (depth - whole) / step) {
    run(k.c32(whole), more);
    whole += more * step;
  }
  if (whole < depth) {
    // The last lanes have nothing left.
    SmallVector<Type> types(sums.size(), b.getF32Type());
    auto op = scf::IfOp::create(
        b, k.loc, types,
        k.less(k.mul(lane, k.c32(values16)), k.c32(depth - whole)),
        /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(op.elseBlock());
    scf::YieldOp::create(b, k.loc, sums);
    b.setInsertionPointToStart(op.thenBlock());
    run(k.c32(whole), 1);
    scf::YieldOp::create(b, k.loc, sums);
    sums = llvm::to_vector_of<Value>(op.getResults());
  }
  for (Value &sum : sums)
    sum = k.target.combine(b, k.loc, sum, k.wave(), [&](Value x, Value y) {
      return arith::AddFOp::create(b, k.loc, x, y);
    });

  // Lane m * perWarp + j is row m of column j.
  Value m = k.div(lane, k.c32(perWarp));
  Value j = k.rem(lane, k.c32(perWarp));
  mine.assign(parts, none);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < perWarp; ++column) {
      Value is =
          k.cmp(arith::CmpIPredicate::eq, lane, k.c32(row * perWarp + column));
      for (int64_t part = 0; part < parts; ++part)
        mine[part] = k.select(is, sums[(column * parts + part) * rows + row],
                              mine[part]);
    }
  Value c = k.add(first, j);
  Value valid =
      k.both(k.less(lane, k.c32(rows * perWarp)), k.less(c, k.c32(columns)));
  evaluated = IRMapping();
  LogicalResult result = success();
  k.when(valid, [&] {
    for (auto op : tiles.getBody().getOps<tile::StoreOp>())
      if (succeeded(result))
        result = emitStore(op, m, c, Value());
  });
  return result;
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

LogicalResult VectorEmitter::emitStore(tile::StoreOp op, Value m, Value c,
                                       Value valid) {
  if (op.getValues().size() != 1 || op.getMode() != tile::StoreMode::Plain)
    return refuse(op) << "one fragment is stored, and not added";
  FailureOr<Value> v = elementOf(op.getValues()[0], m, c);
  if (failed(v))
    return failure();
  k.loc = op.getLoc();
  Value exists = valid;
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

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

LogicalResult VectorEmitter::emit() {
  if (failed(match()))
    return failure();
  Block &body = k.kernel.getBody().front();
  for (BlockArgument argument : body.getArguments()) {
    if (isa<MemRefType>(argument.getType()))
      k.pointer(argument);
    else
      values[argument] = k.scalar(argument);
  }
  Value thread = k.thread();
  lane = k.laneOf(thread);
  warp = k.waveOf(thread);
  k.awaitEarlierLaunches();
  for (Operation &op : body)
    if (!isa<tile::ForTilesOp, tile::BlockListOp, tile::DenseListOp,
             tile::AwaitLaunchOp, tile::ReturnOp>(op) &&
        failed(emitOp(&op)))
      return failure();
  k.loc = tiles.getLoc();
  Value count = tileCount();
  if (!count)
    return refuse(tiles) << "a list of row blocks is expected";
  LogicalResult result = success();
  k.loop(k.block(), count, k.target.blocks(b, k.loc), [&](Value entry) {
    placeTile(entry);
    result = emitTile();
  });
  if (failed(result))
    return failure();
  PlainKernel::Grid grid;
  int64_t threads = warps * k.wave();
  grid.persistent = std::max<int64_t>(1, kResidentThreads / threads);
  k.finish(threads, /*cluster=*/1, grid);
  return success();
}

FailureOr<LLVM::LLVMFuncOp>
rows::convertVectorKernel(tile::KernelOp kernel, OpBuilder &b,
                          const WaveTarget &target) {
  return convertPlain<VectorEmitter>(kernel, b, target);
}
