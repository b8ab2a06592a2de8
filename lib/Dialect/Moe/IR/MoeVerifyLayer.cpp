//===- MoeVerifyLayer.cpp - Verifiers of layer and routing ops ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::verify_detail;

//===----------------------------------------------------------------------===//
// FusedExpertsOp
//===----------------------------------------------------------------------===//

LogicalResult FusedExpertsOp::verify() {
  Operation *op = getOperation();
  constexpr int64_t any = ShapedType::kDynamic;

  // fused_c1
  if (failed(checkShape(op, "fused_c1", "x", getX(), {any, any})))
    return failure();
  int64_t tokens = shaped(getX()).getDimSize(0);
  int64_t hidden = shaped(getX()).getDimSize(1);
  if (ShapedType::isDynamic(hidden))
    return emitOpError("fused_c1: the hidden size must be static");
  if (failed(
          checkShape(op, "fused_c1", "topk ids", getTopkIds(), {tokens, any})))
    return failure();
  int64_t topk = shaped(getTopkIds()).getDimSize(1);
  if (ShapedType::isDynamic(topk) || topk < 1)
    return emitOpError("fused_c1: top-k must be static and positive, got ")
           << extentText(topk);
  if (failed(checkShape(op, "fused_c1", "topk weights", getTopkWeights(),
                        {tokens, topk})))
    return failure();
  if (!shaped(getTopkIds()).getElementType().isInteger(32))
    return emitOpError("fused_c1: topk ids must be i32, got ")
           << shaped(getTopkIds()).getElementType();
  if (!isa<FloatType>(shaped(getTopkWeights()).getElementType()) ||
      !isa<FloatType>(shaped(getX()).getElementType()))
    return emitOpError("fused_c1: x and topk weights must be floats");

  // fused_c2
  if (failed(checkShape(op, "fused_c2", "w1", getW1(), {any, any, any})) ||
      failed(checkShape(op, "fused_c2", "w2", getW2(),
                        {shaped(getW1()).getDimSize(0), any, any})))
    return failure();
  if (!shaped(getW1()).hasStaticShape() || !shaped(getW2()).hasStaticShape())
    return emitOpError("fused_c2: weight extents must be static");
  int64_t experts = shaped(getW1()).getDimSize(0);

  // fused_c3
  int64_t w1Cols = unpackedCols(shaped(getW1()), getW1QuantAttr());
  int64_t w2Rows = shaped(getW2()).getDimSize(1);
  if (w1Cols != hidden || w2Rows != hidden)
    return emitOpError("fused_c3: columns of w1 (")
           << w1Cols << ") and rows of w2 (" << w2Rows
           << ") must equal the hidden size " << hidden;

  // fused_c4
  int64_t inter = unpackedCols(shaped(getW2()), getW2QuantAttr());
  int64_t w1Rows = shaped(getW1()).getDimSize(1);
  bool gated = getActivation().isGated();
  if (w1Rows != (gated ? 2 : 1) * inter)
    return emitOpError("fused_c4: w1 has ")
           << w1Rows << " rows, expected " << (gated ? 2 : 1) * inter << " ("
           << (gated ? "gate and up of" : "") << " intermediate size " << inter
           << ")";

  // fused_c5
  if (failed(checkQuantised(op, "fused_c5", "w1", getW1(), getW1Scale(),
                            getW1Zero(), getW1QuantAttr())) ||
      failed(checkQuantised(op, "fused_c5", "w2", getW2(), getW2Scale(),
                            getW2Zero(), getW2QuantAttr())))
    return failure();

  // fused_c6
  if (gated != !!getGateUpAttr())
    return emitOpError("fused_c6: activation ")
           << stringifyActivationKind(getActivation().getKind())
           << (gated ? " needs gate_up"
                     : " has no gate, gate_up is not allowed");
  if (auto gateUp = getGateUpAttr())
    if (gateUp.getKind() == GateUpKind::Blocks && inter % gateUp.getBlock())
      return emitOpError("fused_c6: gate_up blocks of ")
             << gateUp.getBlock() << " do not divide the intermediate size "
             << inter;

  // fused_c7
  if (getB1() &&
      failed(checkShape(op, "fused_c7", "b1", getB1(), {experts, w1Rows})))
    return failure();
  if (getB2() &&
      failed(checkShape(op, "fused_c7", "b2", getB2(), {experts, hidden})))
    return failure();
  for (auto [value, name] :
       {std::pair<Value, StringRef>{getW1Global(), "w1 global"},
        {getW2Global(), "w2 global"}})
    if (value && failed(checkShape(op, "fused_c7", name, value, {experts})))
      return failure();
  if (getExpertMap() &&
      failed(checkShape(op, "fused_c7", "expert map", getExpertMap(), {any})))
    return failure();
  if (getSharedW1()) {
    if (!getSharedW2())
      return emitOpError("fused_c7: shared needs both weights");
    if (failed(checkShape(op, "fused_c7", "shared w1", getSharedW1(),
                          {any, any})) ||
        failed(checkShape(op, "fused_c7", "shared w2", getSharedW2(),
                          {hidden, any})))
      return failure();
    QuantAttr quant = getSharedQuantAttr();
    int64_t cols = unpackedCols(shaped(getSharedW1()), quant);
    int64_t width = unpackedCols(shaped(getSharedW2()), quant);
    if (cols != hidden ||
        shaped(getSharedW1()).getDimSize(0) != (gated ? 2 : 1) * width)
      return emitOpError("fused_c7: shared w1 must be ")
             << shapeText({(gated ? 2 : 1) * width, hidden}) << ", got "
             << shapeText({shaped(getSharedW1()).getDimSize(0), cols});
    if (getGateUpAttr() && getGateUpAttr().getKind() == GateUpKind::Blocks &&
        width % getGateUpAttr().getBlock())
      return emitOpError("fused_c7: gate_up blocks of ")
             << getGateUpAttr().getBlock()
             << " do not divide the shared intermediate size " << width;
    if (failed(checkQuantised(op, "fused_c7", "shared w1", getSharedW1(),
                              getSharedW1Scale(), Value(), quant)) ||
        failed(checkQuantised(op, "fused_c7", "shared w2", getSharedW2(),
                              getSharedW2Scale(), Value(), quant)))
      return failure();
    if (getSharedGate() && failed(checkShape(op, "fused_c7", "shared gate",
                                             getSharedGate(), {hidden})))
      return failure();
  }

  // fused_c8
  if (getWeightPlace() == WeightPlace::Input && topk != 1)
    return emitOpError("fused_c8: weight_place = input needs top-k 1, got ")
           << topk;

  // fused_c9
  if (auto quant = getActQuantAttr()) {
    int64_t cols = quant.getGranuleCols();
    if (cols != QuantAttr::kWhole && (hidden % cols || inter % cols))
      return emitOpError("fused_c9: act_quant granule of ")
             << cols << " columns must divide the hidden size " << hidden
             << " and the intermediate size " << inter;
    if (quant.getZero() != ZeroPoint::None || quant.getGranuleRows() != 1)
      return emitOpError("fused_c9: act_quant must be symmetric with granules "
                         "of one row");
    if (getMaxFinite(quant.getElem()) == 0)
      return emitOpError("fused_c9: cannot quantise activations to ")
             << quant.getElem();
    int64_t unit = quant.getColsPerStored();
    int64_t width = getSharedW2() ? unpackedCols(shaped(getSharedW2()),
                                                 getSharedQuantAttr())
                                  : 0;
    if (hidden % unit || inter % unit || width % unit)
      return emitOpError("fused_c9: act_quant stores ")
             << unit << " columns together, which must divide the hidden size "
             << hidden << " and the intermediate sizes " << inter << " and "
             << width;
  }

  // fused_c10
  if (getOuts().size() != 1)
    return emitOpError("fused_c10: needs one result, got ") << getOuts().size();
  if (!isa<FloatType>(shaped(getOuts()[0]).getElementType()))
    return emitOpError("fused_c10: result must be a float type, got ")
           << shaped(getOuts()[0]).getElementType();
  return checkShape(op, "fused_c10", "result", getOuts()[0], {tokens, hidden});
}

