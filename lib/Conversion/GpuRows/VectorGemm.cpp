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

#include "VectorEmitter.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

/// Bytes that a lane loads at once.
static constexpr int64_t kPiece = 16;
/// Pieces of weights in a stage of a lane; the next stage is under way with it.
/// So many more are one stage if there is no second one. Packed weights are
/// bound by instructions rather than by what is under way: fewer registers.
static constexpr int64_t kStagePieces = 8, kOnlyStagePieces = 12,
                         kPackedStagePieces = 4;
/// Lanes of a weight row: fewer where that leaves fewer of them idle.
static constexpr int64_t kFewestLanes = 8;
static constexpr double kUsedLanes = 0.9;
/// Rows of a tile: each takes an accumulator for every weight row of a warp.
static constexpr int64_t kMaxRows = 4;
/// Warps of a block, if the configuration does not say it, and threads that a
/// multiprocessor should hold: beside them there is room for the next launch,
/// which reads its first weights already.
static constexpr int64_t kWarps = 4, kResidentThreads = 512;

static moe::ConfigAttr configOf(tile::KernelOp kernel) {
  return kernel->getAttrOfType<moe::ConfigAttr>("moe.config");
}

bool rows::isVectorKernel(tile::KernelOp kernel) {
  moe::ConfigAttr config = configOf(kernel);
  return config && config.getString("atom") == "fma" &&
         kernel.getKernelForm() == tile::Form::Seq;
}

//===----------------------------------------------------------------------===//
// What is recognised
//===----------------------------------------------------------------------===//

LogicalResult VectorEmitter::matchFactor(Factor &factor, Value loaded,
                                         int64_t tileRows) {
  factor.load = loaded.getDefiningOp<tile::LoadOp>();
  if (!factor.load)
    return refuse(loop) << "factors that are not loaded beside the weights";
  auto access = cast<tile::TileAccess>(factor.load.getOperation());
  MemRefType type = factor.load.getMemory().getType();
  auto [down, along] = access.getTileShape();
  for (auto [d, index] : llvm::enumerate(access.getIndices())) {
    if (index != loop.getLoad().getArgument(0))
      continue;
    factor.columns = access.getGranuleOf(d);
    factor.stride = 1;
    for (int64_t inner = d + 1; inner < type.getRank(); ++inner)
      factor.stride *= type.getDimSize(inner);
    // What is along the rows is no column.
    factor.across = access.getMemoryDim(1) != int64_t(d) && along > 1;
  }
  if (factor.columns >= depth)
    factor.columns = 0;
  factor.rows = tileRows / (factor.across ? along : down);
  Type element = factor.getElement();
  if (!(element.isF32() || element.isBF16() || element.isF16() ||
        isSmallFloat(element) || element.isInteger(8)))
    return refuse(factor.load) << "factors of " << element;
  return success();
}

/// The weights as they are loaded, or what decodes them on load.
LogicalResult VectorEmitter::matchWeights(Value loaded) {
  w = loaded.getDefiningOp<tile::LoadOp>();
  auto decode = loaded.getDefiningOp<tile::DequantOp>();
  auto format = tile::DequantFormat::Plain;
  if (decode) {
    w = decode.getSource().getDefiningOp<tile::LoadOp>();
    format = decode.getFormat();
    if (decode.getAt() || decode.getUnrounded())
      return refuse(decode) << "factors of more columns than the tile";
    zeroValue = decode.getZeroValue().value_or(0);
  }
  if (!w)
    return refuse(loop) << "weights that are not loaded as they are stored";
  int64_t tileRows =
      cast<tile::TileAccess>(w.getOperation()).getTileShape().first;
  if (decode)
    for (auto [operand, factor] : {std::pair(decode.getScale(), &scale),
                                   std::pair(decode.getZero(), &zero)})
      if (operand && failed(matchFactor(*factor, operand, tileRows)))
        return failure();
  Type element = w.getMemory().getType().getElementType();
  weightDecoder = WordDecoder(element, format);
  if (!weightDecoder.ok())
    return refuse(w) << "weights of " << element;
  return success();
}

