//===- TestLayers.h - Layers for the driver's unit tests ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_DRIVER_TESTLAYERS_H
#define MOEC_TEST_DRIVER_TESTLAYERS_H

#include "mlir/Parser/Parser.h"
#include "moec/Driver/LayerSpec.h"
#include "moec/InitAll.h"

namespace mlir::moe {

/// A parsed function with its specification, or the error of reading it.
struct Layer {
  explicit Layer(StringRef text) {
    DialectRegistry registry;
    registerAllDialects(registry);
    context.appendDialectRegistry(registry);
    module = parseSourceString<ModuleOp>(text, &context);
    if (!module) {
      error = "does not parse";
      return;
    }
    function = *module->getOps<func::FuncOp>().begin();
    llvm::Expected<LayerSpec> read = readLayerSpec(function);
    if (read)
      spec = std::move(*read);
    else
      error = llvm::toString(read.takeError());
  }
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  func::FuncOp function;
  LayerSpec spec;
  std::string error;
};

/// bf16 with biases, on a rank that has 4 of 6 experts.
inline constexpr const char *plainLayer = R"(
func.func @plain(%x: tensor<?x64xbf16> {moe.name = "hidden"},
    %i: tensor<?x2xi32>, %w: tensor<?x2xf32>, %w1: tensor<4x96x64xbf16>,
    %w2: tensor<4x64x48xbf16>, %b1: tensor<4x96xf32>, %b2: tensor<4x64xf32>,
    %map: tensor<6xi32>, %o: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
    topk(%i, %w : tensor<?x2xi32>, tensor<?x2xf32>)
    w1(%w1 : tensor<4x96x64xbf16>) w2(%w2 : tensor<4x64x48xbf16>)
    b1(%b1 : tensor<4x96xf32>) b2(%b2 : tensor<4x64xf32>) map(%map : tensor<6xi32>)
    activation <swiglu> gate_up <halves>
    outs(%o : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
})";

/// int4 in groups of 64 with zero points.
inline constexpr const char *int4Layer = R"(
#q = #moe.quant<i4, granule = [1, 64], scale = bf16, zero = operand, packing = low_even>
func.func @int4(%x: tensor<?x128xbf16>, %i: tensor<?x2xi32>,
    %w: tensor<?x2xf32>, %w1: tensor<8x128x64xi8>, %s1: tensor<8x128x2xbf16>,
    %z1: tensor<8x128x2xi8>, %w2: tensor<8x128x32xi8>,
    %s2: tensor<8x128x1xbf16>, %z2: tensor<8x128x1xi8>,
    %o: tensor<?x128xbf16>) -> tensor<?x128xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x128xbf16>)
    topk(%i, %w : tensor<?x2xi32>, tensor<?x2xf32>)
    w1(%w1 : tensor<8x128x64xi8> scale %s1 : tensor<8x128x2xbf16>
       zero %z1 : tensor<8x128x2xi8> quant #q)
    w2(%w2 : tensor<8x128x32xi8> scale %s2 : tensor<8x128x1xbf16>
       zero %z2 : tensor<8x128x1xi8> quant #q)
    activation <swiglu> gate_up <halves>
    outs(%o : tensor<?x128xbf16>) -> tensor<?x128xbf16>
  return %y : tensor<?x128xbf16>
})";

} // namespace mlir::moe

#endif // MOEC_TEST_DRIVER_TESTLAYERS_H
