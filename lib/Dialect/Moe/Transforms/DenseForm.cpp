//===- DenseForm.cpp - Every token through every expert -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/Moe/Transforms/DenseForm.h"

#include "GemmUtils.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// The ops that read one routing, in program order.
struct RoutedOps {
  SmallVector<GroupedGemmOp> gemms;
  SmallVector<CombineOp> combines;
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
static std::string findRoutedOps(AlignOp align, RoutedOps &ops) {
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

/// The router weights of `gemm`, a value per slot: number of the row operand,
/// -1 without.
static int64_t findWeights(GroupedGemmOp gemm) {
  for (auto [i, row] : llvm::enumerate(gemm.getRowOperands()))
    if (cast<ShapedType>(row.getType()).getRank() == 2)
      return i;
  return -1;
}

/// Why weights and sums cannot stand where `form` wants them.
static std::string whyNotMoved(RoutedOps &ops, const DenseForm &form) {
  if (!form.weighFirst)
    return form.sumInProduct ? "the sum in the product needs weights in front"
                             : "";
  if (ops.gemms.size() != 2)
    return "not two products in a row";
  GroupedGemmOp first = ops.gemms[0], second = ops.gemms[1];
  if (second.getA() != first->getResult(0) ||
      first.getOut() == RowLayout::Token ||
      !llvm::all_of(first->getUsers(),
                    [&](Operation *user) { return user == second; }))
    return "the second product does not read the first one alone";
  if (findWeights(second) < 0)
    return "the router weights do not stand on the second product";
  // Weights pass through a region of products by values of a token alone.
  for (Operation &op : second.getEpilogue().front())
    if (!isa<arith::MulFOp, arith::ConstantOp, YieldOp>(op))
      return "the second product's region is no product: the weights of a "
             "token do not reach its other terms";
  if (!isFactorOfResult(second, 0))
    return "the second product is no factor of its result";
  if (!form.sumInProduct)
    return {};
  if (!second.getColOperands().empty() || !second.getExpertOperands().empty())
    return "a value per expert enters behind the sum over experts";
  if (second.getAQuantAttr() || second.getBQuantAttr())
    return "scales of one expert would stand on the sum over all of them";
  if (second.getALayout() != RowLayout::ExpertSorted)
    return "rows of the second product do not stand by expert";
  for (CombineOp combine : ops.combines)
    if (combine.getAdd() || combine.getWeights() ||
        combine.getD() != second->getResult(0))
      return "more than the rows of the second product is summed";
  return {};
}

std::string mlir::moe::whyNotDense(AlignOp align, const DenseForm &form) {
  RoutedOps ops;
  std::string reason = findRoutedOps(align, ops);
  return reason.empty() ? whyNotMoved(ops, form) : reason;
}

namespace {
/// Rebuilds the ops of one routing over all experts.
class DenseBuilder {
public:
  DenseBuilder(AlignOp align, const DenseForm &form, RewriterBase &rewriter)
      : align(align), form(form), b(rewriter), loc(align.getLoc()) {
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

  /// `weights`: router weights to be multiplied to the rows. `sum`: the combine
  /// that the product takes the place of.
  void rebuild(GroupedGemmOp gemm, Value weights = Value(),
               CombineOp sum = CombineOp());
  void rebuild(CombineOp combine);
  Value getRouting() const { return routing; }
  /// Replaces the results that leave the rebuilt ops and erases the old ones.
  void finish(RoutedOps &ops);

private:
  /// alpha[t, e] of `weights`, built once.
  Value alpha(Value weights);

  AlignOp align;
  const DenseForm &form;
  RewriterBase &b;
  Location loc;
  int64_t experts;
  OpFoldResult tokens;
  Value routing;
  IRMapping map;
};
} // namespace

Value DenseBuilder::alpha(Value weights) {
  // In front of all products, which do not have to wait for it there, if the
  // weights are known.
  OpBuilder::InsertionGuard guard(b);
  Operation *made = weights.getDefiningOp();
  if (!made ||
      (made->getBlock() == align->getBlock() && made->isBeforeInBlock(align)))
    b.setInsertionPointAfterValue(routing);
  Value init =
      createEmpty(b, loc, {tokens, b.getIndexAttr(experts)}, b.getF32Type());
  return DenseWeightsOp::create(b, loc, TypeRange(init.getType()),
                                align.getIds(), weights, align.getExpertMap(),
                                Value(), ValueRange(init))
      .getResult(0);
}

void DenseBuilder::rebuild(GroupedGemmOp gemm, Value weights, CombineOp sum) {
  b.setInsertionPoint(sum ? sum.getOperation() : gemm.getOperation());
  GemmParts parts(gemm);
  parts.routing = routing;
  parts.a = map.lookupOrDefault(parts.a);
  if (parts.aScale)
    parts.aScale = map.lookupOrDefault(parts.aScale);
  parts.formulation = FormulationAttr::get(b.getContext(), Formulation::Dense);
  // Weights that have moved to the product in front are 1 here.
  int64_t moved = form.weighFirst && !weights ? findWeights(gemm) : -1;
  if (moved >= 0)
    parts.row.erase(parts.row.begin() + moved);
  for (Value &row : parts.row)
    if (cast<ShapedType>(row.getType()).getRank() == 2)
      row = alpha(row);
  if (weights)
    parts.row.push_back(alpha(weights));
  if (sum) {
    parts.out = RowLayout::Token;
    parts.outs = llvm::to_vector(sum.getOuts());
  } else if (gemm.getOut() != RowLayout::Token) {
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
        EpilogueArgs old = args;
        if (weights)
          old.row.pop_back();
        if (moved >= 0)
          old.row.insert(
              old.row.begin() + moved,
              arith::ConstantOp::create(builder, gemm.getLoc(),
                                        builder.getF32FloatAttr(1.0)));
        Value result =
            cloneScalarBody(builder, gemm.getEpilogue().front(), old.flat());
        if (weights)
          result = arith::MulFOp::create(builder, gemm.getLoc(), result,
                                         args.row.back());
        return result;
      });
  map.map(gemm.getResults(), dense.getResults());
  if (sum)
    map.map(sum->getResult(0), dense->getResult(0));
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

Value mlir::moe::makeDense(AlignOp align, const DenseForm &form,
                           RewriterBase &rewriter) {
  RoutedOps ops;
  (void)findRoutedOps(align, ops);
  DenseBuilder builder(align, form, rewriter);
  for (GroupedGemmOp gemm : ops.gemms) {
    bool first = gemm == ops.gemms.front(), last = gemm == ops.gemms.back();
    Value weights;
    if (form.weighFirst && first) {
      GroupedGemmOp second = ops.gemms.back();
      weights = second.getRowOperands()[findWeights(second)];
    }
    CombineOp sum;
    if (form.sumInProduct && last && !ops.combines.empty())
      sum = ops.combines.front();
    builder.rebuild(gemm, weights, sum);
  }
  for (CombineOp combine : ops.combines)
    if (!form.sumInProduct)
      builder.rebuild(combine);
  Value routing = builder.getRouting();
  builder.finish(ops);
  return routing;
}

bool mlir::moe::hasStaticRows(Value routing) {
  auto all = routing.getDefiningOp<RouteAllOp>();
  if (!all)
    return false;
  if (auto func = all->getParentOfType<func::FuncOp>())
    for (unsigned i = 0; i < func.getNumArguments(); ++i)
      if (func.getArgAttr(i, "moe.device_tokens"))
        return false;
  // Rows that are summed alone may stand in any order.
  auto isOnlySummed = [](GroupedGemmOp gemm) {
    return gemm->getNumResults() == 1 && gemm.getOut() == RowLayout::FlatTopk &&
           gemm.getOuts()[0].getDefiningOp<tensor::EmptyOp>() &&
           llvm::all_of(gemm->getUses(), [](OpOperand &use) {
             auto combine = dyn_cast<CombineOp>(use.getOwner());
             return combine && combine.getD() == use.get() &&
                    combine.getAdd() != use.get();
           });
  };
  return llvm::all_of(routing.getUsers(), [&](Operation *user) {
    if (auto gemm = dyn_cast<GroupedGemmOp>(user))
      return gemm->getNumResults() > 0 &&
             (gemm.getRows() == RowSource::Gather ||
              gemm.getALayout() == RowLayout::ExpertSorted) &&
             (gemm.getOut() == RowLayout::ExpertSorted ||
              gemm.getOut() == RowLayout::Token || isOnlySummed(gemm)) &&
             gemm.getEltOperands().empty() &&
             llvm::all_of(gemm.getRowOperands(), [](Value row) {
               return cast<ShapedType>(row.getType()).getRank() == 1 ||
                      row.getDefiningOp<DenseWeightsOp>();
             });
    if (auto combine = dyn_cast<CombineOp>(user)) {
      auto gemm = combine.getD().getDefiningOp<GroupedGemmOp>();
      return gemm && gemm.getRouting() == routing &&
             (gemm.getOut() == RowLayout::ExpertSorted || isOnlySummed(gemm)) &&
             (!combine.getWeights() ||
              combine.getWeights().getDefiningOp<DenseWeightsOp>());
    }
    return isa<NumSlotsOp>(user);
  });
}

bool mlir::moe::canSumExperts(GroupedGemmOp gemm) {
  return gemm.getOut() == RowLayout::Token &&
         hasStaticRows(gemm.getRouting()) &&
         gemm.getRows() == RowSource::Slots && !gemm.getGateUpAttr() &&
         !gemm.getQuantizeAttr() && !gemm.getAQuantAttr() &&
         !gemm.getBQuantAttr() && gemm.getColOperands().empty() &&
         gemm.getExpertOperands().empty() &&
         llvm::all_of(gemm.getRowOperands(), [](Value row) {
           return cast<ShapedType>(row.getType()).getRank() == 1;
         });
}
