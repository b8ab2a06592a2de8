//===- ChooseFormulation.cpp - Routed or dense ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmUtils.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOECHOOSEFORMULATION
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {

/// The ops that read one routing, in program order.
struct RoutedOps {
  SmallVector<GroupedGemmOp> gemms;
  SmallVector<CombineOp> combines;
};

struct ChooseFormulation
    : public moe::impl::MoeChooseFormulationBase<ChooseFormulation> {
  using Base = moe::impl::MoeChooseFormulationBase<ChooseFormulation>;
  using Base::Base;

  void runOnOperation() override;

private:
  LogicalResult choose(AlignOp align, RewriterBase &rewriter);
};

} // namespace

/// True if argument `index` of the region is a factor of the yielded value: its
/// one use is a product, whose one use is a product or the yield.
static bool isFactorOfResult(GroupedGemmOp gemm, unsigned index) {
  Value value = gemm.getEpilogue().front().getArgument(index);
  while (value.hasOneUse()) {
    Operation *user = *value.user_begin();
    if (isa<YieldOp>(user))
      return true;
    if (!isa<arith::MulFOp>(user))
      return false;
    value = user->getResult(0);
  }
  return false;
}

/// True if the slots of `gemm` are summed next, not activated.
static bool feedsSum(GroupedGemmOp gemm) {
  return gemm.getOut() == RowLayout::Token ||
         llvm::all_of(gemm->getUsers(),
                      [](Operation *user) { return isa<CombineOp>(user); });
}

/// Why the ops of `align` cannot be dense; empty if they can.
static std::string whyNotDense(AlignOp align, RoutedOps &ops) {
  bool weighted = false;
  for (Operation *user : align.getRouting().getUsers()) {
    if (isa<NumSlotsOp>(user))
      continue;
    if (auto combine = dyn_cast<CombineOp>(user)) {
      ops.combines.push_back(combine);
      if (!combine.getD().getDefiningOp<GroupedGemmOp>())
        return "moe.combine sums rows of another op than moe.grouped_gemm";
      weighted |= !!combine.getWeights();
      continue;
    }
    auto gemm = dyn_cast<GroupedGemmOp>(user);
    if (!gemm)
      return ("the routing is also read by " + user->getName().getStringRef())
          .str();
    if (gemm->getNumResults() == 0)
      return "the layer works on buffers";
    ops.gemms.push_back(gemm);
    if (!gemm.getEltOperands().empty())
      return "an elt operand has a row per chosen slot";
    for (auto [i, row] : llvm::enumerate(gemm.getRowOperands())) {
      if (cast<ShapedType>(row.getType()).getRank() == 1)
        continue;
      if (!feedsSum(gemm))
        return "a value per slot enters before the activation";
      if (weighted || !isFactorOfResult(gemm, gemm.getRowArg(i)))
        return "a value per slot is not a factor of the summed rows";
      weighted = true;
    }
    for (Operation *reader : gemm->getUsers()) {
      if (gemm.getOut() == RowLayout::Token)
        break; // Rows of tokens, the same for every reader.
      auto next = dyn_cast<GroupedGemmOp>(reader);
      if (!isa<CombineOp>(reader) && !next)
        return ("rows of a GEMM are read by " +
                reader->getName().getStringRef())
            .str();
      if (next && next.getRouting() != align.getRouting())
        return "rows of a GEMM are read over another routing";
    }
    if (gemm.getRows() == RowSource::Slots &&
        !gemm.getA().getDefiningOp<GroupedGemmOp>())
      return "a GEMM reads slots that no other GEMM gives";
  }
  if (!weighted)
    return "no router weight stands on a GEMM or a combine";
  llvm::sort(ops.gemms, [](GroupedGemmOp a, GroupedGemmOp b) {
    return a->getBlock() == b->getBlock() && a->isBeforeInBlock(b);
  });
  for (GroupedGemmOp gemm : ops.gemms)
    if (gemm->getBlock() != align->getBlock())
      return "a GEMM stands in another block than its routing";
  return {};
}

namespace {
/// Rebuilds the ops of one routing over all experts.
class DenseBuilder {
public:
  DenseBuilder(AlignOp align, RewriterBase &rewriter)
      : align(align), b(rewriter), loc(align.getLoc()) {
    RoutingType type = align.getRouting().getType();
    experts = type.getExperts();
    b.setInsertionPointAfter(align);
    tokens = tensor::getMixedSize(b, loc, align.getIds(), 0);
    Value count = getValueOrCreateConstantIndexOp(b, loc, tokens);
    routing = RouteAllOp::create(
        b, loc,
        RoutingType::get(b.getContext(), experts, experts, type.getBlockM()),
        count);
  }

