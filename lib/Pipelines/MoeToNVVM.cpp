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
#include "moec/Pipelines/MoeToCpu.h"
#include "moec/Pipelines/TileToExplicit.h"

using namespace mlir;
using namespace mlir::moe;

void mlir::moe::buildNVVMSelectPipeline(OpPassManager &passes,
                                        const MoeToNVVMOptions &options) {
  MoeSelectConfigOptions select;
  select.target = options.chip;
  select.tokens = options.tokens;
  passes.addPass(createMoeSelectConfig(select));
  passes.nest<func::FuncOp>().addPass(createCSEPass());
}

void mlir::moe::buildNVVMTilePipeline(OpPassManager &passes,
                                      const MoeToNVVMOptions &options) {
  MoeToTileOptions tile;
  tile.routing = "op";
  tile.tokens = options.tokens;
  tile.pdl = options.pdl;
  passes.addPass(createMoeToTile(tile));
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
  buildFusePipeline(passes, options.tokens);
  buildNVVMSelectPipeline(passes, options);
  buildNVVMTilePipeline(passes, options);
  buildTileToNVVMPipeline(passes, options);
}

void mlir::moe::registerMoeToNVVM() {
  PassPipelineRegistration<MoeToNVVMOptions>(
      "moe-to-nvvm", "moe layers to kernels of the NVVM dialect",
      buildMoeToNVVMPipeline);
}
