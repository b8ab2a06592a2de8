//===- GemmRouting.cpp - Tiles of a grouped GEMM and their sums -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"

#include "moec/Dialect/Moe/Transforms/PlainSum.h"

using namespace mlir;
using namespace mlir::moe;

Value GemmKernel::listTiles(const RoutingBuffers &routing) {
  OpBuilder &kb = kernel->b;
  if (routing.isDirect())
    return tile::SlotListOp::create(
        kb, loc, routing.ids, routing.expertMap, routing.deviceTokens,
        op.getRouting().getType().getExperts(), cols, blockN);
  if (tokens)
    return tile::DenseListOp::create(kb, loc, tokens,
                                     sumsExperts ? 1 : op.getNumExperts(),
                                     blockM, cols, blockN);
  Value count = arith::IndexCastOp::create(
      kb, loc, kb.getIndexType(),
      memref::LoadOp::create(kb, loc, routing.count,
                             ValueRange{kernel->index(0)}));
  return tile::BlockListOp::create(kb, loc, routing.table, count, cols, blockN);
}

bool moe::isSummedByLast(GroupedGemmOp op) {
  ConfigAttr config = op.getChosenConfig();
  return config && config.getString("reduce_by") == "last" && findPlainSum(op);
}

Value GemmKernel::makeCounters(bool zero) {
  return plan.workspace(
      {ShapedType::kDynamic, int64_t(llvm::divideCeil(cols, blockN))},
      plan.b.getI32Type(), plan.tokensOf(op.getRouting()), zero);
}

LogicalResult GemmKernel::clearCounters(KernelBuilder &builder) {
  for (Operation *user : op.getRouting().getUsers()) {
    auto other = dyn_cast<GroupedGemmOp>(user);
    if (!other || !isSummedByLast(other) || !op->isBeforeInBlock(other) ||
        plan.clearedCounters.count(other))
      continue;
    GemmKernel later(plan, other);
    if (failed(later.decide()))
      return failure();
    Value counters = later.makeCounters(/*zero=*/false);
    plan.clearedCounters[other] = counters;
    tile::ClearOp::create(builder.b, loc, builder.use(counters));
  }
  return success();
}
