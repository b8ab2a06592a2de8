//===- MoeVerifyGemm.cpp - Verifiers of GEMM and quantisation ops ---------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::verify_detail;

//===----------------------------------------------------------------------===//
// Shared checks
//===----------------------------------------------------------------------===//

/// Shape of the scale of a tensor `[batch..., rows, columns]`.
static SmallVector<int64_t> scaleShape(ShapedType values, QuantAttr quant) {
  SmallVector<int64_t> shape(values.getShape().drop_back(2));
  int64_t rows = quant.getScaleRows(values.getShape().end()[-2]);
  int64_t cols = quant.getScaleCols(unpackedCols(values, quant));
  if (quant.getLayout() == ScaleLayout::GroupMajor)
    std::swap(rows, cols);
  shape.push_back(rows);
  shape.push_back(cols);
  return shape;
}

LogicalResult verify_detail::checkQuantised(Operation *op, StringRef label,
                                            StringRef what, Value values,
                                            Value scale, Value zero,
                                            QuantAttr quant, bool scaleMoved) {
  if (!quant) {
    if (scale || zero)
      return op->emitOpError() << label << ": " << what
                               << " has a scale or zero point but no quant";
    if (!isa<FloatType>(shaped(values).getElementType()))
      return op->emitOpError()
             << label << ": " << what << " of type "
             << shaped(values).getElementType() << " needs a quant";
    return success();
  }
  if (!scale && !scaleMoved)
    return op->emitOpError()
           << label << ": quantised " << what << " needs a scale";
  if (scale && scaleMoved)
    return op->emitOpError()
           << label << ": " << what
           << " has a scale, but the plan applies it in the epilogue";
  ShapedType type = shaped(values);
  if (type.getElementType() != quant.getStorageType())
    return op->emitOpError()
           << label << ": " << what << " must be stored as "
           << quant.getStorageType() << ", got " << type.getElementType();
  if (scale && shaped(scale).getElementType() != quant.getScale())
    return op->emitOpError()
           << label << ": scale of " << what << " must be " << quant.getScale()
           << ", got " << shaped(scale).getElementType();
  if (ShapedType::isDynamic(type.getShape().back()))
    return op->emitOpError()
           << label << ": columns of quantised " << what << " must be static";
  SmallVector<int64_t> shape = scaleShape(type, quant);
  if (scale &&
      failed(checkShape(op, label, ("scale of " + what).str(), scale, shape)))
    return failure();
  if ((quant.getZero() == ZeroPoint::Operand) != !!zero)
    return op->emitOpError() << label << ": " << what
                             << (zero ? " has a zero point operand, but its "
                                        "quant says otherwise"
                                      : " needs a zero point operand");
  if (!zero)
    return success();
  if (!isa<IntegerType>(shaped(zero).getElementType()))
    return op->emitOpError()
           << label << ": zero point of " << what << " must be integers, got "
           << shaped(zero).getElementType();
  return checkShape(op, label, ("zero point of " + what).str(), zero, shape);
}

LogicalResult verify_detail::checkScalarBody(Operation *op, StringRef label,
                                             Region &region, unsigned numArgs) {
  Block &block = region.front();
  if (block.getNumArguments() != numArgs)
    return op->emitOpError()
           << label << ": region has " << block.getNumArguments()
           << " arguments, expected " << numArgs;
  for (BlockArgument arg : block.getArguments())
    if (!arg.getType().isF32())
      return op->emitOpError()
             << label << ": region argument " << arg.getArgNumber()
             << " must be f32, got " << arg.getType();
  // Values from outside are excluded by IsolatedFromAbove.
  for (Operation &inner : block.without_terminator()) {
    Dialect *dialect = inner.getDialect();
    if (!isa_and_nonnull<arith::ArithDialect, math::MathDialect>(dialect))
      return op->emitOpError() << label
                               << ": region may hold arith and math "
                                  "ops only, found "
                               << inner.getName();
  }
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield)
    return op->emitOpError() << label << ": region must yield one f32";
  return success();
}

