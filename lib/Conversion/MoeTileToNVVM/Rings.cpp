//===- Rings.cpp - Rings and barriers in shared memory --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A slot has two mbarriers: `full` completes when all copies into the slot have
// landed, `empty` when every warp of the consumers has given it back.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

Value KernelEmitter::shared(int64_t offset) {
  Type ptr = LLVM::LLVMPointerType::get(b.getContext(), 3);
  Value base =
      LLVM::AddressOfOp::create(b, loc, ptr, sharedGlobal.getSymName());
  return LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), base,
                             ArrayRef<LLVM::GEPArg>{int32_t(offset)});
}

Value KernelEmitter::sharedAt(Value base, Value offset) {
  Type ptr = LLVM::LLVMPointerType::get(b.getContext(), 3);
  return LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), base,
                             ArrayRef<LLVM::GEPArg>{offset});
}

SmallVector<Value> KernelEmitter::slotBuffers(const RingPlace &ring,
                                              Value slot) {
  Value offset = mul(slot, c32(ring.slotBytes));
  SmallVector<Value> result;
  for (int64_t buffer : ring.bufferOffsets)
    result.push_back(sharedAt(shared(ring.base + buffer), offset));
  return result;
}

Value KernelEmitter::barrierAt(int64_t first, Value slot) {
  return sharedAt(shared(first), mul(slot, c32(8)));
}

void KernelEmitter::waitParity(Value barrier, Value parity) {
  if (!hopper) {
    auto loop = scf::WhileOp::create(b, loc, TypeRange(), ValueRange());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&loop.getBefore());
    Value done = NVVM::MBarrierTestWaitOp::create(
        b, loc, b.getI1Type(), barrier, parity, NVVM::MemScopeKind::CTA,
        /*relaxed=*/false);
    Value again = arith::XOrIOp::create(
        b, loc, done, arith::ConstantOp::create(b, loc, b.getBoolAttr(true)));
    scf::ConditionOp::create(b, loc, again, ValueRange());
    b.createBlock(&loop.getAfter());
    scf::YieldOp::create(b, loc);
    return;
  }
  // The hint bounds one hardware wait; the op retries until the phase is over.
  NVVM::MBarrierTryWaitParityOp::create(b, loc, barrier, parity, c32(10000000));
}

SmallVector<Value> KernelEmitter::advance(const RingPlace &ring,
                                          ValueRange cursor) {
  Value next = add(cursor[0], c32(1));
  Value wraps = cmp(arith::CmpIPredicate::eq, next, c32(ring.slots));
  Value slot = arith::SelectOp::create(b, loc, wraps, c32(0), next);
  Value flip = arith::ExtUIOp::create(b, loc, b.getI32Type(), wraps);
  Value parity = arith::XOrIOp::create(b, loc, cursor[1], flip);
  return {slot, parity};
}

Value KernelEmitter::descriptorBytes(tile::AcquireOp op) {
  int64_t bytes = 0;
  Value trimmed;
  for (Value buffer : op.getBuffers())
    for (Operation *user : buffer.getUsers()) {
      auto copy = dyn_cast<tile::CopyOp>(user);
      if (!copy || (copy.getHow() != tile::How::Desc &&
                    copy.getHow() != tile::How::Bulk))
        continue;
      tile::BufType type = copy.getBuffer().getType();
      int64_t rowBytes =
          type.getCols() * type.getElementType().getIntOrFloatBitWidth() / 8;
      if (isTrimmed(copy))
        trimmed =
            mul(arith::MaxSIOp::create(b, loc, trim->width, c32(trim->piece)),
                c32(rowBytes));
      else
        bytes += type.getRows() * rowBytes;
    }
  if (!trimmed)
    return bytes ? c32(bytes) : Value();
  return add(trimmed, c32(bytes));
}

