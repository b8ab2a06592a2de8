//===- LayerSpec.cpp - What the arguments of a layer mean -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/LayerSpec.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "moec/Frontend/Dtype.h"
#include "moec/Reference/Moe/Interpreter.h"

using namespace mlir;
using namespace mlir::moe;

bool ArgumentSpec::isDynamic() const {
  return llvm::is_contained(shape, ShapedType::kDynamic);
}

SmallVector<int64_t, 4> ArgumentSpec::getShape(int64_t tokens) const {
  SmallVector<int64_t, 4> result = shape;
  llvm::replace(result, ShapedType::kDynamic, tokens);
  return result;
}

const ArgumentSpec *LayerSpec::find(StringRef name) const {
  const auto *found = llvm::find_if(
      arguments, [&](const ArgumentSpec &a) { return a.name == name; });
  return found == arguments.end() ? nullptr : found;
}

static llvm::Error readType(Type type, const Twine &what, ArgumentSpec &spec) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return llvm::createStringError(what + " is no ranked tensor");
  std::optional<ElementType> element = getStorageType(tensor.getElementType());
  if (!element)
    return llvm::createStringError(what + " has an element type that tensors "
                                          "in memory cannot have");
  for (auto [i, extent] : llvm::enumerate(tensor.getShape()))
    if (i > 0 && ShapedType::isDynamic(extent))
      return llvm::createStringError(
          what + ": extent " + Twine(i) +
          " is dynamic; only the first may be, it is the token count");
  spec.type = *element;
  spec.shape.assign(tensor.getShape().begin(), tensor.getShape().end());
  return llvm::Error::success();
}

/// The block argument behind a value, or null.
static BlockArgument getArgument(Value value) {
  while (value)
    if (auto cast = value.getDefiningOp<tensor::CastOp>())
      value = cast.getSource();
    else
      break;
  return dyn_cast_or_null<BlockArgument>(value);
}

namespace {
/// An operand of moe.fused_experts with what it says about its argument.
struct Use {
  Value value;
  StringRef name;
  ArgumentRole role;
  QuantAttr quant = {};
};
} // namespace

static SmallVector<Use> getUses(FusedExpertsOp op) {
  using Role = ArgumentRole;
  QuantAttr q1 = op.getW1QuantAttr(), q2 = op.getW2QuantAttr();
  QuantAttr shared = op.getSharedQuantAttr();
  SmallVector<Use> uses = {
      {op.getX(), "x", Role::Activation},
      {op.getTopkIds(), "topk_ids", Role::TopkIds},
      {op.getTopkWeights(), "topk_weights", Role::TopkWeights},
      {op.getW1(), "w1", Role::Weight, q1},
      {op.getW1Scale(), "w1_scale", Role::Scale, q1},
      {op.getW1Zero(), "w1_zero", Role::ZeroPoint, q1},
      {op.getW1Global(), "w1_global", Role::Global},
      {op.getW2(), "w2", Role::Weight, q2},
      {op.getW2Scale(), "w2_scale", Role::Scale, q2},
      {op.getW2Zero(), "w2_zero", Role::ZeroPoint, q2},
      {op.getW2Global(), "w2_global", Role::Global},
      {op.getB1(), "b1", Role::Bias},
      {op.getB2(), "b2", Role::Bias},
      {op.getExpertMap(), "expert_map", Role::ExpertMap},
      {op.getSharedW1(), "shared_w1", Role::Weight, shared},
      {op.getSharedW1Scale(), "shared_w1_scale", Role::Scale, shared},
      {op.getSharedW2(), "shared_w2", Role::Weight, shared},
      {op.getSharedW2Scale(), "shared_w2_scale", Role::Scale, shared},
      {op.getSharedGate(), "shared_gate", Role::Weight}};
  for (Value out : op.getOuts())
    uses.push_back({out, "out", Role::Output});
  return uses;
}

