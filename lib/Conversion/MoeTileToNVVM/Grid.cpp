//===- Grid.cpp - Hand-over between blocks --------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Atomics lose their order on the way to PTX, fences do not. A signal is
// therefore: barrier of the team, fence by one thread, relaxed addition; an
// await: relaxed loads by one thread until the count is there, fence, barrier.
// The barriers carry the order to and from the other threads of the team.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Scope of everything that crosses blocks.
static constexpr StringLiteral kDevice = "device";
/// Nanoseconds between two looks at a counter.
static constexpr int64_t kPollNanoseconds = 20;

/// Copies by descriptor read and write memory beside the threads' own path:
/// what some of the kernel write and others read by another one needs a fence.
void KernelEmitter::gridProxyFence() {
  auto memoryOf = [](Value memory) {
    while (Operation *view = memory.getDefiningOp())
      memory = view->getOperand(0);
    return memory;
  };
  SmallPtrSet<Value, 4> written, copied;
  bool copies = false;
  kernel.walk([&](tile::TileAccess access) {
    Operation *op = access.getOperation();
    auto store = dyn_cast<tile::StoreOp>(op);
    auto copy = dyn_cast<tile::CopyOp>(op);
    if (store)
      written.insert(memoryOf(store.getMemory()));
    copies |= store && store.getHow() == tile::How::Desc;
    if (copy &&
        (copy.getHow() == tile::How::Desc || copy.getHow() == tile::How::Bulk))
      copied.insert(memoryOf(copy.getMemory()));
  });
  for (Value memory : copied)
    copies |= written.contains(memory);
  if (copies)
    NVVM::FenceProxyOp::create(b, loc, NVVM::ProxyKind::async,
                               NVVM::SharedSpaceAttr());
}

/// Address of counters[index].
Value KernelEmitter::counterAt(Value counters, Value index) {
  return globalAt(memories[counters], wide(index));
}

/// The condition under which a thread acts for its team.
Value KernelEmitter::firstThread() {
  if (team.single)
    return Value();
  return cmp(arith::CmpIPredicate::eq, team.thread, c32(0));
}

LogicalResult KernelEmitter::emitSignal(tile::SignalOp op, Value index) {
  if (!team.role)
    return op.emitOpError("stands outside of the roles, which has no lowering "
                          "to NVVM");
  if (!memories.count(op.getCounters()))
    return op.emitOpError("counts in memory that is no kernel argument");
  gridProxyFence();
  if (!team.single)
    teamBarrier();
  ifThen(firstThread(), [&] {
    LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::release, kDevice);
    LLVM::AtomicRMWOp::create(b, loc, LLVM::AtomicBinOp::add,
                              counterAt(op.getCounters(), index), c32(1),
                              LLVM::AtomicOrdering::monotonic, kDevice);
  });
  return success();
}

LogicalResult KernelEmitter::emitAwait(tile::AwaitOp op, Value index,
                                       Value least) {
  if (!team.role)
    return op.emitOpError("stands outside of the roles, which has no lowering "
                          "to NVVM");
  if (!memories.count(op.getCounters()))
    return op.emitOpError("waits for memory that is no kernel argument");
  ifThen(firstThread(), [&] {
    Value address = counterAt(op.getCounters(), index);
    auto loop = scf::WhileOp::create(b, loc, TypeRange(), ValueRange());
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&loop.getBefore());
    Value seen = LLVM::LoadOp::create(
        b, loc, b.getI32Type(), address, /*alignment=*/4, /*isVolatile=*/false,
        /*isNonTemporal=*/false, /*isInvariant=*/false,
        /*isInvariantGroup=*/false, LLVM::AtomicOrdering::monotonic, kDevice);
    scf::ConditionOp::create(
        b, loc, cmp(arith::CmpIPredicate::slt, seen, least), ValueRange());
    b.createBlock(&loop.getAfter());
    NVVM::NanosleepOp::create(b, loc, c32(kPollNanoseconds));
    scf::YieldOp::create(b, loc);
    b.setInsertionPointAfter(loop);
    LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::acquire, kDevice);
  });
  if (!team.single)
    teamBarrier();
  gridProxyFence();
  return success();
}
