//===- FoldScales.cpp - Where scales and zero points are applied ----------===//
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
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEFOLDSCALES
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {

/// What a moved scale becomes.
enum class RegionOperand { None, Row, Col, Expert };

/// Decision for one operand.
struct Placement {
  ScalePlace place = ScalePlace::None;
  int64_t run = 0;
  RegionOperand operand = RegionOperand::None;
};

struct FoldScales : public moe::impl::MoeFoldScalesBase<FoldScales> {
  using Base = moe::impl::MoeFoldScalesBase<FoldScales>;
  using Base::Base;

  void runOnOperation() override;

private:
  Placement placeA(GroupedGemmOp gemm);
  Placement placeB(GroupedGemmOp gemm);
  /// Whether the sums of a tile are fewer than its weights.
  bool hasFewRows(GroupedGemmOp gemm);
  /// Rule 2 or 3 for a scale of `quant` over `k` columns.
  Placement placeInside(QuantAttr quant, int64_t k);
  ZeroPlace placeZero(GroupedGemmOp gemm, const Placement &b);
  void fold(GroupedGemmOp gemm, RewriterBase &rewriter);
  void count(const Placement &placement);
};

} // namespace

/// Rank of the row operands that `gemm` has; 0 if none.
static int64_t rowOperandRank(GroupedGemmOp gemm) {
  if (gemm.getRowOperands().empty())
    return 0;
  return cast<ShapedType>(gemm.getRowOperands()[0].getType()).getRank();
}

/// True if rows of A are slots in flat order, so that a value per row can be
/// shaped `[T, k]`. A gathered A has slot rows if every token has one slot.
static bool rowsAreSlots(GroupedGemmOp gemm) {
  return gemm.getALayout() == RowLayout::FlatTopk ||
         (gemm.getALayout() == RowLayout::Token &&
          gemm.getRouting().getType().getTopk() == 1);
}

bool FoldScales::hasFewRows(GroupedGemmOp gemm) {
  int64_t slots = tokens * gemm.getRouting().getType().getTopk();
  return tokens > 0 && slots <= packedRows * gemm.getNumExperts();
}

Placement FoldScales::placeInside(QuantAttr quant, int64_t k) {
  if (quant.getScaleCols(k) == 1)
    return {ScalePlace::Promote, k, RegionOperand::None};
  int64_t granule = quant.getGranuleCols();
  if (granule >= minRun)
    return {ScalePlace::Promote, granule, RegionOperand::None};
  return {ScalePlace::Operand, 0, RegionOperand::None};
}

Placement FoldScales::placeA(GroupedGemmOp gemm) {
  QuantAttr quant = gemm.getAQuantAttr();
  if (!quant)
    return {};
  int64_t k = gemm.getReductionSize();
  if (quant.getScaleCols(k) != 1)
    return placeInside(quant, k);
  if (quant.getGranuleRows() == QuantAttr::kWhole)
    return {ScalePlace::Epilogue, 0, RegionOperand::Expert};
  int64_t rank = rowOperandRank(gemm);
  bool byToken = gemm.getALayout() == RowLayout::Token && rank != 2;
  bool bySlot = rowsAreSlots(gemm) && rank != 1;
  if (quant.getGranuleRows() == 1 && (byToken || bySlot))
    return {ScalePlace::Epilogue, 0, RegionOperand::Row};
  return placeInside(quant, k);
}

Placement FoldScales::placeB(GroupedGemmOp gemm) {
  QuantAttr quant = gemm.getBQuantAttr();
  if (!quant)
    return {};
  int64_t k = gemm.getReductionSize();
  if (quant.getScaleCols(k) != 1 && packedOperand &&
      quant.getColsPerStored() > 1 && !hasFewRows(gemm))
    return {ScalePlace::Operand, 0, RegionOperand::None};
  if (quant.getScaleCols(k) != 1)
    return placeInside(quant, k);
  if (quant.getScaleRows(gemm.getWeightRows()) == 1)
    return {ScalePlace::Epilogue, 0, RegionOperand::Expert};
  if (quant.getGranuleRows() == 1)
    return {ScalePlace::Epilogue, 0, RegionOperand::Col};
  return placeInside(quant, k);
}

