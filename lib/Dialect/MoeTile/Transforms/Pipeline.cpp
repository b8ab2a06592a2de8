//===- Pipeline.cpp - moe-tile-pipeline -----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdForm.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "moec/Dialect/MoeTile/Transforms/Passes.h"

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILEPIPELINE
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

namespace {
/// Rewrites one kernel: the k loop becomes loops of fetch, product, deposit, or
/// the kernel two roles that meet at barriers.
class Pipeliner {
public:
  /// `factorLayout` is that of factors of weights which are decoded on their
  /// way to on-chip memory.
  Pipeliner(TileGemm &gemm, DigitsAttr factorLayout)
      : gemm(gemm), factorLayout(factorLayout), b(gemm.loop),
        loc(gemm.loop.getLoc()) {}

  /// One team, or `loadThreads` threads for a role that brings operands beside
  /// `computeThreads` that multiply.
  void run(int64_t loadThreads, int64_t computeThreads);

private:
  /// One step's operands on their way through registers. Factors (scales, zero
  /// points) of the product stay there; those of `b` are for its deposit.
  struct Staged {
    Value a, b;
    SmallVector<Value> ofB, factors;
    /// Of operands without factors of the product: what a loop carries.
    SmallVector<Value> all() const {
      SmallVector<Value> values{a, b};
      llvm::append_range(values, ofB);
      return values;
    }
    static Staged from(ValueRange values) {
      return {values[0], values[1], llvm::to_vector(values.drop_front(2)), {}};
    }
  };
  /// What one step hands to the next: the sum and the factors of that step.
  struct Carried {
    Value sum;
    SmallVector<Value> factors;
    SmallVector<Value> all() const {
      SmallVector<Value> values{sum};
      llvm::append_range(values, factors);
      return values;
    }
    static Carried from(ValueRange values) {
      return {values.front(), llvm::to_vector(values.drop_front())};
    }
  };
  /// The buffers of one stage.
  struct Stage {
    Value a, b;
  };
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value);
  }
  /// Clones what the load region computes for the step at `k`.
  void cloneAddresses(Value k, IRMapping &map);
  Staged fetch(Value k);
  void deposit(const Staged &data, Stage stage);
  void sync() { GroupSyncOp::create(b, loc, Scope::Block, /*proxy=*/false); }
  /// The product of a step, added to the sum.
  Value multiply(Stage stage, const Carried &carried);
  Value factor(LoadOp load, DigitsAttr layout, IRMapping &map);
  SmallVector<Value> fetchFactors(IRMapping &map);
  /// Copies the operands of the step at `k` straight to `stage` and loads its
  /// factors.
  SmallVector<Value> copy(Value k, Stage stage);
  /// Waits for the copies of a step, starts those of the step behind `k`,
  /// multiplies.
  Carried advanceDirect(Stage now, Stage next, Value k, const Carried &carried);
  bool isDirect() { return *gemm.a.getHow() == How::LdsDirect; }
  /// Fetches the step behind `k`, multiplies that at `k`, deposits.
  Carried advance(Stage now, Stage next, Value k, const Carried &carried);
  Value mainLoop(Value sum);

  /// The part of a tile of each role; both meet as many barriers.
  void bring();
  Value consume(Value sum);
  /// Adds a role with a copy of the loop over tiles, whose k loop `build`
  /// replaces: it returns the sum, or null if nobody is to see the result.
  void addRole(Block &roles, StringRef name, int64_t threads,
               function_ref<Value(Value)> build);
  int64_t countSteps() const { return llvm::divideCeil(gemm.k, gemm.step); }

  TileGemm &gemm;
  DigitsAttr factorLayout;
  OpBuilder b;
  Location loc;
  SmallVector<Stage, 2> stages;
  /// What stands for the tile's values in the role that is being built.
  IRMapping ofRole;
};
} // namespace

void Pipeliner::cloneAddresses(Value k, IRMapping &map) {
  Block &load = gemm.loop.getLoad().front();
  map = ofRole;
  map.map(load.getArgument(0), k);
  for (Operation &op : load.without_terminator())
    if (!isa<LoadOp, DequantOp>(op))
      b.clone(op, map);
}

