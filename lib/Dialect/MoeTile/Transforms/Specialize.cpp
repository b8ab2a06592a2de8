//===- Specialize.cpp - moe-tile-specialize -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileGemm.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "moec/Dialect/MoeTile/Transforms/Passes.h"

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILESPECIALIZE
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe::tile;

namespace {
/// Rewrites one kernel. The sequential loop over tiles is cloned into each role
/// with what the role needs, and erased.
class Specializer {
public:
  Specializer(TileGemm &gemm, Staging staging)
      : gemm(gemm), staging(staging), b(gemm.tiles), loc(gemm.tiles.getLoc()) {}

  LogicalResult run();

private:
  void hoist();
  RoleOp addRole(Block &roles, StringRef name, int64_t threads, int64_t copies,
                 int64_t regs);
  ForTilesOp addTileLoop(ValueRange cursors, IRMapping &map,
                         function_ref<SmallVector<Value>(ValueRange)> fill);
  SmallVector<Value> cursors(Side side);
  Value fillFactors(Value cursor, IRMapping &map);
  void buildLoad(RoleOp role);
  void buildCompute(RoleOp role);
  void emitStore(IRMapping &map);
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(top, loc, value);
  }

  TileGemm &gemm;
  Staging staging;
  OpBuilder b;
  Location loc;
  /// Inserts before the roles, at kernel level.
  OpBuilder top{b.getContext()};
  Value ring, lower, upper, step;
  /// Factors of the weights, one slot per tile; null if there are none.
  Value factorRing;
  SmallVector<Value> buffers;
};
} // namespace

/// Values that are the same for every tile go above the loop, where both roles
/// see them.
void Specializer::hoist() {
  SmallVector<Operation *> candidates;
  gemm.tiles.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isa<MapOp>(op))
      return WalkResult::skip();
    if (op->hasTrait<OpTrait::ConstantLike>() ||
        isa<memref::CollapseShapeOp, memref::ExpandShapeOp, memref::CastOp,
            memref::DimOp>(op) ||
        (isa_and_nonnull<arith::ArithDialect>(op->getDialect()) && isPure(op)))
      candidates.push_back(op);
    return WalkResult::advance();
  });
  for (Operation *op : candidates)
    if (llvm::none_of(op->getOperands(), [&](Value v) {
          return gemm.tiles->isAncestor(v.getParentRegion()->getParentOp());
        }))
      op->moveBefore(gemm.tiles);
}

RoleOp Specializer::addRole(Block &roles, StringRef name, int64_t threads,
                            int64_t copies, int64_t regs) {
  OpBuilder at = OpBuilder::atBlockEnd(&roles);
  auto divide = copies > 1 ? DivideAttr::get(at.getContext(), gemm.getDivide())
                           : DivideAttr();
  auto role = RoleOp::create(at, loc, at.getStringAttr(name),
                             at.getI64IntegerAttr(threads),
                             at.getI64IntegerAttr(copies), divide,
                             regs ? at.getI64IntegerAttr(regs) : IntegerAttr());
  role.getBody().emplaceBlock();
  return role;
}

/// A loop over the tiles that carries cursors; `fill` makes the body and
/// returns the cursors at its end.
ForTilesOp
Specializer::addTileLoop(ValueRange cursors, IRMapping &map,
                         function_ref<SmallVector<Value>(ValueRange)> fill) {
  auto loop = ForTilesOp::create(
      b, loc, gemm.tiles.getList(), gemm.tiles.getOrder(), cursors,
      [&](OpBuilder &nested, Location, Value tile, ValueRange carried) {
        map.map(gemm.tiles.getTile(), tile);
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToEnd(nested.getInsertionBlock());
        SmallVector<Value> next = fill(carried);
        YieldOp::create(b, loc, next);
      });
  loop.setClaim(Claim::Stride);
  loop.setDies(gemm.tiles.getDies());
  return loop;
}

/// Start positions of one side of all rings: operands, then factors.
SmallVector<Value> Specializer::cursors(Side side) {
  auto type = CursorType::get(b.getContext(), side);
  SmallVector<Value> list{CursorOp::create(b, loc, type, ring)};
  if (factorRing)
    list.push_back(CursorOp::create(b, loc, type, factorRing));
  return list;
}

