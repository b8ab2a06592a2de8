//===- LayerSpec.h - What the arguments of a layer mean -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_LAYERSPEC_H
#define MOEC_DRIVER_LAYERSPEC_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Support/HostTensor.h"

namespace mlir::moe {

/// What an argument of a layer is for, from which follows what random data it
/// may hold.
enum class ArgumentRole : uint8_t {
  /// Nothing is known: normal values.
  Plain,
  Activation,
  TopkIds,
  TopkWeights,
  /// Values or codes of a weight; `quant` tells which.
  Weight,
  Scale,
  ZeroPoint,
  /// A positive factor per expert.
  Global,
  Bias,
  ExpertMap,
  /// Written only: its contents before the run do not matter.
  Output,
};

/// One argument of the layer's function.
struct ArgumentSpec {
  std::string name;
  ElementType type = ElementType::F32;
  /// ShapedType::kDynamic stands for the token count.
  SmallVector<int64_t, 4> shape;
  ArgumentRole role = ArgumentRole::Plain;
  /// The format of a weight and of its scales and zero points; null: plain.
  QuantAttr quant;
  /// Values along K (unpacked) that a weight's row holds.
  int64_t reduction = 1;
  /// Whether the shape depends on the token count.
  bool isDynamic() const;
  /// The shape for a token count.
  SmallVector<int64_t, 4> getShape(int64_t tokens) const;
};

/// The sizes, the arguments and the results of one layer.
struct LayerSpec {
  std::string name;
  /// E on this rank, E over all ranks, k, H, I (gate and up each).
  int64_t experts = 0, globalExperts = 0, topk = 0, hidden = 0, inner = 0;
  /// How the weights are stored, as --dtype names it where that has a name for
  /// it; the tolerance is chosen by it: "bf16", "fp8-block", "w4a16-g128", ...
  std::string dtype;
  /// Whether the function is one moe.fused_experts and nothing else of weight:
  /// a row of the result then depends on that row of the inputs alone.
  bool isFusedLayer = false;
  SmallVector<ArgumentSpec> arguments;
  SmallVector<ArgumentSpec> results;

  /// The argument of that name, or null.
  const ArgumentSpec *find(StringRef name) const;
};

/// The name of the dtype list for a layer of that kind (see findDtype); for one
/// that is not in the list a name after the weights or, if they are plain, x.
std::string getDtypeName(QuantAttr weight, QuantAttr activation, Type hidden,
                         bool factors);

/// Reads the specification of `function`. Names are those of the attribute
/// `moe.name` of an argument, else those of the operands of the layer's
/// moe.fused_experts ("x", "w1", "w1_scale", ...), else "arg0", "arg1", ...
/// Fails for an argument that is no tensor of a storage type and for a dynamic
/// extent that is not the first.
llvm::Expected<LayerSpec> readLayerSpec(func::FuncOp function);

} // namespace mlir::moe

#endif // MOEC_DRIVER_LAYERSPEC_H
