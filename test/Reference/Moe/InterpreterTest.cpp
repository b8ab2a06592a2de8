//===- InterpreterTest.cpp - Functions as a library user runs them --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Reference/Moe/Interpreter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Reference/Moe/RandomInputs.h"
#include "gtest/gtest.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;

namespace {
class Interpreter : public ::testing::Test {
protected:
  Interpreter() {
    context.loadDialect<MoeDialect, func::FuncDialect, tensor::TensorDialect,
                        arith::ArithDialect, math::MathDialect,
                        linalg::LinalgDialect, memref::MemRefDialect>();
  }
  func::FuncOp parse(const std::string &text) {
    module = parseSourceString<ModuleOp>(text, &context);
    return module ? *module->getOps<func::FuncOp>().begin() : func::FuncOp();
  }
  std::vector<HostTensor> run(const std::string &text,
                              llvm::ArrayRef<HostTensor> inputs,
                              ReferenceOptions options = {}) {
    auto results =
        llvm::cantFail(interpretFunction(parse(text), inputs, options));
    return std::vector<HostTensor>(std::make_move_iterator(results.begin()),
                                   std::make_move_iterator(results.end()));
  }
  std::string fail(const std::string &text, llvm::ArrayRef<HostTensor> inputs,
                   ReferenceOptions options = {}) {
    auto results = interpretFunction(parse(text), inputs, options);
    EXPECT_FALSE(static_cast<bool>(results));
    return results ? "" : llvm::toString(results.takeError());
  }
  static HostTensor floats(llvm::ArrayRef<int64_t> shape,
                           std::vector<float> values,
                           ElementType type = ElementType::F32) {
    return llvm::cantFail(HostTensor::fromFloats(type, shape, values));
  }
  static HostTensor integer(int64_t value) {
    HostTensor tensor =
        llvm::cantFail(HostTensor::create(ElementType::I64, {}));
    tensor.getAs<int64_t>()[0] = value;
    return tensor;
  }
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};
using Floats = std::vector<float>;
} // namespace

// T = 1, one expert, everything computable by hand.
TEST_F(Interpreter, LayerByHand) {
  std::vector<HostTensor> inputs;
  inputs.push_back(floats({1, 2}, {1, 2}));
  HostTensor ids = llvm::cantFail(HostTensor::create(ElementType::I32, {1, 1}));
  inputs.push_back(std::move(ids));
  inputs.push_back(floats({1, 1}, {0.5f}));
  inputs.push_back(floats({1, 1, 2}, {3, 4}));  // W1 x = 11
  inputs.push_back(floats({1, 2, 1}, {2, -1})); // relu2: 121
  inputs.push_back(floats({1, 2}, {0, 0}));
  auto results = run(R"(
    func.func @f(%x: tensor<?x2xf32>, %i: tensor<?x1xi32>, %t: tensor<?x1xf32>,
        %w1: tensor<1x1x2xf32>, %w2: tensor<1x2x1xf32>, %o: tensor<?x2xf32>) -> tensor<?x2xf32> {
      %y = moe.fused_experts x(%x : tensor<?x2xf32>) topk(%i, %t : tensor<?x1xi32>, tensor<?x1xf32>)
        w1(%w1 : tensor<1x1x2xf32>) w2(%w2 : tensor<1x2x1xf32>) activation <relu2>
        outs(%o : tensor<?x2xf32>) -> tensor<?x2xf32>
      return %y : tensor<?x2xf32>
    })",
                     inputs);
  EXPECT_EQ(results[0].toFloats(), (Floats{121, -60.5f}));
}