void KernelEmitter::expectBytes(tile::AcquireOp op, Value slot) {
  Value bytes = descriptorBytes(op);
  if (!bytes)
    return;
  Value full = barrierAt(rings[op.getRing()].fullBarriers, slot);
  ifThen(team.single ? Value()
                     : cmp(arith::CmpIPredicate::eq, team.thread, c32(0)),
         [&] {
           NVVM::MBarrierArriveExpectTxOp::create(b, loc, Type(), full, bytes,
                                                  NVVM::MemScopeKind::CTA,
                                                  /*relaxed=*/false, Value());
         });
}

LogicalResult KernelEmitter::emitAcquire(tile::AcquireOp op) {
  const RingPlace &ring = rings[op.getRing()];
  ArrayRef<Value> cursor = parts[op.getCursor()];
  Value slot = cursor[0], parity = cursor[1];
  // Threads that bring nothing do not arrive either: the ring would not wait
  // for them, and the phase that they wait for could come and go.
  ifThen(ring.gathers ? Value() : firstThread(),
         [&] { waitParity(barrierAt(ring.emptyBarriers, slot), parity); });
  SmallVector<Value> buffers = slotBuffers(ring, slot);
  for (auto [result, buffer] : llvm::zip(op.getBuffers(), buffers))
    parts[result] = {buffer, slot};
  // What was copied early is expected already.
  Value late;
  if (copiedEarly)
    late = arith::XOrIOp::create(
        b, loc, copiedEarly,
        arith::ConstantOp::create(b, loc, b.getBoolAttr(true)));
  ifThen(late, [&] { expectBytes(op, slot); });
  return success();
}

LogicalResult KernelEmitter::emitPublish(tile::PublishOp op) {
  const RingPlace &ring = rings[op.getRing()];
  SmallVector<Value> cursor = parts[op.getCursor()];
  if (ring.gathers)
    NVVM::CpAsyncMBarrierArriveOp::create(
        b, loc, barrierAt(ring.fullBarriers, cursor[0]), /*noinc=*/true);
  parts[op.getNext()] = advance(ring, cursor);
  return success();
}

void KernelEmitter::waitForSlot(const RingPlace &ring, ValueRange cursor) {
  waitParity(barrierAt(ring.fullBarriers, cursor[0]), cursor[1]);
  // Factors that threads write are read by threads.
  if (ring.threadsWriteOperands && warpgroups)
    NVVM::FenceProxyOp::create(
        b, loc, NVVM::ProxyKind::async_shared,
        NVVM::SharedSpaceAttr::get(b.getContext(),
                                   NVVM::SharedSpace::shared_cta));
}

LogicalResult KernelEmitter::emitWait(tile::WaitOp op) {
  const RingPlace &ring = rings[op.getRing()];
  SmallVector<Value> cursor = parts[op.getCursor()];
  if (!nextSlot || nextSlot->wait != op)
    waitForSlot(ring, cursor);
  SmallVector<Value> buffers = slotBuffers(ring, cursor[0]);
  for (auto [result, buffer] : llvm::zip(op.getBuffers(), buffers))
    parts[result] = {buffer, cursor[0]};
  return success();
}

Value KernelEmitter::before(const RingPlace &ring, Value slot) {
  Value first = cmp(arith::CmpIPredicate::eq, slot, c32(0));
  return arith::SelectOp::create(b, loc, first, c32(ring.slots - 1),
                                 sub(slot, c32(1)));
}

void KernelEmitter::giveBack(const RingPlace &ring, Value slot) {
  Value empty = barrierAt(ring.emptyBarriers, slot);
  Value lane = arith::AndIOp::create(b, loc, team.thread, c32(31));
  Value first = cmp(arith::CmpIPredicate::eq, lane, c32(0));
  if (!warpgroups)
    // The other lanes have read the slot.
    NVVM::SyncWarpOp::create(b, loc, c32(-1));
  if (!sums.empty() && hopper) {
    // Without a branch, behind which all that waits to be added would be moved.
    NVVM::MBarrierArriveExpectTxOp::create(b, loc, Type(), empty, c32(0),
                                           NVVM::MemScopeKind::CTA,
                                           /*relaxed=*/false, first);
    return;
  }
  ifThen(first, [&] {
    NVVM::MBarrierArriveOp::create(b, loc, b.getI64Type(), empty, Value());
  });
}