//===----------------------------------------------------------------------===//
// Routing
//===----------------------------------------------------------------------===//

LogicalResult TopkOp::verify() {
  Operation *op = getOperation();
  constexpr int64_t any = ShapedType::kDynamic;
  // topk_c1
  if (failed(checkShape(op, "topk_c1", "logits", getLogits(), {any, any})))
    return failure();
  int64_t tokens = shaped(getLogits()).getDimSize(0);
  int64_t experts = shaped(getLogits()).getDimSize(1);
  if (getOuts().size() != 2)
    return emitOpError("topk_c1: needs two results (ids, weights), got ")
           << getOuts().size();
  if (failed(checkShape(op, "topk_c1", "ids", getOuts()[0], {tokens, any})))
    return failure();
  int64_t topk = shaped(getOuts()[0]).getDimSize(1);
  if (ShapedType::isDynamic(experts) || ShapedType::isDynamic(topk) ||
      topk < 1 || topk > experts)
    return emitOpError("topk_c1: needs 1 <= k <= E, both static, got k ")
           << extentText(topk) << " and E " << extentText(experts);
  if (failed(
          checkShape(op, "topk_c1", "weights", getOuts()[1], {tokens, topk})))
    return failure();
  if (!shaped(getOuts()[0]).getElementType().isInteger(32) ||
      !shaped(getOuts()[1]).getElementType().isF32() ||
      !isa<FloatType>(shaped(getLogits()).getElementType()))
    return emitOpError("topk_c1: logits must be floats, ids i32, weights f32");

  // topk_c2
  int64_t groups = getGroups(), chosen = getTopkGroups();
  if (groups < 1 || experts % groups || chosen < 1 || chosen > groups ||
      chosen * (experts / groups) < topk)
    return emitOpError("topk_c2: ")
           << chosen << " of " << groups << " groups of " << experts
           << " experts cannot give k = " << topk;

  // topk_c3
  if (getBias() &&
      failed(checkShape(op, "topk_c3", "bias", getBias(), {experts})))
    return failure();

  // topk_c4
  if (getGroupScore() == GroupScore::Top2Sum && experts / groups < 2)
    return emitOpError(
               "topk_c4: top2_sum needs at least 2 experts per group, got ")
           << experts / groups;
  return success();
}