Pipeliner::Staged Pipeliner::fetch(Value k) {
  IRMapping map;
  cloneAddresses(k, map);
  Value staged[2];
  LoadOp sources[] = {gemm.a, gemm.b};
  for (auto [i, source] : llvm::enumerate(sources)) {
    SmallVector<Value> indices;
    for (Value v : source.getIndices())
      indices.push_back(map.lookupOrDefault(v));
    auto buffer = cast<BufType>(source.getType());
    auto type = StagedType::get(b.getContext(), buffer.getRows(),
                                buffer.getCols(), buffer.getElementType());
    staged[i] = FetchOp::create(
        b, loc, type, source.getMemory(), indices, source.getDimsAttr(),
        source.getGranuleAttr(), source.getBoxesAttr(), source.getBoxDimAttr(),
        source.getHowAttr(), PlaceAttr(), source.getWidthAttr());
  }
  SmallVector<Value> ofB;
  for (LoadOp load : gemm.getUnpackFactors())
    ofB.push_back(factor(load, factorLayout, map));
  return {staged[0], staged[1], ofB, fetchFactors(map)};
}

void Pipeliner::deposit(const Staged &data, Stage stage) {
  DepositOp::create(b, loc, data.a, stage.a);
  Value weights = data.b;
  if (DequantOp unpack = gemm.unpack) {
    auto buffer = cast<BufType>(unpack.getType());
    auto type = StagedType::get(b.getContext(), buffer.getRows(),
                                buffer.getCols(), buffer.getElementType());
    std::optional<int64_t> zeroValue;
    if (unpack.getZeroValue())
      zeroValue = *unpack.getZeroValue();
    weights = DequantOp::create(
        b, loc, type, weights, unpack.getScale() ? data.ofB.front() : Value(),
        unpack.getZero() ? data.ofB.back() : Value(), unpack.getFormat(),
        zeroValue, unpack.getGranule().value_or(ArrayRef<int64_t>()), Value());
  }
  DepositOp::create(b, loc, weights, stage.b);
}

/// Factors of a step go straight to the registers of the lanes that use them.
Value Pipeliner::factor(LoadOp load, DigitsAttr layout, IRMapping &map) {
  SmallVector<Value> indices;
  for (Value v : load.getIndices())
    indices.push_back(map.lookupOrDefault(v));
  auto [rows, cols] = getTileShape(load.getType());
  auto type = FragType::get(b.getContext(), rows, cols,
                            getTileElementType(load.getType()), layout);
  return LoadOp::create(b, loc, type, load.getMemory(), indices,
                        load.getDimsAttr(), load.getGranuleAttr(),
                        load.getBoxesAttr(), load.getBoxDimAttr(),
                        load.getHowAttr(), PlaceAttr(), load.getWidthAttr());
}

/// All factors of a step: of the promotion, or of decoded weights.
SmallVector<Value> Pipeliner::fetchFactors(IRMapping &map) {
  SmallVector<Value> factors;
  auto decoded = [&](LoadOp load, bool weights) {
    int64_t columns = getTileShape(load.getType()).second;
    return factor(load, decodedFactorLayout(gemm, columns, weights), map);
  };
  for (LoadOp load : gemm.getFactors()) {
    if (load == gemm.scale && gemm.scalesSums()) {
      int64_t columns = getTileShape(load.getType()).second;
      factors.push_back(factor(load, sumFactorLayout(gemm, columns), map));
      continue;
    }
    factors.push_back(decoded(load, /*weights=*/true));
  }
  if (gemm.scaleA)
    factors.push_back(decoded(gemm.scaleA, /*weights=*/false));
  for (auto [load, row] :
       {std::pair{gemm.aScale, true}, {gemm.bScale, false}}) {
    if (!load)
      continue;
    DigitsAttr full = gemm.promote.getType().getLayout();
    auto [rows, cols] = getTileShape(load.getType());
    auto plain =
        FragType::get(b.getContext(), rows, cols, b.getF32Type(), DigitsAttr());
    DigitsAttr layout;
    if (full)
      layout =
          row ? rowFactorLayout(full, plain) : colFactorLayout(full, plain);
    factors.push_back(factor(load, layout, map));
  }
  return factors;
}