/// Starts the copies of a tile's factors for all of K; the next cursor.
Value Specializer::fillFactors(Value cursor, IRMapping &map) {
  auto slots = cast<RingType>(factorRing.getType()).getBuffers();
  auto slot = AcquireOp::create(b, loc, TypeRange(slots), factorRing, cursor);
  for (auto [load, buffer] : llvm::zip(gemm.getFactors(), slot.getResults())) {
    // Expert, first row, first granule.
    SmallVector<Value> indices{map.lookupOrDefault(load.getIndices()[0]),
                               map.lookupOrDefault(load.getIndices()[1]),
                               lower};
    CopyOp::create(b, loc, load.getMemory(), indices,
                   b.getDenseI64ArrayAttr({1, 2}), load.getGranuleAttr(),
                   load.getBoxesAttr(), load.getBoxDimAttr(), load.getHowAttr(),
                   PlaceAttr(), load.getWidthAttr(), buffer);
  }
  return PublishOp::create(b, loc, factorRing, cursor);
}

void Specializer::buildLoad(RoleOp role) {
  b.setInsertionPointToStart(&role.getBody().front());
  SmallVector<Value> starts = cursors(Side::Producer);
  // What the addresses are made of.
  SetVector<Operation *> needed;
  BackwardSliceOptions options;
  options.omitBlockArguments = true;
  options.filter = [&](Operation *op) {
    return gemm.tiles->isProperAncestor(op);
  };
  SmallVector<LoadOp> sources = slotLoads(gemm);
  llvm::append_range(sources, gemm.getFactors());
  for (LoadOp load : sources)
    (void)getBackwardSlice(load.getOperation(), &needed, options);

  IRMapping map;
  addTileLoop(starts, map, [&](ValueRange carried) {
    Block &body = gemm.tiles.getBody().front();
    for (Operation &op : body)
      if (needed.contains(&op))
        b.clone(op, map);
    Block &load = gemm.loop.getLoad().front();
    // Addresses of the factors are those of every step.
    SmallPtrSet<Operation *, 8> steady;
    for (Operation &op : load)
      if (factorRing && needed.contains(&op) && isPure(&op) &&
          llvm::all_of(op.getOperands(), [&](Value v) {
            return v.getParentBlock() != &load ||
                   steady.contains(v.getDefiningOp());
          })) {
        b.clone(op, map);
        steady.insert(&op);
      }
    SmallVector<Value> ends;
    if (factorRing)
      ends.push_back(fillFactors(carried[1], map));
    auto loop =
        scf::ForOp::create(b, loc, lower, upper, step, ValueRange{carried[0]});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    map.map(load.getArgument(0), loop.getInductionVar());
    for (Operation &op : load)
      if (needed.contains(&op) && !steady.contains(&op))
        b.clone(op, map);
    Value at = loop.getRegionIterArg(0);
    auto slots = cast<RingType>(ring.getType()).getBuffers();
    auto slot = AcquireOp::create(b, loc, TypeRange(slots), ring, at);
    // Copies by descriptor first: one thread starts them, then all gather.
    SmallVector<std::pair<LoadOp, Value>> copies;
    for (auto [i, source] : llvm::enumerate(slotLoads(gemm)))
      copies.push_back({source, slot.getResult(i)});
    std::swap(copies[0], copies[1]);
    for (auto [source, buffer] : copies) {
      SmallVector<Value> indices;
      for (Value v : source.getIndices())
        indices.push_back(map.lookupOrDefault(v));
      CopyOp::create(b, loc, source.getMemory(), indices, source.getDimsAttr(),
                     source.getGranuleAttr(), source.getBoxesAttr(),
                     source.getBoxDimAttr(), source.getHowAttr(), PlaceAttr(),
                     source.getWidthAttr(), buffer);
    }
    Value next = PublishOp::create(b, loc, ring, at);
    scf::YieldOp::create(b, loc, next);
    ends.insert(ends.begin(), loop.getResult(0));
    return ends;
  });
}

