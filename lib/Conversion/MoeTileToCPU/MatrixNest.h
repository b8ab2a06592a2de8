//===- MatrixNest.h - Matrix products of the CPU lowering -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETOCPU_MATRIXNEST_H
#define MOEC_LIB_CONVERSION_MOETILETOCPU_MATRIXNEST_H

#include "KernelEmitter.h"

namespace mlir::moe::cpu {

/// One side of the product as the k_loop describes it.
struct Side {
  tile::LoadOp load;
  tile::DequantOp dequant; ///< may be null
  Type element;            ///< of the load
  /// Read straight from memory; else decoded into `scratch`.
  bool direct = false;
  Scratch scratch;
};

/// A factor of a promotion: one value per row or per run of columns.
struct Factor {
  tile::LoadOp load; ///< null: `constant` everywhere
  double constant = 0;
  int64_t extent = 1;  ///< distinct values along the tile
  bool isZero = false; ///< of unsigned bytes
};

/// Codes that are decoded `chunk` at a time into vectors of 32 bf16 values. A
/// lane of the products of a chunk sums columns of one scale group.
struct FusedCodes {
  enum Kind { None, Float8, Nibbles, Words, Integers };
  Kind kind = None;
  int64_t chunk = 0;
  /// Columns of every vector's elements.
  SmallVector<SmallVector<int64_t>> columns;
  int64_t group = 0; ///< columns that share a factor of the dequantisation
};

class MatrixNest {
public:
  MatrixNest(KernelEmitter &e, tile::KLoopOp op)
      : e(e), b(e.b), loc(e.loc), op(op) {}

  TileExprPtr emit();

private:
  LogicalResult analyse();
  FailureOr<Side> analyseSide(Value operand, StringRef name);
  FailureOr<Factor> analyseFactor(Value operand, StringRef name);
  bool decodesToBf16(const Side &side) const;
  Value rowsOfA();
  /// Decodes row `r` of a side (tile coordinate) into scratch row `to`.
  void decodeRow(Side &side, Value r, Value to);
  Value decodeVector(Side &side, Value r, Value row, Value k, int64_t count);
  /// Flat position of the first k of row r.
  void emitStreamed(Value rows, int64_t most);
  bool decodesByTable(Side &side) const;
  Value decodeByTable(Side &side, Value base, Value k);
  Value rowBase(Side &side, Value r, Value scratchRow);
  Value loadOperand(Side &side, Value base, Value k, int64_t mask);
  Value multiply(Value a, Value x, Value acc);
  /// Adds products of pairs of bf16 values to f32 lanes.
  Value pairProduct(Value x, Value y, Value acc);
  void emitMicro(Value m, int64_t rows, ArrayRef<Value> columns,
                 ArrayRef<Value> scratchRows, Value outColumn);
  SmallVector<Value> dotRange(ArrayRef<Value> aBases, ArrayRef<Value> bBases,
                              Value from, int64_t count, bool unrolled);
  Value factorAt(Factor &factor, bool isRow, Value at, Value k);
  Value reduceRow(ArrayRef<Value> accs);
  /// Adds partial sums of the step from `from` on, scaled, to the main ones.
  SmallVector<Value> promoteParts(MutableArrayRef<Value> parts,
                                  ArrayRef<Value> main, ArrayRef<Value> mRows,
                                  ArrayRef<Value> columns, Value from);
  // Few rows of A by codes that are decoded in registers (FusedDecode.cpp).
  bool canFuse();
  void emitFused(Value rows);
  void fillFused(Value rows);
  void emitFusedRow(Value column, int64_t rows);
  SmallVector<Value> decodeFused(Value base, Value k, bool prefetches);
  SmallVector<Value> fusedParts(Value base, Value column, int64_t rows,
                                Value from, int64_t count);
  Value fusedFactor(Value operand, Value column, Value k, bool isZero);
  void setK(Value k);

  KernelEmitter &e;
  OpBuilder &b;
  Location loc;
  tile::KLoopOp op;
  tile::MmaOp mma;
  tile::PromoteOp promote;
  Side a, w;
  std::optional<Factor> rowFactor, colFactor, rowSum, zero;
  int64_t m = 0, n = 0, k = 0, step = 0, stride = 0;
  int64_t boxSize = 0, boxes = 1;
  int64_t groupCols = microCols; ///< columns of a register tile
  /// Values of B ahead of those that are multiplied to prefetch; 0 = none.
  int64_t prefetchAhead = 0;
  /// Type that is multiplied: f32 or bf16; values per vector.
  Type compute;
  int64_t lanes = 0;
  Scratch out;
  /// How codes of B are decoded in registers, and A permuted to match.
  FusedCodes fused;
  Scratch fusedA, fusedSums;
};

/// The value that a block argument of a later region of `op` stands for.
Value traceArgument(tile::KLoopOp op, Value v);

/// Row number for a `rows` index, moved to row 0 where absent; null otherwise.
Value presentRow(KernelEmitter &e, tile::LoadOp load, Value r);

/// Rows of A that are multiplied by codes decoded in registers: more would not
/// fit the registers, and decoding to memory pays for more.
constexpr int64_t fusedRows = 6;

/// How many rows of B ahead to prefetch: one column block.
constexpr int64_t prefetchRows = 8;

/// Half of a first-level cache of 32 KiB; the other half is for rows of A.
constexpr int64_t decodedBytes = 16 << 10;

/// While so many bytes of A are multiplied, few rows of B at a time are the
/// faster way to read it.
constexpr int64_t streamedBytes = 24 << 10;

/// Rows of A from which on two rows of B are read at a time. The hardware alone
/// keeps up with one row of A; each row of B is prefetched by hand for more.
constexpr int64_t pairedRows = 4;
constexpr int64_t streamAhead = 8 << 10;

} // namespace mlir::moe::cpu

#endif // MOEC_LIB_CONVERSION_MOETILETOCPU_MATRIXNEST_H
