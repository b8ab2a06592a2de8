//===- DecomposeLayer.cpp - A whole layer as basic ops --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"
#include "GemmUtils.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEDECOMPOSELAYER
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {

/// A value with the scale that its quantisation gave (null if plain).
struct Activations {
  Value values, scale;
};

/// One weight of a chain with all that belongs to it; null where absent.
struct Weight {
  Value values, scale, zero, global, bias;
  QuantAttr quant;
};

/// Builds the basic ops of one layer in front of it.
class LayerBuilder {
public:
  LayerBuilder(FusedExpertsOp layer, RewriterBase &rewriter)
      : layer(layer), b(rewriter), loc(layer.getLoc()) {
    b.setInsertionPoint(layer);
    tokens = tensor::getMixedSize(b, loc, layer.getX(), 0);
    actQuant = layer.getActQuantAttr();
  }

  void build();

private:
  Type elementType(Value v) {
    return cast<ShapedType>(v.getType()).getElementType();
  }

  /// Slots of a routing, T * k; one arithmetic op per layer and k.
  OpFoldResult slotCount(Value routing) {
    int64_t topk = cast<RoutingType>(routing.getType()).getTopk();
    OpFoldResult &count = slotCounts[topk];
    if (!count)
      count = mulExtent(b, loc, tokens, topk);
    return count;
  }

  /// x as the first projections read it: quantised by `act_quant` if given.
  Activations quantised(Value x, OpFoldResult rows, int64_t cols);

  /// One projection to f32 rows in flat top-k order, with the global factor,
  /// the weight per slot and the bias of its accumulator.
  Value project(Activations a, RowSource rows, const Weight &w, Value routing,
                Value slotWeight);

  /// First projection, activation with its rounding, second projection.
  Value chain(Activations x, const Weight &w1, const Weight &w2, Value routing,
              Value inputWeight);

  /// `[rows, cols]` as one expert `[1, rows, cols]`; null stays null.
  Value asOneExpert(Value v);

  /// x . gate as `[T]` f32.
  Value gateLogits(Value routing);

  FusedExpertsOp layer;
  RewriterBase &b;
  Location loc;
  OpFoldResult tokens;
  llvm::SmallDenseMap<int64_t, OpFoldResult> slotCounts;
  QuantAttr actQuant;
};

} // namespace

Activations LayerBuilder::quantised(Value x, OpFoldResult rows, int64_t cols) {
  if (!actQuant)
    return {x, Value()};
  SmallVector<Value> inits = createQuantInits(b, loc, rows, cols, actQuant);
  auto op = QuantizeOp::create(b, loc, ValueRange(inits).getTypes(), x,
                               actQuant, inits);
  return {op.getResult(0), op.getResult(1)};
}

Value LayerBuilder::project(Activations a, RowSource rows, const Weight &w,
                            Value routing, Value slotWeight) {
  auto type = cast<ShapedType>(w.values.getType());
  OpFoldResult slots = slotCount(routing);

  GemmParts gemm;
  gemm.a = a.values;
  gemm.aScale = a.scale;
  gemm.aQuant = a.scale ? actQuant : QuantAttr();
  gemm.b = w.values;
  gemm.bScale = w.scale;
  gemm.bZero = w.zero;
  gemm.bQuant = w.quant;
  gemm.routing = routing;
  gemm.rows = rows;
  gemm.aLayout =
      rows == RowSource::Gather ? RowLayout::Token : RowLayout::FlatTopk;
  gemm.formulation = layer.getFormulationAttr();
  if (slotWeight)
    gemm.row.push_back(slotWeight);
  if (w.bias)
    gemm.col.push_back(w.bias);
  if (w.global)
    gemm.expert.push_back(w.global);
  gemm.outs.push_back(createEmpty(
      b, loc, {slots, b.getIndexAttr(type.getDimSize(1))}, b.getF32Type()));
  auto op = gemm.create(
      b, loc, [&](OpBuilder &inner, const EpilogueArgs &args) -> Value {
        Value v = args.acc[0];
        if (w.global)
          v = arith::MulFOp::create(inner, loc, v, args.expert[0]);
        if (slotWeight)
          v = arith::MulFOp::create(inner, loc, v, args.row[0]);
        if (w.bias)
          v = arith::AddFOp::create(inner, loc, v, args.col[0][0]);
        return v;
      });
  return op.getResult(0);
}

Value LayerBuilder::chain(Activations x, const Weight &w1, const Weight &w2,
                          Value routing, Value inputWeight) {
  Value first = project(x, RowSource::Gather, w1, routing, inputWeight);

  ActivationAttr activation = layer.getActivation();
  OpFoldResult slots = slotCount(routing);
  int64_t cols = cast<ShapedType>(first.getType()).getDimSize(1) /
                 (activation.isGated() ? 2 : 1);
  // Rounded once: here to the type of x, or by the quantisation that follows.
  Type rounded = actQuant ? b.getF32Type() : elementType(layer.getX());
  Value init = createEmpty(b, loc, {slots, b.getIndexAttr(cols)}, rounded);
  auto activate = ActivateOp::create(b, loc, init.getType(), first,
                                     layer.getGateUpAttr(), ValueRange(init));
  {
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Type> types(activation.isGated() ? 2 : 1, b.getF32Type());
    SmallVector<Location> locs(types.size(), loc);
    Block *block = b.createBlock(&activate.getBody(), {}, types, locs);
    Value v = buildActivation(b, loc, activation, block->getArguments());
    YieldOp::create(b, loc, v);
  }
  Activations hidden = quantised(activate.getResult(0), slots, cols);
  return project(hidden, RowSource::Slots, w2, routing, Value());
}

