//===- KernelEmitter.h - One explicit kernel in ROCDL --------- -*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Emits one moe_tile.kernel of the explicit form without rings as an llvm.func
// of llvm, rocdl, amdgpu, arith and scf ops. Roles are branches by the number
// of the wave, which meet at the workgroup's barriers. A value of the tile
// program becomes a list of values, its parts: an accumulator one vector per
// instruction, a fragment the registers of a lane in the order of its layout,
// staged data the vectors of 16 bytes that the thread has fetched. Coordinates
// are i32, addresses in global memory 64 bits wide.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETOROCDL_KERNELEMITTER_H
#define MOEC_LIB_CONVERSION_MOETILETOROCDL_KERNELEMITTER_H

#include "../GpuTiles/TileEmitter.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "moec/Target/AmdChip.h"

#include <array>
#include <map>

namespace mlir::moe::rocdl {

using gpu_tiles::Memory;
using gpu_tiles::Offset;
using gpu_tiles::registerOffsets;
using gpu_tiles::RowList;
using gpu_tiles::TileList;

/// The pieces of a tile that one thread moves, of 16 bytes or what a copy
/// straight to LDS brings: number i is row `row + i * step`, all in the same
/// place of their row.
struct Share {
  int64_t rowBytes = 0, rows = 0, count = 0, step = 0;
  bool partial = false; ///< some threads have no row in the last piece
  Value row;            ///< i32, of the thread's first piece
  Value byte;           ///< i32, in the row
  Value inBuffer;       ///< i32, of the first piece in a swizzled buffer
};

/// Where a thread reads its pieces, but for the position along the reduction.
struct FetchPlace {
  Value base;                ///< !llvm.ptr<1>, the same in all threads
  SmallVector<Value> pieces; ///< i64 bytes from there
};

class KernelEmitter : gpu_tiles::TileEmitter {
public:
  KernelEmitter(tile::KernelOp kernel, LLVM::LLVMFuncOp func,
                const AmdChip &chip)
      : TileEmitter(kernel, func, "ROCDL"), chip(chip) {}

  /// Emits the body and the attributes of the function; fails with a
  /// diagnostic on the op that has no lowering.
  LogicalResult emit();

private:
  // KernelEmitter.cpp
  /// Runs `build` with the insertion point at the function's entry.
  template <typename Build> auto atEntry(Build build) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointAfter(lastAtEntry);
    auto result = build();
    lastAtEntry = &*std::prev(b.getInsertionPoint());
    return result;
  }
  InFlightDiagnostic refuse(Operation *op) override;
  Value loadRouting(Type type, Value address, unsigned alignment,
                    bool settled) override;
  LogicalResult emitOp(Operation &op) override;
  LogicalResult emitForTiles(tile::ForTilesOp op);
  LogicalResult emitRoles(tile::RolesOp op);
  std::array<Value, 3> shareOf(Value entries, int64_t dies);
  LogicalResult setLaunch();

  // Staging.cpp
  LogicalResult placeOnChip();
  Value lds(Value offset); ///< !llvm.ptr<3>
  Value swizzlePattern(Value row, int64_t rowBytes);
  const Share &shareOf(int64_t rows, int64_t rowBytes, int64_t unit);
  FailureOr<FetchPlace> fetchPlace(tile::TileAccess access, const Share &share);
  LogicalResult emitFetch(tile::FetchOp op);
  LogicalResult emitCopy(tile::CopyOp op);
  LogicalResult emitCopyWait(tile::CopyWaitOp op);
  Value loadLds(Type type, Value at, int64_t alignment);
  Value clearNegativeZeros(Value v);
  LogicalResult depositStaged(tile::DepositOp op);
  void depositPieces(const Share &share, size_t i, Value buffer,
                     ArrayRef<Value> pieces);
  LogicalResult emitGroupSync(tile::GroupSyncOp op);

  // Products.cpp
  const AmdMatrixOp *instructionOf(Type element);
  int64_t side();
  int64_t resultRegisters();
  std::pair<SmallVector<int64_t>, SmallVector<int64_t>> partOffsets();
  SmallVector<Value> loadOperand(Value buffer, bool weights, int64_t block,
                                 int64_t row, const AmdMatrixOp &op);
  SmallVector<Value> splitPieces(ArrayRef<Value> read, const AmdMatrixOp &op,
                                 int64_t bytes);
  Value laneRow(bool weights);
  Value multiply(const AmdMatrixOp &op, Value weights, Value tokens, Value sum);
  Value laneAddress(int64_t rowBytes, bool weights, int64_t piece,
                    int64_t perGroup = 1);
  const AmdMatrixOp *scaledInstruction(tile::MmaOp op);
  SmallVector<Value> loadScaled(tile::DequantOp op, bool weights, int64_t block,
                                int64_t part, int64_t row,
                                const AmdMatrixOp &instruction);
  Value multiplyScaled(const AmdMatrixOp &op, tile::MmaOp product,
                       ArrayRef<Value> weights, ArrayRef<Value> tokens,
                       Value sum);
  /// Reads and multiplies both operands, and calls `use` with the number of an
  /// accumulator and its sum as soon as it is complete.
  LogicalResult emitProduct(tile::MmaOp op, ArrayRef<Value> acc, bool byParts,
                            function_ref<void(size_t, Value)> use);
  LogicalResult emitMma(tile::MmaOp op);
  double lostFactor();
  LogicalResult emitAccZero(tile::AccZeroOp op);
  LogicalResult emitAccRead(tile::AccReadOp op);
  LogicalResult emitPromote(tile::PromoteOp op);
  tile::DigitsAttr accumulatorLayout();

