//===- TileToExplicit.h - Sequential to explicit tile kernels ---*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The pipeline `moe-tile-to-explicit`: from what `moe-to-tile` builds to what
// the GPU conversions take.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_PIPELINES_TILETOEXPLICIT_H
#define MOEC_PIPELINES_TILETOEXPLICIT_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::moe {

/// Options of `moe-tile-to-explicit`.
struct TileToExplicitOptions : PassPipelineOptions<TileToExplicitOptions> {
  Option<std::string> target{*this, "target", llvm::cl::init("sm_90a"),
                             llvm::cl::desc("Target chip: sm_90a")};
};

/// Assigns instructions and copies, forms rings, makes roles and proves the
/// ring protocol of the result. Works on a module; kernels without a
/// configuration (`moe.config`) stay sequential.
void buildTileToExplicitPipeline(OpPassManager &passes,
                                 const TileToExplicitOptions &options);

/// Registers `moe-tile-to-explicit`.
void registerTileToExplicit();

} // namespace mlir::moe

#endif // MOEC_PIPELINES_TILETOEXPLICIT_H
