//===- TileEmitter.h - Kernels with matrix products for GPUs ----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the lowerings of explicit kernels to NVVM and ROCDL share: arguments,
// scalars, loops, lists of tiles, and fragments in the registers of a thread. A
// value of the tile program becomes a list of values, its parts; a fragment the
// registers of a thread in the order of its layout. Coordinates are i32,
// addresses in global memory 64 bits wide.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_GPUTILES_TILEEMITTER_H
#define MOEC_LIB_CONVERSION_GPUTILES_TILEEMITTER_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"
#include "moec/Support/ArithBuilder.h"

#include <map>

namespace mlir::moe::gpu_tiles {

/// A memory argument or a view of one: row-major.
struct Memory {
  Value pointer; ///< !llvm.ptr<1>
  MemRefType type;
  unsigned operand = 0; ///< number of the kernel's argument
  bool whole = true;    ///< the argument itself, not a view
};

/// Rows of a tile: by a list of slots, or consecutive.
struct RowList {
  Value slots;               ///< memref of the kernel, null = consecutive
  Value first, limit, bound; ///< i32; limit and bound may be null
  int64_t divisor = 1;
};

/// What says which slot goes to which expert: memrefs of the kernel.
struct SlotSource {
  Value ids, expertMap, deviceTokens; ///< the last two may be null
  int64_t experts = 0, topk = 0;

  template <typename SlotOp> static SlotSource of(SlotOp op) {
    return {op.getIds(), op.getExpertMap(), op.getDeviceTokens(),
            int64_t(op.getExperts()), op.getTopk()};
  }
};

/// A tile list of row blocks.
struct TileList {
  Value table; ///< memref of the kernel, null = computed
  Value count; ///< i32
  int64_t columns = 0, blockN = 0;
  /// All rows for every expert: rows of an expert and their blocks, i32.
  Value rows, blocks;
  int64_t blockM = 0;
  /// One block per slot, if there are ids.
  SlotSource slots;

  /// Tiles side by side.
  int64_t columnTiles() const { return llvm::divideCeil(columns, blockN); }
};

/// Row and column of an element in a tile.
using Offset = std::pair<int64_t, int64_t>;

/// Offsets of the registers of a layout from the thread's position.
SmallVector<Offset> registerOffsets(tile::DigitsAttr layout);
/// First register at each offset.
std::map<Offset, int64_t> registersByOffset(tile::DigitsAttr layout);

class TileEmitter : protected ArithBuilder {
protected:
  /// `language` is what messages call the dialect of the kernels.
  TileEmitter(tile::KernelOp kernel, LLVM::LLVMFuncOp func, StringRef language)
      : ArithBuilder(OpBuilder(func.getContext()), kernel.getLoc()),
        kernel(kernel), func(func), language(language) {}
  virtual ~TileEmitter() = default;

  //===--- What the targets do differently -----------------------------------//
  /// Begins the diagnostic on an op that has no lowering.
  virtual InFlightDiagnostic refuse(Operation *op) { return op->emitOpError(); }
  virtual LogicalResult emitOp(Operation &op) = 0;
  virtual LogicalResult emitBlock(Block &block);
  /// A load of what tells the kernel its work. `settled`: nothing writes it
  /// while the kernel runs.
  virtual Value loadRouting(Type type, Value address, unsigned alignment,
                            bool settled) = 0;
  /// Row and column of the thread's first register, i32.
  virtual std::pair<Value, Value> threadPosition(tile::DigitsAttr layout) = 0;
  /// Number of the memory's row, i64, that is row `row` of the tile, at
  /// `offset` of the thread's position; `valid`, null = always, says if it
  /// exists.
  virtual Value rowOfLoad(tile::LoadOp op, Value list, bool byRow,
                          int64_t offset, Value row, Value &valid) = 0;
  /// The type in which `op` reads; null, with a diagnostic, if there is none.
  virtual Type loadedType(tile::LoadOp op) {
    return cast<tile::FragType>(op.getResult().getType()).getElementType();
  }
  /// Whether nothing needs the registers at row `row` of the thread's position.
  virtual bool isTrimmedAway(tile::FragType type, int64_t row) { return false; }
  /// An op of a map that is not taken over as it is, or null.
  virtual Value emitOwn(Operation &op, ValueRange operands) { return {}; }

