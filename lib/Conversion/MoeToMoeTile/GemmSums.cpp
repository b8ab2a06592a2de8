//===- GemmSums.cpp - Sums over top-k by the tiles of a grouped GEMM ------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rows of a GEMM that are only summed over top-k need no launch that sums: the
// last tile of a token's columns does, of rows that stand in a workspace (last,
// panel) or of what the tiles have added in f32 (add_f32). What it counts with,
// and what is added to, is cleared by an earlier GEMM of the routing, or else
// with the workspace.
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"

#include "moec/Dialect/Moe/Transforms/PlainSum.h"

using namespace mlir;
using namespace mlir::moe;

SumBy PlanBuilder::sumsBy(GroupedGemmOp op) {
  ConfigAttr config = op.getChosenConfig();
  if (!config)
    return SumBy::Launch;
  StringRef by = config.getString("reduce_by");
  if (by == "experts" && op.getOut() == RowLayout::Token)
    return SumBy::Experts;
  if (!findPlainSum(op))
    return SumBy::Launch;
  if (by == "last")
    return SumBy::Last;
  auto align = op.getRouting().getDefiningOp<AlignOp>();
  bool sorted = align && !align.isDirect();
  if (by == "panel" && options.tileSums && sorted)
    return SumBy::Arrived;
  if (by == "add_f32" && options.tileSums && sorted)
    return SumBy::Added;
  if (by == "add_f32" && op.getOut() == RowLayout::Token)
    return SumBy::AddedThenCast;
  return SumBy::Launch;
}

Value PlanBuilder::addedRows(GroupedGemmOp op, bool zero) {
  Value &rows = addedSums[op];
  if (!rows)
    rows = workspace({ShapedType::kDynamic, op.getOutCols()}, b.getF32Type(),
                     tokensOf(op.getRouting()), zero);
  return rows;
}

Value GemmKernel::makeCounters(bool zero) {
  return plan.workspace(
      {ShapedType::kDynamic, int64_t(llvm::divideCeil(cols, blockN))},
      plan.b.getI32Type(), plan.tokensOf(op.getRouting()), zero);
}

LogicalResult GemmKernel::clearCounters(KernelBuilder &builder) {
  for (Operation *user : op.getRouting().getUsers()) {
    auto other = dyn_cast<GroupedGemmOp>(user);
    if (!other || !op->isBeforeInBlock(other) ||
        plan.clearedCounters.count(other))
      continue;
    SumBy by = plan.sumsBy(other);
    if (by != SumBy::Last && by != SumBy::Arrived && by != SumBy::Added)
      continue;
    GemmKernel later(plan, other);
    if (failed(later.decide()))
      return failure();
    Value counters = later.makeCounters(/*zero=*/false);
    plan.clearedCounters[other] = counters;
    tile::ClearOp::create(builder.b, loc, builder.use(counters));
    if (by == SumBy::Added)
      tile::ClearOp::create(builder.b, loc,
                            builder.use(plan.addedRows(other, false)));
  }
  return success();
}

LogicalResult GemmKernel::checkSums(const RoutingBuffers &routing) {
  ConfigAttr config = op.getChosenConfig();
  StringRef by = config.getString("reduce_by"),
            store = config.getString("store");
  bool toTokens = op.getOut() == RowLayout::Token;
  if (by == "last" && (sumBy != SumBy::Last || !routing.isDirect()))
    return op.emitOpError("reduce_by = last needs a routing of form direct and "
                          "rows that are only summed over top-k, into an "
                          "argument of the function");
  if (by == "owner")
    return op.emitOpError("reduce_by = owner: rule owner_columns: one block "
                          "per token and ")
           << blockN << " columns leaves " << llvm::divideCeil(cols, blockN)
           << " blocks per token to read the weights of all its experts, use "
              "last";
  if (by == "panel" && sumBy != SumBy::Arrived)
    return op.emitOpError(
        "reduce_by = panel needs a target whose tiles count "
        "arrivals (sm_90a), a routing of form sorted and rows "
        "that are only summed over top-k, into an argument "
        "of the function");
  if (by == "add_f32" && sumBy != SumBy::Added && sumBy != SumBy::AddedThenCast)
    return op.emitOpError("reduce_by = add_f32 needs rows that are only summed "
                          "over top-k, into an argument of the function, and a "
                          "target whose tiles count arrivals (sm_90a) or out = "
                          "token");
  if (sumBy == SumBy::Added && store != "vector")
    return op.emitOpError("reduce_by = add_f32 adds registers, use store = "
                          "\"vector\", got \"")
           << store << "\"";
  if (sumBy == SumBy::Arrived && store != "vector" && store != "staged")
    return op.emitOpError(
               "reduce_by = panel sums rows that threads have "
               "stored, use store = \"vector\" or \"staged\", got \"")
           << store << "\"";
  if (toTokens && sumBy == SumBy::Launch && by != "rows")
    return op.emitOpError("reduce_by = ")
           << by
           << " has no tile form, use rows, last, panel, add_f32 or experts";
  return success();
}

void GemmKernel::bindSums(Value out) {
  if (sumBy != SumBy::Last && sumBy != SumBy::Arrived && sumBy != SumBy::Added)
    return;
  // The sum's destination, bound before its own op is met.
  Value sum = findPlainSum(op);
  sums = op.getOut() == RowLayout::Token ? out : plan.values.lookupOrNull(sum);
  if (!sums) {
    sums = plan.buffer(cast<CombineOp>(sum.getDefiningOp()).getOuts()[0]);
    plan.values.map(sum, sums);
  }
  arrivals = plan.clearedCounters.lookup(op);
  if (!arrivals)
    arrivals = makeCounters(/*zero=*/true);
}

void GemmKernel::emitSums(const RoutingBuffers &inside, Value rows,
                          bool sorted) {
  RoutingType type = op.getRouting().getType();
  OpBuilder &kb = kernel->b;
  if (sumBy == SumBy::Last)
    tile::SumLastOp::create(kb, loc, rows, row0, n0, kernel->use(sums),
                            kernel->use(arrivals), inside.ids, inside.expertMap,
                            inside.deviceTokens, type.getExperts(), blockN);
  if (sumBy == SumBy::Arrived || sumBy == SumBy::Added)
    tile::SumArrivedOp::create(
        kb, loc, rows, flatRows, n0, kernel->use(sums), kernel->use(arrivals),
        sorted ? inside.places : inside.valid, blockN, type.getTopk(),
        /*teams=*/1, sumBy == SumBy::Added);
}
