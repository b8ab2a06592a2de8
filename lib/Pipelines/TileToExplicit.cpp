//===- TileToExplicit.cpp - Sequential to explicit tile kernels -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Pipelines/TileToExplicit.h"

#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"
#include "moec/Dialect/MoeTile/Transforms/Passes.h"
#include "moec/Target/AmdChip.h"

using namespace mlir;
using namespace mlir::moe;

void mlir::moe::buildTileToExplicitPipeline(
    OpPassManager &passes, const TileToExplicitOptions &options) {
  OpPassManager &kernels = passes.nest<tile::KernelOp>();
  tile::MoeTileAssignAtomsOptions atoms;
  atoms.target = options.target;
  kernels.addPass(tile::createMoeTileAssignAtoms(atoms));
  kernels.addPass(tile::createMoeTileAssignCopies());
  kernels.addPass(tile::createMoeTileFormRings());
  if (findAmdChip(options.target))
    kernels.addPass(tile::createMoeTilePipeline());
  else
    kernels.addPass(tile::createMoeTileSpecialize());
  passes.addPass(tile::createMoeTileFuseLaunches());
  passes.addNestedPass<tile::KernelOp>(createCSEPass());
  passes.addNestedPass<tile::KernelOp>(tile::createMoeTileVerifySync());
}

void mlir::moe::registerTileToExplicit() {
  PassPipelineRegistration<TileToExplicitOptions>(
      "moe-tile-to-explicit",
      "sequential GEMM kernels to roles around rings of operands",
      buildTileToExplicitPipeline);
}
