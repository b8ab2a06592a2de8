//===- Candidates.cpp - What the selector would choose from ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/Candidates.h"

#include "mlir/Pass/PassManager.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/Pipelines/MoeToCpu.h"

using namespace mlir;
using namespace mlir::moe;

static LogicalResult
runPipeline(ModuleOp module, llvm::function_ref<void(OpPassManager &)> add) {
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
  add(passes);
  return passes.run(module);
}

/// The products with routed experts: up, then down.
static FailureOr<SmallVector<GroupedGemmOp>> findProducts(ModuleOp module) {
  SmallVector<GroupedGemmOp> gemms;
  module.walk([&](GroupedGemmOp gemm) {
    if (!gemm.getRouting().getDefiningOp<RouteAllOp>())
      gemms.push_back(gemm);
  });
  if (gemms.size() != 2)
    return module.emitError("moe-tune: a layer to tune has two products with "
                            "routed experts, this one has ")
           << gemms.size();
  return gemms;
}

/// Fuses as the compiler does for a target and a token count.
static FailureOr<OwningOpRef<ModuleOp>> fuse(ModuleOp module, StringRef target,
                                             int64_t tokens) {
  std::optional<int64_t> gpuTokens;
  if (target != "cpu")
    gpuTokens = target.starts_with("sm_") ? tokens : 0;
  OwningOpRef<ModuleOp> fused = module.clone();
  if (failed(runPipeline(*fused, [&](OpPassManager &passes) {
        buildFusePipeline(passes, gpuTokens);
      })))
    return failure();
  return std::move(fused);
}

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

FailureOr<LayerSizes> mlir::moe::readLayerSizes(ModuleOp module) {
  FailureOr<OwningOpRef<ModuleOp>> fused = fuse(module, "cpu", 0);
  if (failed(fused))
    return failure();
  FailureOr<SmallVector<GroupedGemmOp>> gemms = findProducts(**fused);
  if (failed(gemms))
    return failure();
  GroupedGemmOp up = (*gemms)[0], down = (*gemms)[1];
  LayerSizes sizes;
  sizes.experts = up.getNumExperts();
  sizes.topk = cast<RoutingType>(up.getRouting().getType()).getTopk();
  sizes.hidden = up.getReductionSize();
  sizes.intermediate = down.getReductionSize();
  sizes.gated = !!up.getGateUpAttr();
  QuantAttr b = up.getBQuantAttr();
  bool quantisedA = !!up.getAQuantAttr();
  if (!b) {
    auto type = cast<ShapedType>(up.getB().getType()).getElementType();
    sizes.dtype = type.isF32() ? "float32" : "";
  } else if (isa<FloatType>(b.getElem())) {
    sizes.dtype = "fp8_w8a8";
  } else if (b.getElem().isInteger(8)) {
    sizes.dtype = quantisedA ? "int8_w8a8" : "int8_w8a16";
  } else {
    sizes.dtype = "int4_w4a16";
  }
  if (b && sizes.dtype == "fp8_w8a8" && b.getGranuleRows() > 1 &&
      b.getGranuleCols() != QuantAttr::kWhole)
    sizes.blockShape = {b.getGranuleRows(), b.getGranuleCols()};
  return sizes;
}

TunedTable mlir::moe::makeSingleTable(const LayerSizes &sizes, StringRef target,
                                      int64_t tokens,
                                      const TunedChoice &choice) {
  TunedTable table;
  table.target = target.str();
  table.experts = sizes.experts;
  table.topk = sizes.topk;
  table.hidden = sizes.hidden;
  table.intermediate = sizes.intermediate;
  TunedCell &cell = table.cells.emplace_back();
  cell.tokens = tokens;
  cell.choices.push_back(choice);
  return table;
}

//===----------------------------------------------------------------------===//
// Ranking
//===----------------------------------------------------------------------===//

namespace {
/// Ranked configurations of both products with one number of block rows.
struct Ranking {
  int64_t blockM = 0;
  SmallVector<ConfigAttr> up, down;
  /// What the model says of them and of what stands around them, in
  /// microseconds.
  SmallVector<double> upUs, downUs;
  double frameUs = 0;
};
} // namespace