// The intermediate is rounded to the type of x exactly once.
TEST_F(Interpreter, RoundsTheIntermediateToTheTypeOfX) {
  std::vector<HostTensor> inputs;
  inputs.push_back(floats({1, 1}, {1}, ElementType::BF16));
  inputs.push_back(
      llvm::cantFail(HostTensor::create(ElementType::I32, {1, 1})));
  inputs.push_back(floats({1, 1}, {1}));
  inputs.push_back(floats({1, 1, 1}, {1.00390625f})); // half a bf16 step
  inputs.push_back(floats({1, 1, 1}, {1.00390625f}));
  inputs.push_back(floats({1, 1}, {0}));
  auto results = run(R"(
    func.func @f(%x: tensor<?x1xbf16>, %i: tensor<?x1xi32>, %t: tensor<?x1xf32>,
        %w1: tensor<1x1x1xf32>, %w2: tensor<1x1x1xf32>, %o: tensor<?x1xf32>) -> tensor<?x1xf32> {
      %y = moe.fused_experts x(%x : tensor<?x1xbf16>) topk(%i, %t : tensor<?x1xi32>, tensor<?x1xf32>)
        w1(%w1 : tensor<1x1x1xf32>) w2(%w2 : tensor<1x1x1xf32>) activation <identity>
        outs(%o : tensor<?x1xf32>) -> tensor<?x1xf32>
      return %y : tensor<?x1xf32>
    })",
                     inputs);
  // Ties to even: 1.00390625 becomes 1 in between and stays in the weight.
  EXPECT_EQ(results[0].toFloats(), (Floats{1.00390625f}));
}

TEST_F(Interpreter, RowsAreThoseOfTheWholeRun) {
  const char *text = R"(
    func.func @f(%x: tensor<?x16xbf16>, %i: tensor<?x2xi32>, %t: tensor<?x2xf32>,
        %w1: tensor<4x16x16xbf16>, %w2: tensor<4x16x8xbf16>, %o: tensor<?x16xf32>) -> tensor<?x16xf32> {
      %y = moe.fused_experts x(%x : tensor<?x16xbf16>) topk(%i, %t : tensor<?x2xi32>, tensor<?x2xf32>)
        w1(%w1 : tensor<4x16x16xbf16>) w2(%w2 : tensor<4x16x8xbf16>)
        activation <swiglu> gate_up <halves>
        outs(%o : tensor<?x16xf32>) -> tensor<?x16xf32>
      return %y : tensor<?x16xf32>
    })";
  RandomOptions random;
  random.tokens = 20;
  auto inputs = llvm::cantFail(makeRandomInputs(parse(text), random));
  Floats whole = run(text, inputs)[0].toFloats();
  ReferenceOptions options;
  int64_t rows[] = {19, 0, 7, 7};
  options.rows = rows;
  for (unsigned threads : {1, 2, 5}) {
    options.threads = threads;
    auto part = run(text, inputs, options);
    ASSERT_EQ(part[0].describe(), "f32[4, 16]");
    Floats values = part[0].toFloats();
    for (int r = 0; r < 4; ++r)
      for (int c = 0; c < 16; ++c)
        EXPECT_EQ(values[r * 16 + c], whole[rows[r] * 16 + c]);
  }
  // f32 sums differ from f64 ones, but little.
  options = {};
  options.accumulate = Accumulate::F32;
  Floats narrow = run(text, inputs, options)[0].toFloats();
  double error = 0, norm = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    error += std::pow(narrow[i] - whole[i], 2);
    norm += std::pow(whole[i], 2);
  }
  EXPECT_GT(norm, 0);
  EXPECT_LT(std::sqrt(error / norm), 1e-3);
}

TEST_F(Interpreter, ScalarsAndExtents) {
  HostTensor x = floats({5, 3}, Floats(15, 0));
  std::vector<HostTensor> inputs;
  inputs.push_back(std::move(x));
  inputs.push_back(integer(7));
  auto results = run(R"(
    func.func @f(%x: tensor<?x3xf32>, %n: index) -> (index, index, index, i32, f32, tensor<?x2xf32>, i1) {
      %c0 = arith.constant 0 : index
      %c4 = arith.constant 4 : index
      %d = tensor.dim %x, %c0 : tensor<?x3xf32>
      %p = arith.muli %d, %n : index
      %q = arith.ceildivsi %p, %c4 : index
      %m = arith.maxsi %q, %p : index
      %l = arith.cmpi slt, %q, %p : index
      %s = arith.select %l, %d, %n : index
      %i = arith.index_cast %q : index to i32
      %f = arith.sitofp %i : i32 to f32
      %h = arith.constant 0.5 : f32
      %g = arith.mulf %f, %h : f32
      %t = tensor.splat %g[%d] : tensor<?x2xf32>
      return %q, %m, %s, %i, %g, %t, %l : index, index, index, i32, f32, tensor<?x2xf32>, i1
    })",
                     inputs);
  EXPECT_EQ(results[0].getAs<int64_t>()[0], 9);
  EXPECT_EQ(results[1].getAs<int64_t>()[0], 35);
  EXPECT_EQ(results[2].getAs<int64_t>()[0], 5);
  EXPECT_EQ(results[3].getAs<int32_t>()[0], 9);
  EXPECT_EQ(results[4].toFloats(), (Floats{4.5f}));
  EXPECT_EQ(results[5].describe(), "f32[5, 2]");
  EXPECT_EQ(results[5].toFloats(), Floats(10, 4.5f));
  EXPECT_EQ(results[6].getData()[0], 1);
}

