//===- VectorEmitter.h - Products of few rows by lanes ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The emitter of products without matrix units: what is recognised and how
// tiles are dealt out is in VectorGemm.cpp, the loop over weights in
// VectorLoop.cpp, places in memory and the epilogue in VectorEpilogue.cpp.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_GPUROWS_VECTOREMITTER_H
#define MOEC_LIB_CONVERSION_GPUROWS_VECTOREMITTER_H

#include "RowEmitter.h"
#include "ScalarEmitter.h"
#include "VectorDecode.h"

namespace mlir::moe::rows {

/// What scales weights or rows, or is subtracted from weights.
struct Factor {
  tile::LoadOp load; ///< null: there is none
  /// Rows and columns that share one; 0 columns: all.
  int64_t rows = 1, columns = 0;
  /// Elements from one granule of columns to the next.
  int64_t stride = 0;
  /// Rows are along the second dimension of what is loaded.
  bool across = false;
  explicit operator bool() const { return bool(load); }
  Type getElement() { return load.getMemory().getType().getElementType(); }
};

class VectorEmitter : ScalarEmitter {
public:
  explicit VectorEmitter(PlainKernel &k) : ScalarEmitter(k), bodies(k) {}
  LogicalResult emit();

private:
  //===--- The kernel (VectorGemm.cpp) --------------------------------------//
  LogicalResult match();
  LogicalResult matchWeights(Value loaded);
  LogicalResult matchPromotion();
  LogicalResult matchFactor(Factor &factor, Value loaded, int64_t tileRows);
  LogicalResult arrange();
  /// Entries of the tile list; null for a list without form.
  Value tileCount();
  /// Coordinates and scalars of the tile at `entry`.
  LogicalResult placeTile(Value entry);
  /// The expert (i32) of a slot; `present`: whether it has one here.
  Value expertOf(tile::SlotListOp list, Value slot, Value &present);
  /// Whether all that says which weights come first, and the weights, were
  /// written before the launch before this one.
  bool startsBeforeWait();
  /// The products of the tile at hand, whose first pieces are `first`, and what
  /// is stored; `following` are those of tile `next`.
  LogicalResult emitRows(ValueRange first, Value next, Value end,
                         SmallVectorImpl<Value> &following);
  LogicalResult emitTile(ValueRange first, Value next, Value end,
                         SmallVectorImpl<Value> &following);

  //===--- The loop over weights (VectorLoop.cpp) ---------------------------//
  /// Pieces of weights with what scales them, of all rows of this lane in
  /// `unroll` steps from number `step` on.
  FailureOr<SmallVector<Value>> loadStage(Value step);
  /// The same for the first step of tile `entry`, zeros if there is none.
  FailureOr<SmallVector<Value>> loadFirst(Value entry, Value end);
  SmallVector<Type> stageTypes();
  /// Adds the products of a stage to the sums.
  void multiply(ValueRange stage, ValueRange inputs, Value step);
  void multiplyRun(ValueRange stage, ValueRange inputs, int64_t u,
                   int64_t from);
  SmallVector<Value> valuesOfRow(ValueRange inputs, int64_t u, int64_t m,
                                 int64_t first);
  SmallVector<Value> loadInputs(Value step);
  LogicalResult findRows();
  /// Where in a factor's row the value for column `k` (i32) stands.
  Value placeOf(const Factor &factor, Value column);
  Value fma(Value x, Value y, Value z);
  Value real(double v);

  //===--- Places and values (VectorEpilogue.cpp) ---------------------------//
  /// Number of row `m` of a row list, or of consecutive rows; `exists` is
  /// and-ed with whether there is one. Absent rows get the number 0.
  FailureOr<Value> rowNumber(Value rows, Value m, Value &exists);
  /// Offset (i64) of element (m, c) of an access; `exists` as above.
  FailureOr<Value> offsetOf(tile::TileAccess access, Value m, Value c,
                            Value &exists);
  /// Element (m, c) of a fragment of the epilogue.
  FailureOr<Value> elementOf(Value fragment, Value m, Value c);
  LogicalResult emitStores();
  LogicalResult emitStore(tile::StoreOp op, Value m, Value c);
  /// Column of what a split takes its `part` from.
  Value beforeSplit(int64_t block, int64_t part, Value c);

  InFlightDiagnostic refuse(Operation *op) {
    return op->emitOpError("has no form without matrix units: ");
  }

  RowEmitter bodies;
  tile::ForTilesOp tiles;
  tile::KLoopOp loop;
  tile::LoadOp a, w;
  Factor scale, zero, rowScale; ///< of weights, and of the tile's rows
  tile::SplitOp split; ///< of the product into gate and up; may be null
  Value product;       ///< fragment
  WordDecoder rowDecoder, weightDecoder;
  int64_t rows = 0, columns = 0; ///< of a tile's result
  int64_t listColumns = 0;       ///< of the whole result
  int64_t depth = 0;             ///< K
  int64_t zeroValue = 0;         ///< of all weights, without `zero`

  // How a warp's work is arranged.
  int64_t warps = 0, perWarp = 0, parts = 1;
  int64_t rowLanes = 0;          ///< lanes that share a weight row
  int64_t perLane = 0;           ///< weight rows of a lane, of all parts
  int64_t pieces = 0;            ///< of a weight row
  int64_t steps = 0, unroll = 0; ///< pieces of a row per lane, those of a stage
  int64_t run = 0;               ///< values of a piece that share a scale
  Value lane, warp, group, laneInRow;

  Value entryCount, tableRows;
  /// Addresses of the lane's weight rows and of what scales them.
  SmallVector<Value> weightRows, scaleRows, zeroRows;
  /// The same of the tile's rows.
  SmallVector<Value> inputRows, rowScaleRows;
  /// Per weight row of the lane and row of the tile.
  SmallVector<Value> sums;
  /// What this lane holds of the result, per part.
  SmallVector<Value> mine;
  IRMapping evaluated; ///< fragments whose element is known
};

} // namespace mlir::moe::rows

#endif // MOEC_LIB_CONVERSION_GPUROWS_VECTOREMITTER_H
