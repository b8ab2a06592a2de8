//===- NvvmToLLVM.cpp - From NVVM kernels to the LLVM dialect -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Pipelines/NvvmToLLVM.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"
#include "moec/Conversion/Passes.h"

using namespace mlir;
using namespace mlir::moe;

/// f32 or a vector of it.
static bool isF32(Type type) { return getElementTypeOrSelf(type).isF32(); }

namespace {
/// exp(x) = 2^(x log2 e): the hardware has one instruction for powers of two.
struct LowerExp final : OpRewritePattern<math::ExpOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::ExpOp op,
                                PatternRewriter &rewriter) const override {
    Type type = op.getType();
    if (!isF32(type))
      return failure();
    constexpr float log2e = 1.44269504088896340736f;
    TypedAttr factor = rewriter.getF32FloatAttr(log2e);
    if (auto vector = dyn_cast<ShapedType>(type))
      factor = SplatElementsAttr::get(vector, rewriter.getF32FloatAttr(log2e));
    Value constant =
        arith::ConstantOp::create(rewriter, op.getLoc(), type, factor);
    Value scaled = arith::MulFOp::create(rewriter, op.getLoc(), op.getOperand(),
                                         constant, op.getFastmath());
    rewriter.replaceOpWithNewOp<math::Exp2Op>(op, scaled, op.getFastmath());
    return success();
  }
};

/// x / (1 + exp(y)), the sigmoid's division, has no need of the last bit: the
/// exponential has an error of 2 units in the last place already. An exact
/// division takes a subroutine of some twenty instructions.
struct ApproximateSigmoid final : OpRewritePattern<arith::DivFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::DivFOp op,
                                PatternRewriter &rewriter) const override {
    auto sum = op.getRhs().getDefiningOp<arith::AddFOp>();
    if (!isF32(op.getType()) || !sum ||
        bitEnumContainsAny(op.getFastmath(), arith::FastMathFlags::afn))
      return failure();
    auto isPower = [](Value value) {
      Operation *op = value.getDefiningOp();
      return op && isa<math::ExpOp, math::Exp2Op>(op);
    };
    if (!isPower(sum.getLhs()) && !isPower(sum.getRhs()))
      return failure();
    rewriter.modifyOpInPlace(op, [&] {
      op.setFastmath(op.getFastmath() | arith::FastMathFlags::afn);
    });
    return success();
  }
};

struct NvvmMathPass : PassWrapper<NvvmMathPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(NvvmMathPass)

  StringRef getArgument() const override { return "moe-nvvm-math"; }
  StringRef getDescription() const override {
    return "replace functions of math by instructions of NVIDIA GPUs and "
           "polynomials in f32";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, math::MathDialect,
                    vector::VectorDialect>();
  }
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerExp, ApproximateSigmoid>(&getContext());
    math::populateExpansionPatterns(patterns,
                                    {"sinh", "cosh", "tan", "asinh", "acosh",
                                     "atanh", "powf", "fpowi", "clampf"});
    populateMathF32ExpansionPatterns(patterns, [](StringRef) { return true; });
    populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
      return name != math::ExpOp::getOperationName();
    });
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace

std::unique_ptr<Pass> mlir::moe::createGpuMathPass() {
  return std::make_unique<NvvmMathPass>();
}

void mlir::moe::buildNvvmToLLVMPipeline(OpPassManager &passes) {
  passes.addPass(createCanonicalizerPass());
  passes.addPass(createCSEPass());
  passes.addPass(createGpuMathPass());
  arith::ArithExpandOpsPassOptions expand;
  expand.includeF8E8M0 = true;
  expand.includeF4E2M1 = true;
  passes.addPass(arith::createArithExpandOpsPass(expand));
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createConvertMoeNvToInlineAsm());
  passes.addPass(createConvertNVVMToLLVMPass());
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

void mlir::moe::registerNvvmToLLVM() {
  PassRegistration<NvvmMathPass>();
  PassPipelineRegistration<>("moe-nvvm-to-llvm",
                             "NVVM kernels to the LLVM dialect",
                             buildNvvmToLLVMPipeline);
}