Value LayerBuilder::asOneExpert(Value v) {
  if (!v)
    return v;
  auto type = cast<RankedTensorType>(v.getType());
  SmallVector<int64_t> shape = {1};
  llvm::append_range(shape, type.getShape());
  SmallVector<ReassociationIndices> groups = {{0, 1}};
  for (int64_t i = 1; i < type.getRank(); ++i)
    groups.push_back({i + 1});
  return tensor::ExpandShapeOp::create(
      b, loc, RankedTensorType::get(shape, type.getElementType()), v, groups);
}

Value LayerBuilder::gateLogits(Value routing) {
  Value gate = layer.getSharedGate();
  auto type = cast<RankedTensorType>(gate.getType());
  auto wide =
      RankedTensorType::get({1, 1, type.getDimSize(0)}, type.getElementType());
  SmallVector<ReassociationIndices> groups = {{0, 1, 2}};
  Weight weight;
  weight.values = tensor::ExpandShapeOp::create(b, loc, wide, gate, groups);
  Value column = project({layer.getX(), Value()}, RowSource::Gather, weight,
                         routing, Value());
  SmallVector<ReassociationIndices> flat = {{0, 1}};
  return tensor::CollapseShapeOp::create(b, loc, column, flat);
}

void LayerBuilder::build() {
  MLIRContext *context = b.getContext();
  auto w1Type = cast<ShapedType>(layer.getW1().getType());
  int64_t topk = cast<ShapedType>(layer.getTopkIds().getType()).getDimSize(1);
  int64_t hidden = cast<ShapedType>(layer.getX().getType()).getDimSize(1);

  auto routingType =
      RoutingType::get(context, w1Type.getDimSize(0), topk, /*blockM=*/1);
  Value routing = AlignOp::create(b, loc, routingType, layer.getTopkIds(),
                                  layer.getExpertMap());
  Activations x = quantised(layer.getX(), tokens, hidden);

  WeightPlace place = layer.getWeightPlace();
  Weight w1 = {layer.getW1(),       layer.getW1Scale(), layer.getW1Zero(),
               layer.getW1Global(), layer.getB1(),      layer.getW1QuantAttr()};
  Weight w2 = {layer.getW2(),       layer.getW2Scale(), layer.getW2Zero(),
               layer.getW2Global(), layer.getB2(),      layer.getW2QuantAttr()};
  Value rows =
      chain(x, w1, w2, routing,
            place == WeightPlace::Input ? layer.getTopkWeights() : Value());

  Value add, addGate;
  if (layer.getSharedW1()) {
    Value tokenCount = getValueOrCreateConstantIndexOp(b, loc, tokens);
    Value all = RouteAllOp::create(b, loc, RoutingType::get(context, 1, 1, 1),
                                   tokenCount);
    Weight s1, s2;
    s1.values = asOneExpert(layer.getSharedW1());
    s1.scale = asOneExpert(layer.getSharedW1Scale());
    s2.values = asOneExpert(layer.getSharedW2());
    s2.scale = asOneExpert(layer.getSharedW2Scale());
    s1.quant = s2.quant = layer.getSharedQuantAttr();
    add = chain(x, s1, s2, all, Value());
    if (layer.getSharedGate())
      addGate = gateLogits(all);
  }

  bool weighted =
      place == WeightPlace::Epilogue || place == WeightPlace::Combine;
  Value out = layer.getOuts()[0];
  auto combine = CombineOp::create(b, loc, TypeRange(out.getType()), rows,
                                   weighted ? layer.getTopkWeights() : Value(),
                                   add, addGate, routing, RowLayout::FlatTopk,
                                   /*keep=*/place == WeightPlace::Combine,
                                   ValueRange(out));
  b.replaceOp(layer, combine->getResults());
}

namespace {
struct DecomposeLayer
    : public moe::impl::MoeDecomposeLayerBase<DecomposeLayer> {
  void runOnOperation() override {
    SmallVector<FusedExpertsOp> layers;
    getOperation()->walk(
        [&](FusedExpertsOp layer) { layers.push_back(layer); });
    IRRewriter rewriter(&getContext());
    for (FusedExpertsOp layer : layers) {
      if (layer->getNumResults() == 0) {
        layer.emitError("moe-decompose-layer works on tensors, this layer "
                        "works on buffers: run it before bufferisation");
        return signalPassFailure();
      }
      numShared += !!layer.getSharedW1();
      LayerBuilder(layer, rewriter).build();
      ++numLayers;
    }
  }
};
} // namespace