ZeroPlace FoldScales::placeZero(GroupedGemmOp gemm, const Placement &b) {
  QuantAttr quant = gemm.getBQuantAttr();
  if (!quant || quant.getZero() == ZeroPoint::None)
    return ZeroPlace::None;
  bool wanted =
      zero == ZeroChoice::RowSum ||
      (zero == ZeroChoice::Auto && quant.getZero() == ZeroPoint::Operand &&
       gemm.getRows() == RowSource::Gather);
  if (!wanted)
    return ZeroPlace::Element;
  int64_t k = gemm.getReductionSize();
  bool whole = quant.getScaleCols(k) == 1;
  StringRef reason;
  if (gemm.getAQuantAttr())
    reason = "a is quantised, its row sums would need its scales";
  else if (!whole && k % quant.getGranuleCols())
    reason = "the last K granule of b is short";
  else if (b.place == ScalePlace::Operand)
    reason = "the scale of b is applied on load";
  else
    return ZeroPlace::RowSum;
  remark::missed(gemm.getLoc(),
                 remark::RemarkOpts::name("row_sum").category(getArgument()))
      << remark::reason("{0}", reason.str());
  return ZeroPlace::Element;
}

/// `value` without its extents of one, as the rank-1 tensor (`[E, N]` keeps
/// both): the last two dimensions become one.
static Value joinLastTwo(OpBuilder &b, Location loc, Value value) {
  int64_t rank = cast<ShapedType>(value.getType()).getRank();
  SmallVector<ReassociationIndices> groups;
  for (int64_t i = 0; i < rank - 2; ++i)
    groups.push_back({i});
  groups.push_back({rank - 2, rank - 1});
  return tensor::CollapseShapeOp::create(b, loc, value, groups);
}

/// The scale of A per row as a row operand: `[T]`, or `[T, k]` where rows are
/// slots and the other row operands are `[T, k]`, too.
static Value rowScale(OpBuilder &b, Location loc, GroupedGemmOp gemm) {
  Value flat = joinLastTwo(b, loc, gemm.getAScale());
  bool byToken =
      gemm.getALayout() == RowLayout::Token && rowOperandRank(gemm) != 2;
  if (byToken)
    return flat;
  int64_t topk = gemm.getRouting().getType().getTopk();
  auto type = cast<RankedTensorType>(flat.getType());
  int64_t rows = type.getDimSize(0);
  bool dynamic = ShapedType::isDynamic(rows);
  OpFoldResult tokens = b.getIndexAttr(dynamic ? 0 : rows / topk);
  if (dynamic) {
    Value count = tensor::DimOp::create(b, loc, flat, 0);
    Value by = arith::ConstantIndexOp::create(b, loc, topk);
    tokens = arith::DivUIOp::create(b, loc, count, by).getResult();
  }
  auto shape = RankedTensorType::get(
      {dynamic ? ShapedType::kDynamic : rows / topk, topk},
      type.getElementType());
  SmallVector<ReassociationIndices> groups = {{0, 1}};
  SmallVector<OpFoldResult> sizes = {tokens, b.getIndexAttr(topk)};
  return tensor::ExpandShapeOp::create(b, loc, shape, flat, groups, sizes);
}

/// A tensor of one value as an expert operand: the value for every expert.
static Value splatToExperts(OpBuilder &b, Location loc, Value scale,
                            int64_t experts) {
  auto type = cast<ShapedType>(scale.getType());
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  SmallVector<Value> indices(type.getRank(), zero);
  Value one = tensor::ExtractOp::create(b, loc, scale, indices);
  return tensor::SplatOp::create(b, loc, one, ArrayRef<int64_t>{experts});
}

void FoldScales::count(const Placement &placement) {
  numEpilogue += placement.place == ScalePlace::Epilogue;
  numPromote += placement.place == ScalePlace::Promote;
  numOperand += placement.place == ScalePlace::Operand;
}

