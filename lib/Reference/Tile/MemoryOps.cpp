//===- MemoryOps.cpp - Access to global memory ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

//===----------------------------------------------------------------------===//
// Coordinates
//===----------------------------------------------------------------------===//

static int64_t floorDivide(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && a < 0);
}

FailureOr<AccessPlace> Runner::place(TileAccess access) {
  AccessPlace result;
  result.memory = get<MemView>(access.getMemory());
  for (auto [i, index] : llvm::enumerate(access.getIndices())) {
    int64_t granule = access.getGranuleOf(i);
    if (isa<RowsType>(index.getType())) {
      result.rows = get<RowNumbers>(index);
      result.rowsDim = i;
      result.rowsGranule = granule;
      result.base.push_back(0);
      continue;
    }
    FailureOr<int64_t> value = getIndex(access, index);
    if (failed(value))
      return failure();
    result.base.push_back(floorDivide(*value, granule));
  }
  result.dims[0] = access.getMemoryDim(0);
  result.dims[1] = access.getMemoryDim(1);
  if (auto boxes = access.getBoxes())
    result.boxes.assign(boxes->begin(), boxes->end());
  result.boxDim = access.getBoxDim();
  std::tie(result.extents[0], result.extents[1]) = access.getTileShape();
  return result;
}

std::optional<int64_t> AccessPlace::locate(int64_t r, int64_t c) const {
  SmallVector<int64_t, 4> index(base.begin(), base.end());
  int64_t tileIndex[2] = {r, c};
  for (int64_t i : {0, 1}) {
    if (dims[i] < 0)
      continue;
    int64_t t = tileIndex[i];
    if (dims[i] == rowsDim) {
      int64_t row = (*rows)[t];
      if (row < 0)
        return std::nullopt;
      index[rowsDim] = row / rowsGranule;
      continue;
    }
    if (!boxes.empty() && boxDim == i) {
      int64_t length = extents[i] / static_cast<int64_t>(boxes.size());
      index[dims[i]] += boxes[t / length] + t % length;
      continue;
    }
    index[dims[i]] += t;
  }
  return memory.locate(index);
}

