//===- MoeToCpu.cpp - From moe to the LLVM dialect for CPUs ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Pipelines/MoeToCpu.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "moec/Conversion/Passes.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/Pipelines/LowerToLLVM.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// Plans are host code of no target; what they say stands in the manifest.
struct DropPlansPass : PassWrapper<DropPlansPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(DropPlansPass)

  StringRef getArgument() const override { return "moe-drop-plans"; }
  StringRef getDescription() const override {
    return "erase plans once they were read";
  }
  void runOnOperation() override {
    for (auto plan :
         llvm::make_early_inc_range(getOperation().getOps<tile::PlanOp>()))
      plan.erase();
  }
};
} // namespace

/// Rows per expert whose sums are scaled in fewer instructions than 64 weights
/// for each of 64 rows: products of up to 32 rows, of 64 in the last case.
static constexpr int64_t kPackedPromoteRows = 36;

void mlir::moe::buildFusePipeline(OpPassManager &passes,
                                  std::optional<int64_t> gpuTokens) {
  passes.addPass(createMoeDecomposeLayer());
  passes.addPass(createMoeFuseEpilogue());
  // Of a GPU the selector of configurations knows what they cost.
  MoeChooseFormulationOptions formulation;
  if (gpuTokens)
    formulation.formulation = FormulationChoice::Open;
  passes.addPass(createMoeChooseFormulation(formulation));
  MoeFoldScalesOptions fold;
  // Decoding is paid for anyway, and a product of a CPU tile takes 128 columns
  // or more: shorter scale groups are applied while decoding.
  fold.zero = ZeroChoice::Element;
  fold.minRun = 128;
  fold.packedOperand = gpuTokens.has_value();
  fold.packedRows = kPackedPromoteRows;
  // One token alone reads longer runs of the weights when they are scaled.
  fold.tokens = gpuTokens.value_or(0) > 1 ? *gpuTokens : 0;
  passes.addPass(createMoeFoldScales(fold));
}

void mlir::moe::buildSelectPipeline(OpPassManager &passes,
                                    const MoeToCpuOptions &options) {
  MoeSelectConfigOptions select;
  select.target = "cpu";
  select.tokens = options.tokens;
  passes.addPass(createMoeSelectConfig(select));
  passes.nest<func::FuncOp>().addPass(createCSEPass());
}

void mlir::moe::buildDecidePipeline(OpPassManager &passes,
                                    const MoeToCpuOptions &options) {
  buildFusePipeline(passes);
  buildSelectPipeline(passes, options);
}

void mlir::moe::buildTilePipeline(OpPassManager &passes) {
  passes.addPass(createMoeToTile());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
}

void mlir::moe::buildTileToCpuPipeline(OpPassManager &passes,
                                       const MoeToCpuOptions &options) {
  passes.addPass(std::make_unique<DropPlansPass>());
  ConvertMoeTileToCPUOptions convert;
  convert.isa = options.isa;
  passes.addPass(createConvertMoeTileToCPU(convert));
  LowerToLLVMOptions lower;
  lower.isa = options.isa;
  buildLowerToLLVMPipeline(passes, lower);
}

void mlir::moe::buildMoeToCpuPipeline(OpPassManager &passes,
                                      const MoeToCpuOptions &options) {
  buildDecidePipeline(passes, options);
  buildTilePipeline(passes);
  buildTileToCpuPipeline(passes, options);
}

void mlir::moe::registerMoeToCpu() {
  PassRegistration<DropPlansPass>();
  PassPipelineRegistration<MoeToCpuOptions>(
      "moe-to-cpu", "moe layers to CPU kernels in the LLVM dialect",
      buildMoeToCpuPipeline);
}
