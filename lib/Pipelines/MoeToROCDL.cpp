//===- MoeToROCDL.cpp - From moe to ROCDL kernels -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Pipelines/MoeToROCDL.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "moec/Conversion/Passes.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/Pipelines/MoeToCpu.h"
#include "moec/Pipelines/TileToExplicit.h"

using namespace mlir;
using namespace mlir::moe;

void mlir::moe::buildROCDLSelectPipeline(OpPassManager &passes,
                                         const MoeToROCDLOptions &options) {
  MoeSelectConfigOptions select;
  select.target = options.chip;
  select.tokens = options.tokens;
  passes.addPass(createMoeSelectConfig(select));
  passes.nest<func::FuncOp>().addPass(createCSEPass());
}

void mlir::moe::buildROCDLTilePipeline(OpPassManager &passes,
                                       const MoeToROCDLOptions &options) {
  MoeToTileOptions tile;
  tile.routing = "op";
  tile.tokens = options.tokens;
  passes.addPass(createMoeToTile(tile));
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  TileToExplicitOptions form;
  form.target = options.chip;
  buildTileToExplicitPipeline(passes, form);
}

void mlir::moe::buildTileToROCDLPipeline(OpPassManager &passes,
                                         const MoeToROCDLOptions &options) {
  ConvertMoeTileRowsToROCDLOptions rows;
  rows.chip = options.chip;
  passes.addPass(createConvertMoeTileRowsToROCDL(rows));
  passes.addPass(createConvertMoeTileToROCDL());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
}

void mlir::moe::buildMoeToROCDLPipeline(OpPassManager &passes,
                                        const MoeToROCDLOptions &options) {
  buildFusePipeline(passes, /*gpuTokens=*/0);
  buildROCDLSelectPipeline(passes, options);
  buildROCDLTilePipeline(passes, options);
  buildTileToROCDLPipeline(passes, options);
}

void mlir::moe::registerMoeToROCDL() {
  PassPipelineRegistration<MoeToROCDLOptions>(
      "moe-to-rocdl", "moe layers to kernels of the ROCDL dialect",
      buildMoeToROCDLPipeline);
}
