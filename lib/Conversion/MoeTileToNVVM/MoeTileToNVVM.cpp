//===- MoeTileToNVVM.cpp - Explicit tile kernels to NVVM ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "moec/Conversion/Passes.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTMOETILETONVVM
#include "moec/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// NVIDIA's multiprocessors have one second-level cache.
static LogicalResult checkDies(tile::KernelOp kernel) {
  WalkResult result = kernel.walk([&](tile::ForTilesOp loop) {
    if (!loop.getDies())
      return WalkResult::advance();
    loop.emitOpError() << kernel.getTarget().value_or("NVVM")
                       << ": rule dies: tiles are shared by "
                       << int64_t(*loop.getDies())
                       << " dies (xcd), the chip has 1";
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

namespace {
struct ConvertMoeTileToNVVMPass
    : moe::impl::ConvertMoeTileToNVVMBase<ConvertMoeTileToNVVMPass> {
  using ConvertMoeTileToNVVMBase::ConvertMoeTileToNVVMBase;

  void runOnOperation() override {
    auto type =
        LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(&getContext()), {});
    for (auto kernel :
         llvm::make_early_inc_range(getOperation().getOps<tile::KernelOp>())) {
      if (kernel.getKernelForm() != tile::Form::Explicit) {
        kernel.emitOpError("is in sequential form, the NVVM lowering takes the "
                           "explicit one");
        return signalPassFailure();
      }
      if (failed(checkDies(kernel)))
        return signalPassFailure();
      OpBuilder b(kernel);
      auto func = LLVM::LLVMFuncOp::create(b, kernel.getLoc(),
                                           kernel.getSymName(), type);
      nvvm::KernelEmitter emitter(kernel, func);
      if (failed(emitter.emit())) {
        func.erase();
        return signalPassFailure();
      }
      func->setAttr(tile::kLoweredKernelAttr, b.getUnitAttr());
      // Whose turn it is if the assembler finds fault with the kernel.
      if (Attribute config = kernel->getAttr("moe.config"))
        func->setAttr("moe.config", config);
      kernel.erase();
      ++numKernels;
    }
  }
};
} // namespace
