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