/// Values and scales that a fresh quantisation of `[rows, cols]` gives.
static LogicalResult checkFreshQuant(Operation *op, StringRef label,
                                     QuantAttr quant, int64_t rows,
                                     int64_t cols, ValueRange outs) {
  if (outs.size() != 2)
    return op->emitOpError() << label
                             << ": quantisation needs two results "
                                "(values, scales), got "
                             << outs.size();
  if (ShapedType::isDynamic(cols))
    return op->emitOpError() << label << ": columns must be static";
  int64_t unit = quant.getColsPerStored();
  if (cols % unit)
    return op->emitOpError()
           << label << ": " << cols
           << " columns do not fill stored elements of " << unit;
  if (failed(checkShape(op, label, "values", outs[0], {rows, cols / unit})))
    return failure();
  return checkQuantised(op, label, "result", outs[0], outs[1], Value(), quant);
}

//===----------------------------------------------------------------------===//
// GroupedGemmOp
//===----------------------------------------------------------------------===//

/// ggemm_c13 for one operand.
static LogicalResult checkPlace(GroupedGemmOp op, StringRef side,
                                QuantAttr quant, ScalePlace place,
                                int64_t run) {
  if (!quant != (place == ScalePlace::None))
    return op.emitOpError("ggemm_c13: ")
           << side << (quant ? " is quantised" : " is not quantised")
           << ", but the plan says " << stringifyScalePlace(place);
  if (!quant)
    return success();
  int64_t k = op.getReductionSize();
  int64_t groups = quant.getScaleCols(k);
  if (place == ScalePlace::Epilogue && groups != 1)
    return op.emitOpError("ggemm_c13: the scale of ")
           << side << " has " << groups
           << " groups along K, the plan's epilogue needs 1";
  if (place != ScalePlace::Promote)
    return success();
  bool covers = groups == 1 && run >= k;
  int64_t granule = quant.getGranuleCols();
  if (granule == QuantAttr::kWhole)
    granule = k;
  if (!covers && granule % run)
    return op.emitOpError("ggemm_c13: promote ")
           << run << " does not divide the K granule " << granule << " of "
           << side;
  return success();
}

/// ggemm_c12 and ggemm_c13.
static LogicalResult checkPlan(GroupedGemmOp op) {
  ScalePlanAttr plan = op.getScalesAttr();
  QuantAttr quant = op.getBQuantAttr();
  bool rowSum = plan && plan.getZero() == ZeroPlace::RowSum;
  if (plan && (failed(checkPlace(op, "a", op.getAQuantAttr(), plan.getA(),
                                 plan.getARun())) ||
               failed(checkPlace(op, "b", quant, plan.getB(), plan.getBRun()))))
    return failure();
  // ggemm_c12
  if (rowSum != !!op.getASums())
    return op.emitOpError("ggemm_c12: sums ")
           << (rowSum ? "are missing, the plan says zero = row_sum"
                      : "need a plan with zero = row_sum");
  if (!rowSum)
    return success();
  if (!quant || quant.getZero() == ZeroPoint::None || op.getAQuantAttr())
    return op.emitOpError(
        "ggemm_c12: row_sum needs a zero point of b and a plain a");
  int64_t k = op.getReductionSize();
  int64_t granule = quant.getScaleCols(k) == 1 ? k : quant.getGranuleCols();
  if (k % granule)
    return op.emitOpError("ggemm_c12: the K granule ")
           << granule << " of b does not divide K " << k;
  if (!shaped(op.getASums()).getElementType().isF32())
    return op.emitOpError("ggemm_c12: sums must be f32, got ")
           << shaped(op.getASums()).getElementType();
  return checkShape(op, "ggemm_c12", "sums", op.getASums(),
                    {k / granule, shaped(op.getA()).getDimSize(0)});
}

