//===- ExplicitOps.cpp - Rings, movement, synchronisation -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

LogicalResult Runner::yieldPoint(Operation *op) {
  return machine.scheduler->yield(op);
}

LogicalResult Runner::runExplicit(Operation &op, bool &known) {
  known = true;
  if (auto alloc = dyn_cast<RingAllocOp>(op)) {
    auto ring = std::make_shared<Ring>();
    ring->type = alloc.getType();
    for (int64_t i = 0; i < ring->type.getSlots(); ++i) {
      std::vector<TileRef> &slot = ring->slots.emplace_back();
      for (Type type : ring->type.getBuffers()) {
        slot.push_back(newTile(type));
        slot.back()->state = TileState::Free;
      }
    }
    worker.rings.push_back(ring);
    set(alloc.getRing(), ring);
    return success();
  }
  if (auto alloc = dyn_cast<BufAllocOp>(op)) {
    TileRef tile = newTile(alloc.getType());
    worker.buffers.push_back(tile);
    set(alloc.getBuffer(), tile);
    return success();
  }
  if (auto roles = dyn_cast<RolesOp>(op))
    return runRoles(roles);
  if (auto cursor = dyn_cast<CursorOp>(op)) {
    set(cursor.getCursor(), Cursor());
    return success();
  }
  if (auto acquire = dyn_cast<AcquireOp>(op))
    return beginSlot(acquire, acquire.getRing(), acquire.getCursor(), true);
  if (auto wait = dyn_cast<WaitOp>(op))
    return beginSlot(wait, wait.getRing(), wait.getCursor(), false);
  if (auto publish = dyn_cast<PublishOp>(op))
    return endSlot(publish, publish.getRing(), publish.getCursor(), true);
  if (auto release = dyn_cast<ReleaseOp>(op))
    return endSlot(release, release.getRing(), release.getCursor(), false);
  if (auto deposit = dyn_cast<DepositOp>(op))
    return runDeposit(deposit);
  if (auto sync = dyn_cast<GroupSyncOp>(op))
    return runGroupSync(sync);
  if (isa<CopyWaitOp>(op)) {
    for (TileRef &tile : worker.buffers) {
      if (!tile->copying)
        continue;
      for (auto &arrive : tile->arriving)
        arrive();
      tile->arriving.clear();
      tile->copying = false;
      tile->unsynced = true;
    }
    return yieldPoint(&op);
  }
  // Stores are done at once here; what is left is that the team has met.
  if (isa<StoreWaitOp>(op)) {
    for (TileRef &tile : worker.buffers)
      tile->readSinceSync = false;
    return yieldPoint(&op);
  }
  if (auto wait = dyn_cast<MmaWaitOp>(op)) {
    completeMma(numMma - static_cast<int64_t>(wait.getPending()));
    return success();
  }
  known = false;
  return success();
}

LogicalResult Runner::runRoles(RolesOp op) {
  // The roles run as tasks of their own (see runKernel).
  if (!isa_and_nonnull<ReturnOp>(op->getNextNode()))
    return op.emitError("the tile interpreter wants roles last in a kernel");
  return success();
}

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

LogicalResult Runner::beginSlot(Operation *op, Value ringValue,
                                Value cursorValue, bool producer) {
  auto ring = get<std::shared_ptr<Ring>>(ringValue);
  int64_t step = get<Cursor>(cursorValue).step;
  int64_t &begun = producer ? ring->acquired : ring->waited;
  if (step != begun)
    return op->emitError("cursor stands at step ")
           << step << ", the ring at step " << begun;
  if (failed(yieldPoint(op)))
    return failure();
  int64_t slots = ring->type.getSlots();
  if (failed(machine.scheduler->wait(op, [ring, step, slots, producer]() {
        return producer ? step < ring->released + slots
                        : step < ring->published;
      })))
    return failure();
  ++begun;
  for (auto [result, tile] :
       llvm::zip(op->getResults(), ring->slots[step % slots])) {
    if (producer) {
      tile->data.assign(tile->data.size(), HostScalar::ofUndefined());
      tile->state = TileState::Filling;
    } else {
      for (auto &arrive : tile->arriving)
        arrive();
      tile->arriving.clear();
      tile->state = TileState::Reading;
      // The barrier of the ring also orders what the producer deposited.
      tile->unsynced = false;
    }
    set(result, tile);
  }
  return success();
}

LogicalResult Runner::endSlot(Operation *op, Value ringValue, Value cursorValue,
                              bool producer) {
  auto ring = get<std::shared_ptr<Ring>>(ringValue);
  int64_t step = get<Cursor>(cursorValue).step;
  int64_t begun = producer ? ring->acquired : ring->waited;
  int64_t &ended = producer ? ring->published : ring->released;
  if (step != ended || step >= begun)
    return op->emitError("cursor stands at step ")
           << step << ", the ring has begun " << begun << " and ended "
           << ended;
  for (TileRef &tile : ring->slots[step % ring->type.getSlots()]) {
    if (producer) {
      tile->state = TileState::Full;
      continue;
    }
    if (isInFlight(tile))
      return op->emitError("releases a slot that an mma in flight reads");
    // What is read after the release must not look right.
    tile->data.assign(tile->data.size(), HostScalar::ofUndefined());
    tile->state = TileState::Free;
    tile->readSinceSync = false;
  }
  ++ended;
  set(op->getResult(0), Cursor{step + 1});
  return yieldPoint(op);
}

