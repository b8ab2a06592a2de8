//===- GpuKernels.cpp - Kernels by ranked configurations ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GpuKernels.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/Pipelines/MoeToCpu.h"

using namespace mlir;
using namespace mlir::moe;

bool mlir::moe::hasGpuKernels(ModuleOp module) {
  auto plans = llvm::to_vector(module.getOps<tile::PlanOp>());
  return plans.size() == 1 &&
         llvm::all_of(plans[0].getBody().getOps<tile::LaunchOp>(),
                      [&](tile::LaunchOp launch) {
                        Operation *callee =
                            module.lookupSymbol(launch.getCallee());
                        return callee && callee->hasAttr("moe.launch");
                      });
}

static LogicalResult
runPipeline(ModuleOp module, llvm::function_ref<void(OpPassManager &)> add) {
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
  add(passes);
  return passes.run(module);
}

static std::string print(Attribute attr) {
  std::string text;
  llvm::raw_string_ostream(text) << attr;
  return text;
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

LogicalResult GpuRanking::decide(ModuleOp source, const GpuBackend &backend,
                                 int64_t tokens, const GivenTiles &tiles) {
  // One form for all token counts, where scales stand and all else.
  if (isBatchInvariant(source))
    tokens = getBatchInvariantTokens();
  this->backend = &backend;
  this->tokens = tokens;
  decided = source.clone();
  if (!source.getOps<tile::PlanOp>().empty())
    return success();
  if (failed(runPipeline(*decided,
                         [&](OpPassManager &passes) {
                           buildFusePipeline(passes,
                                             backend.getPackedTokens(tokens));
                         })) ||
      failed(applyGivenTiles(*decided, tiles, backend.getChip().name, tokens)))
    return failure();
  return runPipeline(*decided, [&](OpPassManager &passes) {
    backend.addSelection(passes, tokens);
  });
}

static LogicalResult makeTile(ModuleOp module, const GpuBackend &backend,
                              int64_t tokens) {
  if (!module.getOps<tile::PlanOp>().empty())
    return success();
  return runPipeline(
      module, [&](OpPassManager &passes) { backend.addTile(passes, tokens); });
}

static LogicalResult lowerTile(ModuleOp module, const GpuBackend &backend,
                               int64_t tokens) {
  if (hasGpuKernels(module))
    return success();
  if (failed(makeTile(module, backend, tokens)))
    return failure();
  return runPipeline(module, [&](OpPassManager &passes) {
    backend.addKernels(passes, tokens);
  });
}

LogicalResult GpuRanking::printTile(llvm::raw_ostream &os) {
  OwningOpRef<ModuleOp> module = decided->clone();
  if (failed(makeTile(*module, *backend, tokens)))
    return failure();
  os << *module << "\n";
  return success();
}

LogicalResult GpuRanking::printKernels(llvm::raw_ostream &os) {
  OwningOpRef<ModuleOp> module = decided->clone();
  if (failed(lowerTile(*module, *backend, tokens)))
    return failure();
  os << *module << "\n";
  return success();
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

SmallVector<GroupedGemmOp> GpuRanking::getGemms() {
  SmallVector<GroupedGemmOp> gemms;
  decided->walk([&](GroupedGemmOp gemm) {
    if (gemm.getChosenConfig())
      gemms.push_back(gemm);
  });
  return gemms;
}

bool GpuRanking::reject(GroupedGemmOp gemm, StringRef reason) {
  ArrayAttr list = gemm.getConfigAttr();
  rejected.push_back({::print(list[0]), reason.str()});
  if (list.size() < 2)
    return false;
  gemm.setConfigAttr(
      ArrayAttr::get(gemm.getContext(), list.getValue().drop_front()));
  return true;
}

bool GpuRanking::reject(StringRef kernel, StringRef reason) {
  SmallVector<GroupedGemmOp> gemms = getGemms();
  auto at = llvm::find_if(
      gemmKernels, [&](const auto &entry) { return entry.first == kernel; });
  if (at == gemmKernels.end() || gemms.size() != gemmKernels.size())
    return false;
  // Kernels stand in the order of their products; if one was made with another
  // configuration, nobody knows whose it is.
  GroupedGemmOp gemm = gemms[at - gemmKernels.begin()];
  return at->second == gemm.getChosenConfig() && reject(gemm, reason);
}

FailureOr<GpuKernels> GpuRanking::makeOnce() {
  configs.clear();
  for (GroupedGemmOp gemm : getGemms())
    if (std::string text = ::print(gemm.getChosenConfig());
        !llvm::is_contained(configs, text))
      configs.push_back(text);
  GpuKernels result;
  result.module = decided->clone();
  if (failed(lowerTile(*result.module, *backend, tokens)))
    return failure();
  auto plans = llvm::to_vector(result.module->getOps<tile::PlanOp>());
  if (plans.size() != 1)
    return emitError(decided->getLoc())
           << "a module to compile has one function with moe operations or "
              "one moe_tile.plan, this one has "
           << plans.size();
  FailureOr<PlanInfo> plan = readGpuPlan(plans[0], backend->getChip());
  if (failed(plan))
    return failure();
  result.plan = std::move(*plan);
  result.name = plans[0].getSymName().str();
  plans[0].erase();
  gemmKernels.clear();
  for (const std::string &kernel : result.plan.kernels())
    if (Attribute config =
            result.module->lookupSymbol(kernel)->getAttr("moe.config"))
      gemmKernels.emplace_back(kernel, config);
  return std::move(result);
}

FailureOr<GpuKernels> GpuRanking::makeKernels() {
  while (true) {
    SmallVector<GroupedGemmOp> gemms = getGemms();
    auto hasChoice = [](GroupedGemmOp gemm) {
      return gemm.getConfigAttr().size() > 1;
    };
    // Without another choice the diagnostics are the user's.
    if (llvm::none_of(gemms, hasChoice))
      return makeOnce();
    std::string reason;
    Location fault = UnknownLoc::get(decided->getContext());
    {
      ScopedDiagnosticHandler handler(
          decided->getContext(), [&](Diagnostic &diagnostic) {
            if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
              return failure();
            if (reason.empty()) {
              reason = diagnostic.str();
              fault = diagnostic.getLocation();
            }
            return success();
          });
      FailureOr<GpuKernels> made = makeOnce();
      if (succeeded(made))
        return made;
    }
    // The one that is said to be at fault, else the first that has a choice.
    auto blamed = llvm::find_if(gemms, [&](GroupedGemmOp gemm) {
      return gemm.getLoc() == fault && hasChoice(gemm);
    });
    if (blamed == gemms.end())
      blamed = llvm::find_if(gemms, hasChoice);
    reject(*blamed, reason);
  }
}

FailureOr<OwningOpRef<ModuleOp>> mlir::moe::decideGpu(ModuleOp source,
                                                      const GpuBackend &backend,
                                                      int64_t tokens,
                                                      const GivenTiles &tiles) {
  GpuRanking ranking;
  if (failed(ranking.decide(source, backend, tokens, tiles)))
    return failure();
  return ranking.take();
}

FailureOr<GpuKernels>
mlir::moe::makeGpuKernels(ModuleOp module, StringRef target, int64_t tokens) {
  std::unique_ptr<GpuBackend> backend = createGpuBackend(target);
  if (!backend)
    return emitError(module.getLoc())
           << "'" << target << "' is no GPU that is known";
  GpuRanking ranking;
  if (failed(ranking.decide(module, *backend, tokens)))
    return failure();
  return ranking.makeKernels();
}