/// A step along K whose product is scaled into a sum: the factors are those of
/// its columns, whatever the step.
LogicalResult VectorEmitter::matchPromotion() {
  Block &compute = loop.getCompute().front();
  auto promote =
      dyn_cast<tile::PromoteOp>(compute.getTerminator()->getPrevNode());
  auto part = promote ? promote.getPart().getDefiningOp<tile::AccReadOp>()
                      : tile::AccReadOp();
  auto mma = dyn_cast<tile::MmaOp>(compute.front());
  if (!part || !mma || part.getAcc() != mma.getResult() ||
      compute.getOperations().size() != 4 || promote.getScalar() ||
      promote.getFactor() || (scale && promote.getCol()) ||
      (zero && promote.getZero()))
    return refuse(loop) << "only products that are scaled by factors of their "
                           "rows and weight rows";
  auto loadedAs = [&](Value v) -> Value {
    auto argument = dyn_cast<BlockArgument>(v);
    int64_t number = argument ? int64_t(argument.getArgNumber()) - 1 : -1;
    return number >= 0 && number < int64_t(loop.getLoaded().size())
               ? loop.getLoaded()[number]
               : v;
  };
  int64_t tileRows =
      cast<tile::TileAccess>(w.getOperation()).getTileShape().first;
  if (promote.getCol() &&
      failed(matchFactor(scale, loadedAs(promote.getCol()), tileRows)))
    return failure();
  if (promote.getRow() &&
      failed(matchFactor(rowScale, loadedAs(promote.getRow()), rows)))
    return failure();
  if (promote.getZero()) {
    // The sums of rows are made here.
    Value points = loadedAs(promote.getZero());
    auto splat = points.getDefiningOp<tile::FragSplatOp>();
    FloatAttr constant;
    if (splat && matchPattern(splat.getValue(), m_Constant(&constant)))
      zeroValue += int64_t(constant.getValueAsDouble());
    else if (failed(matchFactor(zero, points, tileRows)))
      return failure();
  }
  return success();
}

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
  for (Block *block : {&k.kernel.getBody().front(), &tiles.getBody().front()})
    for (Operation &op : *block)
      if (isa<tile::SumLastOp, tile::ClearOp>(op))
        return refuse(&op) << "rows are summed by a launch of its own";
  loop = products[0];
  Block &compute = loop.getCompute().front();
  auto mma = dyn_cast<tile::MmaOp>(compute.front());
  if (loop.getLoaded().size() >= 2)
    a = loop.getLoaded()[0].getDefiningOp<tile::LoadOp>();
  bool promotes = isa<tile::FragType>(loop.getResult(0).getType());
  auto read = loop.getResult(0).hasOneUse()
                  ? dyn_cast<tile::AccReadOp>(*loop.getResult(0).user_begin())
                  : tile::AccReadOp();
  auto upper = constantOf(loop.getUpper());
  if (!mma || !a || loop.hasTransform() || constantOf(loop.getLower()) != 0 ||
      !upper || (!promotes && (!read || compute.getOperations().size() != 2)))
    return refuse(loop) << "only a plain product of two loads over all of K";
  product = promotes ? loop.getResult(0) : Value(read.getResult());
  depth = *upper;
  rows = mma.getType().getRows();
  if (failed(matchWeights(loop.getLoaded()[1])) ||
      (promotes && failed(matchPromotion())))
    return failure();
  run = 128 / weightDecoder.getBits();
  for (Factor factor : {scale, zero, rowScale})
    if (int64_t granule = factor.columns) {
      if (granule % run != 0 && run % granule != 0)
        return refuse(factor.load.getOperation()) << "granules of " << granule;
      run = std::min(run, granule);
      if (run % weightDecoder.perWord() != 0)
        return refuse(factor.load.getOperation()) << "granules of " << granule;
    }
  for (Operation *user : product.getUsers())
    if (auto op = dyn_cast<tile::SplitOp>(user))
      split = op;
  if (split && !product.hasOneUse())
    return refuse(split) << "the product is read beside its split";
  Type element = a.getMemory().getType().getElementType();
  rowDecoder = WordDecoder(element, tile::DequantFormat::Plain);
  Type stored = w.getMemory().getType().getElementType();
  if (!rowDecoder.ok() || weightDecoder.getBits() > rowDecoder.getBits() ||
      (weightDecoder.getBits() >= 16 && element != stored))
    return refuse(mma) << "products of " << element << " by " << stored;
  for (tile::LoadOp load : {a, w})
    if (load.getGranule())
      return refuse(load) << "granules";
  MemRefType weights = w.getMemory().getType();
  int64_t pitch = depth * weightDecoder.getBits() / 8;
  if (weights.getRank() != 3 || pitch % kPiece != 0 ||
      weights.getDimSize(2) * weights.getElementTypeBitWidth() != pitch * 8)
    return refuse(w) << "rows of " << depth
                     << " values are not whole pieces of 16 bytes of a "
                        "weight's row, "
                     << weights;
  if (a.getMemory().getType().getRank() != 2)
    return refuse(a) << "rows of " << a.getMemory().getType();
  columns = mma.getType().getCols() / (split ? 2 : 1);
  parts = split ? 2 : 1;
  if (rows > kMaxRows)
    return refuse(mma) << "tiles of " << rows << " rows, at most " << kMaxRows;
  return arrange();
}