LogicalResult GroupedGemmOp::verify() {
  Operation *op = getOperation();
  constexpr int64_t any = ShapedType::kDynamic;
  RoutingType routing = getRouting().getType();

  // ggemm_c1
  if (failed(checkShape(op, "ggemm_c1", "a", getA(), {any, any})) ||
      failed(checkShape(op, "ggemm_c1", "b", getB(), {any, any, any})))
    return failure();
  if (!shaped(getB()).hasStaticShape())
    return emitOpError("ggemm_c1: the extents of b must be static");
  int64_t k = getReductionSize();
  int64_t bk = unpackedCols(shaped(getB()), getBQuantAttr());
  if (k != bk)
    return emitOpError("ggemm_c1: reduction sizes differ, a has ")
           << extentText(k) << " and b " << bk;

  // ggemm_c2
  int64_t rows = getWeightRows();
  if (auto gateUp = getGateUpAttr()) {
    if (rows % 2)
      return emitOpError("ggemm_c2: gate_up needs an even number of rows of b, "
                         "got ")
             << rows;
    if (gateUp.getKind() == GateUpKind::Blocks &&
        (rows / 2) % gateUp.getBlock())
      return emitOpError("ggemm_c2: gate_up blocks of ")
             << gateUp.getBlock() << " do not divide " << rows / 2;
  }

  // ggemm_c7
  if (shaped(getB()).getDimSize(0) != routing.getExperts())
    return emitOpError("ggemm_c7: b has ")
           << shaped(getB()).getDimSize(0) << " experts, routing "
           << routing.getExperts();
  int64_t cols = getOutCols();
  for (Value col : getColOperands()) {
    ShapedType type = shaped(col);
    bool ok = type.getRank() == 2 &&
              type.getDimSize(0) == routing.getExperts() &&
              (type.getDimSize(1) == cols || type.getDimSize(1) == rows);
    if (!ok)
      return emitOpError("ggemm_c7: a col operand must be ")
             << shapeText({routing.getExperts(), cols})
             << (getGateUpAttr()
                     ? " or " + shapeText({routing.getExperts(), rows})
                     : std::string())
             << ", got " << shapeText(type.getShape());
  }
  for (Value expert : getExpertOperands())
    if (failed(checkShape(op, "ggemm_c7", "an expert operand", expert,
                          {routing.getExperts()})))
      return failure();
  for (Value elt : getEltOperands())
    if (failed(checkShape(op, "ggemm_c7", "an elt operand", elt, {any, cols})))
      return failure();

  // ggemm_c5
  std::optional<int64_t> rank;
  for (Value row : getRowOperands()) {
    ShapedType type = shaped(row);
    if (type.getRank() < 1 || type.getRank() > 2 ||
        (type.getRank() == 2 &&
         !sameExtent(type.getDimSize(1), routing.getTopk())))
      return emitOpError("ggemm_c5: a row operand must be [T] or [T, ")
             << routing.getTopk() << "], got " << shapeText(type.getShape());
    if (rank && *rank != type.getRank())
      return emitOpError(
                 "ggemm_c5: row operands mix the index spaces of tokens "
                 "and slots (ranks ")
             << *rank << " and " << type.getRank() << ")";
    rank = type.getRank();
  }

  // ggemm_c6
  ScalePlanAttr plan = getScalesAttr();
  if (failed(checkQuantised(op, "ggemm_c6", "a", getA(), getAScale(), Value(),
                            getAQuantAttr(),
                            plan && plan.getA() == ScalePlace::Epilogue)) ||
      failed(checkQuantised(op, "ggemm_c6", "b", getB(), getBScale(),
                            getBZero(), getBQuantAttr(),
                            plan && plan.getB() == ScalePlace::Epilogue)))
    return failure();
  if (failed(checkPlan(*this)))
    return failure();

  // ggemm_c4, ggemm_c9, ggemm_c3
  bool toTokens = getOut() == RowLayout::Token;
  if (QuantAttr quant = getQuantizeAttr()) {
    if (toTokens)
      return emitOpError(
          "ggemm_c4: out = token sums slots and cannot quantize");
    int64_t granule = quant.getGranuleCols();
    if (granule != QuantAttr::kWhole && cols % granule)
      return emitOpError("ggemm_c3: quantize granule of ")
             << granule << " columns does not divide the " << cols
             << " result columns";
    if (failed(checkFreshQuant(op, "ggemm_c9", quant, any, cols, getOuts())))
      return failure();
  } else {
    if (getOuts().size() != 1)
      return emitOpError("ggemm_c9: needs one result without quantize, got ")
             << getOuts().size();
    if (failed(checkShape(op, toTokens ? "ggemm_c4" : "ggemm_c9", "result",
                          getOuts()[0], {any, cols})))
      return failure();
    if (!isa<FloatType>(shaped(getOuts()[0]).getElementType()))
      return emitOpError("ggemm_c9: result must be a float type, got ")
             << shaped(getOuts()[0]).getElementType();
  }

  // ggemm_c11
  if ((getRows() == RowSource::Gather) != (getALayout() == RowLayout::Token))
    return emitOpError("ggemm_c11: rows = ")
           << stringifyRowSource(getRows()) << " does not go with a_layout = "
           << stringifyRowLayout(getALayout());

  // ggemm_c10
  if (ArrayAttr list = getConfigAttr()) {
    for (ConfigAttr config : list.getAsRange<ConfigAttr>()) {
      int64_t blockK = config.getBlockK();
      for (auto [quant, side] :
           {std::pair<QuantAttr, StringRef>{getAQuantAttr(), "a"},
            {getBQuantAttr(), "b"}}) {
        if (!quant || blockK == 0 ||
            quant.getGranuleCols() == QuantAttr::kWhole)
          continue;
        int64_t granule = quant.getGranuleCols();
        bool promotes =
            getScalesAttr() &&
            (side == "a" ? getScalesAttr().getA() : getScalesAttr().getB()) !=
                ScalePlace::Epilogue;
        if (granule % blockK == 0 || (blockK % granule == 0 && promotes))
          continue;
        return emitOpError("ggemm_c10: block k of ")
               << blockK << " spans two scale groups of " << granule
               << " columns of " << side;
      }
    }
  }
  return success();
}

