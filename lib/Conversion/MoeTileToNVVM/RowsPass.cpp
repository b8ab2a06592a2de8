//===- RowsPass.cpp - Kernels without matrix products to NVVM -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HopperTarget.h"
#include "moec/Conversion/Passes.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"
#include "moec/Dialect/MoeTile/Transforms/ExplicitTarget.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTMOETILEROWSTONVVM
#include "moec/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
struct ConvertMoeTileRowsToNVVMPass
    : moe::impl::ConvertMoeTileRowsToNVVMBase<ConvertMoeTileRowsToNVVMPass> {
  using ConvertMoeTileRowsToNVVMBase::ConvertMoeTileRowsToNVVMBase;

  void runOnOperation() override {
    int64_t converted = 0;
    // Kernels that name no chip are for one that has everything.
    bool clusters = true, floats8 = true;
    int64_t shared = 232448;
    for (auto kernel : getOperation().getOps<tile::KernelOp>())
      if (std::optional<StringRef> name = kernel.getTarget())
        if (auto *chip = tile::findExplicitTarget(*name)) {
          clusters &= chip->hopper;
          floats8 &= chip->floats8;
          shared = std::min(shared, chip->smemLimit);
        }
    if (failed(rows::convertPlainKernels(
            getOperation(), nvvm::HopperTarget(clusters, shared, floats8),
            converted)))
      return signalPassFailure();
    numKernels += converted;
  }
};
} // namespace
