//===- KernelEmitter.h - One tile kernel as vector code ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Emits the body of one sequential moe_tile.kernel as scf, arith, memref and
// vector ops. Fragments are not stored: each is an expression that is
// evaluated for a run of columns of one row where it is used.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETOCPU_KERNELEMITTER_H
#define MOEC_LIB_CONVERSION_MOETILETOCPU_KERNELEMITTER_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "moec/Conversion/CpuLevel.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"
#include <memory>

namespace mlir::moe::cpu {

class KernelEmitter;

/// A memory argument: flat, row-major storage with run-time extents.
struct Memory {
  Value flat;                          ///< memref<?xS>, S the stored type
  Type element;                        ///< what the elements mean
  SmallVector<Value> extents, strides; ///< index values, in elements
};

/// Rows of a tile: a gathered list or a consecutive run.
struct RowList {
  Value slots;        ///< memref of i32/i64, null = consecutive
  Value first;        ///< index of row 0
  Value limit, bound; ///< may be null
  int64_t divisor = 1;
};

/// A tile list.
struct TileList {
  Value table, count;
  tile::SlotListOp slots; ///< one row block per slot, then there is no table
  bool blocks = false;
  int64_t columns = 0, blockN = 0, tableCols = 4;
};

/// A fragment as an expression over (row, column).
class TileExpr {
public:
  TileExpr(int64_t rows, int64_t cols, Type element)
      : rows(rows), cols(cols), element(element) {}
  virtual ~TileExpr() = default;
  /// Stored vector of `count` elements of row `m` from column `n` on. The
  /// extents of a repeated dimension are 1 and its coordinate is 0.
  /// `n` is a multiple of `count` unless startsAnywhere().
  virtual Value eval(KernelEmitter &e, Value m, Value n, int64_t count) = 0;
  /// Whether eval takes any column for vectors.
  virtual bool startsAnywhere() const { return true; }
  const int64_t rows, cols;
  const Type element;
};
using TileExprPtr = std::shared_ptr<TileExpr>;

/// A rectangle of per-worker memory, `stride` elements from row to row.
struct Scratch {
  Value flat; ///< memref<?xS>
  int64_t rows, cols;
  Type element;
};

class KernelEmitter {
public:
  KernelEmitter(tile::KernelOp kernel, func::FuncOp func, const CpuLevel &isa)
      : kernel(kernel), func(func), isa(isa), b(func.getContext()),
        loc(kernel.getLoc()) {}

  /// Emits the whole body; fails with a diagnostic on the offending op.
  LogicalResult emit();

  /// Bytes of per-worker memory that the body uses.
  int64_t getScratchBytes() const { return scratchBytes; }

  //===--------------------------------------------------------------------===//
  // Used by expressions and by the matrix nest
  //===--------------------------------------------------------------------===//

  Value index(int64_t value);
  Value add(Value x, Value y);
  Value mul(Value x, Value y);
  Value minimum(Value x, Value y);
  VectorType vec(int64_t count, Type element);
  /// Vector of `count` stored elements at a flat position.
  Value loadVector(Value flat, Value position, int64_t count);
  void storeVector(Value vector, Value flat, Value position);
  /// Per-worker memory for a rectangle.
  Scratch allocate(int64_t rows, int64_t cols, Type element);
  /// Loop over [lower, upper) by `step`; the body gets the counter.
  void loop(Value lower, Value upper, int64_t step,
            function_ref<void(Value)> body);
  /// Calls body(n, count) for full vectors, then for the rest one by one.
  void columns(Value upper, int64_t lanes,
               function_ref<void(Value, int64_t)> body);
  /// Flat position of element (r, c) of an access; `row` is the row number for
  /// a `rows` index (else ignored). r and c are null for 0.
  Value position(tile::TileAccess access, Value r, Value c, Value row);
  /// Number of the memory row of tile row `m`; may be -1.
  Value rowNumber(const RowList &list, Value m);
  /// Whether row numbers of this list can be -1 below its limit.
  bool mayBeAbsent(const RowList &list);
  /// Rows of the tile that exist, at most `rows`.
  Value validRows(tile::TileAccess access, int64_t rows);
  /// Evaluates `expr` with broadcast of extents of 1.
  Value evalAt(TileExpr &expr, Value m, Value n, int64_t count);
  /// Stores an expression to per-worker memory and gives it as an expression.
  TileExprPtr materialise(TileExprPtr expr, Value rows);
  /// Rows of the current tile that hold data; null = all.
  Value currentRows;
  /// `rows`, but not more than the current tile holds.
  Value usedRows(int64_t rows) {
    return currentRows && rows > 1 ? minimum(index(rows), currentRows)
                                   : index(rows);
  }
  /// Replaces the value of a block argument (the k of a k_loop).
  void bind(Value v, Value value) { mapping.map(v, value); }
  const Memory &memory(Value v) { return memories.find(v)->second; }
  RowList *rowList(Value v) {
    auto it = rowLists.find(v);
    return it == rowLists.end() ? nullptr : &it->second;
  }
  Value scalar(Value v);
  TileExprPtr expr(Value v) { return exprs.lookup(v); }

  tile::KernelOp kernel;
  func::FuncOp func;
  const CpuLevel &isa;
  OpBuilder b;
  Location loc;

private:
  LogicalResult emitArguments();
  LogicalResult emitBlock(Block &block);
  LogicalResult emitOp(Operation &op);
  LogicalResult emitReshape(Operation &op);
  LogicalResult emitForTiles(tile::ForTilesOp op);
  /// The expert of a slot, an index; -1 if it is absent.
  Value slotExpert(Value ids, Value map, Value deviceTokens, int64_t experts,
                   int64_t topk, Value slot);
  LogicalResult emitKLoop(tile::KLoopOp op);
  LogicalResult emitStore(tile::StoreOp op);
  LogicalResult emitRowReduce(tile::RowReduceOp op);
  LogicalResult emitStructured(Operation &op);

  DenseMap<Value, Memory> memories;
  DenseMap<Value, RowList> rowLists;
  DenseMap<Value, TileList> tileLists;
  DenseMap<Value, SmallVector<Value>> tileCoords;
  DenseMap<Value, TileExprPtr> exprs;
  IRMapping mapping;
  Value worker, workers, scratchBase, claimCounter;
  int64_t scratchBytes = 0;
};

/// Evaluates the matrix product of a k_loop into per-worker memory and returns
/// it as an expression; null after a diagnostic.
TileExprPtr emitMatrixNest(KernelEmitter &e, tile::KLoopOp op);

/// Expressions (TileExpr.cpp).
TileExprPtr makeScratchExpr(const Scratch &scratch);
TileExprPtr makeLoadExpr(tile::LoadOp op);
TileExprPtr makeSplatExpr(tile::FragType type, Value scalar);
TileExprPtr makeSplitExpr(TileExprPtr source, int64_t block, unsigned which);
TileExprPtr makeJoinExpr(TileExprPtr first, TileExprPtr second, int64_t block);
/// `scale` and `zero` may be null.
TileExprPtr makeDequantExpr(tile::DequantOp op, TileExprPtr source,
                            TileExprPtr scale, TileExprPtr zero);
/// One result of a map; `inputs` in the order of the op.
TileExprPtr makeMapExpr(tile::MapOp op, unsigned result,
                        ArrayRef<TileExprPtr> inputs);

/// The coordinate `v` as an index.
Value asIndex(KernelEmitter &e, Value v);

} // namespace mlir::moe::cpu

#endif // MOEC_LIB_CONVERSION_MOETILETOCPU_KERNELEMITTER_H
