//===- GemmKernel.h - The kernel of a grouped GEMM --------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETOMOETILE_GEMMKERNEL_H
#define MOEC_LIB_CONVERSION_MOETOMOETILE_GEMMKERNEL_H

#include "PlanBuilder.h"

namespace mlir::moe {

/// Builds one grouped_gemm as a tile kernel.
class GemmKernel {
public:
  GemmKernel(PlanBuilder &plan, GroupedGemmOp op)
      : plan(plan), op(op), loc(op.getLoc()) {}

  LogicalResult build();

private:
  LogicalResult decide();
  LogicalResult decideGateUp(GateUpAttr gateUp);
  LogicalResult decideScales();
  void fitBlockN();
  void beginTile(const RoutingBuffers &routing);
  /// The tiles of the product, from the routing as the kernel sees it.
  Value listTiles(const RoutingBuffers &routing);
  // GemmParts.cpp
  /// Sets `parts`; diagnoses a split_k that has no meaning here.
  LogicalResult decideParts();
  /// Takes the part of K apart from the column of the tile at hand.
  void beginPart();
  // GemmSums.cpp
  /// Diagnoses a reduce_by that has no meaning here.
  LogicalResult checkSums(const RoutingBuffers &routing);
  /// Sets `sums` and `arrivals`; `out` is the memory of the result.
  void bindSums(Value out);
  /// Emits the sum behind the store of a tile; `sorted`: rows stand by expert.
  void emitSums(const RoutingBuffers &inside, Value rows, bool sorted);
  /// Clears what later products of the routing count arrivals with and add to.
  LogicalResult clearCounters(KernelBuilder &builder);
  /// [T, blocks of columns] i32: arrivals at the sums, zero at first.
  Value makeCounters(bool zero);
  /// First row of B that the tile reads.
  Value firstRowOfB(OpBuilder &b);
  /// Scales along the tile's rows of B, one per `granule` rows, and their boxes
  /// (none: the rows that they are of follow each other).
  std::pair<int64_t, SmallVector<int64_t>> scaleRowsOfB(int64_t granule);
  Value loadOperand(OpBuilder &b, bool isA, Value k);
  Value loadFactor(OpBuilder &b, bool isA, Value memory, Value k);
  std::pair<Value, Value> loadFactors(OpBuilder &b, bool isA, Value k);
  bool isDecoded(bool isA);
  bool multipliesBytes();
  Value decode(OpBuilder &b, bool isA, Value loaded, Value scale, Value zero,
               bool fragment);
  Value dequantise(OpBuilder &b, bool isA, Value loaded, Value k);
  Value loadRowScale(OpBuilder &b, Value k, bool fragment = false);
  Value loadRowSums(OpBuilder &b, Value k, bool fragment = false);
  Value loadColScale(OpBuilder &b, Value memory, QuantAttr quant, Value k,
                     bool fragment = false);
  Value zerosOfB(OpBuilder &b, Value k, bool fragment = false);
  LogicalResult decideRowSums();
  LogicalResult productOf(SmallVectorImpl<Value> &accumulators);
  Value subtractRowSums(Value product);
  Type resultElement();
  Value epilogue(ArrayRef<Value> accumulators);

  PlanBuilder &plan;
  GroupedGemmOp op;
  Location loc;
  KernelBuilder *kernel = nullptr;

  int64_t blockM = 0, blockN = 0, step = 0;
  /// Copies fill the tiles (GPU): they deliver zeros beyond the memory, so that
  /// tiles keep their extents.
  bool copied = false;
  /// B is decoded to registers beside the product, not to a buffer on load.
  bool decodesInCompute = false;
  /// The same of A, whose values are scaled.
  bool scalesInCompute = false;
  /// Decoded values of B have the type of a matrix instruction's operands.
  bool roundsDecoded = false;
  /// Scales of B that are operands are left to the sums of products.
  bool scalesSums = false;
  int64_t cols = 0, k = 0; ///< columns of the result, reduction size
  int64_t tileRowsOfB = 0; ///< rows of B per tile: blockN or 2 blockN
  SmallVector<int64_t> boxes;
  int64_t splitBlock = 0;
  ScalePlace aPlace = ScalePlace::None, bPlace = ScalePlace::None;
  /// Zero points of B are subtracted by the sums of A's rows.
  bool rowSums = false;
  /// Parts of K that a tile takes one of.
  int64_t parts = 1;
  /// Who sums the rows over top-k.
  SumBy sumBy = SumBy::Launch;
  bool adds() const {
    return sumBy == SumBy::Added || sumBy == SumBy::AddedThenCast;
  }
  /// The reduction runs over all columns of all experts, each of which has
  /// `columnsOfExpert`, with those of the last step that do not exist.
  bool sumsExperts = false;
  int64_t columnsOfExpert = 0;
  /// Where the tiles write sums, and what they count arrivals with.
  Value sums, arrivals;
  /// What the matrix product multiplies and sums up.
  Type aMatrix, bMatrix, sumType;

  Value a, b, aScale, aSums, bScale, bZero;
  SmallVector<Value> rowOps, colOps, expertOps, eltOps;
  /// Tokens, if the routing is static; null otherwise.
  Value tokens;
  // Values of the tile at hand.
  Value expert, row0, rows, n0, flatRows, tokenRows, aRows;
  /// Column of its result in memory; start of its part of K, null = 0.
  Value storedColumn, firstK;
};

} // namespace mlir::moe

#endif // MOEC_LIB_CONVERSION_MOETOMOETILE_GEMMKERNEL_H
