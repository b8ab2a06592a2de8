//===- RandomInputsTest.cpp - Arguments made from a seed ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Reference/Moe/RandomInputs.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "gtest/gtest.h"
#include <cmath>
#include <set>

using namespace mlir;
using namespace mlir::moe;

namespace {
class RandomInputs : public ::testing::Test {
protected:
  RandomInputs() {
    context.loadDialect<MoeDialect, func::FuncDialect, tensor::TensorDialect>();
  }
  func::FuncOp parse(const std::string &text) {
    module = parseSourceString<ModuleOp>(text, &context);
    return *module->getOps<func::FuncOp>().begin();
  }
  SmallVector<HostTensor> make(func::FuncOp function, RandomOptions options) {
    return llvm::cantFail(makeRandomInputs(function, options));
  }
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};
const char *layer = R"(
#q = #moe.quant<i4, granule = [1, 8], scale = f16, zero = operand, packing = low_even>
func.func @layer(%x: tensor<?x16xbf16>, %ids: tensor<?x3xi32>, %tw: tensor<?x3xf32>,
    %w1: tensor<4x16x8xi8>, %s1: tensor<4x16x2xf16>, %z1: tensor<4x16x2xi8>,
    %w2: tensor<4x16x16xbf16>, %map: tensor<9xi32>, %o: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.fused_experts x(%x : tensor<?x16xbf16>)
    topk(%ids, %tw : tensor<?x3xi32>, tensor<?x3xf32>)
    w1(%w1 : tensor<4x16x8xi8> scale %s1 : tensor<4x16x2xf16> zero %z1 : tensor<4x16x2xi8> quant #q)
    w2(%w2 : tensor<4x16x16xbf16>) map(%map : tensor<9xi32>)
    activation <silu> outs(%o : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
})";
} // namespace

TEST_F(RandomInputs, ContentsFollowFromUses) {
  func::FuncOp function = parse(layer);
  RandomOptions options;
  options.tokens = 50;
  SmallVector<HostTensor> inputs = make(function, options);
  ASSERT_EQ(inputs.size(), 9u);
  EXPECT_EQ(inputs[0].describe(), "bf16[50, 16]");
  bool dropped = false;
  for (int32_t id : inputs[1].getAs<int32_t>()) {
    EXPECT_GE(id, -1);
    EXPECT_LT(id, 9); // global experts: the map has nine entries
    dropped |= id == -1;
  }
  EXPECT_TRUE(dropped);
  std::vector<float> weights = inputs[2].toFloats();
  for (int t = 0; t < 50; ++t) {
    EXPECT_NEAR(weights[3 * t] + weights[3 * t + 1] + weights[3 * t + 2], 1,
                1e-6);
    EXPECT_GT(weights[3 * t], 0);
  }
  for (float scale : inputs[4].toFloats()) {
    EXPECT_GE(scale, 0.0625f);
    EXPECT_LE(scale, 1.0f);
  }
  for (float zero : inputs[5].toFloats()) {
    EXPECT_GE(zero, 0);
    EXPECT_LE(zero, 15);
  }
  std::multiset<int32_t> map(inputs[7].getAs<int32_t>().begin(),
                             inputs[7].getAs<int32_t>().end());
  EXPECT_EQ(map, (std::multiset<int32_t>{-1, -1, -1, -1, -1, 0, 1, 2, 3}));
  for (float poison : inputs[8].toFloats())
    EXPECT_TRUE(std::isnan(poison));
}

TEST_F(RandomInputs, SeedAndArgumentDecide) {
  func::FuncOp function = parse(layer);
  RandomOptions options;
  SmallVector<HostTensor> first = make(function, options);
  SmallVector<HostTensor> again = make(function, options);
  options.seed = 1;
  SmallVector<HostTensor> other = make(function, options);
  for (unsigned i : {0, 2, 3, 4, 6}) {
    auto bytes = [](const HostTensor &t) {
      return llvm::ArrayRef(t.getData(), t.getByteSize());
    };
    EXPECT_EQ(bytes(first[i]), bytes(again[i])) << i;
    EXPECT_NE(bytes(first[i]), bytes(other[i])) << i;
  }
  // More tokens extend the rows, they do not change them.
  options.seed = 0;
  options.tokens = 9;
  SmallVector<HostTensor> longer = make(function, options);
  EXPECT_EQ(std::memcmp(longer[0].getData(), first[0].getData(),
                        first[0].getByteSize()),
            0);
}

TEST_F(RandomInputs, IdStyles) {
  func::FuncOp function = parse(layer);
  RandomOptions options;
  options.tokens = 40;
  options.ids = IdStyle::Unique;
  SmallVector<HostTensor> inputs = make(function, options);
  llvm::ArrayRef<int32_t> ids = inputs[1].getAs<int32_t>();
  for (int t = 0; t < 40; ++t)
    EXPECT_EQ(std::set<int32_t>(&ids[3 * t], &ids[3 * t] + 3).size(), 3u);
  options.ids = IdStyle::One;
  inputs = make(function, options);
  for (int32_t id : inputs[1].getAs<int32_t>())
    EXPECT_EQ(id, 8);
  options.ids = IdStyle::None;
  inputs = make(function, options);
  for (int32_t id : inputs[1].getAs<int32_t>())
    EXPECT_EQ(id, -1);
  options.ids = IdStyle::Skewed;
  inputs = make(function, options);
  int low = 0;
  for (int32_t id : inputs[1].getAs<int32_t>()) {
    low += id < 3;
    EXPECT_NE(id, 8); // the last expert stays empty
  }
  EXPECT_GT(low, 80);
  for (const char *name : {"mixed", "unique", "skewed", "one", "none"})
    EXPECT_TRUE(parseIdStyle(name).has_value());
  EXPECT_FALSE(parseIdStyle("zipf").has_value());
}

TEST_F(RandomInputs, AttributesDecideFirst) {
  func::FuncOp function = parse(R"(
    func.func @f(%a: tensor<2x3xf32> {moe.init = "iota"}, %b: tensor<?x2xi32>
        {moe.init = "ids", moe.experts = 3 : i64}, %c: tensor<2xbf16> {moe.init = "one"},
        %d: tensor<2xf32> {moe.init = "zero"}, %e: tensor<64xf8E4M3FN> {moe.init = "codes"},
        %n: index, %s: tensor<8xf8E8M0FNU> {moe.init = "scale"}) { return })");
  RandomOptions options;
  options.tokens = 11;
  SmallVector<HostTensor> inputs = make(function, options);
  EXPECT_EQ(inputs[0].toFloats(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  for (int32_t id : inputs[1].getAs<int32_t>())
    EXPECT_LT(id, 3);
  EXPECT_EQ(inputs[2].toFloats(), (std::vector<float>{1, 1}));
  EXPECT_EQ(inputs[3].toFloats(), (std::vector<float>{0, 0}));
  for (float value : inputs[4].toFloats())
    EXPECT_TRUE(std::isfinite(value));
  EXPECT_EQ(inputs[5].getAs<int64_t>()[0], 11);
  for (float value : inputs[6].toFloats())
    EXPECT_EQ(std::exp2(std::floor(std::log2(value))), value);
}

TEST_F(RandomInputs, BadRequestsAreNamed) {
  auto message = [&](const std::string &text) {
    auto inputs = makeRandomInputs(parse(text), {});
    return inputs ? "" : llvm::toString(inputs.takeError());
  };
  EXPECT_EQ(message("func.func @f(%a: tensor<2xf32> {moe.init = \"noise\"}) "
                    "{ return }"),
            "@f: argument 0: unknown contents 'noise'");
  EXPECT_EQ(message("func.func @f(%a: tensor<2x2xi32> {moe.init = \"ids\"}) "
                    "{ return }"),
            "@f: argument 0: the number of experts does not follow from the "
            "uses: give the argument moe.experts");
  EXPECT_EQ(message("func.func @f(%a: tensor<2xf32> {moe.init = \"ids\"}) "
                    "{ return }"),
            "@f: argument 0: ids are i32 [T, k], not f32[2]");
  EXPECT_EQ(message("func.func @f(%a: memref<2xf32>) { return }"),
            "@f: argument 0: is neither a tensor nor a scalar");
  EXPECT_EQ(message("func.func @f(%a: tensor<2xi17>) { return }"),
            "@f: argument 0: its type has no storage");
}