/// Which lanes and warps read what.
LogicalResult VectorEmitter::arrange() {
  warps = configOf(k.kernel).getInt("warps");
  if (warps == 0)
    warps = kWarps;
  if (warps > 1024 / k.wave())
    return refuse(k.kernel) << "blocks of " << warps << " warps";
  pieces = depth * weightDecoder.getBits() / 8 / kPiece;
  double best = 0;
  for (int64_t lanes = k.wave(); lanes >= kFewestLanes && best < kUsedLanes;
       lanes /= 2) {
    double used = double(pieces) / double(llvm::alignTo(pieces, lanes));
    if (used > best) {
      best = used;
      rowLanes = lanes;
    }
  }
  int64_t groups = k.wave() / rowLanes;
  perWarp = llvm::alignTo(llvm::divideCeil(columns, warps), groups);
  if (perWarp / groups * rows > rowLanes)
    return refuse(loop) << perWarp / groups << " columns of " << rows
                        << " rows for " << rowLanes << " lanes";
  perLane = perWarp / groups * parts;
  steps = llvm::divideCeil(pieces, rowLanes);
  bool packed = weightDecoder.getBits() < 8;
  int64_t stage = packed ? kPackedStagePieces : kStagePieces;
  unroll = std::clamp<int64_t>(stage / perLane, 1, steps);
  if (!packed && steps * perLane <= kOnlyStagePieces)
    unroll = steps;
  while (steps % unroll)
    --unroll;
  return success();
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

Value VectorEmitter::tileCount() {
  Operation *list = tiles.getList().getDefiningOp();
  Value blocks;
  auto columnBlocks = [&](auto op) {
    listColumns = op.getColumns();
    return k.c32(llvm::divideCeil(op.getColumns(), op.getBlockN()));
  };
  if (auto op = dyn_cast_or_null<tile::BlockListOp>(list)) {
    blocks = k.mul(values.lookup(op.getCount()), columnBlocks(op));
  } else if (auto op = dyn_cast_or_null<tile::DenseListOp>(list)) {
    tableRows = k.ceilDiv(values.lookup(op.getRows()), op.getBlockM());
    blocks = k.mul(k.mul(tableRows, k.c32(op.getExperts())), columnBlocks(op));
  } else if (auto op = dyn_cast_or_null<tile::SlotListOp>(list)) {
    blocks = k.mul(k.mul(k.extent(op.getIds(), 0), k.c32(op.getTopk())),
                   columnBlocks(op));
  }
  return blocks;
}

Value VectorEmitter::expertOf(tile::SlotListOp list, Value slot,
                              Value &present) {
  Value expert = k.loadWord(k.pointer(list.getIds()), slot);
  if (Value map = list.getExpertMap()) {
    Value inside = k.inside(expert, k.extent(map, 0));
    // No branch: what is read for an id outside of the map is forgotten.
    Value at = k.select(inside, expert, k.c32(0));
    expert = k.select(inside, k.loadWord(k.pointer(map), at), k.c32(-1));
  }
  present = k.inside(expert, k.c32(list.getExperts()));
  if (Value tokens = list.getDeviceTokens())
    present = k.both(present, k.less(k.div(slot, k.c32(list.getTopk())),
                                     k.loadWord(k.pointer(tokens), k.c32(0))));
  return k.select(present, expert, k.c32(0));
}

/// The order of entries is locality, not meaning: all columns of a row block
/// come one after the other here.
LogicalResult VectorEmitter::placeTile(Value entry) {
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
  } else if (auto op = dyn_cast<tile::SlotListOp>(list)) {
    auto [slot, n0] = split(op.getColumns(), op.getBlockN());
    Value present;
    Value expert = expertOf(op, slot, present);
    coords = {expert, slot, k.select(present, k.c32(1), k.c32(0)), n0};
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
  // Scalars of the load region are of its first step: the k loop is ours.
  values[loop.getLoad().getArgument(0)] = k.c32(0);
  for (Block *block : {&tiles.getBody().front(), &loop.getLoad().front()})
    for (Operation &op : block->without_terminator())
      if (op.getName().getDialectNamespace() != "moe_tile" &&
          failed(emitOp(&op)))
        return failure();
  return success();
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

bool VectorEmitter::startsBeforeWait() {
  bool settled = true;
  auto need = [&](Value memory) {
    int64_t number = PlainKernel::operandNumber(memory);
    settled &=
        number >= 0 && bool(k.kernel.getArgAttr(number, "moe_tile.settled"));
  };
  for (tile::LoadOp load : {w, scale.load, zero.load})
    if (load)
      need(load.getMemory());
  for (Operation &op : k.kernel.getBody().front()) {
    if (auto load = dyn_cast<memref::LoadOp>(op))
      need(load.getMemRef());
    if (auto list = dyn_cast<tile::BlockListOp>(op))
      need(list.getTable());
    if (auto list = dyn_cast<tile::SlotListOp>(op))
      for (Value memory : {Value(list.getIds()), Value(list.getExpertMap()),
                           Value(list.getDeviceTokens())})
        if (memory)
          need(memory);
  }
  return settled;
}

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
  group = k.div(lane, k.c32(rowLanes));
  laneInRow = k.rem(lane, k.c32(rowLanes));
  // Kernels with tiles wait before they let the next one begin.
  bool ahead = startsBeforeWait();
  if (!ahead)
    k.awaitThenLetNextBegin();
  for (Operation &op : body)
    if (!isa<tile::ForTilesOp, tile::BlockListOp, tile::DenseListOp,
             tile::SlotListOp, tile::AwaitLaunchOp, tile::ReturnOp>(op) &&
        failed(emitOp(&op)))
      return failure();
  k.loc = tiles.getLoc();
  Value count = tileCount();
  if (!count)
    return refuse(tiles) << "a list of row blocks is expected";
  Value first = k.block(), stride = k.target.blocks(b, k.loc);
  weightDecoder.prepare(k, stride);
  FailureOr<SmallVector<Value>> stage = loadFirst(first, count);
  if (failed(stage))
    return failure();
  if (ahead)
    k.awaitThenLetNextBegin();

  auto op = scf::ForOp::create(b, k.loc, first, count, stride, *stage);
  {
    OpBuilder::InsertionGuard guard(b);
    Block *inner = op.getBody();
    if (!inner->empty() && isa<scf::YieldOp>(inner->back()))
      inner->back().erase();
    b.setInsertionPointToEnd(inner);
    Value entry = op.getInductionVar();
    SmallVector<Value> following;
    if (failed(placeTile(entry)) ||
        failed(emitTile(op.getRegionIterArgs(), k.add(entry, stride), count,
                        following)))
      return failure();
    k.loc = tiles.getLoc();
    scf::YieldOp::create(b, k.loc, following);
  }
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