Value Pipeliner::multiply(Stage stage, const Carried &carried) {
  AccType acc = gemm.mma.getType();
  Value tokens = stage.a, weights = stage.b;
  size_t next = 0;
  auto take = [&](LoadOp load) {
    return load ? carried.factors[next++] : Value();
  };
  if (DequantOp dequant = gemm.dequant) {
    Value scale = take(gemm.scale), zero = take(gemm.zero);
    std::optional<int64_t> zeroValue;
    if (dequant.getZeroValue())
      zeroValue = *dequant.getZeroValue();
    weights = DequantOp::create(
        b, loc, dequant.getType(), weights, scale, zero, dequant.getFormat(),
        zeroValue, dequant.getGranule().value_or(ArrayRef<int64_t>()), Value(),
        dequant.getUnrounded());
  }
  if (DequantOp dequant = gemm.dequantA)
    tokens = DequantOp::create(
        b, loc, dequant.getType(), tokens, take(gemm.scaleA), Value(),
        dequant.getFormat(), std::nullopt,
        dequant.getGranule().value_or(ArrayRef<int64_t>()), Value());
  if (!gemm.promote) {
    Value product = MmaOp::create(b, loc, acc, tokens, weights, carried.sum,
                                  gemm.mma.getAtomAttr());
    MmaWaitOp::create(b, loc, 0);
    return product;
  }
  Value row = take(gemm.aScale), col = take(gemm.bScale);
  Value product = MmaOp::create(b, loc, acc, stage.a, weights, Value(),
                                gemm.mma.getAtomAttr());
  Value part =
      AccReadOp::create(b, loc, gemm.read.getResult().getType(), product);
  return PromoteOp::create(b, loc, part, carried.sum, row, col);
}

SmallVector<Value> Pipeliner::copy(Value k, Stage stage) {
  IRMapping map;
  cloneAddresses(k, map);
  LoadOp sources[] = {gemm.a, gemm.b};
  Value buffers[] = {stage.a, stage.b};
  for (auto [source, buffer] : llvm::zip(sources, buffers)) {
    SmallVector<Value> indices;
    for (Value v : source.getIndices())
      indices.push_back(map.lookupOrDefault(v));
    CopyOp::create(b, loc, source.getMemory(), indices, source.getDimsAttr(),
                   source.getGranuleAttr(), source.getBoxesAttr(),
                   source.getBoxDimAttr(), source.getHowAttr(), PlaceAttr(),
                   source.getWidthAttr(), buffer);
  }
  return fetchFactors(map);
}

Pipeliner::Carried Pipeliner::advanceDirect(Stage now, Stage next, Value k,
                                            const Carried &carried) {
  CopyWaitOp::create(b, loc);
  // All copies have arrived, and all have read what the next ones replace.
  sync();
  SmallVector<Value> factors =
      copy(arith::AddIOp::create(b, loc, k, index(gemm.step)), next);
  return {multiply(now, carried), factors};
}

Pipeliner::Carried Pipeliner::advance(Stage now, Stage next, Value k,
                                      const Carried &carried) {
  if (isDirect())
    return advanceDirect(now, next, k, carried);
  Value behind = arith::AddIOp::create(b, loc, k, index(gemm.step));
  Staged data = fetch(behind);
  Value sum = multiply(now, carried);
  // One stage: all have read it before it is written.
  if (stages.size() == 1)
    sync();
  deposit(data, next);
  sync();
  return {sum, data.factors};
}