TEST_F(Interpreter, TensorOps) {
  std::vector<HostTensor> inputs;
  inputs.push_back(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
  auto results = run(R"(
    func.func @f(%x: tensor<2x3xf32>) -> (tensor<2xf32>, tensor<2x3xf32>, tensor<3x2xf32>,
                                          tensor<6xf32>, f32, tensor<2xf32>, tensor<2x3xbf16>) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %col = tensor.extract_slice %x[0, 1] [2, 1] [1, 1] : tensor<2x3xf32> to tensor<2xf32>
      %k = arith.constant dense<[[9.0, 8.0]]> : tensor<1x2xf32>
      %ins = tensor.insert_slice %k into %x[1, 0] [1, 2] [1, 2] : tensor<1x2xf32> into tensor<2x3xf32>
      %flat = tensor.collapse_shape %x [[0, 1]] : tensor<2x3xf32> into tensor<6xf32>
      %wide = tensor.expand_shape %flat [[0, 1]] output_shape [3, 2] : tensor<6xf32> into tensor<3x2xf32>
      %e = tensor.extract %x[%c1, %c0] : tensor<2x3xf32>
      %n = arith.negf %e : f32
      %fe = tensor.from_elements %e, %n : tensor<2xf32>
      %b = arith.truncf %x : tensor<2x3xf32> to tensor<2x3xbf16>
      %dyn = tensor.cast %col : tensor<2xf32> to tensor<?xf32>
      %sta = tensor.cast %dyn : tensor<?xf32> to tensor<2xf32>
      return %sta, %ins, %wide, %flat, %e, %fe, %b : tensor<2xf32>, tensor<2x3xf32>, tensor<3x2xf32>,
             tensor<6xf32>, f32, tensor<2xf32>, tensor<2x3xbf16>
    })",
                     inputs);
  EXPECT_EQ(results[0].toFloats(), (Floats{2, 5}));
  EXPECT_EQ(results[1].toFloats(), (Floats{1, 2, 3, 9, 5, 8}));
  EXPECT_EQ(results[2].describe(), "f32[3, 2]");
  EXPECT_EQ(results[3].toFloats(), (Floats{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(results[4].toFloats(), (Floats{4}));
  EXPECT_EQ(results[5].toFloats(), (Floats{4, -4}));
  EXPECT_EQ(results[6].describe(), "bf16[2, 3]");
}

TEST_F(Interpreter, Linalg) {
  std::vector<HostTensor> inputs;
  inputs.push_back(floats({2, 3}, {1, 2, 3, 4, 5, 6}));
  auto results = run(R"(
    #id = affine_map<(i, j) -> (i, j)>
    #row = affine_map<(i, j) -> (i)>
    func.func @f(%x: tensor<2x3xf32>) -> tensor<2xf32> {
      %h = arith.constant 0.5 : f32
      %e = tensor.empty() : tensor<2xf32>
      %z = linalg.fill ins(%h : f32) outs(%e : tensor<2xf32>) -> tensor<2xf32>
      %s = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
          ins(%x : tensor<2x3xf32>) outs(%z : tensor<2xf32>) {
        ^bb0(%a: f32, %acc: f32):
          %q = arith.mulf %a, %a : f32
          %t = arith.addf %q, %acc : f32
          linalg.yield %t : f32
      } -> tensor<2xf32>
      return %s : tensor<2xf32>
    })",
                     inputs);
  EXPECT_EQ(results[0].toFloats(), (Floats{14.5f, 77.5f}));
}

// Two plans of one product: zero points by element and by row sums.
TEST_F(Interpreter, RowSumsCorrectZeroPoints) {
  auto text = [](bool rowSum, bool moved) {
    std::string gemm = rowSum ? " sums %s : tensor<2x?xf32>" : "";
    std::string scales = std::string(" scales <a = none, b = ") +
                         (moved ? "epilogue" : "operand") +
                         (rowSum ? ", zero = row_sum>" : ", zero = element>");
    std::string granule = moved ? "*" : "8";
    std::string scale = moved ? "" : " scale %sc : tensor<3x4x2xf32>";
    if (moved)
      gemm = rowSum ? " sums %s1 : tensor<1x?xf32>" : "";
    return R"(
    #q = #moe.quant<i8, granule = [1, )" +
           granule + R"(], scale = f32, zero = 7>
    func.func @f(%x: tensor<?x16xf32>, %w: tensor<3x4x16xi8>, %sc: tensor<3x4x2xf32>,
                 %i: tensor<?x2xi32> {moe.init = "ids", moe.experts = 3}) -> tensor<?x4xf32> {
      %c0 = arith.constant 0 : index
      %t = tensor.dim %x, %c0 : tensor<?x16xf32>
      %r = moe.align %i : tensor<?x2xi32> -> !moe.routing<experts = 3, topk = 2>
      %s0 = tensor.empty(%t) : tensor<2x?xf32>
      %s = moe.group_sum %x : tensor<?x16xf32> group = 8 outs(%s0 : tensor<2x?xf32>) -> tensor<2x?xf32>
      %s2 = tensor.empty(%t) : tensor<1x?xf32>
      %s1 = moe.group_sum %x : tensor<?x16xf32> group = 16 outs(%s2 : tensor<1x?xf32>) -> tensor<1x?xf32>
      %o = tensor.empty(%t) : tensor<?x4xf32>
      %y = moe.grouped_gemm a(%x : tensor<?x16xf32>)" +
           gemm + ") b(%w : tensor<3x4x16xi8>" + scale +
           R"( quant #q) routing(%r : !moe.routing<experts = 3, topk = 2>)
        rows = gather a_layout = token out = token)" +
           scales + R"( outs(%o : tensor<?x4xf32>) {
        ^bb0(%v: f32):
          moe.yield %v : f32
      } -> tensor<?x4xf32>
      return %y : tensor<?x4xf32>
    })";
  };
  RandomOptions random;
  random.tokens = 6;
  for (bool moved : {false, true}) {
    func::FuncOp function = parse(text(false, moved));
    ASSERT_TRUE(function);
    auto inputs = llvm::cantFail(makeRandomInputs(function, random));
    Floats element = run(text(false, moved), inputs)[0].toFloats();
    Floats rowSum = run(text(true, moved), inputs)[0].toFloats();
    double size = 0;
    for (size_t i = 0; i < element.size(); ++i) {
      EXPECT_NEAR(element[i], rowSum[i], 1e-4 * (1 + std::fabs(element[i])));
      size += std::fabs(element[i]);
    }
    EXPECT_GT(size, 1);
  }
}

