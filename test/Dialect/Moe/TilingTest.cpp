//===- TilingTest.cpp - Tiles of moe ops compute what the ops do ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each function is executed, its moe op is cut by upstream's tiling, and the
// loops are executed on the same inputs: results must be equal to the bit.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/TilingInterface.h"
#include "mlir/Parser/Parser.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Reference/Moe/Interpreter.h"
#include "moec/Reference/Moe/RandomInputs.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::moe;

namespace {
class TilingTest : public ::testing::Test {
protected:
  TilingTest() {
    DialectRegistry registry;
    registry.insert<MoeDialect, func::FuncDialect, tensor::TensorDialect,
                    arith::ArithDialect, math::MathDialect, scf::SCFDialect,
                    affine::AffineDialect>();
    registerMoeTilingModels(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    context.getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
      messages += diagnostic.str() + "\n";
      return success();
    });
  }

  func::FuncOp parse(const std::string &text) {
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << messages;
    return *module->getOps<func::FuncOp>().begin();
  }

  static TilingInterface find(func::FuncOp function) {
    TilingInterface found;
    function.walk([&](TilingInterface op) {
      if (isa<MoeDialect>(op->getDialect()))
        found = op;
    });
    return found;
  }

  FailureOr<scf::SCFTilingResult> cut(TilingInterface op,
                                      ArrayRef<int64_t> sizes) {
    IRRewriter rewriter(&context);
    rewriter.setInsertionPoint(op);
    scf::SCFTilingOptions options;
    SmallVector<OpFoldResult> folded;
    for (int64_t size : sizes)
      folded.push_back(rewriter.getIndexAttr(size));
    options.setTileSizes(folded);
    FailureOr<scf::SCFTilingResult> result =
        scf::tileUsingSCF(rewriter, op, options);
    if (succeeded(result))
      rewriter.replaceOp(op, result->replacements);
    return result;
  }