Value Pipeliner::mainLoop(Value sum) {
  Stage first = stages.front(), second = stages.back();
  int64_t steps = countSteps();
  // The tile before may still be read.
  Carried carried{sum, {}};
  if (isDirect()) {
    sync();
    carried.factors = copy(index(0), first);
  } else {
    Staged data = fetch(index(0));
    sync();
    deposit(data, first);
    sync();
    carried.factors = data.factors;
  }
  // The last step has no successor to fetch.
  int64_t turns = (steps - 1) / int64_t(stages.size());
  int64_t rest = (steps - 1) % int64_t(stages.size());
  int64_t stride = gemm.step * int64_t(stages.size());
  if (turns > 0) {
    auto loop = scf::ForOp::create(b, loc, index(0), index(turns * stride),
                                   index(stride), carried.all());
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value k = loop.getInductionVar();
    Carried next = Carried::from(loop.getRegionIterArgs());
    next = advance(first, second, k, next);
    if (stages.size() == 2) {
      k = arith::AddIOp::create(b, loc, k, index(gemm.step));
      next = advance(second, first, k, next);
    }
    scf::YieldOp::create(b, loc, next.all());
    carried = Carried::from(loop.getResults());
  }
  if (rest)
    carried = advance(first, second, index(turns * stride), carried);
  if (isDirect()) {
    CopyWaitOp::create(b, loc);
    sync();
  }
  return multiply(rest ? second : first, carried);
}

//===----------------------------------------------------------------------===//
// Roles
//===----------------------------------------------------------------------===//
//
// Step s of a tile is in stage s % 2. Who brings it meets the barrier behind
// the deposit, who multiplies it the same barrier before the product: both meet
// one for each step. While a step is multiplied, the next one is deposited. A
// tile of an odd number of steps ends in the stage with which the next one
// begins, so there one more barrier keeps them apart.

void Pipeliner::bring() {
  Stage first = stages.front(), second = stages.back();
  int64_t steps = countSteps(), turns = (steps - 1) / 2;
  // Fetches the step behind `k` and deposits the one at `k`.
  auto step = [&](const Staged &data, Value k, Stage stage) {
    Value behind = arith::AddIOp::create(b, loc, k, index(gemm.step));
    Staged next = fetch(behind);
    deposit(data, stage);
    sync();
    return next;
  };
  Staged data = fetch(index(0));
  if (turns > 0) {
    auto loop =
        scf::ForOp::create(b, loc, index(0), index(turns * 2 * gemm.step),
                           index(2 * gemm.step), data.all());
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value k = loop.getInductionVar();
    Staged next = step(Staged::from(loop.getRegionIterArgs()), k, first);
    k = arith::AddIOp::create(b, loc, k, index(gemm.step));
    next = step(next, k, second);
    scf::YieldOp::create(b, loc, next.all());
    data = Staged::from(loop.getResults());
  }
  bool even = steps % 2 == 0;
  if (even)
    data = step(data, index(turns * 2 * gemm.step), first);
  deposit(data, even ? second : first);
  sync();
  if (!even)
    sync();
}

Value Pipeliner::consume(Value sum) {
  Stage first = stages.front(), second = stages.back();
  int64_t turns = countSteps() / 2;
  auto step = [&](Value sum, Stage stage) {
    sync();
    return multiply(stage, {sum, {}});
  };
  if (turns > 0) {
    auto loop = scf::ForOp::create(b, loc, index(0), index(turns), index(1),
                                   ValueRange{sum});
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value next = step(loop.getRegionIterArg(0), first);
    scf::YieldOp::create(b, loc, step(next, second));
    sum = loop.getResult(0);
  }
  if (countSteps() % 2 != 0) {
    sum = step(sum, first);
    sync();
  }
  return sum;
}

