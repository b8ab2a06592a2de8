//===- SumOps.cpp - Sums over top-k by tiles ------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

using namespace mlir;
using namespace mlir::moe::tile;

static bool isSummed(Type t) { return t.isF32() || t.isBF16() || t.isF16(); }

LogicalResult SumArrivedOp::verify() {
  int64_t by = getBy(), topk = getTopk(), teams = getTeams();
  if (by < 1 || topk < 1 || teams < 1)
    return emitOpError("sum_arrived_c1: by, topk and teams must be positive, "
                       "got ")
           << by << ", " << topk << " and " << teams;
  auto rows = cast<MemRefType>(getRows().getType());
  auto out = cast<MemRefType>(getOut().getType());
  if (!isSummed(rows.getElementType()) || !isSummed(out.getElementType()) ||
      (getAdded() && !rows.getElementType().isF32()) ||
      rows.getDimSize(1) != out.getDimSize(1))
    return emitOpError("sum_arrived_c2: rows of type ")
           << rows << " and sums of type " << out
           << " need elements of f32, bf16 or f16 and as many columns, rows of "
              "added ones f32";
  auto loop = dyn_cast<ForTilesOp>((*this)->getParentOp());
  if (!loop ||
      cast<TilesType>(loop.getList().getType()).getForm() != ListForm::Blocks ||
      !(*this)->getNextNode() ||
      !(*this)->getNextNode()->hasTrait<OpTrait::IsTerminator>())
    return emitOpError("sum_arrived_c3: stands last in for_tiles over a list "
                       "of row blocks");
  return success();
}

LogicalResult ClearAbsentOp::verify() {
  int64_t topk = getTopk();
  auto out = cast<MemRefType>(getOut().getType());
  if (topk < 1 || !isSummed(out.getElementType()))
    return emitOpError("clear_absent_c1: topk must be positive and sums of "
                       "f32, bf16 or f16, got ")
           << topk << " and " << out;
  return success();
}