  //===--- Values (TileEmitter.cpp) ------------------------------------------//
  Value scalar(Value v) { return parts.find(v)->second.front(); }
  bool known(Value v) { return parts.count(v); }
  /// The one part of an integer, in 32 bits; null stays null.
  Value asI32(Value v);
  Type scalarType(Type type) {
    return type.isIndex() ? Type(b.getI32Type()) : type;
  }
  SmallVector<Value> flatten(ValueRange values);
  /// Gives values new parts, as many as they have.
  void bindFlat(ValueRange values, ValueRange flat);
  /// Emits under the condition, of which null is one that always holds.
  void ifThen(Value condition, function_ref<void()> body);

  LogicalResult addArguments();
  Value addParameter(Type type, DictionaryAttr how);
  Value dimension(BlockArgument memory, int64_t dim);
  Value extent(const Memory &memory, int64_t dim); ///< i32
  /// Gives the function the type of its arguments and its end.
  void finishFunction();

  /// Emits a loop. `body` is called where its body begins and returns what it
  /// yields. `more` are first values that the loop carries behind the others.
  LogicalResult
  emitLoop(Value from, Value to, Value step, ValueRange carried,
           ValueRange inits, ValueRange results,
           function_ref<FailureOr<SmallVector<Value>>(scf::ForOp)> body,
           ValueRange more = {});
  /// A loop whose body is `body`.
  LogicalResult emitLoop(scf::ForOp op,
                         function_ref<LogicalResult(scf::ForOp)> body);

  /// Ops that all lowerings treat alike: scalars, views, extents, lists of
  /// tiles, rows and coordinates. Fails with a diagnostic on others.
  LogicalResult emitCommon(Operation &op);

  //===--- Lists of tiles (TileLists.cpp) ------------------------------------//
  /// The columns of the widest tile of the kernel's lists.
  void findTileColumns();
  /// Checks that a loop's list is one of row blocks.
  FailureOr<TileList> listOf(tile::ForTilesOp op);
  /// Expert, first row, rows and first column of an entry of the list, i32.
  SmallVector<Value> coordinates(tile::ForTilesOp op, Value entry);
  /// The expert of a slot, 0 if it is absent.
  Value expertOf(const SlotSource &source, Value slot, Value &present);
  /// Element `index` of a memory of i32 that tells the kernel its work.
  Value loadWord(Value memory, Value index);
  bool knowsSlots(const SlotSource &source);
  Value slotCount(const SlotSource &source);

  //===--- Fragments (TileFragments.cpp) -------------------------------------//
  LogicalResult needLayout(Operation *op, Type type);
  Value globalAt(const Memory &memory, Value elements);
  /// Offset in elements, i64, of the element at (r, c) of a tile, whose row of
  /// the memory is `row` where a list says so; false in `inside` means that the
  /// memory has no such element.
  Value elementOffset(tile::TileAccess access, Value row, Value r, Value c,
                      Value &inside);
  LogicalResult emitLoad(tile::LoadOp op);
  LogicalResult emitMap(tile::MapOp op);
  LogicalResult emitSplit(tile::SplitOp op);
  LogicalResult emitSplat(tile::FragSplatOp op);
  /// The function of single values in a block; `values` maps its arguments.
  LogicalResult emitBody(Block &block, DenseMap<Value, Value> &values,
                         SmallVectorImpl<Value> &yielded);

  tile::KernelOp kernel;
  LLVM::LLVMFuncOp func;
  StringRef language;

  DenseMap<Value, SmallVector<Value>> parts;
  DenseMap<Value, Memory> memories;
  DenseMap<Value, RowList> rowLists;
  DenseMap<Value, TileList> tileLists;
  DenseMap<Value, SmallVector<Value>> tileCoords;
  DenseMap<std::pair<Value, int64_t>, Value> dimensions;
  SmallVector<Attribute> params;
  int64_t tileColumns = 1;

private:
  LogicalResult emitScalar(Operation &op);
  LogicalResult emitView(Operation &op);
  LogicalResult emitMemRefLoad(memref::LoadOp op);
  LogicalResult emitSlotList(tile::SlotListOp op);
  void emitDenseList(tile::DenseListOp op);
};

} // namespace mlir::moe::gpu_tiles

#endif // MOEC_LIB_CONVERSION_GPUTILES_TILEEMITTER_H