  /// Tiles the op of `text` and compares; `loops` is the number of its loops.
  void check(const std::string &text, ArrayRef<int64_t> sizes, unsigned loops) {
    for (int64_t tokens : {0, 1, 7, 33}) {
      func::FuncOp function = parse(text);
      auto inputs = llvm::cantFail(
          makeRandomInputs(function, {static_cast<uint64_t>(tokens), tokens}));
      auto expected = llvm::cantFail(interpretFunction(function, inputs));
      TilingInterface op = find(function);
      ASSERT_TRUE(op);
      EXPECT_EQ(op.getLoopIteratorTypes().size(), loops);
      ASSERT_TRUE(succeeded(cut(op, sizes))) << messages;
      ASSERT_TRUE(succeeded(verify(*module))) << messages;
      unsigned made = 0;
      function.walk([&](scf::ForOp) { ++made; });
      EXPECT_EQ(made, llvm::count_if(sizes, [](int64_t s) { return s; }));
      auto tiled = interpretFunction(function, inputs);
      ASSERT_TRUE(static_cast<bool>(tiled))
          << llvm::toString(tiled.takeError());
      ASSERT_EQ(tiled->size(), expected.size());
      for (auto [got, wanted] : llvm::zip(*tiled, expected)) {
        ASSERT_EQ(got.getByteSize(), wanted.getByteSize());
        EXPECT_EQ(memcmp(got.getData(), wanted.getData(), got.getByteSize()), 0)
            << "T = " << tokens << "\n"
            << text;
      }
    }
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::string messages;
};

/// A GEMM with these attributes and operands in front of its `outs`.
std::string gemm(const std::string &arguments, const std::string &op,
                 const std::string &out, const std::string &region,
                 const std::string &prelude = "") {
  return prelude +
         "func.func @f(%x: tensor<?x128xf32>, %ids: tensor<?x2xi32>, " +
         arguments + ", %o: " + out + ") -> " + out + R"( {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 5, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x128xf32>) )" +
         op + " outs(%o : " + out + ") {\n" + region + "} -> " + out +
         "\n  return %y : " + out + "\n}\n";
}
const std::string routing =
    " routing(%r : !moe.routing<experts = 5, topk = 2>) rows = gather "
    "a_layout = token ";

TEST_F(TilingTest, GemmColumns) {
  std::string text = gemm(
      "%w: tensor<5x24x128xf32>, %bias: tensor<5x24xf32>, %e: tensor<5xf32>",
      "b(%w : tensor<5x24x128xf32>)" + routing +
          "out = token col(%bias : tensor<5x24xf32>) expert(%e : "
          "tensor<5xf32>)",
      "tensor<?x24xf32>",
      "^bb0(%a: f32, %b: f32, %s: f32):\n %m = arith.mulf %a, %s : f32\n %v = "
      "arith.addf %m, %b : f32\n moe.yield %v : f32\n");
  check(text, {8}, 1);
  check(text, {3}, 1);
  check(text, {24}, 1);
}

TEST_F(TilingTest, GemmGateAndUp) {
  const char *const region =
      "^bb0(%g: f32, %u: f32, %bg: f32, %bu: f32):\n %a = arith.addf %g, %bg : "
      "f32\n %b = arith.addf %u, %bu : f32\n %v = arith.mulf %a, %b : f32\n "
      "moe.yield %v : f32\n";
  auto with = [&](const std::string &gateUp) {
    return gemm("%w: tensor<5x24x128xf32>, %bias: tensor<5x24xf32>",
                "b(%w : tensor<5x24x128xf32>)" + routing +
                    "out = token gate_up " + gateUp +
                    " col(%bias : tensor<5x24xf32>)",
                "tensor<?x12xf32>", region);
  };
  check(with("<interleaved>"), {4}, 1);
  check(with("<blocks 3, up_first>"), {2}, 1);
  // Halves cannot be cut: one part.
  check(with("<halves>"), {1}, 1);
}

TEST_F(TilingTest, GemmScales) {
  const std::string quant =
      "#q = #moe.quant<f8E4M3FN, granule = [4, 32], scale = f32>\n";
  const std::string w4 = "#q = #moe.quant<i4, granule = [1, 32], scale = bf16, "
                         "zero = operand, packing = low_even, layout = "
                         "group_major>\n";
  const char *const region = "^bb0(%a: f32):\n moe.yield %a : f32\n";
  // 6 blocks of 4 rows.
  check(gemm("%w: tensor<5x24x128xf8E4M3FN>, %s: tensor<5x6x4xf32>",
             "b(%w : tensor<5x24x128xf8E4M3FN> scale %s : tensor<5x6x4xf32> "
             "quant #q)" +
                 routing + "out = token",
             "tensor<?x24xf32>", region, quant),
        {2}, 1);
  check(gemm("%w: tensor<5x24x64xi8>, %s: tensor<5x4x24xbf16>, %z: "
             "tensor<5x4x24xi8>",
             "b(%w : tensor<5x24x64xi8> scale %s : tensor<5x4x24xbf16> zero %z "
             ": tensor<5x4x24xi8> quant #q)" +
                 routing + "out = token",
             "tensor<?x24xf32>", region, w4),
        {8}, 1);
}

TEST_F(TilingTest, GemmRefusesUnevenTiles) {
  func::FuncOp function =
      parse(gemm("%w: tensor<5x24x128xf32>",
                 "b(%w : tensor<5x24x128xf32>)" + routing + "out = token",
                 "tensor<?x24xf32>", "^bb0(%a: f32):\n moe.yield %a : f32\n"));
  EXPECT_TRUE(failed(cut(find(function), {7})));
  EXPECT_NE(messages.find("loop 0 has 24 units; a tile size must divide them"),
            std::string::npos)
      << messages;
}

TEST_F(TilingTest, Activate) {
  auto with = [&](const std::string &gateUp) {
    return "func.func @f(%x: tensor<?x24xf32>, %o: tensor<?x12xbf16>) -> "
           "tensor<?x12xbf16> {\n %y = moe.activate %x : tensor<?x24xf32> "
           "gate_up " +
           gateUp +
           " outs(%o : tensor<?x12xbf16>) {\n ^bb0(%g: f32, %u: f32):\n %v = "
           "arith.mulf %g, %u : f32\n moe.yield %v : f32\n } -> "
           "tensor<?x12xbf16>\n return %y : tensor<?x12xbf16>\n}\n";
  };
  check(with("<interleaved>"), {4, 5}, 2);
  check(with("<blocks 4>"), {2, 1}, 2);
  check(with("<blocks 4>"), {0, 2}, 2);
  check(with("<halves, up_first>"), {3}, 1);
  check("func.func @f(%x: tensor<?x24xf32>, %o: tensor<?x24xf16>) -> "
        "tensor<?x24xf16> {\n %y = moe.activate %x : tensor<?x24xf32> outs(%o "
        ": tensor<?x24xf16>) {\n ^bb0(%g: f32):\n %v = arith.mulf %g, %g : "
        "f32\n moe.yield %v : f32\n } -> tensor<?x24xf16>\n return %y : "
        "tensor<?x24xf16>\n}\n",
        {2, 7}, 2);
}

TEST_F(TilingTest, Quantize) {
  auto with = [&](const std::string &quant, const std::string &values,
                  const std::string &scales) {
    return "#q = #moe.quant<" + quant +
           ">\nfunc.func @f(%x: tensor<?x96xbf16>, %q: " + values +
           ", %s: " + scales + ") -> (" + values + ", " + scales +
           ") {\n %y:2 = moe.quantize %x : tensor<?x96xbf16> quant #q outs(%q, "
           "%s : " +
           values + ", " + scales + ") -> " + values + ", " + scales +
           "\n return %y#0, %y#1 : " + values + ", " + scales + "\n}\n";
  };
  check(with("f8E4M3FN, granule = [1, 32], scale = f32",
             "tensor<?x96xf8E4M3FN>", "tensor<?x3xf32>"),
        {4, 1}, 2);
  check(with("i8, granule = [1, 16], scale = f32, layout = group_major",
             "tensor<?x96xi8>", "tensor<6x?xf32>"),
        {5, 2}, 2);
  check(with("i8, granule = [1, *], scale = f32", "tensor<?x96xi8>",
             "tensor<?x1xf32>"),
        {2}, 1);
  check(with("f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx",
             "tensor<?x48xi8>", "tensor<?x3xf8E8M0FNU>"),
        {2, 3}, 2);
}

TEST_F(TilingTest, Dequantize) {
  check("#q = #moe.quant<i4, granule = [1, 32], scale = bf16, zero = operand, "
        "packing = low_even, layout = group_major>\n"
        "func.func @f(%w: tensor<3x10x32xi8>, %s: tensor<3x2x10xbf16>, %z: "
        "tensor<3x2x10xi8>, %o: tensor<3x10x64xf32>) -> tensor<3x10x64xf32> {\n"
        " %y = moe.dequantize %w : tensor<3x10x32xi8> scale(%s : "
        "tensor<3x2x10xbf16>) zero(%z : tensor<3x2x10xi8>) quant #q outs(%o : "
        "tensor<3x10x64xf32>) -> tensor<3x10x64xf32>\n"
        " return %y : tensor<3x10x64xf32>\n}\n",
        {2, 5}, 2);
  check("#q = #moe.quant<f8E4M3FN, granule = [4, 32], scale = f32>\n"
        "func.func @f(%w: tensor<12x64xf8E4M3FN>, %s: tensor<3x2xf32>, %o: "
        "tensor<12x64xbf16>) -> tensor<12x64xbf16> {\n"
        " %y = moe.dequantize %w : tensor<12x64xf8E4M3FN> scale(%s : "
        "tensor<3x2xf32>) quant #q outs(%o : tensor<12x64xbf16>) -> "
        "tensor<12x64xbf16>\n return %y : tensor<12x64xbf16>\n}\n",
        {1}, 1);
}

TEST_F(TilingTest, CombineColumns) {
  check("func.func @f(%d: tensor<?x24xf32>, %ids: tensor<?x2xi32>, %tw: "
        "tensor<?x2xf32>, %a: tensor<?x24xf32>, %g: tensor<?xf32>, %o: "
        "tensor<?x24xbf16>) -> tensor<?x24xbf16> {\n"
        " %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 5, "
        "topk = 2>\n"
        " %c0 = arith.constant 0 : index\n"
        " %t = tensor.dim %d, %c0 : tensor<?x24xf32>\n"
        " %rows = moe.num_slots %r layout = flat_topk : !moe.routing<experts = "
        "5, topk = 2>\n"
        " %e = tensor.empty(%rows) : tensor<?x24xf32>\n"
        " %s = moe.dispatch %d : tensor<?x24xf32> routing(%r : "
        "!moe.routing<experts = 5, topk = 2>) layout = flat_topk outs(%e : "
        "tensor<?x24xf32>) -> tensor<?x24xf32>\n"
        " %y = moe.combine %s : tensor<?x24xf32> weights(%tw : "
        "tensor<?x2xf32>) add(%a : tensor<?x24xf32>) add_gate(%g : "
        "tensor<?xf32>) routing(%r : !moe.routing<experts = 5, topk = 2>) "
        "layout = flat_topk outs(%o : tensor<?x24xbf16>) -> "
        "tensor<?x24xbf16>\n return %y : tensor<?x24xbf16>\n}\n",
        {7}, 1);
}

TEST_F(TilingTest, RefusesBuffers) {
  func::FuncOp function =
      parse("func.func @f(%x: memref<4x8xf32>, %o: memref<4x8xf32>) {\n"
            " moe.activate %x : memref<4x8xf32> outs(%o : memref<4x8xf32>) {\n"
            " ^bb0(%a: f32):\n moe.yield %a : f32\n }\n return\n}\n");
  TilingInterface op = find(function);
  OpBuilder b(op);
  SmallVector<OpFoldResult> at(2, b.getIndexAttr(0)),
      size(2, b.getIndexAttr(2));
  EXPECT_TRUE(failed(op.getTiledImplementation(b, at, size)));
  EXPECT_NE(messages.find("tile before bufferisation"), std::string::npos);
}

/// A consumer's tile pulls in the producer's: quantisation after activation.
TEST_F(TilingTest, ProducersAreFused) {
  func::FuncOp function = parse(
      "#q = #moe.quant<i8, granule = [1, 8], scale = f32>\n"
      "func.func @f(%x: tensor<?x24xf32>, %h: tensor<?x24xf32>, %q: "
      "tensor<?x24xi8>, %s: tensor<?x3xf32>) -> (tensor<?x24xi8>, "
      "tensor<?x3xf32>) {\n"
      " %a = moe.activate %x : tensor<?x24xf32> outs(%h : tensor<?x24xf32>) "
      "{\n ^bb0(%g: f32):\n %v = arith.mulf %g, %g : f32\n moe.yield %v : "
      "f32\n } -> tensor<?x24xf32>\n"
      " %y:2 = moe.quantize %a : tensor<?x24xf32> quant #q outs(%q, %s : "
      "tensor<?x24xi8>, tensor<?x3xf32>) -> tensor<?x24xi8>, "
      "tensor<?x3xf32>\n"
      " return %y#0, %y#1 : tensor<?x24xi8>, tensor<?x3xf32>\n}\n");
  auto inputs = llvm::cantFail(makeRandomInputs(function, {1, 7}));
  auto expected = llvm::cantFail(interpretFunction(function, inputs));
  IRRewriter rewriter(&context);
  TilingInterface op = find(function);
  rewriter.setInsertionPoint(op);
  scf::SCFTileAndFuseOptions options;
  SmallVector<OpFoldResult> sizes = {rewriter.getIndexAttr(2),
                                     rewriter.getIndexAttr(1)};
  options.tilingOptions.setTileSizes(sizes);
  auto fused = scf::tileConsumerAndFuseProducersUsingSCF(rewriter, op, options);
  ASSERT_TRUE(succeeded(fused)) << messages;
  for (auto [from, to] : fused->replacements)
    rewriter.replaceAllUsesWith(from, to);
  ASSERT_TRUE(succeeded(verify(*module))) << messages;
  unsigned inside = 0;
  function.walk(
      [&](ActivateOp op) { inside += isa<scf::ForOp>(op->getParentOp()); });
  EXPECT_EQ(inside, 1u);
  auto tiled = llvm::cantFail(interpretFunction(function, inputs));
  for (auto [got, wanted] : llvm::zip(tiled, expected))
    EXPECT_EQ(memcmp(got.getData(), wanted.getData(), got.getByteSize()), 0);
}
} // namespace
