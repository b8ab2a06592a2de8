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
/// Rewrites one kernel: the k loop becomes loops of fetch, product, deposit.
class Pipeliner {
public:
  explicit Pipeliner(TileGemm &gemm)
      : gemm(gemm), b(gemm.loop), loc(gemm.loop.getLoc()) {}

  void run();

private:
  /// One step's operands on their way through registers. Factors (scales, zero
  /// points) stay there.
  struct Staged {
    Value a, b;
    SmallVector<Value> factors;
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
  void deposit(Staged data, Stage stage);
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

  TileGemm &gemm;
  OpBuilder b;
  Location loc;
  SmallVector<Stage, 2> stages;
};
} // namespace

void Pipeliner::cloneAddresses(Value k, IRMapping &map) {
  Block &load = gemm.loop.getLoad().front();
  map.map(load.getArgument(0), k);
  for (Operation &op : load.without_terminator())
    if (!isa<LoadOp>(op))
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
  return {staged[0], staged[1], fetchFactors(map)};
}

void Pipeliner::deposit(Staged data, Stage stage) {
  DepositOp::create(b, loc, data.a, stage.a);
  DepositOp::create(b, loc, data.b, stage.b);
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
  for (LoadOp load : gemm.getFactors())
    factors.push_back(decoded(load, /*weights=*/true));
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
        zeroValue, dequant.getGranule().value_or(ArrayRef<int64_t>()), Value());
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
  int64_t steps = llvm::divideCeil(gemm.k, gemm.step);
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

void Pipeliner::run() {
  KernelOp kernel = gemm.kernel;
  OpBuilder top(gemm.tiles);
  for (int64_t i = 0; i < int64_t(*gemm.loop.getStages()); ++i) {
    Value a = BufAllocOp::create(top, loc, cast<BufType>(gemm.a.getType()));
    Value weights =
        BufAllocOp::create(top, loc, cast<BufType>(gemm.b.getType()));
    stages.push_back({a, weights});
  }
  kernel.setForm(Form::Explicit);
  Value sum = mainLoop(gemm.loop.getInits()[0]);
  gemm.loop.getResult(0).replaceAllUsesWith(sum);
  gemm.loop.erase();
  // A counter would have to be broadcast to all waves.
  gemm.tiles.setClaim(Claim::Stride);
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
    int64_t threads = layout.getLevelSize(Level::Warp) * chip->waveSize;
    Pipeliner(gemm).run();
    Grid grid = gemm.config.getString("grid") == "tiles" ? Grid::Tiles
                                                         : Grid::Persistent;
    kernel.setExecAttr(ExecAttr::get(kernel.getContext(), threads,
                                     /*cluster=*/1, grid, /*resident=*/false));
    ++numKernels;
    return success();
  }
};
} // namespace