/// Fills a tile from memory; what does not exist is zero.
static void readTile(const AccessPlace &place, Tile &tile) {
  HostScalar zero =
      tile.element.isFloat ? HostScalar::ofFloat(0) : HostScalar::ofInt(0);
  for (int64_t r = 0; r < tile.rows; ++r)
    for (int64_t c = 0; c < tile.cols; ++c) {
      std::optional<int64_t> position = place.locate(r, c);
      tile.at(r, c) = position ? place.memory.buffer->data[*position] : zero;
    }
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

LogicalResult Runner::runMemory(Operation &op, bool &known) {
  known = true;
  if (auto load = dyn_cast<LoadOp>(op)) {
    FailureOr<AccessPlace> where = place(load);
    if (failed(where))
      return failure();
    TileRef tile = newTile(load.getType());
    readTile(*where, *tile);
    set(load.getResult(), tile);
    return success();
  }
  if (auto fetch = dyn_cast<FetchOp>(op)) {
    FailureOr<AccessPlace> where = place(fetch);
    if (failed(where))
      return failure();
    TileRef tile = newTile(fetch.getType());
    readTile(*where, *tile);
    set(fetch.getResult(), tile);
    return success();
  }
  if (auto copy = dyn_cast<CopyOp>(op))
    return runCopy(copy);
  if (auto store = dyn_cast<StoreOp>(op))
    return runStore(store);
  if (isa<PrefetchOp, AwaitLaunchOp>(op))
    return success();
  if (auto align = dyn_cast<AlignOp>(op))
    return runAlign(align);
  if (auto topk = dyn_cast<TopkOp>(op))
    return runTopk(topk);
  if (auto rows = dyn_cast<RowIndexOp>(op))
    return runRowIndex(rows);
  if (auto rows = dyn_cast<RowIotaOp>(op)) {
    FailureOr<int64_t> first = getIndex(rows, rows.getFirst());
    FailureOr<int64_t> limit =
        rows.getLimit() ? getIndex(rows, rows.getLimit())
                        : FailureOr<int64_t>(rows.getType().getCount());
    if (failed(first) || failed(limit))
      return failure();
    auto numbers = std::make_shared<std::vector<int64_t>>();
    for (int64_t r = 0; r < rows.getType().getCount(); ++r)
      numbers->push_back(r < *limit ? *first + r : -1);
    set(rows.getResult(), numbers);
    return success();
  }
  if (auto coords = dyn_cast<CoordsOp>(op)) {
    TileRecord record = get<TileRecord>(coords.getTile());
    set(coords.getExpert(), HostScalar::ofInt(record.expert));
    set(coords.getRow0(), HostScalar::ofInt(record.row0));
    set(coords.getRows(), HostScalar::ofInt(record.rows));
    set(coords.getN0(), HostScalar::ofInt(record.n0));
    return success();
  }
  if (auto range = dyn_cast<KRangeOp>(op)) {
    TileRecord record = get<TileRecord>(range.getTile());
    set(range.getK0(), HostScalar::ofInt(record.k0));
    set(range.getK1(), HostScalar::ofInt(record.k1));
    set(range.getPart(), HostScalar::ofInt(record.part));
    set(range.getParts(), HostScalar::ofInt(record.parts));
    return success();
  }
  if (isa<RecordListOp, BlockListOp>(op)) {
    TileList list;
    list.table = get<MemView>(op.getOperand(0));
    FailureOr<int64_t> count = getIndex(&op, op.getOperand(1));
    if (failed(count))
      return failure();
    list.count = *count;
    if (list.count < 0 || list.count > list.table.sizes[0])
      return op.emitError("list of ")
             << list.count << " entries in a table of " << list.table.sizes[0];
    if (auto blocks = dyn_cast<BlockListOp>(op)) {
      list.columns = blocks.getColumns();
      list.blockN = blocks.getBlockN();
    }
    set(op.getResult(0), list);
    return success();
  }
  if (auto dense = dyn_cast<DenseListOp>(op)) {
    FailureOr<int64_t> rows = getIndex(&op, dense.getRows());
    if (failed(rows))
      return failure();
    TileList list;
    list.rows = *rows;
    list.blockM = dense.getBlockM();
    list.count = dense.getExperts() * llvm::divideCeil(list.rows, list.blockM);
    list.columns = dense.getColumns();
    list.blockN = dense.getBlockN();
    set(op.getResult(0), list);
    return success();
  }
  if (auto workspace = dyn_cast<WorkspaceOp>(op)) {
    FailureOr<SmallVector<int64_t>> sizes =
        getIndices(&op, workspace.getSizes());
    if (failed(sizes))
      return failure();
    auto buffer =
        allocate(&op, cast<MemRefType>(workspace.getMemory().getType()), *sizes,
                 workspace.getZero());
    if (failed(buffer))
      return failure();
    set(workspace.getMemory(), MemView::of(*buffer));
    return success();
  }
  known = false;
  return success();
}

LogicalResult Runner::runRowIndex(RowIndexOp op) {
  FailureOr<int64_t> first = getIndex(op, op.getFirst());
  int64_t limit = op.getType().getCount(), bound = INT64_MAX;
  for (auto [value, target] : {std::make_pair(op.getLimit(), &limit),
                               std::make_pair(op.getBound(), &bound)}) {
    if (!value)
      continue;
    FailureOr<int64_t> index = getIndex(op, value);
    if (failed(index))
      return failure();
    *target = *index;
  }
  if (failed(first))
    return failure();
  MemView slots = get<MemView>(op.getSlots());
  auto numbers = std::make_shared<std::vector<int64_t>>();
  for (int64_t r = 0; r < op.getType().getCount(); ++r) {
    std::optional<int64_t> position = slots.locate({*first + r});
    int64_t number = -1;
    if (r < limit && position) {
      HostScalar slot = slots.buffer->data[*position];
      if (slot.undefined)
        return op.emitError("reads the undefined slot ") << *first + r;
      if (slot.i >= 0 && slot.i < bound)
        number = slot.i / static_cast<int64_t>(op.getDiv());
    }
    numbers->push_back(number);
  }
  set(op.getResult(), numbers);
  return success();
}

LogicalResult Runner::runStore(StoreOp op) {
  FailureOr<AccessPlace> where = place(op);
  if (failed(where))
    return failure();
  int64_t limit = where->extents[0];
  if (op.getLimit()) {
    FailureOr<int64_t> rows = getIndex(op, op.getLimit());
    if (failed(rows))
      return failure();
    limit = std::min(limit, *rows);
  }
  int64_t column = 0;
  for (Value value : op.getValues()) {
    FailureOr<TileRef> tile = read(op, value);
    if (failed(tile))
      return failure();
    const ScalarType &element = (*tile)->element;
    for (int64_t r = 0; r < limit; ++r)
      for (int64_t c = 0; c < (*tile)->cols; ++c) {
        std::optional<int64_t> position = where->locate(r, column + c);
        if (!position)
          continue;
        HostScalar &cell = where->memory.buffer->data[*position];
        HostScalar source = (*tile)->at(r, c);
        if (op.getMode() == StoreMode::Plain)
          cell = source;
        else if (cell.undefined || source.undefined)
          cell = HostScalar::ofUndefined();
        else
          cell.f = roundTo(element, cell.f + source.f, machine.options.wide);
      }
    column += (*tile)->cols;
  }
  return success();
}

LogicalResult Runner::runCopy(CopyOp op) {
  FailureOr<AccessPlace> where = place(op);
  if (failed(where))
    return failure();
  TileRef tile = get<TileRef>(op.getBuffer());
  if (tile->state != TileState::Filling && tile->state != TileState::Plain)
    return op.emitError("copies into a buffer of a slot that is not being "
                        "filled");
  if (tile->state == TileState::Plain) {
    if (op.getHow() != How::LdsDirect)
      return op.emitError("copies into a buffer outside of a ring, whose "
                          "arrival nobody can wait for");
    if (tile->readSinceSync || tile->copying || tile->unsynced)
      return op.emitError("copies into a buffer that was read or filled since "
                          "the last group_sync");
    tile->copying = true;
  }
  if (isInFlight(tile))
    return op.emitError("copies into a buffer that an mma in flight reads");
  // The data may be read from memory at any time until the slot is waited for.
  AccessPlace source = *where;
  Tile *target = tile.get();
  auto arrive = [source, target]() { readTile(source, *target); };
  if (machine.scheduler->draw(2))
    arrive();
  else
    tile->arriving.push_back(arrive);
  return yieldPoint(op);
}