  void rebuild(GroupedGemmOp gemm);
  void rebuild(CombineOp combine);
  /// Replaces the results that leave the rebuilt ops and erases the old ones.
  void finish(RoutedOps &ops);

private:
  /// alpha[t, e] of `weights`, built once.
  Value alpha(Value weights);

  AlignOp align;
  RewriterBase &b;
  Location loc;
  int64_t experts;
  OpFoldResult tokens;
  Value routing;
  IRMapping map;
};
} // namespace

Value DenseBuilder::alpha(Value weights) {
  Value init =
      createEmpty(b, loc, {tokens, b.getIndexAttr(experts)}, b.getF32Type());
  return DenseWeightsOp::create(b, loc, TypeRange(init.getType()),
                                align.getIds(), weights, align.getExpertMap(),
                                Value(), ValueRange(init))
      .getResult(0);
}

void DenseBuilder::rebuild(GroupedGemmOp gemm) {
  b.setInsertionPoint(gemm);
  GemmParts parts(gemm);
  parts.routing = routing;
  parts.a = map.lookupOrDefault(parts.a);
  if (parts.aScale)
    parts.aScale = map.lookupOrDefault(parts.aScale);
  parts.formulation = FormulationAttr::get(b.getContext(), Formulation::Dense);
  for (Value &row : parts.row)
    if (cast<ShapedType>(row.getType()).getRank() == 2)
      row = alpha(row);
  if (gemm.getOut() != RowLayout::Token) {
    OpFoldResult rows;
    if (gemm.getOut() == RowLayout::ExpertSortedPadded)
      rows =
          NumSlotsOp::create(b, loc, b.getIndexType(), routing, gemm.getOut())
              .getResult();
    else
      rows = mulExtent(b, loc, tokens, experts);
    int64_t cols = gemm.getOutCols();
    Type element =
        cast<ShapedType>(gemm.getResult(0).getType()).getElementType();
    if (QuantAttr quant = gemm.getQuantizeAttr())
      parts.outs = createQuantInits(b, loc, rows, cols, quant);
    else
      parts.outs = {createEmpty(b, loc, {rows, b.getIndexAttr(cols)}, element)};
  }
  auto dense = parts.create(
      b, gemm.getLoc(), [&](OpBuilder &builder, const EpilogueArgs &args) {
        return cloneScalarBody(builder, gemm.getEpilogue().front(),
                               args.flat());
      });
  map.map(gemm.getResults(), dense.getResults());
}

void DenseBuilder::rebuild(CombineOp combine) {
  b.setInsertionPoint(combine);
  Value weights = combine.getWeights();
  auto dense = CombineOp::create(
      b, combine.getLoc(), combine->getResultTypes(),
      map.lookupOrDefault(combine.getD()), weights ? alpha(weights) : Value(),
      combine.getAdd(), combine.getAddGate(), routing, combine.getLayout(),
      combine.getKeep(), combine.getOuts());
  dense->setDiscardableAttrs(combine->getDiscardableAttrDictionary());
  map.map(combine->getResults(), dense->getResults());
}

void DenseBuilder::finish(RoutedOps &ops) {
  for (CombineOp combine : ops.combines)
    b.replaceOp(combine, map.lookup(combine->getResult(0)));
  for (GroupedGemmOp gemm : llvm::reverse(ops.gemms)) {
    if (gemm.getOut() == RowLayout::Token)
      b.replaceOp(gemm, map.lookup(gemm.getResult(0)));
    else
      b.eraseOp(gemm);
  }
  if (align->use_empty())
    b.eraseOp(align);
}

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
    RoutedOps ops;
    std::string reason = whyNotDense(align, ops);
    if (reason.empty()) {
      DenseBuilder builder(align, rewriter);
      for (GroupedGemmOp gemm : ops.gemms)
        builder.rebuild(gemm);
      for (CombineOp combine : ops.combines)
        builder.rebuild(combine);
      builder.finish(ops);
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
  IRRewriter rewriter(&getContext());
  SmallVector<AlignOp> aligns;
  getOperation()->walk([&](AlignOp align) { aligns.push_back(align); });
  for (AlignOp align : aligns)
    if (failed(choose(align, rewriter)))
      return signalPassFailure();
  eraseDeadInits(getOperation(), rewriter);
}