LogicalResult KernelEmitter::emitRelease(tile::ReleaseOp op) {
  const RingPlace &ring = rings[op.getRing()];
  SmallVector<Value> cursor = parts[op.getCursor()];
  int64_t lag = releaseLag(op);
  if (lag != 2)
    giveBack(ring, lag ? before(ring, cursor[0]) : cursor[0]);
  parts[op.getNext()] = advance(ring, cursor);
  return success();
}

LogicalResult KernelEmitter::emitGroupSync(tile::GroupSyncOp op) {
  if (op.getProxy())
    NVVM::FenceProxyOp::create(
        b, loc, NVVM::ProxyKind::async_shared,
        NVVM::SharedSpaceAttr::get(b.getContext(),
                                   NVVM::SharedSpace::shared_cta));
  // Between a deposit and its store; behind the store.
  tile::BufType staged;
  if (auto deposit = dyn_cast_or_null<tile::DepositOp>(op->getPrevNode()))
    staged = deposit.getBuffer().getType();
  else if (auto store = dyn_cast_or_null<tile::StoreOp>(op->getPrevNode()))
    staged = dyn_cast<tile::BufType>(store.getValues()[0].getType());
  if (op.getScope() == tile::Scope::Block || !team.role)
    NVVM::BarrierOp::create(b, loc);
  else if (staged && staged.getSwizzle() && isStagedByWarps(staged))
    NVVM::SyncWarpOp::create(b, loc, c32(-1));
  else
    teamBarrier();
  return success();
}

void KernelEmitter::teamBarrier() {
  Value id = team.role.getCopies() == 1 ? c32(team.firstId)
                                        : add(team.group, c32(team.firstId));
  NVVM::BarrierOp::create(b, loc, Type(), id, c32(team.threads),
                          NVVM::BarrierReductionAttr(), Value());
}

/// Stores that may still read their buffers when the next deposit comes: those
/// behind the last one of the deposit's buffer.
static int64_t storesPending(tile::StoreWaitOp op) {
  Value next;
  for (Operation *at = op->getNextNode(); at && !next; at = at->getNextNode())
    if (auto deposit = dyn_cast<tile::DepositOp>(at))
      next = deposit.getBuffer();
  // Backwards from here, then from the end of the tile before.
  SmallVector<Value> stored;
  auto collect = [&](Operation *from, Operation *to) {
    for (Operation *at = from; at && at != to; at = at->getPrevNode())
      if (auto store = dyn_cast<tile::StoreOp>(at))
        if (isa<tile::BufType>(store.getValues()[0].getType()))
          stored.push_back(store.getValues()[0]);
  };
  collect(op->getPrevNode(), nullptr);
  collect(&op->getBlock()->back(), op);
  const auto *last = llvm::find(stored, next);
  return last == stored.end() ? 0 : last - stored.begin();
}

LogicalResult KernelEmitter::emitStoreWait(tile::StoreWaitOp op) {
  int64_t pending = op.getComplete() ? 0 : storesPending(op);
  NVVM::CpAsyncBulkWaitGroupOp::create(b, loc, uint32_t(pending),
                                       op.getComplete() ? UnitAttr()
                                                        : b.getUnitAttr());
  if (op.getComplete())
    return success();
  // A thread waits for the copies that it has started itself.
  tile::BufType next;
  if (auto deposit = dyn_cast_or_null<tile::DepositOp>(op->getNextNode()))
    next = deposit.getBuffer().getType();
  if (next && next.getSwizzle() && isStagedByWarps(next))
    NVVM::SyncWarpOp::create(b, loc, c32(-1));
  else
    teamBarrier();
  return success();
}
