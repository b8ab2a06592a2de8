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
// Rows beyond the width are neither copied nor computed; their accumulators are
// zeros, and the stores of such a kernel, all limited to the tile's rows, leave
// them out.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

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
  bool legal = true;
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
    } else if (isa<tile::StoreWaitOp, tile::DepositOp>(op)) {
      legal = false;
    }
  });
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

/// The ops from the wait of a tile's first product to the end of its loop over
/// k, if `op` is that wait.
static SmallVector<Operation *> productOf(Operation &op) {
  if (!isa<tile::WaitOp>(op) || !isa<tile::ForTilesOp>(op.getParentOp()))
    return {};
  SmallVector<Operation *> ops;
  Operation *end = nullptr;
  Value sum;
  for (Operation *at = &op; at; at = at->getNextNode()) {
    if (auto loop = dyn_cast<scf::ForOp>(at)) {
      if (!sum || !llvm::is_contained(loop.getInitArgs(), sum))
        return {};
      end = at;
    } else if (auto mma = dyn_cast<tile::MmaOp>(at)) {
      sum = mma.getResult();
      if (mma.getC())
        return {};
    } else if (isa<tile::ReleaseOp>(at)) {
      end = at;
    } else if (!isa<tile::WaitOp, tile::MmaWaitOp, tile::DequantOp>(at)) {
      break;
    }
    ops.push_back(at);
  }
  while (!ops.empty() && ops.back() != end)
    ops.pop_back();
  return sum ? ops : SmallVector<Operation *>();
}

FailureOr<SmallVector<Value>>
KernelEmitter::emitOfWidth(ArrayRef<Operation *> ops, ArrayRef<Value> live,
                           int64_t width) {
  trim->now = width;
  for (Operation *op : ops) {
    loc = op->getLoc();
    if (failed(emitOp(*op)))
      return failure();
  }
  trim->now = 0;
  SmallVector<Value> flat;
  for (Value v : live) {
    if (!isa<tile::AccType>(v.getType())) {
      llvm::append_range(flat, parts[v]);
      continue;
    }
    // The wait ties the registers, so that no read of them moves above it.
    auto wait =
        nv::WgmmaWaitOp::create(b, loc, /*pending=*/0, ValueRange(parts[v]));
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    for (Value sum : wait.getResults())
      for (int64_t i = 0; i < trim->rows / 2; ++i)
        flat.push_back(
            i < width / 2
                ? LLVM::ExtractValueOp::create(b, loc, sum, i).getResult()
                : zero);
  }
  return flat;
}

FailureOr<SmallVector<Value>>
KernelEmitter::emitWidths(ArrayRef<Operation *> ops, ArrayRef<Value> live,
                          ArrayRef<int64_t> widths) {
  if (widths.size() == 1)
    return emitOfWidth(ops, live, widths[0]);
  Value narrow = cmp(arith::CmpIPredicate::sle, trim->tileRows, c32(widths[0]));
  SmallVector<Type> types;
  for (Value v : live) {
    auto acc = dyn_cast<tile::AccType>(v.getType());
    if (acc)
      types.append(acc.getCols() / 64 / team.role.getCopies() * trim->rows / 2,
                   b.getF32Type());
    else
      types.append(2, b.getI32Type());
  }
  auto ifOp = scf::IfOp::create(b, loc, types, narrow, /*withElse=*/true);
  OpBuilder::InsertionGuard guard(b);
  for (bool then : {true, false}) {
    b.setInsertionPointToStart(then ? ifOp.thenBlock() : ifOp.elseBlock());
    FailureOr<SmallVector<Value>> flat =
        then ? emitOfWidth(ops, live, widths[0])
             : emitWidths(ops, live, widths.drop_front());
    if (failed(flat))
      return failure();
    scf::YieldOp::create(b, loc, *flat);
  }
  return SmallVector<Value>(ifOp.getResults());
}

FailureOr<Operation *> KernelEmitter::emitTrimmedProduct(Operation &first) {
  SmallVector<Operation *> ops = productOf(first);
  if (ops.empty())
    return nullptr;
  SmallVector<Value> live;
  for (Operation *op : ops)
    for (Value v : op->getResults())
      if (llvm::any_of(v.getUsers(), [&](Operation *user) {
            return llvm::none_of(
                ops, [&](Operation *own) { return own->isAncestor(user); });
          }))
        live.push_back(v);
  FailureOr<SmallVector<Value>> flat = emitWidths(ops, live, trim->widths);
  if (failed(flat))
    return failure();
  ArrayRef<Value> rest = *flat;
  for (Value v : live) {
    SmallVector<Value> values;
    if (auto acc = dyn_cast<tile::AccType>(v.getType())) {
      int64_t count = acc.getCols() / 64 / team.role.getCopies();
      Type type = LLVM::LLVMStructType::getLiteral(
          b.getContext(), SmallVector<Type>(trim->rows / 2, b.getF32Type()));
      for (int64_t j = 0; j < count; ++j) {
        Value sum = LLVM::UndefOp::create(b, loc, type);
        for (int64_t i = 0; i < trim->rows / 2; ++i)
          sum = LLVM::InsertValueOp::create(b, loc, sum, rest[i], i);
        rest = rest.drop_front(trim->rows / 2);
        values.push_back(sum);
      }
    } else {
      values = llvm::to_vector(rest.take_front(2));
      rest = rest.drop_front(2);
    }
    parts[v] = values;
  }
  return ops.back();
}