void Pipeliner::addRole(Block &roles, StringRef name, int64_t threads,
                        function_ref<Value(Value)> build) {
  OpBuilder at = OpBuilder::atBlockEnd(&roles);
  auto role = RoleOp::create(
      at, loc, at.getStringAttr(name), at.getI64IntegerAttr(threads),
      at.getI64IntegerAttr(1), DivideAttr(), IntegerAttr());
  b.setInsertionPointToStart(&role.getBody().emplaceBlock());
  ofRole.clear();
  b.clone(*gemm.tiles, ofRole);
  Operation *loop =
      ofRole.lookup(gemm.loop.getResult(0)).getDefiningOp<KLoopOp>();
  b.setInsertionPoint(loop);
  if (Value sum = build(ofRole.lookup(gemm.loop.getInits()[0]))) {
    loop->getResult(0).replaceAllUsesWith(sum);
    loop->erase();
  } else {
    SmallVector<Operation *> rest;
    for (Operation *op = loop; !op->hasTrait<OpTrait::IsTerminator>();
         op = op->getNextNode())
      rest.push_back(op);
    for (Operation *op : llvm::reverse(rest))
      op->erase();
  }
  eraseDead(role);
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

void Pipeliner::run(int64_t loadThreads, int64_t computeThreads) {
  KernelOp kernel = gemm.kernel;
  OpBuilder top(gemm.tiles);
  for (int64_t i = 0; i < int64_t(*gemm.loop.getStages()); ++i) {
    Value a = BufAllocOp::create(top, loc, cast<BufType>(gemm.a.getType()));
    Value weights = BufAllocOp::create(
        top, loc, cast<BufType>(gemm.getStoredB().getType()));
    stages.push_back({a, weights});
  }
  kernel.setForm(Form::Explicit);
  // A counter would have to be broadcast to all waves.
  gemm.tiles.setClaim(Claim::Stride);
  if (loadThreads == 0) {
    Value sum = mainLoop(gemm.loop.getInits()[0]);
    gemm.loop.getResult(0).replaceAllUsesWith(sum);
    gemm.loop.erase();
    return;
  }
  auto roles = RolesOp::create(top, loc);
  Block &block = roles.getBody().emplaceBlock();
  addRole(block, "load", loadThreads, [&](Value) {
    bring();
    return Value();
  });
  addRole(block, "compute", computeThreads,
          [&](Value sum) { return consume(sum); });
  gemm.tiles.erase();
}

namespace {
struct PipelinePass
    : public mlir::moe::tile::impl::MoeTilePipelineBase<PipelinePass> {
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
    if (!gemm.mma.getAtom() || !gemm.a.getHow() || !gemm.loop.getStages())
      return kernel.emitOpError("lacks atoms, copies or buffers; run "
                                "moe-tile-assign-atoms, moe-tile-assign-copies "
                                "and moe-tile-form-rings first");
    const AmdChip *chip = findAmdChip(kernel.getTarget().value_or("").str());
    if (!chip)
      return kernel.emitOpError("target '")
             << kernel.getTarget().value_or("")
             << "' has no form with operands staged in registers";
    DigitsAttr layout =
        cast<FragType>(gemm.read.getResult().getType()).getLayout();
    int64_t computeThreads = layout.getLevelSize(Level::Warp) * chip->waveSize;
    int64_t loadThreads = amdLoadThreads(gemm);
    int64_t threads = computeThreads + loadThreads;
    if (threads > chip->maxThreads)
      return kernel.emitOpError()
             << chip->name << ": rule workgroup: roles of " << loadThreads
             << " and " << computeThreads << " threads, at most "
             << chip->maxThreads << " fit";
    DigitsAttr factorLayout;
    if (gemm.unpack) {
      auto factors = gemm.getUnpackFactors();
      int64_t columns =
          factors.empty() ? 1 : getTileShape(factors[0].getType()).second;
      FailureOr<DigitsAttr> chosen = unpackFactorLayout(
          gemm, *chip, columns, loadThreads ? loadThreads : computeThreads);
      if (failed(chosen))
        return failure();
      factorLayout = *chosen;
    }
    Pipeliner(gemm, factorLayout).run(loadThreads, computeThreads);
    Grid grid = gemm.config.getString("grid") == "tiles" ? Grid::Tiles
                                                         : Grid::Persistent;
    kernel.setExecAttr(ExecAttr::get(kernel.getContext(), threads,
                                     /*cluster=*/1, grid, /*resident=*/false));
    ++numKernels;
    return success();
  }
};
} // namespace