/// `blockM` 0: the selector's own.
static FailureOr<Ranking> rank(ModuleOp fused, StringRef target, int64_t tokens,
                               size_t limit, int64_t blockM) {
  OwningOpRef<ModuleOp> module = fused.clone();
  FailureOr<SmallVector<GroupedGemmOp>> gemms = findProducts(*module);
  if (failed(gemms))
    return failure();
  Value routing = gemms->front().getRouting();
  auto type = cast<RoutingType>(routing.getType());
  if (blockM)
    routing.setType(RoutingType::get(type.getContext(), type.getExperts(),
                                     type.getTopk(), blockM));
  MoeSelectConfigOptions options;
  options.target = target.str();
  options.tokens = tokens;
  options.limit = limit;
  options.predict = true;
  if (failed(runPipeline(*module, [&](OpPassManager &passes) {
        passes.addPass(createMoeSelectConfig(options));
      })))
    return failure();
  gemms = findProducts(*module);
  if (failed(gemms))
    return failure();
  Ranking ranking;
  ranking.blockM =
      cast<RoutingType>(gemms->front().getRouting().getType()).getBlockM();
  for (auto [gemm, list, times] :
       {std::tuple((*gemms)[0], &ranking.up, &ranking.upUs),
        {(*gemms)[1], &ranking.down, &ranking.downUs}}) {
    for (Attribute config : gemm.getConfigAttr())
      list->push_back(cast<ConfigAttr>(config));
    llvm::append_range(
        *times, gemm->getAttrOfType<DenseF64ArrayAttr>(getPredictionAttrName())
                    .asArrayRef());
  }
  // Shared experts take their time beside those that are tuned.
  module->walk([&](GroupedGemmOp gemm) {
    if (auto frame =
            gemm->getAttrOfType<FloatAttr>(getFramePredictionAttrName()))
      ranking.frameUs += frame.getValueAsDouble();
    if (!llvm::is_contained(*gemms, gemm))
      ranking.frameUs +=
          gemm->getAttrOfType<DenseF64ArrayAttr>(getPredictionAttrName())
              .asArrayRef()
              .front();
  });
  return ranking;
}

static std::string print(Attribute attr) {
  std::string text;
  llvm::raw_string_ostream(text) << attr;
  return text;
}

/// Adds the pairs of a ranking, those first that are near the front of both
/// lists.
static void addPairs(const Ranking &ranking, size_t count,
                     std::vector<TunedChoice> &choices) {
  size_t added = 0;
  for (size_t sum = 0; sum < ranking.up.size() + ranking.down.size() - 1; ++sum)
    for (size_t i = 0; i <= sum; ++i) {
      size_t j = sum - i;
      if (i >= ranking.up.size() || j >= ranking.down.size())
        continue;
      if (added == count)
        return;
      TunedChoice choice;
      choice.blockM = ranking.blockM;
      choice.configs = {print(ranking.up[i]), print(ranking.down[j])};
      choice.predictedUs =
          ranking.frameUs + ranking.upUs[i] + ranking.downUs[j];
      if (llvm::any_of(choices, [&](const TunedChoice &other) {
            return other.configs == choice.configs;
          }))
        continue;
      choices.push_back(std::move(choice));
      ++added;
    }
}

FailureOr<std::vector<TunedChoice>> mlir::moe::rankChoices(ModuleOp module,
                                                           StringRef target,
                                                           int64_t tokens,
                                                           size_t limit) {
  FailureOr<OwningOpRef<ModuleOp>> fused = fuse(module, target, tokens);
  if (failed(fused))
    return failure();
  FailureOr<Ranking> own = rank(**fused, target, tokens, limit, 0);
  if (failed(own))
    return failure();
  // The selector's choice of rows gets half of the places.
  std::vector<TunedChoice> choices;
  addPairs(*own, std::max<size_t>((limit + 1) / 2, 1), choices);
  std::vector<Ranking> others;
  for (int64_t blockM : {own->blockM / 2, own->blockM * 2, own->blockM / 4}) {
    // Every matrix instruction has a side of at least 8.
    if (blockM < 1 || (target != "cpu" && blockM % 8 != 0))
      continue;
    // That no candidate is legal with other rows is no error.
    ScopedDiagnosticHandler quiet(module.getContext(),
                                  [](Diagnostic &) { return success(); });
    FailureOr<Ranking> other = rank(**fused, target, tokens, limit, blockM);
    if (succeeded(other))
      others.push_back(std::move(*other));
  }
  for (auto [i, other] : llvm::enumerate(others))
    if (choices.size() < limit)
      addPairs(other, (limit - choices.size()) / (others.size() - i), choices);
  // What is left, to the first.
  if (choices.size() < limit)
    addPairs(*own, limit - choices.size(), choices);
  return choices;
}
