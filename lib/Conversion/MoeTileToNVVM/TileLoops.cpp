//===- TileLoops.cpp - Loops over the tiles of a list ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Row blocks of one expert that share a sweep over the columns.
static constexpr int64_t kRunBlocks = 16;

/// Expert, first row, rows and first column of an entry of the list.
SmallVector<Value> KernelEmitter::coordinates(tile::ForTilesOp op,
                                              Value entry) {
  const TileList &list = tileLists[op.getList()];
  int64_t columns = llvm::divideCeil(list.columns, list.blockN);
  Value block, column;
  auto quotient = [&](Value x, Value y) -> Value {
    return arith::DivUIOp::create(b, loc, x, y);
  };
  auto rest = [&](Value x, Value y) -> Value {
    return arith::RemUIOp::create(b, loc, x, y);
  };
  if (list.slots.ids) {
    // One row each, and no run is longer than one block.
    bool nMajor = op.getOrder() == tile::Order::NMajor;
    Value divisor = nMajor ? list.count : c32(columns);
    block = nMajor ? rest(entry, divisor) : quotient(entry, divisor);
    column = nMajor ? quotient(entry, divisor) : rest(entry, divisor);
    Value present, expert = expertOf(list.slots, block, present);
    return {expert, block,
            arith::ExtUIOp::create(b, loc, b.getI32Type(), present),
            mul(column, c32(list.blockN))};
  }
  auto recordOf = [&](Value number) -> Value {
    const Memory &table = memories[list.table];
    int64_t width = table.type.getDimSize(1);
    // Volatile where the last launch may still run: past the first-level cache.
    return LLVM::LoadOp::create(b, loc, VectorType::get({4}, b.getI32Type()),
                                globalAt(table, mul(wide(number), c64(width))),
                                /*alignment=*/16, /*isVolatile=*/early);
  };
  auto field = [&](Value record, int64_t i) -> Value {
    return LLVM::ExtractElementOp::create(b, loc, record, c32(i));
  };
  if (op.getOrder() == tile::Order::NMajor) {
    column = quotient(entry, list.count);
    block = rest(entry, list.count);
  } else {
    block = quotient(entry, c32(columns));
    column = rest(entry, c32(columns));
  }
  if (op.getOrder() == tile::Order::ExpertMajor) {
    Value length, index;
    if (list.table) {
      // The table's last column says where a block stands in the run of its
      // expert, index | length << 16; 0 = unknown, then it is a run by itself.
      Value run = field(recordOf(block), 3);
      length = arith::MaxUIOp::create(
          b, loc, arith::ShRUIOp::create(b, loc, run, c32(16)), c32(1));
      index = arith::AndIOp::create(b, loc, run, c32(0xFFFF));
    } else {
      length = list.blocks;
      index = rest(block, list.blocks);
    }
    // Long runs in pieces, whose rows and the weights of one wave fit into the
    // second-level cache.
    Value inPiece = arith::RemUIOp::create(b, loc, index, c32(kRunBlocks));
    length = arith::MinUIOp::create(b, loc, c32(kRunBlocks),
                                    add(sub(length, index), inPiece));
    index = inPiece;
    Value first = sub(block, index);
    Value local = sub(entry, mul(first, c32(columns)));
    column = quotient(local, length);
    block = add(first, rest(local, length));
  }
  if (!list.table) {
    Value expert = quotient(block, list.blocks);
    Value row = mul(rest(block, list.blocks), c32(list.blockM));
    return {
        expert, add(mul(expert, list.rows), row),
        arith::MinSIOp::create(b, loc, sub(list.rows, row), c32(list.blockM)),
        mul(column, c32(list.blockN))};
  }
  Value record = recordOf(block);
  return {field(record, 0), field(record, 1), field(record, 2),
          mul(column, c32(list.blockN))};
}

LogicalResult KernelEmitter::emitForTiles(tile::ForTilesOp op) {
  auto it = tileLists.find(op.getList());
  if (it == tileLists.end())
    return op.emitOpError("the NVVM lowering takes lists of row blocks");
  if (op.getClaim() == tile::Claim::Counter)
    return op.emitOpError("the NVVM lowering takes claim(stride)");
  const TileList &list = it->second;
  if (list.table && (!memories.count(list.table) ||
                     memories[list.table].type.getDimSize(1) != 4))
    return op.emitOpError("the NVVM lowering takes a table argument of four "
                          "columns");
  if (op.getOrder() == tile::Order::Explicit)
    return op.emitOpError("a list of row blocks has no explicit order");
  int64_t columns = llvm::divideCeil(list.columns, list.blockN);
  SmallVector<Value> inits = flatten(op.getInits());
  Value first = NVVM::BlockIdXOp::create(b, loc, b.getI32Type());
  Value stride = NVVM::GridDimXOp::create(b, loc, b.getI32Type());
  Value end = mul(list.count, c32(columns));
  bool copies = false;
  op.walk([&](tile::CopyOp) { copies = true; });
  if (early && copies && failed(emitEarlyCopies(op, first, end)))
    return failure();
  auto loop = scf::ForOp::create(b, loc, first, end, stride, inits);
  for (auto [from, to] : llvm::zip(op.getCarried(), op.getInits()))
    parts[from] = parts.lookup(to);
  for (auto [from, to] : llvm::zip(op.getResults(), op.getInits()))
    parts[from] = parts.lookup(to);
  bindFlat(ValueRange(op.getCarried()), ValueRange(loop.getRegionIterArgs()));
  {
    OpBuilder::InsertionGuard guard(b);
    Block *body = loop.getBody();
    if (!body->empty() && isa<scf::YieldOp>(body->back()))
      body->back().erase();
    b.setInsertionPointToEnd(body);
    tileCoords[op.getTile()] = coordinates(op, loop.getInductionVar());
    setTileWidth(tileCoords[op.getTile()][2]);
    if (earlyEnd)
      firstTile = cmp(arith::CmpIPredicate::eq, loop.getInductionVar(), first);
    Value thread = team.thread;
    if (list.slots.ids) {
      SmallVector<Value> next;
      if (failed(emitSkipping(op, tileCoords[op.getTile()][2],
                              loop.getRegionIterArgs(), next)))
        return failure();
      scf::YieldOp::create(b, loc, next);
    } else {
      if (failed(emitBlock(op.getBody().front())))
        return failure();
      scf::YieldOp::create(
          b, loc, flatten(op.getBody().front().getTerminator()->getOperands()));
    }
    team.thread = thread;
  }
  bindFlat(op.getResults(), loop.getResults());
  earlyEnd = firstTile = Value();
  return success();
}