/// Writes the result through the staging buffers, piece by piece.
void Specializer::emitStore(IRMapping &map) {
  StoreOp store = gemm.store;
  SmallVector<Value> pieces{map.lookup(store.getValues()[0])};
  while (static_cast<int64_t>(pieces.size()) < staging.pieces) {
    SmallVector<Value> halves;
    for (Value piece : pieces) {
      auto type = cast<FragType>(piece.getType());
      int64_t block = type.getCols() / 2;
      auto half = FragType::get(type.getContext(), type.getRows(), block,
                                type.getElementType(),
                                splitLayout(type.getLayout(), block));
      auto split = SplitOp::create(b, loc, half, half, piece, block);
      halves.append({split.getFirst(), split.getSecond()});
    }
    pieces = halves;
  }
  auto mapped = [&](Value v) { return map.lookupOrDefault(v); };
  if (gemm.isBulk()) {
    StoreWaitOp::create(b, loc, /*complete=*/false);
    DepositOp::create(b, loc, pieces[0], buffers[0]);
    GroupSyncOp::create(b, loc, Scope::Team, /*proxy=*/true);
    SmallVector<Value> indices;
    for (Value v : store.getIndices())
      indices.push_back(mapped(v));
    StoreOp::create(b, loc, ValueRange{buffers[0]}, store.getMemory(), indices,
                    store.getLimit() ? mapped(store.getLimit()) : Value(),
                    store.getDimsAttr(), store.getGranuleAttr(),
                    HowAttr::get(b.getContext(), How::Bulk), store.getMode(),
                    store.getWidthAttr());
    return;
  }
  int64_t columnDim = cast<TileAccess>(store.getOperation()).getMemoryDim(1);
  bool described = gemm.isDescribed();
  HowAttr how =
      described ? HowAttr::get(b.getContext(), How::Bulk) : store.getHowAttr();
  for (auto [i, piece] : llvm::enumerate(pieces)) {
    Value buffer = buffers[i % buffers.size()];
    if (described)
      StoreWaitOp::create(b, loc, /*complete=*/false);
    DepositOp::create(b, loc, piece, buffer);
    GroupSyncOp::create(b, loc, Scope::Team, /*proxy=*/described);
    SmallVector<Value> indices;
    for (auto [dim, v] : llvm::enumerate(store.getIndices())) {
      Value at = mapped(v);
      if (static_cast<int64_t>(dim) == columnDim && i > 0)
        at = arith::AddIOp::create(b, loc, at,
                                   index(i * staging.type.getCols()));
      indices.push_back(at);
    }
    StoreOp::create(b, loc, ValueRange{buffer}, store.getMemory(), indices,
                    store.getLimit() ? mapped(store.getLimit()) : Value(),
                    store.getDimsAttr(), store.getGranuleAttr(), how,
                    store.getMode(), store.getWidthAttr());
  }
  // With two buffers the next deposit is two barriers away from the last read
  // of its buffer; with one it would overtake it.
  if (!described && pieces.size() % 2 != 0)
    GroupSyncOp::create(b, loc, Scope::Team, /*proxy=*/false);
}