LogicalResult GroupedGemmOp::verifyRegions() {
  // ggemm_c8
  unsigned args = getGateUpAttr() ? 2 : 1;
  args += getRowOperands().size() + getExpertOperands().size() +
          getEltOperands().size();
  for (unsigned i = 0; i < getColOperands().size(); ++i)
    args += getNumColArgs(i);
  return checkScalarBody(*this, "ggemm_c8", getEpilogue(), args);
}

//===----------------------------------------------------------------------===//
// ActivateOp
//===----------------------------------------------------------------------===//

LogicalResult ActivateOp::verify() {
  constexpr int64_t any = ShapedType::kDynamic;
  // activate_c1
  if (getOuts().size() != 1)
    return emitOpError("activate_c1: needs one result, got ")
           << getOuts().size();
  if (failed(checkShape(*this, "activate_c1", "input", getX(), {any, any})))
    return failure();
  int64_t cols = shaped(getX()).getDimSize(1);
  if (getGateUpAttr() && !ShapedType::isDynamic(cols)) {
    if (cols % 2)
      return emitOpError(
                 "activate_c1: gate_up needs an even number of columns, "
                 "got ")
             << cols;
    cols /= 2;
    if (getGateUpAttr().getKind() == GateUpKind::Blocks &&
        cols % getGateUpAttr().getBlock())
      return emitOpError("activate_c1: gate_up blocks of ")
             << getGateUpAttr().getBlock() << " do not divide " << cols;
  }
  return checkShape(*this, "activate_c1", "result", getOuts()[0],
                    {shaped(getX()).getDimSize(0), cols});
}

LogicalResult ActivateOp::verifyRegions() {
  // activate_c2
  return checkScalarBody(*this, "activate_c2", getBody(),
                         getGateUpAttr() ? 2 : 1);
}

//===----------------------------------------------------------------------===//
// Quantisation
//===----------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  constexpr int64_t any = ShapedType::kDynamic;
  // quantize_c1
  if (failed(checkShape(*this, "quantize_c1", "input", getX(), {any, any})))
    return failure();
  if (!isa<FloatType>(shaped(getX()).getElementType()))
    return emitOpError("quantize_c1: input must be floats, got ")
           << shaped(getX()).getElementType();
  QuantAttr quant = getQuant();
  // quantize_c3
  if (quant.getZero() != ZeroPoint::None || quant.getGranuleRows() != 1)
    return emitOpError("quantize_c3: dynamic quantisation is symmetric with "
                       "granules of one row");
  if (getMaxFinite(quant.getElem()) == 0)
    return emitOpError("quantize_c3: cannot quantise to ") << quant.getElem();
  // quantize_c2
  return checkFreshQuant(*this, "quantize_c2", quant,
                         shaped(getX()).getDimSize(0),
                         shaped(getX()).getDimSize(1), getOuts());
}