//===----------------------------------------------------------------------===//
// Movement
//===----------------------------------------------------------------------===//

LogicalResult Runner::runDeposit(DepositOp op) {
  TileRef target = get<TileRef>(op.getBuffer());
  if (target->state != TileState::Plain && target->state != TileState::Filling)
    return op.emitError("deposits into a slot that is not being filled");
  if (target->readSinceSync)
    return op.emitError("deposits into a buffer that was read since the last "
                        "group_sync");
  if (target->copying)
    return op.emitError("deposits into a buffer that a copy fills");
  if (isInFlight(target))
    return op.emitError("deposits into a buffer that an mma in flight reads");
  int64_t column = 0;
  for (Value value : op.getValues()) {
    TileRef tile = get<TileRef>(value);
    for (int64_t r = 0; r < tile->rows; ++r)
      for (int64_t c = 0; c < tile->cols; ++c)
        target->at(r, column + c) = tile->at(r, c);
    column += tile->cols;
  }
  target->unsynced = true;
  return yieldPoint(op);
}

LogicalResult Runner::runGroupSync(GroupSyncOp op) {
  if (op.getScope() == Scope::Block && worker.numRoles > 1) {
    int64_t turn = worker.opened;
    if (++worker.arrived == worker.numRoles) {
      worker.arrived = 0;
      ++worker.opened;
    }
    Worker *own = &worker;
    if (failed(machine.scheduler->wait(
            op, [own, turn]() { return own->opened > turn; })))
      return failure();
  }
  for (TileRef &tile : worker.buffers) {
    tile->unsynced = false;
    tile->readSinceSync = false;
  }
  return yieldPoint(op);
}

//===----------------------------------------------------------------------===//
// Across the grid
//===----------------------------------------------------------------------===//

/// Adds or copies a fragment and one M x N panel of a partial-sum workspace.
static std::optional<int64_t> panelCell(const MemView &view, int64_t index,
                                        int64_t r, int64_t c) {
  return view.locate({index, r, c});
}

LogicalResult Runner::runGrid(Operation &op, bool &known) {
  known = true;
  if (isa<SignalOp, AwaitOp>(op)) {
    MemView counters = get<MemView>(op.getOperand(0));
    FailureOr<int64_t> index = getIndex(&op, op.getOperand(1));
    if (failed(index))
      return failure();
    std::optional<int64_t> position = counters.locate({*index});
    if (!position)
      return op.emitError("no counter ") << *index;
    std::shared_ptr<HostBuffer> buffer = counters.buffer;
    if (buffer->data[*position].undefined)
      return op.emitError("counter ") << *index << " is undefined";
    if (isa<SignalOp>(op)) {
      // One runs for all copies of a team.
      auto role = op.getParentOfType<RoleOp>();
      buffer->data[*position].i += role ? int64_t(role.getCopies()) : 1;
      return yieldPoint(&op);
    }
    FailureOr<int64_t> value = getIndex(&op, op.getOperand(2));
    if (failed(value))
      return failure();
    int64_t least = *value, at = *position;
    return machine.scheduler->wait(
        &op, [buffer, at, least]() { return buffer->data[at].i >= least; });
  }
  if (auto put = dyn_cast<PartialPutOp>(op)) {
    TileRef tile = get<TileRef>(put.getValue());
    MemView view = get<MemView>(put.getWorkspace());
    FailureOr<int64_t> index = getIndex(&op, put.getIndex());
    if (failed(index))
      return failure();
    for (int64_t r = 0; r < tile->rows; ++r)
      for (int64_t c = 0; c < tile->cols; ++c) {
        std::optional<int64_t> cell = panelCell(view, *index, r, c);
        if (!cell)
          return op.emitError("no partial sum ") << *index;
        view.buffer->data[*cell] = tile->at(r, c);
      }
    return yieldPoint(&op);
  }
  if (auto take = dyn_cast<PartialTakeOp>(op)) {
    MemView view = get<MemView>(take.getWorkspace());
    FailureOr<int64_t> index = getIndex(&op, take.getIndex());
    FailureOr<int64_t> parts = getIndex(&op, take.getParts());
    if (failed(index) || failed(parts))
      return failure();
    TileRef tile = newTile(take.getType());
    for (int64_t r = 0; r < tile->rows; ++r)
      for (int64_t c = 0; c < tile->cols; ++c) {
        HostScalar sum = HostScalar::ofFloat(0);
        for (int64_t part = 0; part < *parts; ++part) {
          std::optional<int64_t> cell = panelCell(view, *index + part, r, c);
          if (!cell)
            return op.emitError("no partial sum ") << *index + part;
          HostScalar value = view.buffer->data[*cell];
          if (value.undefined || sum.undefined)
            sum = HostScalar::ofUndefined();
          else
            sum.f =
                roundTo(tile->element, sum.f + value.f, machine.options.wide);
        }
        tile->at(r, c) = sum;
      }
    set(take.getResult(), tile);
    return success();
  }
  known = false;
  return success();
}
