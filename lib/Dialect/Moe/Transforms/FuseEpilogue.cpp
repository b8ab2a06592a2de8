//===- FuseEpilogue.cpp - Fuse row-wise ops into grouped GEMMs ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmUtils.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"

namespace mlir::moe {
#define GEN_PASS_DEF_MOEFUSEEPILOGUE
#include "moec/Dialect/Moe/Transforms/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

namespace {
struct FuseEpilogue : public moe::impl::MoeFuseEpilogueBase<FuseEpilogue> {
  using Base = moe::impl::MoeFuseEpilogueBase<FuseEpilogue>;
  using Base::Base;

  void runOnOperation() override;

private:
  /// Reports that `op` stays where it is, and why. Always failure.
  LogicalResult missed(Operation *op, const Twine &why);

  /// The GEMM on tensors that gives `value` as its f32 rows to `user` alone and
  /// may still change its closing rule; null with a remark if only a detail is
  /// in the way.
  GroupedGemmOp producer(Operation *user, Value value);

  LogicalResult fuseActivate(ActivateOp op, RewriterBase &rewriter);
  LogicalResult fuseQuantize(QuantizeOp op, RewriterBase &rewriter);
  LogicalResult changeLayout(GroupedGemmOp op, RewriterBase &rewriter);
  LogicalResult fuseWeights(CombineOp &op, RewriterBase &rewriter);
  LogicalResult fuseCombine(CombineOp op, RewriterBase &rewriter);

