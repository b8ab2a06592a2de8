//===- EarlyCopies.cpp - Copies before the launch before has ended --------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block that starts while the last blocks of the launch before still run
// would find its ring empty when they end. Where the list of tiles and a copied
// memory are settled (no launch that may still run writes them), the load role
// fills the ring's slots with its first tile's share of that memory, and only
// then waits. The copies of the other memories into the same slots follow.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

bool KernelEmitter::isSettled(Value memory) {
  while (Operation *view = memory.getDefiningOp()) {
    if (!isa<memref::CollapseShapeOp, memref::ExpandShapeOp>(view))
      return false;
    memory = view->getOperand(0);
  }
  return bool(kernel.getArgAttr(cast<BlockArgument>(memory).getArgNumber(),
                                "moe_tile.settled"));
}

/// Whether the copy can be started before the wait.
bool KernelEmitter::isEarly(tile::CopyOp op) {
  return early && op.getHow() == tile::How::Desc && isSettled(op.getMemory());
}

void KernelEmitter::findEarly() {
  // What is read above the roles, all of it before the wait.
  bool legal = true, waits = false;
  for (Operation &op : kernel.getBody().front()) {
    if (auto load = dyn_cast<memref::LoadOp>(op))
      legal &= isSettled(load.getMemRef());
    else if (auto list = dyn_cast<tile::BlockListOp>(op))
      legal &= isSettled(list.getTable());
    else if (auto list = dyn_cast<tile::SlotListOp>(op))
      for (Value memory : {Value(list.getIds()), Value(list.getExpertMap()),
                           Value(list.getDeviceTokens())})
        legal &= !memory || isSettled(memory);
    else if (isa<tile::AwaitLaunchOp>(op))
      waits = true;
    else
      legal &= isa<tile::RolesOp, tile::RingAllocOp, tile::DenseListOp,
                   tile::BufAllocOp, tile::ClearOp, tile::ClearAbsentOp,
                   tile::ReturnOp, memref::CollapseShapeOp,
                   memref::ExpandShapeOp, memref::DimOp>(op) ||
               (isa_and_nonnull<arith::ArithDialect>(op.getDialect()) &&
                op.getNumRegions() == 0);
  }
  if (!legal || !waits)
    return;
  // One thread starts all copies of the one role that has any, in one loop
  // over k with bounds that are known. Factors, which all threads bring, come
  // behind the wait.
  tile::RoleOp load;
  kernel.walk([&](tile::CopyOp copy) {
    auto role = copy->getParentOfType<tile::RoleOp>();
    auto loop = dyn_cast<scf::ForOp>(copy->getParentOp());
    bool factors = holdsFactors(copy.getBuffer().getType());
    legal &= (copy.getHow() == tile::How::Desc || factors) && role &&
             (!load || load == role) && loop &&
             isa<tile::ForTilesOp>(loop->getParentOp()) &&
             getConstantIntValue(loop.getLowerBound()) == 0 &&
             getConstantIntValue(loop.getUpperBound()) &&
             getConstantIntValue(loop.getStep());
    load = role;
  });
  legal &= load && rings.size() == 1;
  if (!legal)
    return;
  load.walk([&](Operation *op) {
    legal &= !isa<tile::LoadOp, memref::LoadOp, tile::RowIndexOp, tile::AwaitOp,
                  tile::SignalOp>(op);
  });
  if (!legal)
    return;
  early = true;
  bool any = false;
  load.walk([&](tile::CopyOp copy) { any |= isEarly(copy); });
  early = any;
}

void KernelEmitter::awaitLaunch() {
  // The next launch may take the place of blocks that have ended as soon as all
  // have come this far: then it relies on what this one relied on.
  NVVM::GriddepcontrolOp::create(b, loc, NVVM::GridDepActionKind::wait);
  NVVM::GriddepcontrolOp::create(b, loc,
                                 NVVM::GridDepActionKind::launch_dependents);
  pdl = true;
}

LogicalResult KernelEmitter::emitEarlyCopies(tile::ForTilesOp op, Value first,
                                             Value end) {
  scf::ForOp inner;
  for (auto loop : op.getBody().front().getOps<scf::ForOp>())
    inner = loop;
  int64_t step = *getConstantIntValue(inner.getStep());
  int64_t steps =
      llvm::divideCeil(*getConstantIntValue(inner.getUpperBound()), step);
  auto acquire = *inner.getBody()->getOps<tile::AcquireOp>().begin();
  const RingPlace &ring = rings[acquire.getRing()];
  int64_t count = std::min(steps, ring.slots);
  LogicalResult result = success();
  auto fill = [&] {
    setTileWidth(tileCoords[op.getTile()][2]);
    for (Operation &other : op.getBody().front().without_terminator())
      // Rows by number are of copies behind the wait.
      if (!isa<scf::ForOp, tile::RowIotaOp>(other) && succeeded(result))
        result = emitOp(other);
    auto loop = scf::ForOp::create(b, loc, c32(0), c32(count), c32(1));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value slot = loop.getInductionVar();
    parts[inner.getInductionVar()] = {mul(slot, c32(step))};
    for (Operation &other : inner.getBody()->without_terminator()) {
      if (failed(result))
        return;
      loc = other.getLoc();
      if (auto taken = dyn_cast<tile::AcquireOp>(other)) {
        // The first pass over the ring finds every slot free.
        SmallVector<Value> buffers = slotBuffers(ring, slot);
        for (auto [value, buffer] : llvm::zip(taken.getBuffers(), buffers))
          parts[value] = {buffer, slot};
        expectBytes(taken, slot);
      } else if (auto copy = dyn_cast<tile::CopyOp>(other)) {
        if (isEarly(copy))
          result = emitCopy(copy);
      } else if (!isa<tile::PublishOp>(other)) {
        result = emitOp(other);
      }
    }
  };
  ifThen(cmp(arith::CmpIPredicate::slt, first, end), [&] {
    tileCoords[op.getTile()] = coordinates(op, first);
    // Nothing is copied for a slot that is absent.
    Value rows = tileCoords[op.getTile()][2];
    ifThen(tileLists[op.getList()].slots.ids
               ? cmp(arith::CmpIPredicate::sgt, rows, c32(0))
               : Value(),
           fill);
  });
  earlyEnd = c32(count * step);
  awaitLaunch();
  return result;
}