void Specializer::buildCompute(RoleOp role) {
  b.setInsertionPointToStart(&role.getBody().front());
  SmallVector<Value> starts = cursors(Side::Consumer);
  AccType acc = gemm.mma.getType();
  auto slots = cast<RingType>(ring.getType()).getBuffers();
  ValueRange factors;
  // The factors are those of all of K.
  int64_t granuleCols =
      gemm.getFactors().empty()
          ? 1
          : cast<TileAccess>(gemm.getFactors()[0].getOperation())
                .getGranuleOf(2);
  // Weights of a slot in the registers of a product.
  auto decoded = [&](Value weights, Value k) -> Value {
    DequantOp dequant = gemm.dequant;
    if (!dequant)
      return weights;
    Value scale = dequant.getScale() ? factors.front() : Value();
    Value zero = dequant.getZero() ? factors.back() : Value();
    bool any = scale || zero;
    std::optional<int64_t> zeroValue;
    if (dequant.getZeroValue())
      zeroValue = *dequant.getZeroValue();
    SmallVector<int64_t> granule;
    if (any)
      granule = {1, granuleCols};
    return DequantOp::create(b, loc, dequant.getType(), weights, scale, zero,
                             dequant.getFormat(), zeroValue, granule,
                             any ? k : Value(), dequant.getUnrounded());
  };
  // One slot: wait, multiply, release; the accumulator and the next cursor.
  auto stepOf = [&](Value at, Value k, Value from) -> std::pair<Value, Value> {
    auto slot = WaitOp::create(b, loc, TypeRange(slots), ring, at);
    Value weights = decoded(slot.getResult(1), k);
    Value sum = MmaOp::create(b, loc, acc, slot.getResult(0), weights, from,
                              gemm.mma.getAtomAttr());
    MmaWaitOp::create(b, loc, 0);
    Value next = ReleaseOp::create(b, loc, ring, at);
    return {sum, next};
  };

  // One slot of scaled products: they are read before the slot is released, the
  // sum over them is made afterwards.
  auto sumStepOf = [&](Value at, Value k,
                       Value sum) -> std::pair<Value, Value> {
    auto slot = WaitOp::create(b, loc, TypeRange(slots), ring, at);
    DigitsAttr full = cast<FragType>(sum.getType()).getLayout();
    Value factorsOfStep[2];
    size_t next = 2;
    for (auto [i, load] : {std::pair{0, gemm.aScale}, {1, gemm.bScale}}) {
      if (!load)
        continue;
      Value buffer = slot.getResult(next++);
      auto tile = cast<BufType>(buffer.getType());
      int64_t rows = tile.getRows(), cols = tile.getCols();
      auto plain = FragType::get(b.getContext(), rows, cols, b.getF32Type(),
                                 DigitsAttr());
      auto type = FragType::get(b.getContext(), rows, cols, b.getF32Type(),
                                i == 0 ? rowFactorLayout(full, plain)
                                       : colFactorLayout(full, plain));
      factorsOfStep[i] = FragLoadOp::create(b, loc, type, buffer, Value());
    }
    if (gemm.dequant && gemm.scale) {
      auto source = cast<BufType>(factors.front().getType());
      Type element = source.getElementType();
      auto plain = FragType::get(b.getContext(), 1, source.getRows(), element,
                                 DigitsAttr());
      auto type = FragType::get(b.getContext(), 1, source.getRows(), element,
                                colFactorLayout(full, plain));
      Value column = arith::DivUIOp::create(b, loc, k, index(granuleCols));
      factorsOfStep[1] =
          FragLoadOp::create(b, loc, type, factors.front(), column);
    }
    Value product = MmaOp::create(b, loc, acc, slot.getResult(0),
                                  decoded(slot.getResult(1), k), Value(),
                                  gemm.mma.getAtomAttr());
    Value part =
        AccReadOp::create(b, loc, gemm.read.getResult().getType(), product);
    Value cursorNext = ReleaseOp::create(b, loc, ring, at);
    Value result = PromoteOp::create(b, loc, part, sum, factorsOfStep[0],
                                     factorsOfStep[1]);
    return {result, cursorNext};
  };

  IRMapping map;
  addTileLoop(starts, map, [&](ValueRange carried) {
    Value sum, at = carried[0];
    SmallVector<Value> ends;
    for (Operation &op : gemm.tiles.getBody().front().without_terminator()) {
      if (!gemm.promote && &op == gemm.loop.getInits()[0].getDefiningOp())
        continue;
      if (&op == gemm.store && gemm.isStaged()) {
        emitStore(map);
        continue;
      }
      if (&op != gemm.loop) {
        Operation *made = b.clone(op, map);
        if (auto sum = dyn_cast<SumLastOp>(made))
          sum.setTeams(gemm.getTeams());
        // Teams that share the rows count each its own.
        if (auto sum = dyn_cast<SumArrivedOp>(made))
          sum.setTeams(gemm.getDivide() == Divide::M ? 1 : gemm.getTeams());
        continue;
      }
      if (factorRing) {
        auto types = cast<RingType>(factorRing.getType()).getBuffers();
        factors =
            WaitOp::create(b, loc, TypeRange(types), factorRing, carried[1])
                .getResults();
      }
      if (gemm.promote) {
        auto loop = scf::ForOp::create(
            b, loc, lower, upper, step,
            ValueRange{map.lookup(gemm.loop.getInits()[0]), carried[0]});
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(loop.getBody());
        auto [next, cursorNext] =
            sumStepOf(loop.getRegionIterArg(1), loop.getInductionVar(),
                      loop.getRegionIterArg(0));
        scf::YieldOp::create(b, loc, ValueRange{next, cursorNext});
        at = loop.getResult(1);
        map.map(gemm.loop.getResult(0), loop.getResult(0));
        b.setInsertionPointAfter(loop);
        if (factorRing)
          ends.push_back(ReleaseOp::create(b, loc, factorRing, carried[1]));
        continue;
      }
      std::tie(sum, at) = stepOf(carried[0], lower, Value());
      if (gemm.k > gemm.step) {
        auto loop =
            scf::ForOp::create(b, loc, step, upper, step, ValueRange{sum, at});
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(loop.getBody());
        auto [next, cursorNext] =
            stepOf(loop.getRegionIterArg(1), loop.getInductionVar(),
                   loop.getRegionIterArg(0));
        scf::YieldOp::create(b, loc, ValueRange{next, cursorNext});
        sum = loop.getResult(0);
        at = loop.getResult(1);
      }
      if (factorRing)
        ends.push_back(ReleaseOp::create(b, loc, factorRing, carried[1]));
      map.map(gemm.loop.getResult(0), sum);
    }
    ends.insert(ends.begin(), at);
    return ends;
  });
  if (gemm.isBulk() || gemm.isDescribed()) {
    b.setInsertionPointToEnd(&role.getBody().front());
    StoreWaitOp::create(b, loc, /*complete=*/true);
  }
}