/// Whether an op makes rows from the rows of the same numbers of others.
static bool isRowByRow(Operation *op) {
  return isa<QuantizeOp, DequantizeOp, ActivateOp, GroupSumOp>(op);
}

/// Whether rows of layout expert_sorted that an op makes or passes on are read
/// by products and sums of `routing` alone.
static bool staysInside(Operation *op, Value routing) {
  if (op->getNumResults() == 0)
    return false; // who reads a buffer is not known
  for (Operation *user : op->getUsers()) {
    if (auto gemm = dyn_cast<GroupedGemmOp>(user)) {
      if (gemm.getRouting() != routing)
        return false;
    } else if (auto combine = dyn_cast<CombineOp>(user)) {
      if (combine.getRouting() != routing)
        return false;
    } else if (!isRowByRow(user) || !staysInside(user, routing)) {
      return false;
    }
  }
  return true;
}

/// Whether rows of layout expert_sorted come from a product of `routing`.
static bool comesFromInside(Value rows, Value routing) {
  Operation *op = rows.getDefiningOp();
  while (op && isRowByRow(op))
    op = op->getOperand(0).getDefiningOp();
  auto gemm = dyn_cast_or_null<GroupedGemmOp>(op);
  return gemm && gemm.getRouting() == routing &&
         gemm.getOut() == RowLayout::ExpertSorted;
}

std::string AlignOp::whyNotDirect() {
  Value routing = getRouting();
  for (Operation *user : routing.getUsers()) {
    RowLayout in = RowLayout::FlatTopk, out = RowLayout::FlatTopk;
    Value rows;
    if (auto gemm = dyn_cast<GroupedGemmOp>(user)) {
      if (gemm.getRows() == RowSource::Slots)
        in = gemm.getALayout();
      out = gemm.getOut();
      rows = gemm.getA();
    } else if (auto combine = dyn_cast<CombineOp>(user)) {
      in = combine.getLayout();
      rows = combine.getD();
    } else if (auto count = dyn_cast<NumSlotsOp>(user)) {
      out = count.getLayout();
    } else {
      return (user->getName().getStringRef() + " needs sorted slots").str();
    }
    for (RowLayout layout : {in, out})
      if (layout == RowLayout::ExpertSortedPadded)
        return (user->getName().getStringRef() +
                " has rows of layout expert_sorted_padded")
            .str();
    if ((in == RowLayout::ExpertSorted && !comesFromInside(rows, routing)) ||
        (out == RowLayout::ExpertSorted && !isa<NumSlotsOp>(user) &&
         !staysInside(user, routing)))
      return ("rows of layout expert_sorted of " +
              user->getName().getStringRef() +
              " are seen by others than products and sums of the routing")
          .str();
  }
  return {};
}

