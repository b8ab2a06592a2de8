//===- DescribeGemm.cpp - Products as the cost model sees them ---------- -===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DescribeGemm.h"

#include "moec/Dialect/Moe/Transforms/DenseForm.h"

using namespace mlir;
using namespace mlir::moe;

/// Bits of one stored value.
static int64_t valueBits(Value v, QuantAttr quant) {
  auto type = cast<ShapedType>(v.getType());
  return type.getElementType().getIntOrFloatBitWidth() /
         (quant ? quant.getColsPerStored() : 1);
}

static int64_t kGranule(QuantAttr quant, int64_t k) {
  return quant && quant.getScaleCols(k) != 1 ? quant.getGranuleCols() : 0;
}

/// Whether the rows of the result are summed over top-k, and whether that sum
/// is rounded to bf16.
static std::pair<bool, bool> describeSum(GroupedGemmOp gemm) {
  auto isBF16 = [](Value v) {
    return cast<ShapedType>(v.getType()).getElementType().isBF16();
  };
  if (gemm.getOut() == RowLayout::Token)
    return {true, isBF16(gemm.getOuts()[0])};
  // Who reads a buffer is not known.
  if (gemm->getNumResults() == 0)
    return {false, false};
  Value result = gemm->getResult(0);
  bool rounds = true;
  for (OpOperand &use : result.getUses()) {
    auto combine = dyn_cast<CombineOp>(use.getOwner());
    if (!combine || combine.getD() != use.get())
      return {false, false};
    rounds &= isBF16(combine.getOuts()[0]);
  }
  return {!result.use_empty(), rounds};
}

/// Whether values of `quant` times their scales have more digits than a 16-bit
/// float: not those of powers of two, nor those of four bits each.
static bool needsRounding(QuantAttr quant) {
  Type scale = quant.getScale();
  bool small = isa<Float4E2M1FNType>(quant.getElem());
  return scale && !isa<Float8E8M0FNUType>(scale) &&
         !(small && isa<Float8E4M3FNType>(scale));
}

bool mlir::moe::placesAllRows(const Device &machine) {
  const RuleTarget *rules = findRuleTarget(machine.arch);
  return rules && rules->kind == RuleTarget::Nvidia;
}

void mlir::moe::describeDense(GemmProblem &problem, bool first, bool sums,
                              int64_t experts, const Workload &workload) {
  problem.gather = problem.scatters = false;
  problem.sharesRows = first;
  problem.rowsPerExpert = double(workload.tokens);
  problem.hitExperts = double(experts);
  if (!sums)
    return;
  problem.sumsExperts = true;
  problem.k *= experts;
  problem.hitExperts = 1;
  problem.sumsRows = problem.roundsRows = false;
}

void mlir::moe::describeOneLaunch(GemmProblem &problem) {
  problem.oneLaunch = true;
  problem.scatters = false;
  // A box of rows would hold some that are still being written; and all
  // products fill one ring in the same way.
  problem.gather = true;
}

Workload mlir::moe::workloadOfAll(int64_t tokens, int64_t experts) {
  Workload workload;
  workload.tokens = tokens;
  workload.topk = experts;
  workload.cases = {{std::vector<int64_t>(experts, tokens), 1}};
  workload.text = "all experts";
  return workload;
}