  // Dequantize.cpp
  /// How codes become values: scale and minus zero point times scale, f32 or
  /// null; `exact` if no value needs rounding.
  struct Decoding {
    Value scale, shift;
    bool exact = false;
  };
  LogicalResult emitDequant(tile::DequantOp op);
  LogicalResult emitUnpack(tile::DequantOp op);
  SmallVector<Value> unpackPiece(tile::DequantOp op, int64_t i);
  Decoding decodingOf(tile::DequantOp op, Value scale, Value zero);
  Value packedAddress(int64_t rowBytes, bool weights, int64_t bytes,
                      int64_t piece);
  Value widenFloats(Value words, Type element);
  SmallVector<Value> decodeFloats(Value words, Type element, Value scale);
  Value factorValue(Value v, Type stored);
  Value applyFactors(Value v, Value scale, Value shift);
  SmallVector<Value> decodeBytes(Value words, bool isUnsigned, Value scale,
                                 Value shift);
  SmallVector<Value> decodeWord(tile::DequantOp op, Value word, Value scale,
                                Value shift);
  Value packOperand(ArrayRef<Value> values, Type element, bool exact);
  SmallVector<Value> decodeOperand(tile::DequantOp op, bool weights,
                                   int64_t block, int64_t part, int64_t row,
                                   const AmdMatrixOp &instruction);

  // RowReduce.cpp
  int64_t exchangeBytes();
  Value waveAcross(tile::DigitsAttr layout);
  Value ownsElement(tile::DigitsAttr layout, bool lanesOnly);
  LogicalResult emitRowReduce(tile::RowReduceOp op);
  FailureOr<Value> packBytes(Operation *op, ArrayRef<Value> values);

  // Fragments.cpp
  std::pair<Value, Value> threadPosition(tile::DigitsAttr layout) override;
  Value rowNumber(const RowList &rows, Value m, Value &valid);
  Value rowOfLoad(tile::LoadOp op, Value list, bool byRow, int64_t offset,
                  Value row, Value &valid) override;
  Type loadedType(tile::LoadOp op) override;
  Value emitOwn(Operation &op, ValueRange operands) override;
  std::pair<Value, Value> knownRow(tile::LoadOp op, Value list, bool byRow,
                                   int64_t offset, Value row);
  LogicalResult emitStore(tile::StoreOp op);
  LogicalResult storeRows(tile::StoreOp op, bool whole);
  Value packRun(ArrayRef<Value> values);

  const AmdChip &chip;
  DenseMap<Value, int64_t> buffers; ///< buf_alloc to its offset
  std::map<std::tuple<int64_t, int64_t, int64_t>, Share> shares;
  /// Of kernels that copy straight to LDS: what those copies write, so that
  /// reads of the other stage are not thought to need them.
  ArrayAttr copyScope;
  /// Byte offsets of a lane's pieces of an operand by row bytes, operand, piece
  /// and pieces of a group of lanes; made at the entry.
  std::map<std::tuple<int64_t, bool, int64_t, int64_t>, Value> laneAddresses;
  /// The same of what is decoded, by row bytes, operand, bytes and piece.
  std::map<std::tuple<int64_t, bool, int64_t, int64_t>, Value> packedAddresses;
  /// Positions of lanes by layout, made at the entry.
  DenseMap<Attribute, std::pair<Value, Value>> positions;
  /// Places of fetches by memory and indices other than that of the reduction.
  struct KnownPlace {
    Value memory;
    SmallVector<Value> indices;
    Region *region;
    FetchPlace place;
  };
  SmallVector<KnownPlace> places;
  /// Row numbers of factors, by who has them.
  struct KnownRow {
    Value list;
    Attribute layout;
    bool byRow;
    int64_t offset;
    Region *region;
    Value number, valid;
  };
  SmallVector<KnownRow> knownRows;
  tile::DigitsAttr accLayout;
  int64_t sideOfAtom = 0; ///< 0 = not looked up
  LLVM::GlobalOp ldsGlobal;
  Value ldsBase, thread, lane, warp;
  int64_t threads = 0;              ///< of the kernel or of the role
  Operation *lastAtEntry = nullptr; ///< what all tiles share goes behind it
  int64_t ldsBytes = 0;
  int64_t exchange = 0; ///< where waves exchange values of rows
};

} // namespace mlir::moe::rocdl

#endif // MOEC_LIB_CONVERSION_MOETILETOROCDL_KERNELEMITTER_H