LogicalResult AlignOp::verify() {
  constexpr int64_t any = ShapedType::kDynamic;
  // align_c1
  if (failed(checkShape(*this, "align_c1", "ids", getIds(),
                        {any, getRouting().getType().getTopk()})))
    return failure();
  if (!shaped(getIds()).getElementType().isInteger(32))
    return emitOpError("align_c1: ids must be i32, got ")
           << shaped(getIds()).getElementType();
  // align_c2
  if (Value map = getExpertMap()) {
    if (failed(checkShape(*this, "align_c2", "expert map", map, {any})))
      return failure();
    if (!shaped(map).getElementType().isInteger(32))
      return emitOpError("align_c2: expert map must be i32, got ")
             << shaped(map).getElementType();
  }
  // align_c3
  if (isDirect())
    if (std::string reason = whyNotDirect(); !reason.empty())
      return emitOpError("align_c3: form = direct: ") << reason;
  return success();
}

LogicalResult RouteAllOp::verify() {
  // route_all_c1
  RoutingType type = getRouting().getType();
  if (type.getTopk() != type.getExperts())
    return emitOpError("route_all_c1: topk ")
           << type.getTopk() << " must equal experts " << type.getExperts();
  return success();
}

LogicalResult DenseWeightsOp::verify() {
  Operation *op = getOperation();
  constexpr int64_t any = ShapedType::kDynamic;
  // dense_weights_c1
  if (failed(
          checkShape(op, "dense_weights_c1", "ids", getTopkIds(), {any, any})))
    return failure();
  ArrayRef<int64_t> ids = shaped(getTopkIds()).getShape();
  if (failed(
          checkShape(op, "dense_weights_c1", "weights", getTopkWeights(), ids)))
    return failure();
  // dense_weights_c2
  if (getOuts().size() != 1 || !shaped(getOuts()[0]).getElementType().isF32())
    return emitOpError("dense_weights_c2: needs one f32 result");
  if (failed(checkShape(op, "dense_weights_c2", "result", getOuts()[0],
                        {ids[0], any})))
    return failure();
  if (getFactor())
    return checkShape(op, "dense_weights_c2", "factor", getFactor(),
                      {shaped(getOuts()[0]).getDimSize(1)});
  return success();
}

LogicalResult DispatchOp::verify() {
  constexpr int64_t any = ShapedType::kDynamic;
  // dispatch_c1
  if (getLayout() == RowLayout::Token)
    return emitOpError(
        "dispatch_c1: layout must hold one row per slot, got token");
  if (getOuts().size() != 1)
    return emitOpError("dispatch_c1: needs one result, got ")
           << getOuts().size();
  if (failed(checkShape(*this, "dispatch_c1", "input", getX(), {any, any})))
    return failure();
  if (shaped(getOuts()[0]).getElementType() != shaped(getX()).getElementType())
    return emitOpError("dispatch_c1: result and input differ in element type");
  return checkShape(*this, "dispatch_c1", "result", getOuts()[0],
                    {any, shaped(getX()).getDimSize(1)});
}

LogicalResult CombineOp::verify() {
  Operation *op = getOperation();
  constexpr int64_t any = ShapedType::kDynamic;
  // combine_c1
  if (failed(checkShape(op, "combine_c1", "d", getD(), {any, any})))
    return failure();
  int64_t cols = shaped(getD()).getDimSize(1);
  if (getOuts().size() != 1)
    return emitOpError("combine_c1: needs one result, got ")
           << getOuts().size();
  if (failed(checkShape(op, "combine_c1", "result", getOuts()[0], {any, cols})))
    return failure();
  int64_t tokens = shaped(getOuts()[0]).getDimSize(0);
  if (getAdd() &&
      failed(checkShape(op, "combine_c1", "add", getAdd(), {tokens, cols})))
    return failure();
  // combine_c2
  if (getWeights() &&
      failed(checkShape(op, "combine_c2", "weights", getWeights(),
                        {tokens, getRouting().getType().getTopk()})))
    return failure();
  // combine_c3
  if (getLayout() == RowLayout::Token)
    return emitOpError(
        "combine_c3: layout must hold one row per slot, got token");
  // combine_c5
  if (getKeep() && !getWeights())
    return emitOpError("combine_c5: keep needs weights");
  // combine_c4
  if (getAddGate()) {
    if (!getAdd())
      return emitOpError("combine_c4: add_gate needs add");
    return checkShape(op, "combine_c4", "add_gate", getAddGate(), {tokens});
  }
  return success();
}
