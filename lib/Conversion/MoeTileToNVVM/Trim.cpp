//===- Trim.cpp - Products as wide as the tile has rows -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With swapped operands the rows of the tile are the instruction's N side, and
// each of its columns depends on one row alone. A tile of 64 rows of which 11
// exist is then computed by instructions of 16: the loop over k is emitted once
// for each width, the tile takes the narrowest that holds its rows. So one tile
// takes an expert with few rows or with many, and reads its weights once.
//
// Rows beyond the width are neither copied nor computed nor stored: the stores
// of such a kernel are all limited to the tile's rows.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// The number of rows of a tile: coords' third result.
static bool isRowsOfTile(Value v) {
  auto coords = v ? v.getDefiningOp<tile::CoordsOp>() : tile::CoordsOp();
  return coords && v == coords->getResult(2);
}

/// Whether the store writes no row beyond those that the tile has.
static bool isLimited(tile::StoreOp op) {
  if (isRowsOfTile(op.getLimit()))
    return true;
  for (Value index : op.getIndices())
    if (auto rows = index.getDefiningOp<tile::RowIndexOp>())
      return isRowsOfTile(rows.getLimit());
  return false;
}

void KernelEmitter::findTrim() {
  Trim found;
  bool legal = true, decodes = false;
  kernel.walk([&](Operation *op) {
    if (auto mma = dyn_cast<tile::MmaOp>(op)) {
      tile::AtomAttr atom = mma.getResult().getType().getAtom();
      auto wait = mma.getA().getDefiningOp<tile::WaitOp>();
      int64_t rows = mma.getResult().getType().getRows();
      legal &= atom && atom.getSwap() && wait && atom.getM() == rows &&
               mma->getParentOfType<tile::ForTilesOp>() &&
               (!found.rows || found.rows == rows);
      found.rows = rows;
      if (wait)
        found.buffer = cast<OpResult>(mma.getA()).getResultNumber();
    } else if (auto store = dyn_cast<tile::StoreOp>(op)) {
      legal &= isLimited(store);
    } else if (isa<tile::StoreWaitOp, tile::DepositOp, tile::SlotListOp>(op)) {
      // Tiles of a slot list have one row.
      legal = false;
    } else if (isa<tile::DequantOp>(op)) {
      decodes = true;
    }
  });
  // Accumulators of several widths beside decoded weights do not fit the
  // registers of wide tiles.
  legal &= !decodes || found.rows <= 64;
  if (!legal || found.rows <= 8 || found.rows % 8)
    return;
  for (int64_t width = 8; width < found.rows; width *= 2)
    found.widths.push_back(width);
  found.widths.push_back(found.rows);
  // Pieces of the rows' side that are copied by descriptor, whole patterns of
  // the swizzle.
  found.piece = std::max<int64_t>(8, found.rows / 8);
  if (found.rows % found.piece == 0)
    trim = found;
}

bool KernelEmitter::isTrimmed(tile::CopyOp op) {
  return trim && op.getHow() != tile::How::Bulk &&
         op.getBuffer().getDefiningOp<tile::AcquireOp>() &&
         cast<OpResult>(op.getBuffer()).getResultNumber() == trim->buffer;
}

void KernelEmitter::setTileWidth(Value rows) {
  if (!trim)
    return;
  trim->tileRows = rows;
  Value width = c32(trim->widths.back());
  for (int64_t w : llvm::reverse(ArrayRef(trim->widths).drop_back()))
    width = arith::SelectOp::create(
        b, loc, cmp(arith::CmpIPredicate::sle, rows, c32(w)), c32(w), width);
  trim->width = width;
}

/// Whether a tile's first product begins here: the rest of the tile is emitted
/// for each width by itself. (One epilogue for all widths would meet
/// accumulators of several products, for which the assembler finds registers
/// or not as it happens.)
static bool beginsProduct(Operation &op) {
  if (!isa<tile::ForTilesOp>(op.getParentOp()))
    return false;
  // A loop whose every product is added to a sum.
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return llvm::any_of(loop.getOps<tile::MmaOp>(),
                        [](tile::MmaOp mma) { return !mma.getC(); });
  if (!isa<tile::WaitOp>(op))
    return false;
  return llvm::any_of(op.getUsers(), [](Operation *user) {
    auto mma = dyn_cast<tile::MmaOp>(user);
    return mma && !mma.getC();
  });
}

FailureOr<SmallVector<Value>> KernelEmitter::emitOfWidth(Operation &first,
                                                         int64_t width) {
  trim->now = width;
  Value thread = team.thread; // which a loop may have made anew
  Operation *end = first.getBlock()->getTerminator();
  for (Operation *op = &first; op != end; op = op->getNextNode()) {
    loc = op->getLoc();
    if (!isa<tile::SumArrivedOp>(op) && failed(emitOp(*op)))
      return failure();
  }
  trim->now = 0;
  team.thread = thread;
  // LLVM would merge equal ends of two widths, and with the stores in them the
  // accumulators. So the ends differ: in convergent operations, which it merges
  // only one with one.
  for (int64_t other : trim->widths)
    if (other <= width)
      NVVM::SyncWarpOp::create(b, loc, c32(-1));
  return flatten(end->getOperands());
}

FailureOr<SmallVector<Value>>
KernelEmitter::emitWidths(Operation &first, ArrayRef<int64_t> widths) {
  if (widths.size() == 1)
    return emitOfWidth(first, widths[0]);
  // The loop carries cursors: slot and parity.
  SmallVector<Type> types(
      2 * first.getBlock()->getTerminator()->getNumOperands(), b.getI32Type());
  auto ifOp = scf::IfOp::create(
      b, loc, types,
      cmp(arith::CmpIPredicate::sle, trim->tileRows, c32(widths[0])),
      /*withElse=*/true);
  OpBuilder::InsertionGuard guard(b);
  for (bool then : {true, false}) {
    b.setInsertionPointToStart(then ? ifOp.thenBlock() : ifOp.elseBlock());
    FailureOr<SmallVector<Value>> flat =
        then ? emitOfWidth(first, widths[0])
             : emitWidths(first, widths.drop_front());
    if (failed(flat))
      return failure();
    scf::YieldOp::create(b, loc, *flat);
  }
  return SmallVector<Value>(ifOp.getResults());
}

FailureOr<bool> KernelEmitter::emitTrimmed(Operation &first) {
  if (!beginsProduct(first))
    return false;
  FailureOr<SmallVector<Value>> flat = emitWidths(first, trim->widths);
  if (failed(flat))
    return failure();
  bindFlat(first.getBlock()->getTerminator()->getOperands(), *flat);
  // Of all widths alike.
  for (auto sum : first.getBlock()->getOps<tile::SumArrivedOp>())
    if (failed(emitSumArrived(sum)))
      return failure();
  return true;
}

bool KernelEmitter::isTrimmedAway(tile::FragType type, int64_t row) {
  return trim && trim->now && type.getRows() == trim->rows && row >= trim->now;
}