TEST_F(Interpreter, ErrorsNameTheRule) {
  std::vector<HostTensor> one;
  one.push_back(floats({2, 2}, {1, 2, 3, 4}));
  EXPECT_EQ(fail("func.func @f(%x: tensor<2x3xf32>) { return }", one),
            "@f: argument 0 of type tensor<2x3xf32> got f32[2, 2]");
  EXPECT_EQ(fail("func.func @f(%x: tensor<2x2xbf16>) { return }", one),
            "@f: argument 0 of type tensor<2x2xbf16> got f32[2, 2]");
  EXPECT_EQ(fail("func.func @f() { return }", one),
            "@f: takes 0 arguments, got 1");
  EXPECT_EQ(fail("func.func private @f(tensor<2x2xf32>)", one),
            "@f: the reference executes functions of one block");
  EXPECT_EQ(fail(R"(func.func @f(%x: tensor<2x2xf32>) {
      %m = memref.alloc() : memref<2xf32>
      return
    })",
                 one),
            "@f: memref.alloc: the reference cannot execute it");
  EXPECT_EQ(fail(R"(func.func @f(%x: tensor<2x2xf32>) {
      %c = arith.constant 5 : index
      %c0 = arith.constant 0 : index
      %v = tensor.extract %x[%c, %c0] : tensor<2x2xf32>
      return
    })",
                 one),
            "@f: tensor.extract: index 5 along dimension 0 of f32[2, 2]");
  EXPECT_EQ(fail(R"(func.func @f(%x: tensor<2x2xf32>) {
      %c = arith.constant 1 : index
      %s = tensor.extract_slice %x[%c, 0] [2, 2] [1, 1] : tensor<2x2xf32> to tensor<2x2xf32>
      return
    })",
                 one),
            "@f: tensor.extract_slice: slice of offsets [1, 0], sizes [2, 2] "
            "leaves the tensor [2, 2]");
  EXPECT_EQ(fail(R"(func.func @f(%x: tensor<2x2xf32>) -> index {
      %c0 = arith.constant 0 : index
      %q = arith.divsi %c0, %c0 : index
      return %q : index
    })",
                 one),
            "@f: arith.divsi: the reference cannot execute it on 0 and 0");
  EXPECT_EQ(fail(R"(func.func @f(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
      %o = tensor.empty() : tensor<2x2xf32>
      %y = moe.activate %x : tensor<2x2xf32> outs(%o : tensor<2x2xf32>) {
        ^bb0(%v: f32):
          %i = arith.fptosi %v : f32 to i32
          %w = arith.sitofp %i : i32 to f32
          moe.yield %w : f32
      } -> tensor<2x2xf32>
      return %y : tensor<2x2xf32>
    })",
                 one),
            "@f: moe.activate: the reference cannot execute arith.fptosi: only "
            "floats and i1 are computed in scalar regions");
  ReferenceOptions options;
  int64_t row = 0;
  options.rows = row;
  EXPECT_EQ(fail("func.func @f(%x: tensor<2x2xf32>) { return }", one, options),
            "@f: rows cannot be chosen: no argument has a dynamic first "
            "extent");
  row = 2;
  EXPECT_EQ(fail("func.func @f(%x: tensor<?x2xf32>) { return }", one, options),
            "@f: row 2 is outside [0, 2)");
  row = 1;
  std::vector<HostTensor> two;
  two.push_back(floats({2, 2}, {1, 2, 3, 4}));
  two.push_back(integer(2));
  EXPECT_EQ(fail("func.func @f(%x: tensor<?x2xf32>, %n: index) { return }", two,
                 options),
            "@f: rows cannot be chosen in a function with integer argument 1, "
            "which may be a token count");
}

