//===- BuildLayer.cpp - From a description to a module -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/LayerDescription.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// Arguments of the function, collected in order before it is created.
class Arguments {
public:
  /// Adds an argument and gives its position.
  int add(StringRef name, ArrayRef<int64_t> shape, Type element) {
    names.push_back(name);
    types.push_back(RankedTensorType::get(shape, element));
    return static_cast<int>(types.size()) - 1;
  }

  SmallVector<StringRef> names;
  SmallVector<Type> types;
};

/// Positions of a weight and of what belongs to it, -1 where absent.
struct Weight {
  int values = -1, scale = -1, zero = -1, global = -1;
};

} // namespace

/// Adds weight `name` `[batch..., rows, cols]` and its scales, zero points and
/// factors as `quant` asks for.
static Weight addWeight(Arguments &args, ArrayRef<StringRef> names,
                        ArrayRef<int64_t> batch, int64_t rows, int64_t cols,
                        QuantAttr quant, Type plain, bool global) {
  Weight weight;
  SmallVector<int64_t> shape(batch);
  shape.push_back(rows);
  if (!quant) {
    shape.push_back(cols);
    weight.values = args.add(names[0], shape, plain);
    return weight;
  }
  shape.push_back(cols / quant.getColsPerStored());
  weight.values = args.add(names[0], shape, quant.getStorageType());
  SmallVector<int64_t> scales(batch);
  scales.push_back(quant.getScaleRows(rows));
  scales.push_back(quant.getScaleCols(cols));
  weight.scale = args.add(names[1], scales, quant.getScale());
  Type i8 = IntegerType::get(quant.getContext(), 8);
  if (quant.getZero() == ZeroPoint::Operand)
    weight.zero = args.add(names[2], scales, i8);
  if (global)
    weight.global =
        args.add(names[3], batch, Float32Type::get(quant.getContext()));
  return weight;
}

OwningOpRef<ModuleOp> moe::buildLayer(MLIRContext *context,
                                      const LayerDescription &layer) {
  context->loadDialect<func::FuncDialect, MoeDialect>();
  OpBuilder builder(context);
  Location loc = builder.getUnknownLoc();
  constexpr int64_t tokens = ShapedType::kDynamic;
  Type x = getHiddenType(context, layer.dtype);
  Type i32 = builder.getI32Type();
  QuantAttr quant = getWeightQuant(context, layer.dtype);
  QuantAttr shared = getSharedQuant(context, layer.dtype);
  ActivationAttr activation = ActivationAttr::get(
      context, layer.activation, APFloat(layer.alpha), APFloat(layer.limit));
  int64_t wide = activation.isGated() ? 2 : 1;
  int64_t local = layer.localExperts;
  bool global = hasGlobalScale(layer.dtype);

  Arguments args;
  int hidden = args.add("x", {tokens, layer.hidden}, x);
  int ids = args.add("topk_ids", {tokens, layer.topk}, i32);
  int weights =
      args.add("topk_weights", {tokens, layer.topk}, builder.getF32Type());
  Weight w1 =
      addWeight(args, {"w1", "w1_scale", "w1_zero", "w1_global"}, {local},
                wide * layer.intermediate, layer.hidden, quant, x, global);
  Weight w2 =
      addWeight(args, {"w2", "w2_scale", "w2_zero", "w2_global"}, {local},
                layer.hidden, layer.intermediate, quant, x, global);
  int b1 = -1, b2 = -1, map = -1, gate = -1;
  if (layer.bias) {
    b1 = args.add("b1", {local, wide * layer.intermediate}, x);
    b2 = args.add("b2", {local, layer.hidden}, x);
  }
  if (layer.expertParallel > 1)
    map = args.add("expert_map", {layer.experts}, i32);
  Weight s1, s2;
  if (int64_t width = layer.sharedIntermediate) {
    s1 = addWeight(args, {"shared_w1", "shared_w1_scale"}, {}, wide * width,
                   layer.hidden, shared, x, false);
    s2 = addWeight(args, {"shared_w2", "shared_w2_scale"}, {}, layer.hidden,
                   width, shared, x, false);
    if (layer.sharedGate)
      gate = args.add("shared_gate", {layer.hidden}, x);
  }
  int out = args.add("out", {tokens, layer.hidden}, x);

  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  builder.setInsertionPointToEnd(module->getBody());
  Type result = args.types[out];
  auto func = func::FuncOp::create(
      builder, loc, "layer", builder.getFunctionType(args.types, {result}));
  func->setAttr("moe.model", builder.getStringAttr(layer.name));
  func->setAttr("moe.dtype",
                builder.getStringAttr(getDtypeInfo(layer.dtype).name));
  for (auto [i, name] : llvm::enumerate(args.names))
    func.setArgAttr(i, "moe.name", builder.getStringAttr(name));
  Block *body = func.addEntryBlock();
  builder.setInsertionPointToStart(body);
  auto arg = [&](int position) {
    return position < 0 ? Value() : Value(body->getArgument(position));
  };

  GateUpAttr gateUp;
  if (activation.isGated())
    gateUp = GateUpAttr::get(context, layer.gateUp, /*block=*/0,
                             /*upFirst=*/false);
  auto experts = FusedExpertsOp::create(
      builder, loc, TypeRange{result}, arg(hidden), arg(ids), arg(weights),
      arg(w1.values), arg(w1.scale), arg(w1.zero), arg(w1.global),
      arg(w2.values), arg(w2.scale), arg(w2.zero), arg(w2.global), arg(b1),
      arg(b2), arg(map), arg(s1.values), arg(s1.scale), arg(s2.values),
      arg(s2.scale), arg(gate), ValueRange{arg(out)}, activation, gateUp, quant,
      quant, getActivationQuant(context, layer.dtype),
      layer.sharedIntermediate ? shared : QuantAttr(), WeightPlace::Epilogue,
      FormulationAttr());
  func::ReturnOp::create(builder, loc, experts.getResults());
  return module;
}
