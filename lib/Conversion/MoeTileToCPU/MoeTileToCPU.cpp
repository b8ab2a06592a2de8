//===- MoeTileToCPU.cpp - Sequential tile kernels to CPU code -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "moec/Conversion/Passes.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTMOETILETOCPU
#include "moec/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
struct ConvertMoeTileToCPUPass
    : moe::impl::ConvertMoeTileToCPUBase<ConvertMoeTileToCPUPass> {
  using ConvertMoeTileToCPUBase::ConvertMoeTileToCPUBase;

  void runOnOperation() override {
    const CpuLevel *level = findCpuLevel(isa);
    if (!level) {
      InFlightDiagnostic diag = getOperation().emitError()
                                << "unknown instruction set '" << isa
                                << "', expected";
      for (const CpuLevel &known : cpuLevels())
        diag << ' ' << known.name;
      return signalPassFailure();
    }
    MLIRContext *ctx = &getContext();
    Type ptr = LLVM::LLVMPointerType::get(ctx);
    Type i64 = IntegerType::get(ctx, 64);
    auto type = FunctionType::get(ctx, {ptr, i64, i64}, {});
    for (auto kernel :
         llvm::make_early_inc_range(getOperation().getOps<tile::KernelOp>())) {
      if (kernel.getKernelForm() != tile::Form::Seq) {
        kernel.emitOpError("is in explicit form, the CPU lowering takes the "
                           "sequential one");
        return signalPassFailure();
      }
      OpBuilder b(kernel);
      auto func =
          func::FuncOp::create(b, kernel.getLoc(), kernel.getSymName(), type);
      cpu::KernelEmitter emitter(kernel, func, *level);
      if (failed(emitter.emit())) {
        func.erase();
        return signalPassFailure();
      }
      func->setAttr("moec.scratch_bytes", b.getI64IntegerAttr(std::max<int64_t>(
                                              64, emitter.getScratchBytes())));
      func->setAttr(tile::kLoweredKernelAttr, b.getUnitAttr());
      kernel.erase();
      ++numKernels;
    }
  }
};
} // namespace
