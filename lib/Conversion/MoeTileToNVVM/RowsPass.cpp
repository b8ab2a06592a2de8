//===- RowsPass.cpp - Kernels without matrix products to NVVM -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PlainKernel.h"
#include "moec/Conversion/Passes.h"

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
    for (auto kernel :
         llvm::make_early_inc_range(getOperation().getOps<tile::KernelOp>())) {
      auto convert = nvvm::isAlignKernel(kernel)  ? nvvm::convertAlignKernel
                     : nvvm::isTopkKernel(kernel) ? nvvm::convertTopkKernel
                     : nvvm::isRowKernel(kernel)  ? nvvm::convertRowKernel
                                                  : nullptr;
      if (!convert)
        continue;
      OpBuilder b(kernel);
      FailureOr<LLVM::LLVMFuncOp> func = convert(kernel, b);
      if (failed(func))
        return signalPassFailure();
      kernel.erase();
      ++numKernels;
    }
  }
};
} // namespace
