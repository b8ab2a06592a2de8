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

Value KernelEmitter::loadRouting(Type type, Value address, unsigned alignment,
                                 bool settled) {
  // Volatile where the last launch may still run: past the first-level cache.
  return LLVM::LoadOp::create(b, loc, type, address, alignment,
                              /*isVolatile=*/early);
}

LogicalResult KernelEmitter::emitForTiles(tile::ForTilesOp op) {
  FailureOr<TileList> list = listOf(op);
  if (failed(list))
    return failure();
  Value first = NVVM::BlockIdXOp::create(b, loc, b.getI32Type());
  Value stride = NVVM::GridDimXOp::create(b, loc, b.getI32Type());
  Value end = mul(list->count, c32(list->columnTiles()));
  bool copies = false;
  op.walk([&](tile::CopyOp) { copies = true; });
  if (early && copies && failed(emitEarlyCopies(op, first, end)))
    return failure();
  auto body = [&](scf::ForOp loop) -> FailureOr<SmallVector<Value>> {
    SmallVector<Value> &coords = tileCoords[op.getTile()];
    coords = coordinates(op, loop.getInductionVar());
    setTileWidth(coords[2]);
    if (earlyEnd)
      firstTile = same(loop.getInductionVar(), first);
    Value thread = team.thread;
    SmallVector<Value> next;
    if (list->slots.ids) {
      if (failed(emitSkipping(op, coords[2], loop.getRegionIterArgs(), next)))
        return failure();
    } else {
      if (failed(emitBlock(op.getBody().front())))
        return failure();
      next = flatten(op.getBody().front().getTerminator()->getOperands());
    }
    team.thread = thread;
    return next;
  };
  if (failed(emitLoop(first, end, stride, ValueRange(op.getCarried()),
                      op.getInits(), op.getResults(), body)))
    return failure();
  earlyEnd = firstTile = Value();
  return success();
}