  template <typename OpTy> SmallVector<OpTy> collect() {
    SmallVector<OpTy> ops;
    getOperation()->walk([&](OpTy op) {
      if (op->getNumResults() != 0)
        ops.push_back(op);
    });
    return ops;
  }
};
} // namespace

LogicalResult FuseEpilogue::missed(Operation *op, const Twine &why) {
  ++numMissed;
  std::string text = why.str();
  StringRef name = op->getName().stripDialect();
  remark::missed(op->getLoc(),
                 remark::RemarkOpts::name(name).category(getArgument()))
      << remark::reason("{0}", text);
  return failure();
}

GroupedGemmOp FuseEpilogue::producer(Operation *user, Value value) {
  auto gemm = value.getDefiningOp<GroupedGemmOp>();
  if (!gemm)
    return nullptr;
  if (!value.hasOneUse()) {
    (void)missed(user, "the GEMM result has other uses");
    return nullptr;
  }
  if (gemm.getQuantizeAttr()) {
    (void)missed(user, "the GEMM already quantises its result");
    return nullptr;
  }
  Type element = cast<ShapedType>(value.getType()).getElementType();
  if (!element.isF32()) {
    std::string name;
    llvm::raw_string_ostream(name) << element;
    (void)missed(user, "the GEMM rounds its result to " + name + " before");
    return nullptr;
  }
  if (gemm.getOut() == RowLayout::Token) {
    (void)missed(user, "the GEMM sums over slots before");
    return nullptr;
  }
  return gemm;
}

//===----------------------------------------------------------------------===//
// Activation
//===----------------------------------------------------------------------===//

LogicalResult FuseEpilogue::fuseActivate(ActivateOp op,
                                         RewriterBase &rewriter) {
  GroupedGemmOp gemm = producer(op, op.getX());
  if (!gemm)
    return failure();
  if (gemm.getGateUpAttr())
    return missed(op, "the GEMM already joins gate and up columns");
  if (op.getGateUpAttr() && !gemm.getEltOperands().empty())
    return missed(op, "an elt operand of the GEMM spans gate and up columns");

  rewriter.setInsertionPoint(op);
  GemmParts parts(gemm);
  parts.gateUp = op.getGateUpAttr();
  parts.outs.assign({op.getOuts()[0]});
  Block &old = gemm.getEpilogue().front();
  auto fused =
      parts.create(rewriter, op.getLoc(),
                   [&](OpBuilder &b, const EpilogueArgs &args) -> Value {
                     // The former region runs once per accumulator, each with
                     // its own half of the col operands.
                     SmallVector<Value> inputs;
                     for (unsigned half = 0; half < args.acc.size(); ++half) {
                       EpilogueArgs one = args;
                       one.acc.assign({args.acc[half]});
                       for (SmallVector<Value> &col : one.col)
                         col.assign({col[half]});
                       inputs.push_back(cloneScalarBody(b, old, one.flat()));
                     }
                     return cloneScalarBody(b, op.getBody().front(), inputs);
                   });
  rewriter.replaceOp(op, fused);
  rewriter.eraseOp(gemm);
  return success();
}

//===----------------------------------------------------------------------===//
// Quantisation
//===----------------------------------------------------------------------===//

LogicalResult FuseEpilogue::fuseQuantize(QuantizeOp op,
                                         RewriterBase &rewriter) {
  GroupedGemmOp gemm = producer(op, op.getX());
  if (!gemm)
    return failure();
  int64_t granule = op.getQuant().getGranuleCols();
  int64_t cols = gemm.getOutCols();
  if (granule == QuantAttr::kWhole)
    return missed(op, "its granule is the whole row, which no column tile of "
                      "the GEMM sees");
  if (cols % granule)
    return missed(op, "its granule of " + Twine(granule) +
                          " columns does not divide the " + Twine(cols) +
                          " columns of the GEMM");

  rewriter.setInsertionPoint(op);
  GemmParts parts(gemm);
  parts.quantize = op.getQuant();
  parts.outs.assign(op.getOuts().begin(), op.getOuts().end());
  auto fused = parts.create(
      rewriter, op.getLoc(),
      [&](OpBuilder &b, const EpilogueArgs &args) -> Value {
        return cloneScalarBody(b, gemm.getEpilogue().front(), args.flat());
      });
  rewriter.replaceOp(op, fused);
  rewriter.eraseOp(gemm);
  return success();
}

//===----------------------------------------------------------------------===//
// Row order
//===----------------------------------------------------------------------===//

LogicalResult FuseEpilogue::changeLayout(GroupedGemmOp op,
                                         RewriterBase &rewriter) {
  RowLayout from = op.getOut();
  if (from == layout || from == RowLayout::Token)
    return failure();
  SetVector<Operation *> readers;
  for (Operation *user : op->getUsers()) {
    auto reader = dyn_cast<GroupedGemmOp>(user);
    if (!reader)
      return failure();
    readers.insert(reader);
  }
  if (readers.empty())
    return failure();
  for (Operation *user : readers) {
    auto reader = cast<GroupedGemmOp>(user);
    for (OpOperand &operand : reader->getOpOperands()) {
      if (operand.get().getDefiningOp() != op)
        continue;
      if (operand.get() != reader.getA() && operand.get() != reader.getAScale())
        return missed(op, "a reader uses the rows for something else than its "
                          "operand a");
    }
    if (reader.getRouting() != op.getRouting() ||
        reader.getRows() != RowSource::Slots || reader.getALayout() != from)
      return missed(op, "a reader has another routing or expects another row "
                        "order");
  }

  // Rows count differently only with padding; the number is then the routing's.
  Location loc = op.getLoc();
  rewriter.setInsertionPoint(op);
  SmallVector<Value> inits(op.getOuts().begin(), op.getOuts().end());
  bool padding = layout == RowLayout::ExpertSortedPadded ||
                 from == RowLayout::ExpertSortedPadded;
  if (padding) {
    Value rows = NumSlotsOp::create(rewriter, loc, rewriter.getIndexType(),
                                    op.getRouting(), layout);
    OpFoldResult count = rows;
    int64_t cols = op.getOutCols();
    if (QuantAttr quant = op.getQuantizeAttr())
      inits = createQuantInits(rewriter, loc, count, cols, quant);
    else
      inits = {
          createEmpty(rewriter, loc, {count, rewriter.getIndexAttr(cols)},
                      cast<ShapedType>(inits[0].getType()).getElementType())};
  }
  GemmParts parts(op);
  parts.out = layout;
  parts.outs = inits;
  auto changed = parts.create(
      rewriter, loc, [&](OpBuilder &b, const EpilogueArgs &args) -> Value {
        return cloneScalarBody(b, op.getEpilogue().front(), args.flat());
      });
  for (Operation *user : readers)
    rewriter.modifyOpInPlace(
        user, [&] { cast<GroupedGemmOp>(user).setALayout(layout); });
  rewriter.replaceOp(op, changed);
  return success();
}

//===----------------------------------------------------------------------===//
// Router weight and sum
//===----------------------------------------------------------------------===//

LogicalResult FuseEpilogue::fuseWeights(CombineOp &op, RewriterBase &rewriter) {
  if (!op.getWeights())
    return failure();
  if (op.getKeep())
    return missed(op, "its weights are marked keep");
  GroupedGemmOp gemm = producer(op, op.getD());
  if (!gemm)
    return failure();
  if (gemm.getOut() != op.getLayout() || gemm.getRouting() != op.getRouting())
    return missed(op, "the GEMM writes rows of another order or routing");
  for (Value row : gemm.getRowOperands())
    if (cast<ShapedType>(row.getType()).getRank() != 2)
      return missed(op, "the GEMM has row operands by token, the weights are "
                        "by slot");

  rewriter.setInsertionPoint(op);
  GemmParts parts(gemm);
  parts.row.push_back(op.getWeights());
  auto fused = parts.create(
      rewriter, gemm.getLoc(),
      [&](OpBuilder &b, const EpilogueArgs &args) -> Value {
        EpilogueArgs former = args;
        Value weight = former.row.pop_back_val();
        Value v = cloneScalarBody(b, gemm.getEpilogue().front(), former.flat());
        return arith::MulFOp::create(b, op.getLoc(), v, weight);
      });
  auto plain = CombineOp::create(
      rewriter, op.getLoc(), op->getResultTypes(), fused.getResult(0), Value(),
      op.getAdd(), op.getAddGate(), op.getRouting(), op.getLayout(),
      /*keep=*/false, op.getOuts());
  plain->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  rewriter.replaceOp(op, plain);
  rewriter.eraseOp(gemm);
  op = plain;
  return success();
}

LogicalResult FuseEpilogue::fuseCombine(CombineOp op, RewriterBase &rewriter) {
  if (op.getWeights())
    return missed(op, "its weights are not part of the GEMM");
  if (op.getAdd())
    return missed(op, "it adds rows that the GEMM does not compute");
  GroupedGemmOp gemm = producer(op, op.getD());
  if (!gemm)
    return failure();
  if (gemm.getOut() != op.getLayout() || gemm.getRouting() != op.getRouting())
    return missed(op, "the GEMM writes rows of another order or routing");

  rewriter.setInsertionPoint(op);
  GemmParts parts(gemm);
  parts.out = RowLayout::Token;
  parts.outs.assign({op.getOuts()[0]});
  auto fused = parts.create(
      rewriter, op.getLoc(),
      [&](OpBuilder &b, const EpilogueArgs &args) -> Value {
        return cloneScalarBody(b, gemm.getEpilogue().front(), args.flat());
      });
  rewriter.replaceOp(op, fused);
  rewriter.eraseOp(gemm);
  return success();
}

void FuseEpilogue::runOnOperation() {
  IRRewriter rewriter(&getContext());
  for (ActivateOp op : collect<ActivateOp>())
    numActivations += succeeded(fuseActivate(op, rewriter));
  for (QuantizeOp op : collect<QuantizeOp>())
    numQuantize += succeeded(fuseQuantize(op, rewriter));
  for (GroupedGemmOp op : collect<GroupedGemmOp>())
    numLayouts += succeeded(changeLayout(op, rewriter));
  for (CombineOp op : collect<CombineOp>()) {
    numWeights += succeeded(fuseWeights(op, rewriter));
    if (reduce == ReduceMode::Token)
      numCombines += succeeded(fuseCombine(op, rewriter));
  }
  eraseDeadInits(getOperation(), rewriter);
}