GemmProblem mlir::moe::describeGemm(GroupedGemmOp gemm,
                                    const Workload &workload,
                                    const Device &machine) {
  GemmProblem problem;
  problem.n = gemm.getWeightRows();
  problem.k = gemm.getReductionSize();
  problem.aBits = valueBits(gemm.getA(), gemm.getAQuantAttr());
  problem.bBits = valueBits(gemm.getB(), gemm.getBQuantAttr());
  problem.aGranule = kGranule(gemm.getAQuantAttr(), problem.k);
  problem.bGranule = kGranule(gemm.getBQuantAttr(), problem.k);
  problem.bZeros = bool(gemm.getBZero());
  if (QuantAttr closing = gemm.getQuantizeAttr())
    problem.outGranule = closing.getGranuleCols() == QuantAttr::kWhole
                             ? gemm.getOutCols()
                             : closing.getGranuleCols();
  // Without a plan the operand is dequantised by whole groups, as by `operand`.
  ScalePlanAttr plan = gemm.getScalesAttr();
  problem.aPromotes = plan && plan.getA() != ScalePlace::Epilogue;
  problem.bPromotes = plan && plan.getB() != ScalePlace::Epilogue;
  if (plan && plan.getB() == ScalePlace::Promote && problem.bBits < 8)
    problem.packedRun = problem.bGranule;
  problem.integers = gemm.getAQuantAttr() && gemm.getBQuantAttr() &&
                     gemm.getAQuantAttr().getElem().isInteger(8) &&
                     gemm.getBQuantAttr().getElem().isInteger(8);
  problem.bRounds = plan && plan.getB() == ScalePlace::Operand &&
                    gemm.getBQuantAttr() && needsRounding(gemm.getBQuantAttr());
  problem.aScaled = plan && plan.getA() == ScalePlace::Operand;
  // Rows that stand by slot are found through the routing, as tokens are.
  problem.gather = gemm.getRows() == RowSource::Gather ||
                   gemm.getALayout() == RowLayout::FlatTopk;
  problem.rowsPerExpert = workload.getRowsPerExpert();
  problem.hitExperts = workload.getHitExperts();
  problem.units = int64_t(machine.figures.computeUnits);
  if (GateUpAttr gateUp = gemm.getGateUpAttr()) {
    problem.gateHalves = gateUp.getKind() == GateUpKind::Halves;
    problem.gateRun = problem.gateHalves ? gemm.getOutCols()
                      : gateUp.getKind() == GateUpKind::Blocks
                          ? gateUp.getBlock()
                          : 1;
  }
  std::tie(problem.sumsRows, problem.roundsRows) = describeSum(gemm);
  // Rows for the sum alone may stand in either order.
  problem.scatters = !problem.sumsRows &&
                     gemm.getOut() != RowLayout::ExpertSorted &&
                     gemm.getOut() != RowLayout::ExpertSortedPadded;
  // Rows of slots that nobody sorts are found by arithmetic.
  if (auto align = gemm.getRouting().getDefiningOp<AlignOp>();
      align && align.isDirect())
    problem.gather = problem.scatters = false;
  problem.vector = gemm.getFormulation() == Formulation::Gemv;
  if (gemm.getFormulation() == Formulation::OneLaunch)
    describeOneLaunch(problem);
  if (gemm.getFormulation() == Formulation::Dense && placesAllRows(machine) &&
      hasStaticRows(gemm.getRouting()))
    describeDense(problem, gemm.getRows() == RowSource::Gather,
                  canSumExperts(gemm), gemm.getNumExperts(), workload);
  return problem;
}

LayerFrame mlir::moe::describeFrame(ArrayRef<GroupedGemmOp> gemms,
                                    ArrayRef<GemmProblem> problems) {
  LayerFrame frame;
  frame.combineBytes = 0;
  for (auto [number, problem] : llvm::enumerate(problems)) {
    GroupedGemmOp gemm = gemms[number];
    frame.quantises |=
        problem.aBits == 8 && gemm.getRows() == RowSource::Gather;
    frame.sorts &= !problem.sharesRows;
    frame.oneLaunch |= problem.oneLaunch;
    if (!problem.sumsRows)
      continue;
    frame.hidden = problem.n;
    if (gemm.getOut() != RowLayout::Token)
      frame.combineBytes = 4;
    frame.sumsLast |= problem.sumBy == "last";
    // Tiles that sum do so within the product's time.
    if (problem.sumBy == "panel" || problem.sumBy == "add_f32")
      frame.combineBytes = 0;
  }
  for (GroupedGemmOp gemm : gemms.take_front(1)) {
    auto align = gemm.getRouting().getDefiningOp<AlignOp>();
    frame.direct = align && align.isDirect();
  }
  return frame;
}
