//===- ChooseFormulation.cpp - Routed or dense ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmUtils.h"
#include "moec/Dialect/Moe/Transforms/DenseForm.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOECHOOSEFORMULATION
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {

struct ChooseFormulation
    : public moe::impl::MoeChooseFormulationBase<ChooseFormulation> {
  using Base = moe::impl::MoeChooseFormulationBase<ChooseFormulation>;
  using Base::Base;

  void runOnOperation() override;

private:
  LogicalResult choose(AlignOp align, RewriterBase &rewriter);
};

} // namespace

LogicalResult ChooseFormulation::choose(AlignOp align, RewriterBase &rewriter) {
  RoutingType type = align.getRouting().getType();
  // A request in the IR comes before the option, the option before the rule.
  std::optional<Formulation> wanted;
  for (Operation *user : align.getRouting().getUsers())
    if (auto gemm = dyn_cast<GroupedGemmOp>(user))
      if (auto present = gemm.getFormulation())
        wanted = *present;
  if (!wanted && formulation == FormulationChoice::Dense)
    wanted = Formulation::Dense;
  if (!wanted && formulation == FormulationChoice::Grouped)
    wanted = Formulation::Grouped;
  bool byRule = !wanted;
  if (byRule)
    wanted = 4 * type.getExperts() <= 5 * type.getTopk() ? Formulation::Dense
                                                         : Formulation::Grouped;

  if (*wanted == Formulation::Dense) {
    std::string reason = whyNotDense(align);
    if (reason.empty()) {
      makeDense(align, DenseForm(), rewriter);
      ++numDense;
      return success();
    }
    if (!byRule)
      return align.emitError("moe-choose-formulation: dense is not legal: ")
             << reason;
    wanted = Formulation::Grouped;
  }
  numGrouped += *wanted == Formulation::Grouped;
  auto attr = FormulationAttr::get(&getContext(), *wanted);
  for (Operation *user : align.getRouting().getUsers())
    if (auto gemm = dyn_cast<GroupedGemmOp>(user);
        gemm && !gemm.getFormulationAttr())
      gemm.setFormulationAttr(attr);
  return success();
}

void ChooseFormulation::runOnOperation() {
  if (formulation == FormulationChoice::Open)
    return;
  IRRewriter rewriter(&getContext());
  SmallVector<AlignOp> aligns;
  getOperation()->walk([&](AlignOp align) { aligns.push_back(align); });
  for (AlignOp align : aligns)
    if (failed(choose(align, rewriter)))
      return signalPassFailure();
  eraseDeadInits(getOperation(), rewriter);
}
