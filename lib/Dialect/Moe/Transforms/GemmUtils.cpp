//===- GemmUtils.cpp - Taking grouped GEMMs apart -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmUtils.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace mlir::moe;

SmallVector<Value> EpilogueArgs::flat() const {
  SmallVector<Value> all(acc);
  llvm::append_range(all, row);
  for (const SmallVector<Value> &pair : col)
    llvm::append_range(all, pair);
  llvm::append_range(all, expert);
  llvm::append_range(all, elt);
  return all;
}

GemmParts::GemmParts(GroupedGemmOp gemm)
    : a(gemm.getA()), aScale(gemm.getAScale()), aSums(gemm.getASums()),
      b(gemm.getB()), bScale(gemm.getBScale()), bZero(gemm.getBZero()),
      routing(gemm.getRouting()), row(gemm.getRowOperands()),
      col(gemm.getColOperands()), expert(gemm.getExpertOperands()),
      elt(gemm.getEltOperands()), outs(gemm.getOuts()), rows(gemm.getRows()),
      aLayout(gemm.getALayout()), out(gemm.getOut()),
      gateUp(gemm.getGateUpAttr()), aQuant(gemm.getAQuantAttr()),
      bQuant(gemm.getBQuantAttr()), quantize(gemm.getQuantizeAttr()),
      scales(gemm.getScalesAttr()), formulation(gemm.getFormulationAttr()),
      config(gemm.getConfigAttr()),
      discardable(gemm->getDiscardableAttrDictionary()) {}

EpilogueArgs moe::splitEpilogueArgs(GroupedGemmOp gemm, ValueRange args) {
  EpilogueArgs named;
  unsigned next = 0;
  auto take = [&](SmallVector<Value> &to, unsigned count) {
    llvm::append_range(to, args.slice(next, count));
    next += count;
  };
  take(named.acc, gemm.getGateUpAttr() ? 2 : 1);
  take(named.row, gemm.getRowOperands().size());
  for (unsigned i = 0; i < gemm.getColOperands().size(); ++i)
    take(named.col.emplace_back(), gemm.getNumColArgs(i));
  take(named.expert, gemm.getExpertOperands().size());
  take(named.elt, gemm.getEltOperands().size());
  return named;
}

GroupedGemmOp GemmParts::create(
    OpBuilder &builder, Location loc,
    function_ref<Value(OpBuilder &, const EpilogueArgs &)> body) const {
  SmallVector<Type> results;
  for (Value init : outs)
    if (isa<RankedTensorType>(init.getType()))
      results.push_back(init.getType());
  auto gemm = GroupedGemmOp::create(
      builder, loc, results, a, aScale, aSums, b, bScale, bZero, routing, row,
      col, expert, elt, outs, rows, aLayout, out, gateUp, aQuant, bQuant,
      quantize, scales, formulation, config);
  if (discardable)
    gemm->setDiscardableAttrs(discardable);

  OpBuilder::InsertionGuard guard(builder);
  unsigned count = gemm.getEltArg(elt.size());
  SmallVector<Type> types(count, builder.getF32Type());
  SmallVector<Location> locs(count, loc);
  Block *block = builder.createBlock(&gemm.getEpilogue(), {}, types, locs);
  Value value = body(builder, splitEpilogueArgs(gemm, block->getArguments()));
  YieldOp::create(builder, loc, value);
  return gemm;
}

Value moe::cloneScalarBody(OpBuilder &builder, Block &block, ValueRange args) {
  IRMapping map;
  map.map(block.getArguments(), args);
  for (Operation &op : block.without_terminator())
    builder.clone(op, map);
  return map.lookupOrDefault(cast<YieldOp>(block.getTerminator()).getValue());
}

Value moe::createEmpty(OpBuilder &builder, Location loc,
                       ArrayRef<OpFoldResult> sizes, Type element) {
  return tensor::EmptyOp::create(builder, loc, sizes, element);
}

SmallVector<Value> moe::createQuantInits(OpBuilder &builder, Location loc,
                                         OpFoldResult rows, int64_t cols,
                                         QuantAttr quant) {
  OpFoldResult stored = builder.getIndexAttr(cols / quant.getColsPerStored());
  OpFoldResult groups = builder.getIndexAttr(quant.getScaleCols(cols));
  Value values =
      createEmpty(builder, loc, {rows, stored}, quant.getStorageType());
  SmallVector<OpFoldResult> shape = {rows, groups};
  if (quant.getLayout() == ScaleLayout::GroupMajor)
    std::swap(shape[0], shape[1]);
  return {values, createEmpty(builder, loc, shape, quant.getScale())};
}

OpFoldResult moe::mulExtent(OpBuilder &builder, Location loc,
                            OpFoldResult extent, int64_t factor) {
  if (factor == 1)
    return extent;
  if (std::optional<int64_t> number = getConstantIntValue(extent))
    return builder.getIndexAttr(*number * factor);
  Value by = arith::ConstantIndexOp::create(builder, loc, factor);
  return arith::MulIOp::create(builder, loc, cast<Value>(extent), by)
      .getResult();
}

void moe::eraseDeadInits(Operation *root, RewriterBase &rewriter) {
  SetVector<Operation *> dead;
  root->walk([&](tensor::EmptyOp op) {
    if (op->use_empty())
      dead.insert(op);
  });
  while (!dead.empty()) {
    Operation *op = dead.pop_back_val();
    SmallVector<Value> operands(op->getOperands());
    rewriter.eraseOp(op);
    for (Value operand : operands)
      if (Operation *def = operand.getDefiningOp();
          def && isOpTriviallyDead(def))
        dead.insert(def);
  }
}