void FoldScales::fold(GroupedGemmOp gemm, RewriterBase &rewriter) {
  Placement a = placeA(gemm), b = placeB(gemm);
  if (a.place == ScalePlace::Promote && b.place == ScalePlace::Promote) {
    // A constant scale may be promoted in any run that covers K.
    int64_t k = gemm.getReductionSize();
    if (a.run >= k)
      a.run = llvm::alignTo(a.run, b.run);
    else if (b.run >= k)
      b.run = llvm::alignTo(b.run, a.run);
    if (std::max(a.run, b.run) % std::min(a.run, b.run) != 0)
      (a.run < b.run ? a : b) = {ScalePlace::Operand, 0, RegionOperand::None};
  }
  ZeroPlace zeroPlace = placeZero(gemm, b);
  count(a);
  count(b);
  numRowSum += zeroPlace == ZeroPlace::RowSum;

  Location loc = gemm.getLoc();
  rewriter.setInsertionPoint(gemm);
  GemmParts parts(gemm);
  parts.scales = ScalePlanAttr::get(rewriter.getContext(), a.place, a.run,
                                    b.place, b.run, zeroPlace);
  // Moved scales stand behind the former operands of their kind.
  unsigned rows = parts.row.size(), cols = parts.col.size(),
           experts = parts.expert.size();
  int64_t expertCount = gemm.getNumExperts();
  if (a.operand == RegionOperand::Row)
    parts.row.push_back(rowScale(rewriter, loc, gemm));
  if (a.operand == RegionOperand::Expert)
    parts.expert.push_back(
        splatToExperts(rewriter, loc, gemm.getAScale(), expertCount));
  if (b.operand == RegionOperand::Col)
    parts.col.push_back(joinLastTwo(rewriter, loc, gemm.getBScale()));
  if (b.operand == RegionOperand::Expert)
    parts.expert.push_back(joinLastTwo(
        rewriter, loc, joinLastTwo(rewriter, loc, gemm.getBScale())));
  if (a.place == ScalePlace::Epilogue)
    parts.aScale = Value();
  if (b.place == ScalePlace::Epilogue)
    parts.bScale = Value();

  if (zeroPlace == ZeroPlace::RowSum) {
    QuantAttr quant = gemm.getBQuantAttr();
    int64_t k = gemm.getReductionSize();
    int64_t group = quant.getScaleCols(k) == 1 ? k : quant.getGranuleCols();
    OpFoldResult count = tensor::getMixedSize(rewriter, loc, gemm.getA(), 0);
    Value init =
        createEmpty(rewriter, loc, {rewriter.getIndexAttr(k / group), count},
                    rewriter.getF32Type());
    parts.aSums = GroupSumOp::create(rewriter, loc, TypeRange(init.getType()),
                                     gemm.getA(), group, ValueRange(init))
                      .getResult(0);
  }

  auto folded = parts.create(
      rewriter, loc, [&](OpBuilder &builder, const EpilogueArgs &args) {
        EpilogueArgs former = args;
        former.row.truncate(rows);
        former.col.truncate(cols);
        former.expert.truncate(experts);
        for (auto [half, acc] : llvm::enumerate(former.acc)) {
          SmallVector<Value> factors;
          llvm::append_range(factors, ArrayRef(args.row).drop_front(rows));
          for (const auto &col : ArrayRef(args.col).drop_front(cols))
            factors.push_back(col[half]);
          llvm::append_range(factors,
                             ArrayRef(args.expert).drop_front(experts));
          if (factors.empty())
            continue;
          Value product = factors[0];
          for (Value factor : ArrayRef(factors).drop_front())
            product = arith::MulFOp::create(builder, loc, product, factor);
          acc = arith::MulFOp::create(builder, loc, acc, product);
        }
        return cloneScalarBody(builder, gemm.getEpilogue().front(),
                               former.flat());
      });
  std::string text;
  llvm::raw_string_ostream(text) << parts.scales;
  remark::passed(folded.getLoc(),
                 remark::RemarkOpts::name("scales").category(getArgument()))
      << remark::reason("{0} is the cheapest legal place", text);
  rewriter.replaceOp(gemm, folded);
}

void FoldScales::runOnOperation() {
  if (minRun < 1) {
    emitError(getOperation()->getLoc())
        << "moe-fold-scales: min-run must be positive, got " << int64_t(minRun);
    return signalPassFailure();
  }
  SmallVector<GroupedGemmOp> gemms;
  getOperation()->walk([&](GroupedGemmOp gemm) {
    bool quantised = gemm.getAQuantAttr() || gemm.getBQuantAttr();
    if (quantised && !gemm.getScalesAttr() && gemm->getNumResults() != 0)
      gemms.push_back(gemm);
  });
  IRRewriter rewriter(&getContext());
  for (GroupedGemmOp gemm : gemms)
    fold(gemm, rewriter);
}
