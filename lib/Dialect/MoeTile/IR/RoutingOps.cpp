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

//===----------------------------------------------------------------------===//
// Slots that nobody sorts
//===----------------------------------------------------------------------===//

void SlotListOp::build(OpBuilder &builder, OperationState &state, Value ids,
                       Value expertMap, Value deviceTokens, int64_t experts,
                       int64_t columns, int64_t blockN) {
  build(builder, state, TilesType::get(builder.getContext(), ListForm::Blocks),
        ids, expertMap, deviceTokens, experts, columns, blockN);
}

void SlotRowOp::build(OpBuilder &builder, OperationState &state, Value slot,
                      Value ids, Value expertMap, Value deviceTokens,
                      int64_t experts) {
  build(builder, state, RowsType::get(builder.getContext(), 1), slot, ids,
        expertMap, deviceTokens, experts);
}

void SumLastOp::build(OpBuilder &builder, OperationState &state, Value rows,
                      Value row, Value n0, Value out, Value counters, Value ids,
                      Value expertMap, Value deviceTokens, int64_t experts,
                      int64_t by) {
  build(builder, state, rows, row, n0, out, counters, ids, expertMap,
        deviceTokens, experts, by, /*teams=*/1);
}

/// Checks what the three have in common, under `label`.
template <typename SlotOp>
static LogicalResult verifySlots(SlotOp op, StringRef label) {
  int64_t topk = op.getTopk();
  if (ShapedType::isDynamic(topk) || topk < 1)
    return op.emitOpError()
           << label << ": ids need a static number of columns, got "
           << op.getIds().getType();
  if (Value count = op.getDeviceTokens())
    if (cast<MemRefType>(count.getType()).getDimSize(0) != 1)
      return op.emitOpError()
             << label << ": device_tokens has one element, got "
             << count.getType();
  return success();
}

LogicalResult SlotListOp::verify() {
  int64_t experts = getExperts(), columns = getColumns(), block = getBlockN();
  if (experts < 1 || columns < 1 || block < 1)
    return emitOpError("slot_list_c1: experts, columns and block must be "
                       "positive, got ")
           << experts << " and " << columns << " by " << block;
  if (getType().getForm() != ListForm::Blocks)
    return emitOpError("slot_list_c1: gives a list of blocks");
  return verifySlots(*this, "slot_list_c2");
}

LogicalResult SlotRowOp::verify() {
  int64_t experts = getExperts();
  if (experts < 1 || getType().getCount() != 1)
    return emitOpError("slot_row_c1: one row of one of experts > 0, got ")
           << getType().getCount() << " rows and " << experts << " experts";
  return verifySlots(*this, "slot_row_c1");
}

LogicalResult SumLastOp::verify() {
  int64_t experts = getExperts(), by = getBy(), teams = getTeams();
  if (experts < 1 || by < 1 || teams < 1)
    return emitOpError("sum_last_c1: experts, by and teams must be positive, "
                       "got ")
           << experts << ", " << by << " and " << teams;
  if (failed(verifySlots(*this, "sum_last_c1")))
    return failure();
  auto rows = cast<MemRefType>(getRows().getType());
  auto out = cast<MemRefType>(getOut().getType());
  auto suits = [](Type t) { return t.isF32() || t.isBF16() || t.isF16(); };
  if (!suits(rows.getElementType()) || !suits(out.getElementType()) ||
      rows.getDimSize(1) != out.getDimSize(1))
    return emitOpError("sum_last_c2: rows of type ")
           << rows << " and sums of type " << out
           << " need elements of f32, bf16 or f16 and as many columns";
  auto loop = dyn_cast<ForTilesOp>((*this)->getParentOp());
  if (!loop || !loop.getList().getDefiningOp<SlotListOp>() ||
      !(*this)->getNextNode() ||
      !(*this)->getNextNode()->hasTrait<OpTrait::IsTerminator>())
    return emitOpError("sum_last_c3: stands last in for_tiles over a slot "
                       "list");
  return success();
}
