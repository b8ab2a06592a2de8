//===- InputsTest.cpp - Tensors that a layer is run on --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Inputs.h"
#include "TestLayers.h"
#include "moec/Reference/Moe/Interpreter.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::moe;

static SmallVector<HostTensor> makeAll(const LayerSpec &spec, int64_t tokens,
                                       const InputOptions &options) {
  SmallVector<HostTensor> tensors;
  for (const ArgumentSpec &argument : spec.arguments) {
    auto tensor = makeArgument(spec, argument, {tokens, ""}, options);
    EXPECT_TRUE(bool(tensor)) << argument.name;
    tensors.push_back(std::move(*tensor));
  }
  return tensors;
}

static double rms(const HostTensor &tensor) {
  double sum = 0;
  for (float value : tensor.toFloats())
    sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(tensor.getNumElements()));
}

static unsigned indexOf(const LayerSpec &spec, StringRef name) {
  return spec.find(name) - spec.arguments.begin();
}

TEST(Inputs, plainLayer) {
  Layer layer(plainLayer);
  InputOptions options;
  options.routing = RoutingArchetype::Uniform;
  auto tensors = makeAll(layer.spec, 50, options);
  EXPECT_FALSE(bool(checkInputs(layer.spec, tensors)));
  EXPECT_NEAR(rms(tensors[0]), 1, 0.05);
  EXPECT_NEAR(rms(tensors[indexOf(layer.spec, "w1")]), 1 / std::sqrt(64.0),
              2e-3);
  EXPECT_NEAR(rms(tensors[indexOf(layer.spec, "w2")]), 1 / std::sqrt(48.0),
              2e-3);
  // Router weights of a token sum up to 1.
  std::vector<float> weights = tensors[2].toFloats();
  for (size_t t = 0; t < weights.size(); t += 2)
    EXPECT_NEAR(weights[t] + weights[t + 1], 1, 1e-6);
  // The first four of six experts live here.
  EXPECT_EQ(tensors[indexOf(layer.spec, "expert_map")].toFloats(),
            (std::vector<float>{0, 1, 2, 3, -1, -1}));
  // Outputs are poisoned.
  for (float value : tensors[indexOf(layer.spec, "out")].toFloats())
    EXPECT_TRUE(std::isnan(value));
}

TEST(Inputs, depend) {
  Layer layer(plainLayer);
  InputOptions options;
  options.threads = 1;
  auto first = makeAll(layer.spec, 20, options);
  options.threads = 3;
  auto same = makeAll(layer.spec, 20, options);
  options.seed = 1;
  auto other = makeAll(layer.spec, 20, options);
  for (auto [argument, a, b, c] :
       llvm::zip_equal(layer.spec.arguments, first, same, other)) {
    EXPECT_EQ(a.getAs<uint8_t>(), b.getAs<uint8_t>()) << argument.name;
    bool fixed = argument.role == ArgumentRole::TopkIds ||
                 argument.role == ArgumentRole::ExpertMap ||
                 argument.role == ArgumentRole::Output;
    EXPECT_EQ(a.getAs<uint8_t>() == c.getAs<uint8_t>(), fixed) << argument.name;
  }
  // No two arguments share a stream.
  EXPECT_NE(first[indexOf(layer.spec, "w1")].getAs<uint8_t>().take_front(64),
            first[indexOf(layer.spec, "w2")].getAs<uint8_t>().take_front(64));
}

/// The layer's result must be of the size of x, in every format: else errors
/// would drown in zeros, or everything would saturate.
static double resultSize(const char *text) {
  Layer layer(text);
  EXPECT_EQ(layer.error, "");
  InputOptions options;
  options.routing = RoutingArchetype::Uniform;
  auto tensors = makeAll(layer.spec, 40, options);
  auto results = interpretFunction(layer.function, tensors);
  EXPECT_TRUE(bool(results));
  return rms(results->front());
}

TEST(Inputs, resultsAreOfUsefulSize) {
  EXPECT_GT(resultSize(plainLayer), 0.1);
  EXPECT_LT(resultSize(plainLayer), 2);
  EXPECT_GT(resultSize(int4Layer), 0.1);
  EXPECT_LT(resultSize(int4Layer), 2);
}

