//===- RowEmitter.h - Row kernels for GPUs ----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The emitter of kernels that work row by row: how rows are dealt out is in
// Rows.cpp, what a thread does with its vector in RowValues.cpp.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_GPUROWS_ROWEMITTER_H
#define MOEC_LIB_CONVERSION_GPUROWS_ROWEMITTER_H

#include "PlainKernel.h"

#include "llvm/ADT/MapVector.h"

namespace mlir::moe::rows {

/// Bytes of one access.
inline constexpr int64_t kVectorBytes = 16;
/// Bytes that a thread has in flight at most: they take registers.
inline constexpr int64_t kBytesInFlight = 256;

/// A constant index, or nothing.
std::optional<int64_t> constantOf(Value v);

/// Ops that run once per row, or `count` times with a counter of their own;
/// all tiles are `cols` wide or one element.
struct Segment {
  scf::ForOp loop; ///< null: once per row
  SmallVector<Operation *> ops;
  int64_t count = 1;  ///< of the loop
  int64_t cols = 1;   ///< widest tile
  int64_t vector = 1; ///< elements of one thread
  bool reduces = false;
  int64_t vectors() const { return cols / vector; }
  /// Threads of one tile row; a butterfly takes a power of two.
  int64_t lanes() const {
    return reduces ? llvm::PowerOf2Ceil(vectors()) : vectors();
  }
  int64_t perRow() const { return count * lanes(); }
};

class RowEmitter {
public:
  explicit RowEmitter(PlainKernel &k)
      : k(k), threads(k.target.facts.blockThreads) {}
  LogicalResult emit();
  /// A scalar op of a map's body, or of the row itself, on this thread's
  /// values, vectors if `wide`.
  FailureOr<Value> cloneScalar(Operation *op, IRMapping &map, bool wide);

private:
  LogicalResult plan();
  LogicalResult planSegment(Segment &segment);
  LogicalResult emitSegment(Segment &segment);
  LogicalResult emitOp(Operation *op);
  LogicalResult emitScalar(Operation *op);
  LogicalResult emitRowIndex(tile::RowIndexOp op);
  LogicalResult emitSlotRow(tile::SlotRowOp op);
  LogicalResult emitLoad(tile::LoadOp op);
  LogicalResult emitRowLoads(ArrayRef<tile::LoadOp> loads);
  void gatherRowLoads(Segment &segment);
  LogicalResult emitStore(tile::StoreOp op);
  LogicalResult emitMap(tile::MapOp op);
  LogicalResult emitRowReduce(tile::RowReduceOp op);

  /// Element offset (i64) of this thread's part of a tile, and whether it
  /// exists (null: it does). `clamp`: the offset is in bounds even if not.
  FailureOr<Value> place(tile::TileAccess access, Value &exists,
                         bool clamp = false);
  bool isWide(Type tile) {
    return cast<tile::FragType>(tile).getCols() > 1 && segment->vector > 1;
  }
  Type typeOf(Type element, bool wide) {
    element = storageOf(element);
    return wide ? VectorType::get(segment->vector, element) : element;
  }
  Value spread(Value v);
  Value zero(Type type) {
    return arith::ConstantOp::create(k.b, k.loc, k.b.getZeroAttr(type));
  }
  Value exponential(Operation *op, ValueRange operands, Type type);
  /// As diagnostics call the target.
  StringRef name() const { return k.target.facts.name; }

  PlainKernel &k;
  scf::ParallelOp rows; ///< null: one row
  Value rowCount;       ///< of the tile program
  SmallVector<Segment> segments;
  int64_t threads;
  bool rowPerBlock = false;

  Segment *segment = nullptr;
  DenseMap<Value, Value> values; ///< tile program to this thread
  /// Loads of several rows of one memory, by the first of them.
  DenseMap<Operation *, SmallVector<tile::LoadOp>> rowLoads;
  Value part;   ///< number of the thread's vector in the row
  Value active; ///< whether the row exists
};

} // namespace mlir::moe::rows

#endif // MOEC_LIB_CONVERSION_GPUROWS_ROWEMITTER_H
