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

/// Fails if `op` shares its kernel with others, under `label`.
static LogicalResult verifyAlone(Operation *op, StringRef label) {
  if (auto kernel = dyn_cast<KernelOp>(op->getParentOp()))
    for (Operation &other : kernel.getBody().front())
      if (&other != op && !other.hasTrait<OpTrait::ConstantLike>() &&
          !isa<memref::DimOp, AwaitLaunchOp, ReturnOp>(other))
        return op->emitOpError() << label << ": stands alone in its kernel, "
                                 << "found " << other.getName();
  return success();
}

LogicalResult TopkOp::verify() {
  int64_t experts = getExperts(), k = getK();
  int64_t groups = getGroups(), chosen = getTopkGroups();
  auto weights = cast<MemRefType>(getWeights().getType());
  if (experts < 1 || k < 1 || k > experts || weights.getDimSize(1) != k)
    return emitOpError("topk_c1: logits of type ")
           << getLogits().getType() << ", ids of " << getIds().getType()
           << " and weights of " << weights
           << " must have static E and 1 <= k <= E";
  if (groups < 1 || experts % groups || chosen < 1 || chosen > groups ||
      experts / groups * chosen < k)
    return emitOpError("topk_c2: ")
           << chosen << " of " << groups << " groups of " << experts
           << " experts must divide them and hold " << k;
  if (getBias() &&
      cast<MemRefType>(getBias().getType()).getDimSize(0) != experts)
    return emitOpError("topk_c3: bias of type ")
           << getBias().getType() << " for " << experts << " experts";
  if (getTop2Sum() && experts / groups < 2)
    return emitOpError("topk_c3: top2_sum needs two experts in a group, got ")
           << experts / groups;
  return verifyAlone(*this, "topk_c4");
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
  return verifyAlone(*this, "align_c4");
}