LogicalResult DequantizeOp::verify() {
  // dequantize_c1
  if (shaped(getValues()).getRank() < 2)
    return emitOpError("dequantize_c1: values need rank >= 2, got ")
           << shaped(getValues()).getRank();
  if (getOuts().size() != 1)
    return emitOpError("dequantize_c1: needs one result, got ")
           << getOuts().size();
  SmallVector<int64_t> shape(shaped(getValues()).getShape());
  shape.back() = unpackedCols(shaped(getValues()), getQuant());
  if (failed(checkShape(*this, "dequantize_c1", "result", getOuts()[0], shape)))
    return failure();
  if (!isa<FloatType>(shaped(getOuts()[0]).getElementType()))
    return emitOpError("dequantize_c1: result must be floats, got ")
           << shaped(getOuts()[0]).getElementType();
  // dequantize_c2
  bool wants = getQuant().getZero() == ZeroPoint::Operand;
  if (wants != !!getZero())
    return emitOpError("dequantize_c2: zero operand ")
           << (wants ? "is missing" : "is not in the quant");
  return checkQuantised(*this, "dequantize_c1", "values", getValues(),
                        getScale(), getZero(), getQuant());
}

LogicalResult GroupSumOp::verify() {
  constexpr int64_t any = ShapedType::kDynamic;
  // group_sum_c1
  int64_t group = getGroup();
  if (failed(checkShape(*this, "group_sum_c1", "input", getX(), {any, any})))
    return failure();
  int64_t cols = shaped(getX()).getDimSize(1);
  if (group < 1 || ShapedType::isDynamic(cols) || cols % group)
    return emitOpError("group_sum_c1: group ")
           << group << " must divide the static columns, got "
           << extentText(cols);
  if (getOuts().size() != 1 || !shaped(getOuts()[0]).getElementType().isF32())
    return emitOpError("group_sum_c1: needs one f32 result");
  return checkShape(*this, "group_sum_c1", "result", getOuts()[0],
                    {cols / group, shaped(getX()).getDimSize(0)});
}

LogicalResult RepackOp::verify() {
  QuantAttr from = getFrom(), to = getTo();
  // repack_c1
  if (getOuts().size() != 1)
    return emitOpError("repack_c1: needs one result, got ") << getOuts().size();
  ShapedType in = shaped(getW()), out = shaped(getOuts()[0]);
  if (in.getElementType() != from.getStorageType() ||
      out.getElementType() != to.getStorageType())
    return emitOpError("repack_c1: storage must be ")
           << from.getStorageType() << " and " << to.getStorageType()
           << ", got " << in.getElementType() << " and "
           << out.getElementType();
  if (in.getRank() < 2)
    return emitOpError("repack_c1: weights need rank >= 2, got ")
           << in.getRank();
  int64_t cols = unpackedCols(in, from);
  SmallVector<int64_t> shape(in.getShape());
  if (ShapedType::isDynamic(cols) || cols % to.getColsPerStored())
    return emitOpError("repack_c1: ")
           << extentText(cols) << " columns do not fill stored elements of "
           << to.getColsPerStored();
  shape.back() = cols / to.getColsPerStored();
  if (failed(checkShape(*this, "repack_c1", "result", getOuts()[0], shape)))
    return failure();
  // repack_c2
  bool toFnuz = isa<Float8E4M3FNType>(from.getElem()) &&
                isa<Float8E4M3FNUZType>(to.getElem());
  if (from.getElem() != to.getElem() && !toFnuz)
    return emitOpError("repack_c2: cannot repack ")
           << from.getElem() << " to " << to.getElem();
  return success();
}