TEST(Inputs, codesOfAllFormats) {
  struct Format {
    const char *quant, *storage, *scales;
    int64_t perStored;
  };
  const Format formats[] = {
      {"f8E4M3FN, granule = [128, 128], scale = f32", "f8E4M3FN", "2x1xf32", 1},
      {"f8E5M2, granule = [1, *], scale = f32", "f8E5M2", "256x1xf32", 1},
      {"i8, granule = [1, *], scale = f32", "i8", "256x1xf32", 1},
      {"i4, granule = [1, 64], scale = f16, zero = 8, packing = exllama", "i32",
       "256x2xf16", 8},
      {"f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx", "i8",
       "256x4xf8E8M0FNU", 2},
  };
  for (const Format &format : formats) {
    std::string text =
        std::string("#q = #moe.quant<") + format.quant +
        ">\nfunc.func @f(%x: tensor<?x128xbf16>, %i: tensor<?x2xi32>, "
        "%w: tensor<?x2xf32>, %w1: tensor<2x256xCxS>, %s1: tensor<2xG>, "
        "%w2: tensor<2x128x128xbf16>, %o: tensor<?x128xbf16>) -> "
        "tensor<?x128xbf16> {\n %y = moe.fused_experts x(%x : "
        "tensor<?x128xbf16>) topk(%i, %w : tensor<?x2xi32>, tensor<?x2xf32>) "
        "w1(%w1 : tensor<2x256xCxS> scale %s1 : tensor<2xG> quant #q) w2(%w2 : "
        "tensor<2x128x128xbf16>) activation <swiglu> gate_up <halves> outs(%o "
        ": tensor<?x128xbf16>) -> tensor<?x128xbf16>\n return %y : "
        "tensor<?x128xbf16>\n}";
    auto replace = [&](const std::string &from, const std::string &to) {
      for (size_t at; (at = text.find(from)) != std::string::npos;)
        text.replace(at, from.size(), to);
    };
    replace("xCxS>", "x" + std::to_string(128 / format.perStored) + "x" +
                         format.storage + ">");
    replace("<2xG>", std::string("<2x") + format.scales + ">");
    double size = resultSize(text.c_str());
    EXPECT_GT(size, 0.1) << format.quant;
    EXPECT_LT(size, 2) << format.quant;
  }
}

TEST(Inputs, workIsCounted) {
  Layer layer(plainLayer);
  InputOptions options;
  options.routing = RoutingArchetype::Balanced;
  // Tokens 0 and 1 choose experts 0 1 and 2 3, token 2 those of another rank.
  auto tensors = makeAll(layer.spec, 3, options);
  EXPECT_EQ(countExpertRows(layer.spec, tensors),
            (std::vector<int64_t>{1, 1, 1, 1}));
  EXPECT_DOUBLE_EQ(countFlops(layer.spec, tensors),
                   4 * 2.0 * (96 * 64 + 64 * 48));
  uint64_t expertBytes = (96 * 64 + 64 * 48) * 2 + (96 + 64) * 4;
  EXPECT_EQ(countTouchedWeightBytes(layer.spec, tensors), 4 * expertBytes);
  tensors[1].getAs<int32_t>()[0] = -1;
  EXPECT_EQ(countTouchedWeightBytes(layer.spec, tensors), 3 * expertBytes);
}

TEST(Inputs, refusals) {
  Layer layer(plainLayer);
  auto tensors = makeAll(layer.spec, 3, {});
  int32_t &id = tensors[1].getAs<int32_t>()[5];
  for (int32_t wrong : {6, -2, INT32_MIN}) {
    int32_t kept = id;
    id = wrong;
    std::string message = llvm::toString(checkInputs(layer.spec, tensors));
    EXPECT_NE(message.find(std::to_string(wrong)), std::string::npos)
        << message;
    EXPECT_NE(message.find("token 2"), std::string::npos) << message;
    id = kept;
  }
  id = -1;
  EXPECT_FALSE(bool(checkInputs(layer.spec, tensors)));
  int32_t &local =
      tensors[indexOf(layer.spec, "expert_map")].getAs<int32_t>()[4];
  local = 4;
  EXPECT_EQ(llvm::toString(checkInputs(layer.spec, tensors)),
            "expert map: entry 4 is 4, not in [-1, 4)");
}