std::string mlir::moe::getDtypeName(QuantAttr weight, QuantAttr activation,
                                    Type hidden, bool factors) {
  if (std::optional<Dtype> dtype =
          findDtype(weight, activation, hidden, factors))
    return getDtypeInfo(*dtype).name.str();
  // A layer that is none of the list is named after its weights.
  if (weight) {
    Type elem = weight.getElem();
    if (elem.isInteger(4))
      return "w4a16";
    if (isa<Float4E2M1FNType>(elem))
      return isa<Float8E8M0FNUType>(weight.getScale()) ? "mxfp4" : "nvfp4";
    if (isa<FloatType>(elem) && elem.getIntOrFloatBitWidth() == 8)
      return isa<Float8E8M0FNUType>(weight.getScale()) ? "mxfp8" : "fp8";
    if (elem.isInteger(8))
      return activation ? "w8a8" : "w8a16";
  }
  std::optional<ElementType> type = getStorageType(hidden);
  return type ? getElementTypeName(*type).str() : "unknown";
}

static void readFusedExperts(FusedExpertsOp op, LayerSpec &spec,
                             const llvm::BitVector &named) {
  for (const Use &use : getUses(op)) {
    BlockArgument argument = use.value ? getArgument(use.value) : nullptr;
    if (!argument)
      continue;
    ArgumentSpec &target = spec.arguments[argument.getArgNumber()];
    target.role = use.role;
    target.quant = use.quant;
    if (!named.test(argument.getArgNumber()))
      target.name = use.name.str();
    if (use.role == ArgumentRole::Weight && !target.shape.empty())
      target.reduction =
          target.shape.back() * (use.quant ? use.quant.getColsPerStored() : 1);
  }
  auto dim = [](Value value, int64_t i) {
    return cast<ShapedType>(value.getType()).getDimSize(i);
  };
  spec.experts = dim(op.getW1(), 0);
  spec.globalExperts =
      op.getExpertMap() ? dim(op.getExpertMap(), 0) : spec.experts;
  spec.topk = dim(op.getTopkIds(), 1);
  spec.hidden = dim(op.getW2(), 1);
  spec.inner = dim(op.getW1(), 1) / (op.getActivation().isGated() ? 2 : 1);
  spec.dtype = getDtypeName(op.getW1QuantAttr(), op.getActQuantAttr(),
                            getElementTypeOrSelf(op.getX().getType()),
                            op.getW1Global() != nullptr);
  // Scales lack the reduction: they take it from the weight before them.
  for (StringRef weight : {"w1", "w2", "shared_w1", "shared_w2"}) {
    const ArgumentSpec *values = spec.find(weight);
    for (ArgumentSpec &a : spec.arguments)
      if (values && StringRef(a.name).starts_with(weight) && &a != values)
        a.reduction = values->reduction;
  }
}

llvm::Expected<LayerSpec> mlir::moe::readLayerSpec(func::FuncOp function) {
  LayerSpec spec;
  spec.name = function.getName().str();
  if (function.isDeclaration())
    return llvm::createStringError("function '" + spec.name +
                                   "' has no body to run");
  llvm::BitVector named(function.getNumArguments());
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    ArgumentSpec argument;
    argument.name = "arg" + std::to_string(i);
    if (auto name = function.getArgAttrOfType<StringAttr>(i, "moe.name")) {
      argument.name = name.str();
      named.set(i);
    }
    if (llvm::Error error = readType(
            function.getArgumentTypes()[i],
            "argument " + Twine(i) + " of '" + spec.name + "'", argument))
      return std::move(error);
    spec.arguments.push_back(std::move(argument));
  }
  for (auto [i, type] : llvm::enumerate(function.getResultTypes())) {
    ArgumentSpec result;
    result.name = i ? "y" + std::to_string(i) : "y";
    result.role = ArgumentRole::Output;
    if (llvm::Error error = readType(
            type, "result " + Twine(i) + " of '" + spec.name + "'", result))
      return std::move(error);
    spec.results.push_back(std::move(result));
  }

  SmallVector<FusedExpertsOp> layers(function.getOps<FusedExpertsOp>());
  if (layers.size() == 1)
    readFusedExperts(layers[0], spec, named);
  else if (!spec.arguments.empty())
    spec.dtype = getElementTypeName(spec.arguments[0].type).str();
  spec.isFusedLayer =
      layers.size() == 1 &&
      llvm::all_of(function.getBody().getOps(), [](Operation &op) {
        return isa<FusedExpertsOp, func::ReturnOp, tensor::EmptyOp,
                   tensor::CastOp, tensor::DimOp>(op) ||
               op.hasTrait<OpTrait::ConstantLike>();
      });
  return spec;
}
