//===- GemmParts.cpp - Tiles that take a part of the reduction ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With split_k = P a tile multiplies one P-th of K. The results of all parts
// stand side by side, [rows, P * N], as if they were columns of one product,
// and whoever sums over top-k adds P numbers per slot, slot by slot and part by
// part. So nobody waits and the order is fixed. The epilogue runs on each part,
// which is why it must be linear.
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"

#include "moec/Dialect/Moe/Transforms/PlainSum.h"

using namespace mlir;
using namespace mlir::moe;

int64_t moe::partsOfK(GroupedGemmOp op) {
  ConfigAttr config = op.getChosenConfig();
  return config ? std::max<int64_t>(config.getInt("split_k"), 1) : 1;
}

/// Whether `v` is the first argument of the region, rounded or times what does
/// not depend on it.
static bool isScaledProduct(Value v, Value product) {
  if (v == product)
    return true;
  Operation *op = v.getDefiningOp();
  if (!op)
    return false;
  if (isa<arith::TruncFOp, arith::ExtFOp>(op))
    return isScaledProduct(op->getOperand(0), product);
  auto times = dyn_cast<arith::MulFOp>(op);
  if (!times)
    return false;
  for (auto [one, other] : {std::pair{times.getLhs(), times.getRhs()},
                            {times.getRhs(), times.getLhs()}})
    if (isa<BlockArgument>(other) && other != product &&
        isScaledProduct(one, product))
      return true;
  return false;
}

LogicalResult GemmKernel::decideParts() {
  parts = partsOfK(op);
  if (parts == 1)
    return success();
  auto refuse = [&](const Twine &text) {
    return op.emitOpError("split_k = ") << parts << ": " << text;
  };
  if (!plan.options.tileSums)
    return refuse("rule split_target: parts of K are for sm_90a");
  if (!findPlainSum(op) || plan.sumsBy(op) != SumBy::Launch ||
      !op.getRouting().getDefiningOp<AlignOp>())
    return refuse("rule split_sum: parts are added by the launch that sums "
                  "over top-k, which needs reduce_by = rows and rows that are "
                  "only summed, into an argument of the function");
  Value yielded = op.getEpilogue().front().getTerminator()->getOperand(0);
  if (op.getGateUpAttr() ||
      !isScaledProduct(yielded, op.getEpilogue().getArgument(0)))
    return refuse("rule split_linear: what stands behind the product is run on "
                  "every part, so it may only scale it");
  if (op.getAQuantAttr() || op.getBQuantAttr())
    return refuse("rule split_plain: rows and weights must not be quantised");
  if (k % (parts * step) != 0)
    return refuse("rule split_steps: K of " + Twine(k) + " has no " +
                  Twine(parts) + " parts of whole steps of " + Twine(step));
  if (cols % blockN != 0)
    return refuse("rule split_columns: " + Twine(cols) +
                  " columns are no whole blocks of " + Twine(blockN));
  return success();
}

void GemmKernel::beginPart() {
  storedColumn = n0;
  if (parts == 1)
    return;
  OpBuilder &kb = kernel->b;
  Value all = kernel->index(cols);
  Value part = arith::DivUIOp::create(kb, loc, n0, all);
  n0 = arith::RemUIOp::create(kb, loc, n0, all);
  firstK = arith::MulIOp::create(kb, loc, part, kernel->index(k / parts));
}
