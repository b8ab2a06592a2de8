//===- TileLists.cpp - Which tile an entry of a list is -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::gpu_tiles;

/// Row blocks of one expert that share a sweep over the columns.
static constexpr int64_t kRunBlocks = 16;

void TileEmitter::findTileColumns() {
  kernel.walk([&](Operation *op) {
    int64_t columns = 0;
    if (auto list = dyn_cast<tile::BlockListOp>(op))
      columns = list.getBlockN();
    else if (auto list = dyn_cast<tile::SlotListOp>(op))
      columns = list.getBlockN();
    else if (auto list = dyn_cast<tile::DenseListOp>(op))
      columns = list.getBlockN();
    tileColumns = std::max(tileColumns, columns);
  });
}

void TileEmitter::emitDenseList(tile::DenseListOp op) {
  TileList list;
  list.rows = asI32(op.getRows());
  list.blockM = op.getBlockM();
  list.blocks = ceilDiv(list.rows, list.blockM);
  list.count = mul(list.blocks, c32(op.getExperts()));
  list.columns = op.getColumns();
  list.blockN = op.getBlockN();
  tileLists[op.getList()] = list;
}

LogicalResult TileEmitter::emitSlotList(tile::SlotListOp op) {
  TileList list;
  list.slots = SlotSource::of(op);
  if (!knowsSlots(list.slots))
    return refuse(op) << "reads ids that are no kernel argument";
  list.count = slotCount(list.slots);
  list.columns = op.getColumns();
  list.blockN = op.getBlockN();
  tileLists[op.getList()] = list;
  return success();
}

//===----------------------------------------------------------------------===//
// Slots
//===----------------------------------------------------------------------===//

Value TileEmitter::loadWord(Value memory, Value index) {
  return loadRouting(b.getI32Type(), globalAt(memories[memory], wide(index)),
                     /*alignment=*/4, /*settled=*/true);
}

Value TileEmitter::expertOf(const SlotSource &source, Value slot,
                            Value &present) {
  Value expert = loadWord(source.ids, slot);
  if (source.expertMap) {
    Value mapped = inside(expert, extent(memories[source.expertMap], 0));
    // No branch: what is read for an id outside of the map is forgotten.
    Value at = select(mapped, expert, c32(0));
    expert = select(mapped, loadWord(source.expertMap, at), c32(-1));
  }
  present = inside(expert, c32(source.experts));
  if (source.deviceTokens)
    present = both(present, less(quotient(slot, source.topk),
                                 loadWord(source.deviceTokens, c32(0))));
  return select(present, expert, c32(0));
}

bool TileEmitter::knowsSlots(const SlotSource &source) {
  for (Value memory : {source.ids, source.expertMap, source.deviceTokens})
    if (memory && !memories.count(memory))
      return false;
  return true;
}

Value TileEmitter::slotCount(const SlotSource &source) {
  return mul(extent(memories[source.ids], 0), c32(source.topk));
}

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

FailureOr<TileList> TileEmitter::listOf(tile::ForTilesOp op) {
  auto it = tileLists.find(op.getList());
  if (it == tileLists.end()) {
    refuse(op) << "the " << language << " lowering takes lists of row blocks";
    return failure();
  }
  if (op.getClaim() == tile::Claim::Counter) {
    refuse(op) << "the " << language << " lowering takes claim(stride)";
    return failure();
  }
  Value table = it->second.table;
  if (table &&
      (!memories.count(table) || memories[table].type.getDimSize(1) != 4)) {
    refuse(op) << "the " << language
               << " lowering takes a table argument of four columns";
    return failure();
  }
  if (op.getOrder() == tile::Order::Explicit) {
    refuse(op) << "a list of row blocks has no explicit order";
    return failure();
  }
  return it->second;
}

SmallVector<Value> TileEmitter::coordinates(tile::ForTilesOp op, Value entry) {
  const TileList &list = tileLists[op.getList()];
  int64_t columns = list.columnTiles();
  bool nMajor = op.getOrder() == tile::Order::NMajor;
  Value block = nMajor ? rem(entry, list.count) : quotient(entry, columns);
  Value column = nMajor ? div(entry, list.count) : rest(entry, columns);
  if (list.slots.ids) {
    // One row each, and no run is longer than one block.
    Value present, expert = expertOf(list.slots, block, present);
    return {expert, block,
            arith::ExtUIOp::create(b, loc, b.getI32Type(), present),
            mul(column, c32(list.blockN))};
  }
  auto recordOf = [&](Value number) {
    const Memory &table = memories[list.table];
    int64_t width = table.type.getDimSize(1);
    return loadRouting(VectorType::get({4}, b.getI32Type()),
                       globalAt(table, mul(wide(number), c64(width))),
                       /*alignment=*/16, /*settled=*/true);
  };
  auto field = [&](Value record, int64_t i) -> Value {
    return LLVM::ExtractElementOp::create(b, loc, record, c32(i));
  };
  if (op.getOrder() == tile::Order::ExpertMajor) {
    Value length, index;
    if (list.table) {
      // The table's last column says where a block stands in the run of its
      // expert, index | length << 16; 0 = unknown, then it is a run by itself.
      Value run = field(recordOf(block), 3);
      length = arith::MaxUIOp::create(b, loc, shr(run, c32(16)), c32(1));
      index = bitAnd(run, c32(0xFFFF));
    } else {
      length = list.blocks;
      index = rem(block, list.blocks);
    }
    // Long runs in pieces, whose rows and the weights of one wave fit into the
    // second-level cache.
    Value inPiece = rest(index, kRunBlocks);
    length = arith::MinUIOp::create(b, loc, c32(kRunBlocks),
                                    add(sub(length, index), inPiece));
    Value first = sub(block, inPiece);
    Value local = sub(entry, mul(first, c32(columns)));
    column = div(local, length);
    block = add(first, rem(local, length));
  }
  if (!list.table) {
    Value expert = div(block, list.blocks);
    Value row = mul(rem(block, list.blocks), c32(list.blockM));
    return {expert, add(mul(expert, list.rows), row),
            min(sub(list.rows, row), c32(list.blockM)),
            mul(column, c32(list.blockN))};
  }
  Value record = recordOf(block);
  return {field(record, 0), field(record, 1), field(record, 2),
          mul(column, c32(list.blockN))};
}