LogicalResult Specializer::run() {
  KernelOp kernel = gemm.kernel;
  // Of the tiles, which will be gone.
  int64_t threads = gemm.getThreads();
  hoist();
  MLIRContext *context = kernel.getContext();
  SmallVector<StringAttr> names;
  SmallVector<Type> types;
  for (LoadOp load : slotLoads(gemm)) {
    StringRef name = load == gemm.a        ? "a"
                     : load == gemm.b      ? "b"
                     : load == gemm.aScale ? "scale_a"
                                           : "scale_b";
    names.push_back(StringAttr::get(context, name));
    types.push_back(load.getType());
  }
  auto ringType =
      RingType::get(context, *gemm.loop.getStages(), names, types, Sync::Tx);
  top.setInsertionPoint(gemm.tiles);
  lower = index(0);
  upper = index(gemm.k);
  step = index(gemm.step);
  ring = RingAllocOp::create(top, loc, ringType);
  if (!gemm.getFactors().empty()) {
    SmallVector<StringAttr> factorNames;
    SmallVector<Type> factorTypes;
    for (LoadOp load : gemm.getFactors()) {
      factorNames.push_back(
          StringAttr::get(context, load == gemm.scale ? "scale" : "zero"));
      factorTypes.push_back(factorBuffer(load));
    }
    factorRing =
        RingAllocOp::create(top, loc,
                            RingType::get(context, kFactorSlots, factorNames,
                                          factorTypes, Sync::Tx));
  }
  for (int64_t i = 0; i < staging.count; ++i)
    buffers.push_back(BufAllocOp::create(top, loc, staging.type));

  b.setInsertionPoint(gemm.tiles);
  auto roles = RolesOp::create(b, loc);
  Block &block = roles.getBody().emplaceBlock();
  RoleOp load = addRole(block, "load", gemm.getLoadThreads(), 1,
                        gemm.config.getInt("load_regs"));
  RoleOp compute = addRole(block, "compute", gemm.getComputeThreads(),
                           gemm.getTeams(), gemm.config.getInt("compute_regs"));
  // Constants that the roles ask for go above them.
  top.setInsertionPoint(roles);
  buildLoad(load);
  buildCompute(compute);
  gemm.tiles.erase();
  eraseDead(load);
  eraseDead(compute);

  SmallVector<int64_t> cluster = gemm.config.getInts("cluster");
  if (cluster[0] * cluster[1] != 1)
    return kernel.emitOpError("clusters of ")
           << cluster[0] << "x" << cluster[1]
           << " blocks have no explicit form yet";
  Grid grid =
      gemm.config.getString("grid") == "tiles" ? Grid::Tiles : Grid::Persistent;
  kernel.setExecAttr(
      ExecAttr::get(context, threads, /*cluster=*/1, grid, /*resident=*/false));
  kernel.setForm(Form::Explicit);
  return success();
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {
struct SpecializePass
    : public mlir::moe::tile::impl::MoeTileSpecializeBase<SpecializePass> {
  void runOnOperation() override {
    if (failed(run()))
      signalPassFailure();
  }

  LogicalResult run() {
    KernelOp kernel = getOperation();
    auto matched = matchTileGemm(kernel);
    if (failed(matched))
      return failure();
    if (!*matched)
      return success();
    TileGemm &gemm = **matched;
    FailureOr<Staging> staging = stagingOf(gemm);
    if (failed(targetOf(gemm)) || failed(staging))
      return failure();
    if (!gemm.mma.getAtom() || !gemm.a.getHow() || !gemm.loop.getStages())
      return kernel.emitOpError("lacks atoms, copies or rings; run "
                                "moe-tile-assign-atoms, moe-tile-assign-copies "
                                "and moe-tile-form-rings first");
    if (failed(Specializer(gemm, *staging).run()))
      return failure();
    ++numKernels;
    return success();
  }
};
} // namespace
