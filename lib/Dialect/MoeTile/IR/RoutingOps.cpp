//===- RoutingOps.cpp - Sorting rows by expert ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace mlir::moe::tile;

void AlignOp::build(OpBuilder &builder, OperationState &state, Value ids,
                    Value expertMap, Value tokens, Value deviceTokens,
                    Value slots, Value places, Value valid, Value table,
                    Value count, int64_t experts, int64_t topk, int64_t blockM,
                    int64_t pad) {
  build(builder, state, TypeRange(), ids, expertMap, tokens, deviceTokens,
        slots, places, valid, table, count, experts, topk, blockM, pad);
}

LogicalResult AlignOp::verify() {
  constexpr int64_t maxExperts = 2048;
  int64_t experts = getExperts(), topk = getTopk();
  if (experts < 1 || topk < 1 || static_cast<int64_t>(getBlockM()) < 1 ||
      static_cast<int64_t>(getPad()) < 1 || experts > maxExperts)
    return emitOpError("align_c1: experts = ")
           << experts << ", topk = " << topk
           << ", block_m = " << static_cast<int64_t>(getBlockM())
           << ", pad = " << static_cast<int64_t>(getPad())
           << " must be positive, experts at most " << maxExperts;
  auto dim = [](Value memory, unsigned i) {
    return cast<MemRefType>(memory.getType()).getDimSize(i);
  };
  if (!getIds() && topk > experts)
    return emitOpError("align_c2: without ids topk = ")
           << topk << " is at most experts = " << experts;
  if (getIds() && dim(getIds(), 1) != topk)
    return emitOpError("align_c2: ids of type ")
           << getIds().getType() << " must have topk = " << topk << " columns";
  if (dim(getTable(), 1) != 4)
    return emitOpError("align_c3: the table must have four columns, got ")
           << getTable().getType();
  for (Value one : {getCount(), getDeviceTokens()})
    if (one && dim(one, 0) != 1)
      return emitOpError("align_c3: count and device_tokens have one element, "
                         "got ")
             << one.getType();
  if (auto kernel = dyn_cast<KernelOp>((*this)->getParentOp()))
    for (Operation &op : kernel.getBody().front())
      if (&op != getOperation() && !op.hasTrait<OpTrait::ConstantLike>() &&
          !isa<memref::DimOp, AwaitLaunchOp, ReturnOp>(op))
        return emitOpError("align_c4: stands alone in its kernel, found ")
               << op.getName();
  return success();
}
