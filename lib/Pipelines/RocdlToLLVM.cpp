//===- RocdlToLLVM.cpp - From ROCDL kernels to the LLVM dialect -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Pipelines/RocdlToLLVM.h"

#include "mlir/Conversion/AMDGPUToROCDL/AMDGPUToROCDL.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"
#include "moec/Pipelines/NvvmToLLVM.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// The number of blocks is the first of the hidden arguments of code object
/// version 5 and later; upstream's translation calls a device library for it.
struct LowerGridDim final : OpRewritePattern<ROCDL::GridDimXOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ROCDL::GridDimXOp op,
                                PatternRewriter &rewriter) const override {
    Type constant = LLVM::LLVMPointerType::get(getContext(), 4);
    auto hidden = LLVM::CallIntrinsicOp::create(
        rewriter, op.getLoc(), constant,
        rewriter.getStringAttr("llvm.amdgcn.implicitarg.ptr"), ValueRange());
    rewriter.replaceOpWithNewOp<LLVM::LoadOp>(
        op, op.getType(), hidden.getResult(0), /*alignment=*/4,
        /*isVolatile=*/false, /*isNonTemporal=*/false, /*isInvariant=*/true);
    return success();
  }
};

struct RocdlHiddenArgumentsPass
    : PassWrapper<RocdlHiddenArgumentsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(RocdlHiddenArgumentsPass)

  StringRef getArgument() const override {
    return "moe-rocdl-hidden-arguments";
  }
  StringRef getDescription() const override {
    return "read the grid's size from the hidden kernel arguments";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<LLVM::LLVMDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerGridDim>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

/// Sums of WMMA pass through an empty piece of assembly before anything else
/// takes them. LLVM moves these instructions, which it does not know to be
/// convergent, to the blocks of their uses: under masks of stores, where lanes
/// are off that they need, and with all their operands held until there.
struct RocdlPinProductsPass
    : PassWrapper<RocdlPinProductsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(RocdlPinProductsPass)

  StringRef getArgument() const override { return "moe-rocdl-pin-products"; }
  StringRef getDescription() const override {
    return "keep WMMA instructions where all lanes are on";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<LLVM::LLVMDialect>();
  }
  static bool hasBranchBehind(Operation *op) {
    while ((op = op->getNextNode()))
      if (isa<scf::IfOp>(op))
        return true;
    return false;
  }
  void runOnOperation() override {
    getOperation().walk([](amdgpu::WMMAOp op) {
      // Nothing leaves a loop or the chain of sums.
      auto leaves = [](OpOperand &use) {
        Operation *user = use.getOwner();
        return !isa<amdgpu::WMMAOp>(user) &&
               !user->hasTrait<OpTrait::IsTerminator>();
      };
      Value sum = op.getResult();
      if (llvm::none_of(sum.getUses(), leaves) || !hasBranchBehind(op))
        return;
      OpBuilder b(op->getContext());
      b.setInsertionPointAfter(op);
      auto pinned = LLVM::InlineAsmOp::create(
          b, op.getLoc(), sum.getType(), sum, /*asm_string=*/"",
          /*constraints=*/"=v,0", /*has_side_effects=*/true,
          /*is_align_stack=*/false, LLVM::TailCallKind::None,
          LLVM::AsmDialectAttr::get(op->getContext(), LLVM::AsmDialect::AD_ATT),
          /*operand_attrs=*/ArrayAttr());
      sum.replaceUsesWithIf(pinned.getResult(0), [&](OpOperand &use) {
        return use.getOwner() != pinned && leaves(use);
      });
    });
  }
};
} // namespace

void mlir::moe::buildRocdlToLLVMPipeline(OpPassManager &passes,
                                         const RocdlToLLVMOptions &options) {
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createGpuMathPass());
  arith::ArithExpandOpsPassOptions expand;
  expand.includeF8E8M0 = true;
  expand.includeF4E2M1 = true;
  passes.addPass(arith::createArithExpandOpsPass(expand));
  passes.addPass(std::make_unique<RocdlHiddenArgumentsPass>());
  passes.addPass(std::make_unique<RocdlPinProductsPass>());
  ConvertAMDGPUToROCDLPassOptions instructions;
  instructions.chipset = options.chip;
  passes.addPass(createConvertAMDGPUToROCDLPass(instructions));
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createConvertMathToLLVMPass());
  passes.addPass(createConvertVectorToLLVMPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertIndexToLLVMPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createUBToLLVMConversionPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
}

void mlir::moe::registerRocdlToLLVM() {
  PassRegistration<RocdlHiddenArgumentsPass>();
  PassRegistration<RocdlPinProductsPass>();
  PassPipelineRegistration<RocdlToLLVMOptions>(
      "moe-rocdl-to-llvm", "ROCDL kernels to the LLVM dialect",
      buildRocdlToLLVMPipeline);
}
