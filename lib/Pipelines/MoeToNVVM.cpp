//===- MoeToNVVM.cpp - From moe to NVVM kernels ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Pipelines/MoeToNVVM.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "moec/Conversion/Passes.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/Dialect/MoeTile/Transforms/ExplicitTarget.h"
#include "moec/Pipelines/MoeToCpu.h"
#include "moec/Pipelines/TileToExplicit.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// Clusters and dependent launches came with sm_90: kernels without products,
/// which no other pass gives a target, say that they are for an older chip.
struct NameChipPass : PassWrapper<NameChipPass, OperationPass<tile::KernelOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(NameChipPass)

  explicit NameChipPass(StringRef chip = "") : chip(chip.str()) {}

  StringRef getArgument() const override { return "moe-name-chip"; }
  StringRef getDescription() const override {
    return "give every tile kernel its target";
  }
  void runOnOperation() override { getOperation().setTarget(StringRef(chip)); }

  std::string chip;
};
} // namespace

void mlir::moe::buildNVVMSelectPipeline(OpPassManager &passes,
                                        const MoeToNVVMOptions &options) {
  // No matrix unit here takes scales.
  passes.addPass(createMoeWidenRows());
  MoeSelectConfigOptions select;
  select.target = options.chip;
  select.tokens = options.tokens;
  passes.addPass(createMoeSelectConfig(select));
  passes.nest<func::FuncOp>().addPass(createCSEPass());
}

void mlir::moe::buildNVVMTilePipeline(OpPassManager &passes,
                                      const MoeToNVVMOptions &options) {
  MoeToTileOptions lower;
  lower.routing = "op";
  lower.tokens = options.tokens;
  const tile::ExplicitTarget *chip = tile::findExplicitTarget(options.chip);
  bool hopper = !chip || chip->hopper;
  lower.pdl = options.pdl && hopper;
  lower.tileSums = hopper;
  passes.addPass(createMoeToTile(lower));
  if (!hopper)
    passes.addNestedPass<tile::KernelOp>(
        std::make_unique<NameChipPass>(options.chip));
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  TileToExplicitOptions form;
  form.target = options.chip;
  buildTileToExplicitPipeline(passes, form);
}

void mlir::moe::buildTileToNVVMPipeline(OpPassManager &passes,
                                        const MoeToNVVMOptions &) {
  passes.addPass(createConvertMoeTileRowsToNVVM());
  passes.addPass(createConvertMoeTileToNVVM());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
}

void mlir::moe::buildMoeToNVVMPipeline(OpPassManager &passes,
                                       const MoeToNVVMOptions &options) {
  // As NvidiaBackend: sums of scaled products beside decoded weights are made
  // by warpgroups.
  const tile::ExplicitTarget *chip = tile::findExplicitTarget(options.chip);
  buildFusePipeline(passes,
                    !chip || chip->hopper ? int64_t(options.tokens) : 0);
  buildNVVMSelectPipeline(passes, options);
  buildNVVMTilePipeline(passes, options);
  buildTileToNVVMPipeline(passes, options);
}

void mlir::moe::registerMoeToNVVM() {
  PassPipelineRegistration<MoeToNVVMOptions>(
      "moe-to-nvvm", "moe layers to kernels of the NVVM dialect",
      buildMoeToNVVMPipeline);
}