// A slot tensor that is too short is refused, not overrun.
TEST_F(Interpreter, ShortSlotTensors) {
  const char *text = R"(
    func.func @f(%x: tensor<?x2xf32>, %i: tensor<?x2xi32> {moe.init = "ids", moe.experts = 3},
                 %d: tensor<3x2xf32>, %o: tensor<?x2xf32>) -> tensor<?x2xf32> {
      %r = moe.align %i : tensor<?x2xi32> -> !moe.routing<experts = 3, topk = 2>
      %y = moe.combine %d : tensor<3x2xf32> routing(%r : !moe.routing<experts = 3, topk = 2>)
        layout = expert_sorted outs(%o : tensor<?x2xf32>) -> tensor<?x2xf32>
      return %y : tensor<?x2xf32>
    })";
  auto inputs = llvm::cantFail(makeRandomInputs(parse(text), {}));
  EXPECT_EQ(fail(text, inputs), "@f: moe.combine: d has 3 rows, layout "
                                "expert_sorted needs 8");
}

TEST_F(Interpreter, StorageTypes) {
  Builder b(&context);
  EXPECT_EQ(getStorageType(b.getIndexType()), ElementType::I64);
  EXPECT_EQ(getStorageType(b.getBF16Type()), ElementType::BF16);
  EXPECT_EQ(getStorageType(b.getIntegerType(4)), ElementType::I4);
  EXPECT_EQ(getStorageType(b.getIntegerType(8, false)), ElementType::U8);
  EXPECT_EQ(getStorageType(Float8E8M0FNUType::get(&context)),
            ElementType::F8E8M0FNU);
  EXPECT_EQ(getStorageType(b.getI1Type()), std::nullopt);
  EXPECT_EQ(getStorageType(b.getIntegerType(17)), std::nullopt);
}
