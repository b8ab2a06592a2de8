//===- WidenRows.cpp - Decode rows before the GEMMs that scale them -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmUtils.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEWIDENROWS
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
struct WidenRows : public moe::impl::MoeWidenRowsBase<WidenRows> {
  using Base = moe::impl::MoeWidenRowsBase<WidenRows>;
  using Base::Base;

  void runOnOperation() override;
};
} // namespace

/// Whether `gemm` scales the values of its rows before it multiplies them.
static bool scalesRows(GroupedGemmOp gemm) {
  ScalePlanAttr plan = gemm.getScalesAttr();
  return gemm->getNumResults() != 0 && gemm.getAQuantAttr() && plan &&
         plan.getA() == ScalePlace::Operand;
}

/// Replaces a GEMM that quantises its result by one that gives f32 and a
/// quantisation behind it.
static void splitQuantisation(GroupedGemmOp gemm, RewriterBase &rewriter) {
  Location loc = gemm.getLoc();
  rewriter.setInsertionPoint(gemm);
  QuantAttr quant = gemm.getQuantizeAttr();
  int64_t cols = gemm.getOutCols();
  OpFoldResult rows = tensor::getMixedSize(rewriter, loc, gemm.getOuts()[0], 0);
  GemmParts parts(gemm);
  parts.quantize = {};
  parts.outs = {createEmpty(rewriter, loc, {rows, rewriter.getIndexAttr(cols)},
                            rewriter.getF32Type())};
  auto plain = parts.create(
      rewriter, loc, [&](OpBuilder &b, const EpilogueArgs &args) -> Value {
        return cloneScalarBody(b, gemm.getEpilogue().front(), args.flat());
      });
  SmallVector<Value> inits = createQuantInits(rewriter, loc, rows, cols, quant);
  auto made = QuantizeOp::create(rewriter, loc, ValueRange(inits).getTypes(),
                                 plain->getResult(0), quant, inits);
  rewriter.replaceOp(gemm, made);
}

/// The rows that `gemm` reads, in bf16.
static Value decodeRows(GroupedGemmOp gemm, RewriterBase &rewriter) {
  Location loc = gemm.getLoc();
  Value a = gemm.getA();
  // Codes whose extent nobody asks for need not be stored.
  auto made = a.getDefiningOp<QuantizeOp>();
  OpFoldResult rows =
      tensor::getMixedSize(rewriter, loc, made ? made.getX() : a, 0);
  Value init = createEmpty(
      rewriter, loc, {rows, rewriter.getIndexAttr(gemm.getReductionSize())},
      rewriter.getBF16Type());
  return DequantizeOp::create(rewriter, loc, TypeRange(init.getType()), a,
                              gemm.getAScale(), /*zero=*/Value(),
                              gemm.getAQuantAttr(), ValueRange(init))
      ->getResult(0);
}

void WidenRows::runOnOperation() {
  IRRewriter rewriter(&getContext());
  SetVector<GroupedGemmOp> producers;
  getOperation()->walk([&](GroupedGemmOp gemm) {
    auto producer = gemm.getA().getDefiningOp<GroupedGemmOp>();
    if (scalesRows(gemm) && producer && producer.getQuantizeAttr())
      producers.insert(producer);
  });
  for (GroupedGemmOp producer : producers)
    splitQuantisation(producer, rewriter);
  numSplit += producers.size();
  SmallVector<GroupedGemmOp> gemms;
  DenseMap<Value, Value> decoded;
  getOperation()->walk([&](GroupedGemmOp gemm) {
    if (scalesRows(gemm))
      gemms.push_back(gemm);
  });
  for (GroupedGemmOp gemm : gemms) {
    // Rows for several GEMMs are decoded once, where they are made.
    Operation *producer = gemm.getA().getDefiningOp();
    bool together = producer && producer == gemm.getAScale().getDefiningOp();
    Value rows = together ? decoded.lookup(gemm.getA()) : Value();
    if (!rows) {
      if (together)
        rewriter.setInsertionPointAfter(producer);
      else
        rewriter.setInsertionPoint(gemm);
      rows = decodeRows(gemm, rewriter);
      if (together)
        decoded[gemm.getA()] = rows;
    }
    rewriter.setInsertionPoint(gemm);
    GemmParts parts(gemm);
    parts.a = rows;
    parts.aScale = Value();
    parts.aQuant = {};
    parts.scales = ScalePlanAttr::get(
        &getContext(), ScalePlace::None, 0, parts.scales.getB(),
        parts.scales.getBRun(), parts.scales.getZero());
    auto plain = parts.create(
        rewriter, gemm.getLoc(),
        [&](OpBuilder &b, const EpilogueArgs &args) -> Value {
          return cloneScalarBody(b, gemm.getEpilogue().front(), args.flat());
        });
    rewriter.replaceOp(gemm, plain);
    ++numWidened;
  }
  eraseDeadInits(getOperation(), rewriter);
}
