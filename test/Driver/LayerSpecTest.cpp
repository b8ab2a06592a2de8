//===- LayerSpecTest.cpp - What the arguments of a layer mean -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestLayers.h"
#include "mlir/AsmParser/AsmParser.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::moe;

TEST(LayerSpec, plainLayer) {
  Layer layer(plainLayer);
  const LayerSpec &spec = layer.spec;
  EXPECT_EQ(spec.name, "plain");
  EXPECT_EQ(spec.dtype, "bf16");
  EXPECT_TRUE(spec.isFusedLayer);
  EXPECT_EQ(spec.experts, 4);
  EXPECT_EQ(spec.globalExperts, 6);
  EXPECT_EQ(spec.topk, 2);
  EXPECT_EQ(spec.hidden, 64);
  EXPECT_EQ(spec.inner, 48);
  std::string names;
  for (const ArgumentSpec &argument : spec.arguments)
    names += argument.name + " ";
  // The attribute moe.name wins over the operand's name.
  EXPECT_EQ(names, "hidden topk_ids topk_weights w1 w2 b1 b2 expert_map out ");
  EXPECT_EQ(spec.find("w1")->reduction, 64);
  EXPECT_EQ(spec.find("w2")->reduction, 48);
  EXPECT_EQ(spec.find("b1")->role, ArgumentRole::Bias);
  EXPECT_EQ(spec.find("out")->role, ArgumentRole::Output);
  EXPECT_EQ(spec.find("nothing"), nullptr);
  EXPECT_TRUE(spec.find("hidden")->isDynamic());
  EXPECT_FALSE(spec.find("w1")->isDynamic());
  EXPECT_EQ(spec.find("hidden")->getShape(7), (SmallVector<int64_t, 4>{7, 64}));
  ASSERT_EQ(spec.results.size(), 1u);
  EXPECT_EQ(spec.results[0].type, ElementType::BF16);
}

TEST(LayerSpec, int4Layer) {
  Layer layer(int4Layer);
  const LayerSpec &spec = layer.spec;
  EXPECT_EQ(spec.dtype, "w4a16");
  EXPECT_EQ(spec.find("w1")->reduction, 128);
  EXPECT_EQ(spec.find("w1_scale")->reduction, 128);
  EXPECT_EQ(spec.find("w1_scale")->role, ArgumentRole::Scale);
  EXPECT_EQ(spec.find("w1_zero")->role, ArgumentRole::ZeroPoint);
  EXPECT_EQ(spec.find("w2")->reduction, 64);
}

TEST(LayerSpec, dtypeNames) {
  MLIRContext context;
  context.loadDialect<MoeDialect>();
  Type bf16 = BFloat16Type::get(&context), f32 = Float32Type::get(&context);
  auto quant = [&](StringRef text) {
    auto result = dyn_cast_or_null<QuantAttr>(
        parseAttribute(("#moe.quant<" + text + ">").str(), &context));
    EXPECT_TRUE(result) << text.str();
    return result;
  };
  auto name = [&](StringRef weight, StringRef activation, Type hidden,
                  bool factors = false) {
    return getDtypeName(weight.empty() ? QuantAttr() : quant(weight),
                        activation.empty() ? QuantAttr() : quant(activation),
                        hidden, factors);
  };
  // Layers of the list.
  EXPECT_EQ(name("", "", f32), "f32");
  EXPECT_EQ(name("i4, granule = [1, 32], scale = bf16, zero = 8, "
                 "packing = low_even",
                 "", bf16),
            "w4a16-g32");
  EXPECT_EQ(name("f4E2M1FN, granule = [1, 16], scale = f8E4M3FN, packing = mx",
                 "", bf16, true),
            "nvfp4");
  // Others are named after their weights; of f4 the scales tell which it is.
  EXPECT_EQ(name("f4E2M1FN, granule = [1, 16], scale = f8E4M3FN, packing = mx",
                 "", bf16),
            "nvfp4");
  EXPECT_EQ(name("f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx",
                 "", f32),
            "mxfp4");
  EXPECT_EQ(name("f8E4M3FN, granule = [1, 32], scale = f8E8M0FNU", "", bf16),
            "mxfp8");
  EXPECT_EQ(name("f8E5M2, granule = [64, 64], scale = f32", "", bf16), "fp8");
  EXPECT_EQ(name("i8, granule = [1, 64], scale = f32", "", bf16), "w8a16");
  EXPECT_EQ(name("i8, granule = [1, 64], scale = f32",
                 "i8, granule = [1, *], scale = f32", bf16),
            "w8a8");
  EXPECT_EQ(name("i4, granule = [1, 48], scale = bf16, zero = 8, "
                 "packing = low_even",
                 "", f32),
            "w4a16");
}

TEST(LayerSpec, otherFunctions) {
  Layer layer("func.func @f(%x: tensor<?x4xf32>, %y: tensor<2xi32>)"
              " -> tensor<?x4xf32> { return %x : tensor<?x4xf32> }");
  EXPECT_FALSE(layer.spec.isFusedLayer);
  EXPECT_EQ(layer.spec.experts, 0);
  EXPECT_EQ(layer.spec.dtype, "f32");
  EXPECT_EQ(layer.spec.arguments[1].name, "arg1");
  EXPECT_EQ(layer.spec.arguments[1].role, ArgumentRole::Plain);
}

TEST(LayerSpec, errors) {
  EXPECT_EQ(Layer("func.func private @f(tensor<4xf32>)").error,
            "function 'f' has no body to run");
  EXPECT_EQ(Layer("func.func @f(%x: tensor<4x?xf32>) { return }").error,
            "argument 0 of 'f': extent 1 is dynamic; only the first may be, it "
            "is the token count");
  EXPECT_EQ(Layer("func.func @f(%x: i32, %y: f32) { return }").error,
            "argument 0 of 'f' is no ranked tensor");
  EXPECT_EQ(Layer("func.func @f(%x: tensor<4xcomplex<f32>>) { return }").error,
            "argument 0 of 'f' has an element type that tensors in memory "
            "cannot have");
}
