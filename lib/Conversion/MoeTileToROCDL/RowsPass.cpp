//===- RowsPass.cpp - Kernels without matrix products to ROCDL ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdTarget.h"
#include "moec/Conversion/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTMOETILEROWSTOROCDL
#include "moec/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
struct ConvertMoeTileRowsToROCDLPass
    : moe::impl::ConvertMoeTileRowsToROCDLBase<ConvertMoeTileRowsToROCDLPass> {
  using ConvertMoeTileRowsToROCDLBase::ConvertMoeTileRowsToROCDLBase;

  void runOnOperation() override {
    const AmdChip *found = findAmdChip(chip);
    if (!found) {
      getOperation().emitError("'")
          << chip << "' is no AMD chip that is known: " << amdChipNames();
      return signalPassFailure();
    }
    int64_t converted = 0;
    if (failed(rows::convertPlainKernels(getOperation(),
                                         rocdl::AmdTarget(*found), converted)))
      return signalPassFailure();
    numKernels += converted;
  }
};
} // namespace
