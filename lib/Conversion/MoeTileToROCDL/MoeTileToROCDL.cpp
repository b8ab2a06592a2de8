//===- MoeTileToROCDL.cpp - Explicit tile kernels to ROCDL ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "moec/Conversion/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTMOETILETOROCDL
#include "moec/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// The chip that an explicit kernel is for, after the rules of its launch.
static FailureOr<const AmdChip *> checkChip(tile::KernelOp kernel) {
  StringRef target = kernel.getTarget().value_or("");
  const AmdChip *chip = findAmdChip(target.str());
  if (!chip)
    return kernel.emitOpError("is for target '")
           << target << "', the ROCDL lowering knows " << amdChipNames();
  tile::ExecAttr exec = kernel.getExecAttr();
  if (!exec)
    return kernel.emitOpError("has no exec, which the ROCDL lowering needs");
  if (exec.getThreads() % chip->waveSize != 0 ||
      exec.getThreads() > chip->maxThreads)
    return kernel.emitOpError()
           << chip->name << ": a workgroup is whole waves of " << chip->waveSize
           << " threads, at most " << chip->maxThreads << ", got "
           << exec.getThreads();
  if (exec.getCluster() != 1)
    return kernel.emitOpError()
           << chip->name << ": has no clusters of workgroups, got "
           << exec.getCluster();
  return chip;
}

namespace {
struct ConvertMoeTileToROCDLPass
    : moe::impl::ConvertMoeTileToROCDLBase<ConvertMoeTileToROCDLPass> {
  using ConvertMoeTileToROCDLBase::ConvertMoeTileToROCDLBase;

  void runOnOperation() override {
    auto type =
        LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(&getContext()), {});
    for (auto kernel :
         llvm::make_early_inc_range(getOperation().getOps<tile::KernelOp>())) {
      if (kernel.getKernelForm() != tile::Form::Explicit) {
        kernel.emitOpError("is in sequential form, the ROCDL lowering takes "
                           "the explicit one");
        return signalPassFailure();
      }
      FailureOr<const AmdChip *> chip = checkChip(kernel);
      if (failed(chip))
        return signalPassFailure();
      OpBuilder b(kernel);
      auto func = LLVM::LLVMFuncOp::create(b, kernel.getLoc(),
                                           kernel.getSymName(), type);
      rocdl::KernelEmitter emitter(kernel, func, **chip);
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
