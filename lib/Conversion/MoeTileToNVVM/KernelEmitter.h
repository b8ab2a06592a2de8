//===- KernelEmitter.h - One explicit kernel in NVVM ------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Emits one moe_tile.kernel of the explicit form as an llvm.func of llvm, nvvm,
// arith and scf ops. A value of the tile program becomes a list of values, its
// parts: a cursor a slot and a parity, an accumulator one struct per
// instruction, a fragment the registers of a thread in the order of its layout.
// Coordinates are i32, addresses in global memory 64 bits wide.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETONVVM_KERNELEMITTER_H
#define MOEC_LIB_CONVERSION_MOETILETONVVM_KERNELEMITTER_H

#include "../GpuTiles/TileEmitter.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace mlir::moe::nvvm {

using gpu_tiles::Memory;
using gpu_tiles::Offset;
using gpu_tiles::registerOffsets;
using gpu_tiles::registersByOffset;
using gpu_tiles::RowList;
using gpu_tiles::SlotSource;
using gpu_tiles::TileList;

/// Where a ring lies in shared memory, in bytes from its start.
struct RingPlace {
  tile::RingType type;
  int64_t slots = 0, slotBytes = 0, base = 0;
  SmallVector<int64_t> bufferOffsets; ///< inside of a slot
  int64_t fullBarriers = 0, emptyBarriers = 0;
  /// Some copy is made by all threads of the load role.
  bool gathers = false, descriptors = false;
  /// Operands are among what threads write.
  bool threadsWriteOperands = false;
};

/// The team that executes the ops being emitted.
struct Team {
  tile::RoleOp role;
  Value thread;          ///< i32 number in the team
  Value warp;            ///< i32 warp in the team, uniform
  Value group;           ///< i32 copy of the team, uniform
  bool single = false;   ///< only one thread executes the role
  int64_t firstId = 1;   ///< named barrier of copy 0
  int64_t threads = 128; ///< of one copy
};

/// What a thread of a gather keeps over the k loop, one i32 for each row: the
/// offset of its first copy in units of 16 bytes, negative = no row. Load roles
/// have few registers.
struct GatherRows {
  SmallVector<Value> bases;
};

/// A sum of scaled products under way: what has been added, and the products
/// that are complete but not added yet.
struct OpenSum {
  SmallVector<Value> registers;
  SmallVector<Value> products; ///< accumulators behind their wait
  size_t firstProduct = 0;
  /// Products that are added to the same registers, one after the other.
  size_t slices = 1;
  /// Registers of the sum for one product, of which one trimmed to fewer rows
  /// uses the first ones.
  size_t stride = 0;
};

/// A loop over scaled products that waits for the slot of its next step, and
/// reads its factors, while a product is under way; see NextSlot.cpp.
struct NextSlot {
  tile::WaitOp wait;
  SmallVector<tile::FragLoadOp> factors;
  /// Which of the values that the loop carries is in a register of `factors`,
  /// for all registers in turn.
  SmallVector<unsigned> places;
  Value more;               ///< i1, another step follows
  SmallVector<Value> ahead; ///< what was read for the next step
};

/// Products as wide as the tile has rows; see Trim.cpp.
struct Trim {
  int64_t rows = 0;    ///< of a tile
  unsigned buffer = 0; ///< of the ring's slots, that holds the tile's rows
  int64_t piece = 8;   ///< rows of one copy by descriptor
  SmallVector<int64_t> widths; ///< ascending, the last one is `rows`
  int64_t now = 0;             ///< of the products being emitted, 0 = whole
  Value tileRows;              ///< i32, rows that the current tile has
  Value width;                 ///< i32, the least width that holds them
};

class KernelEmitter : gpu_tiles::TileEmitter {
public:
  KernelEmitter(tile::KernelOp kernel, LLVM::LLVMFuncOp func)
      : TileEmitter(kernel, func, "NVVM") {}

  /// Emits the body and the attributes of the function; fails with a
  /// diagnostic on the op that has no lowering.
  LogicalResult emit();

private:
  // TileLoops.cpp
  Value loadRouting(Type type, Value address, unsigned alignment,
                    bool settled) override;
  LogicalResult emitForTiles(tile::ForTilesOp op);

  // KernelEmitter.cpp
  LogicalResult checkChip();
  LogicalResult placeOnChip();
  void hoistRowOperands();
  void initBarriers();
  LogicalResult emitRoles(tile::RolesOp roles);
  LogicalResult emitRole(tile::RoleOp role, int64_t firstThread,
                         int64_t firstId, Value thread, Value warp);
  LogicalResult emitBlock(Block &block) override;
  LogicalResult emitOp(Operation &op) override;
  LogicalResult emitFor(scf::ForOp op);
  /// A product may run on while the next one is started, so that the matrix
  /// unit never waits: then a loop's step releases the slot before its own
  /// (1), and the step before the loop leaves its slot to the loop (2).
  int64_t releaseLag(tile::ReleaseOp op);
  void setLaunch();

  // Slots.cpp
  LogicalResult emitClear(Operation &op);
  LogicalResult emitSumLast(tile::SumLastOp op);
  /// Emits the body of a loop over a slot list, skipped for a tile without
  /// rows; `carried` at its begin, `next` at its end.
  LogicalResult emitSkipping(tile::ForTilesOp op, Value rows,
                             ValueRange carried, SmallVectorImpl<Value> &next);

  // Sums.cpp
  /// Rows of a tile that one team stores.
  int64_t rowsOfTeam(tile::SumArrivedOp op);
  /// Whether the slot has a row, i1.
  Value isPlaced(Value places, Value slot);
  /// `count` values from element `at` on as f32: one, or 16 bytes of them.
  SmallVector<Value> loadColumns(const Memory &memory, Value at, int64_t count);
  /// The inverse, rounded; of several values a power of two that is aligned.
  void storeColumns(const Memory &memory, Value at, ArrayRef<Value> values);
  /// Sums the rows of a token, by `lanes` threads of which this is `lane`.
  void sumToken(tile::SumArrivedOp op, Value token, Value lane, int64_t lanes);
  LogicalResult emitSumArrived(tile::SumArrivedOp op);
  LogicalResult emitClearAbsent(tile::ClearAbsentOp op);

  // Rings.cpp
  Value shared(int64_t offset);
  Value sharedAt(Value base, Value offset);
  SmallVector<Value> slotBuffers(const RingPlace &ring, Value slot);
  Value barrierAt(int64_t first, Value slot);
  void waitParity(Value barrier, Value parity);
  Value before(const RingPlace &ring, Value slot);
  void giveBack(const RingPlace &ring, Value slot);
  SmallVector<Value> advance(const RingPlace &ring, ValueRange cursor);
  /// Bytes that copies by descriptor bring to the slot acquired by `op`, i32;
  /// null = none.
  Value descriptorBytes(tile::AcquireOp op);
  void expectBytes(tile::AcquireOp op, Value slot);
  LogicalResult emitAcquire(tile::AcquireOp op);
  LogicalResult emitPublish(tile::PublishOp op);
  LogicalResult emitWait(tile::WaitOp op);
  /// Waits for the slot at `cursor`; what threads wrote there is visible to
  /// asynchronous instructions afterwards.
  void waitForSlot(const RingPlace &ring, ValueRange cursor);
  LogicalResult emitRelease(tile::ReleaseOp op);
  LogicalResult emitGroupSync(tile::GroupSyncOp op);
  void teamBarrier();
  LogicalResult emitStoreWait(tile::StoreWaitOp op);

  // Copies.cpp
  LogicalResult emitCopy(tile::CopyOp op);
  LogicalResult emitDescCopy(tile::CopyOp op);
  LogicalResult emitGatherCopy(tile::CopyOp op);
  LogicalResult emitBulkCopy(tile::CopyOp op);
  LogicalResult emitVectorCopy(tile::CopyOp op);
  LogicalResult emitRunCopy(tile::CopyOp op);
  LogicalResult prepareGathers(Value rows);
  void prepareStores(Value rows);
  Value tensorMap(Value memory, int64_t swizzle, ArrayRef<int64_t> box);

  // Promotion.cpp
  LogicalResult prepareFactors(tile::CopyOp op, Value rows);
  /// Lets what follows compute from the thread's number anew, instead of
  /// keeping results in registers from tile to tile.
  void refreshThread();
  Value factorOffset(tile::TileAccess access, Value row, Value r, Value c,
                     Value &inside);
  LogicalResult emitFactorCopy(tile::CopyOp op);
  LogicalResult emitFragLoad(tile::FragLoadOp op);
  LogicalResult emitColumnLoad(tile::FragLoadOp op);
  LogicalResult openSum(tile::PromoteOp op, size_t count, size_t registers,
                        OpenSum &sum);
  /// Issues `count` products of `registers` registers each and adds all but the
  /// last to the sum. A product is made in `slices` along k, which are added
  /// each by itself; `issue` is given its number, a slice and registers to
  /// take.
  LogicalResult beginSum(tile::PromoteOp op, size_t count, size_t registers,
                         int64_t slices,
                         function_ref<Value(size_t, int64_t, Value)> issue);
  LogicalResult emitPromote(tile::PromoteOp op);
  void addProducts(tile::PromoteOp op, OpenSum &sum);

  // NextSlot.cpp
  /// What `loop` does ahead; nothing for a loop of another form.
  std::optional<NextSlot> findNextSlot(scf::ForOp loop);
  /// Waits for the slot at the wait's cursor and reads its factors: one value
  /// for each that differs. Fills in `places` if it is empty.
  FailureOr<SmallVector<Value>> readSlot(NextSlot &next);
  /// Gives the values to the registers of the factors.
  void bindFactors(const NextSlot &next, ValueRange values);
  /// Behind the start of a step's last product.
  LogicalResult readNextSlot();

  // RowReduce.cpp
  LogicalResult emitRowReduce(tile::RowReduceOp op);
  LogicalResult depositBytes(tile::DepositOp op);
  Value ownsElement(tile::DigitsAttr layout);

  // Grid.cpp
  void gridProxyFence();
  Value counterAt(Value counters, Value index);
  Value firstThread(); ///< null: only one thread is here
  LogicalResult emitSignal(tile::SignalOp op, Value index);
  LogicalResult emitAwait(tile::AwaitOp op, Value index, Value least);

  // Products.cpp
  LogicalResult emitMma(tile::MmaOp op);
  LogicalResult emitAccRead(tile::AccReadOp op);
  Value matrixDescriptor(Value buffer, tile::BufType type, Value rowOffset);

  // MmaSync.cpp
  /// What the addresses of an operand of a warp are made of.
  struct MatrixOperand {
    Value base;  ///< of the lane's row in the warp's first matrix
    Value piece; ///< byte of the lane's 16 ones in that row, for the first step
    Value
        upper; ///< 1 in lanes whose matrix is of the second eight rows, else 0
    int64_t rowBytes = 0;
  };
  /// `rowsFirst`: the matrices are rows 0-7 and 8-15 of eight columns, then of
  /// the next eight; else two times eight columns of the first rows, then of
  /// the second.
  MatrixOperand matrixOperand(Value buffer, tile::BufType type, Value firstRow,
                              bool rowsFirst);
  /// Four matrices of step `step` along k; their rows start `first` and
  /// `second` behind the warp's.
  SmallVector<Value> loadMatrices(const MatrixOperand &operand, int64_t step,
                                  int64_t first, int64_t second);
  /// Adds a product of 16 x 8 to the four registers of `sum`; the types are
  /// those of the instruction's operands.
  void multiplyWarp(Type firstType, Type secondType, ArrayRef<Value> first,
                    ArrayRef<Value> second, MutableArrayRef<Value> sum);
  LogicalResult multiplyParts(tile::MmaOp op, tile::DigitsAttr layout,
                              bool swap);
  /// Scales four products and adds them to the registers from `at` on.
  void addPart(tile::PromoteOp op, OpenSum &sum, size_t at,
               ArrayRef<Value> part);
  LogicalResult emitPackedMmaSync(tile::MmaOp op, tile::DequantOp weights);
  LogicalResult emitMmaSync(tile::MmaOp op, tile::AtomAttr atom);

  // EarlyCopies.cpp
  bool isSettled(Value memory);
  bool isEarly(tile::CopyOp op);
  void findEarly();
  void awaitLaunch();
  LogicalResult emitEarlyCopies(tile::ForTilesOp op, Value first, Value end);

  // Trim.cpp
  void findTrim();
  bool isTrimmed(tile::CopyOp op);
  void setTileWidth(Value rows);
  FailureOr<SmallVector<Value>> emitOfWidth(Operation &first, int64_t width);
  FailureOr<SmallVector<Value>> emitWidths(Operation &first,
                                           ArrayRef<int64_t> widths);
  /// Emits the rest of the tile in all widths if its product begins here.
  FailureOr<bool> emitTrimmed(Operation &first);
  /// Whether the row of a fragment is beyond the width being emitted; `row` is
  /// a register's offset, the same for all threads up to a multiple of 8.
  bool isTrimmedAway(tile::FragType type, int64_t row) override;

  // Dequantize.cpp
  LogicalResult emitDequant(tile::DequantOp op);
  LogicalResult emitRegisterMma(tile::MmaOp op, tile::DequantOp weights);
  /// Scale and shift as pairs by 64 rows, half of them and column group.
  using FactorCache =
      std::map<std::tuple<int64_t, int64_t, int64_t>, std::pair<Value, Value>>;
  Value decodedRow(tile::DequantOp op, int64_t atom, int64_t half);
  SmallVector<Value> loadPacked(tile::DequantOp op, int64_t atom,
                                int64_t panel);
  SmallVector<Value> decodeRows(tile::DequantOp op, int64_t atom, int64_t panel,
                                ArrayRef<Value> packed, FactorCache &known);
  Value inRegister(int64_t constant);
  Value decodePair(tile::DequantOp op, Value word);
  Value decodeBytes(tile::DequantOp op, Value low, Value high);
  std::pair<Value, Value> factorsOf(tile::DequantOp op, Value row,
                                    int64_t column);

  // Fragments.cpp
  Value rowNumber(const RowList &rows, Value m, Value &valid);
  /// The row and column that the digits of these levels add up to.
  std::pair<Value, Value>
  positionOf(tile::DigitsAttr layout,
             ArrayRef<std::pair<tile::Level, Value>> indices);
  std::pair<Value, Value> threadPosition(tile::DigitsAttr layout) override;
  Value rowOfLoad(tile::LoadOp op, Value list, bool byRow, int64_t offset,
                  Value row, Value &valid) override {
    return rowNumber(rowLists[list], row, valid);
  }
  /// The position of a warp's part, the same in all lanes.
  std::pair<Value, Value> warpPosition(tile::DigitsAttr layout);
  /// The rows of a staged buffer that a thread stores: the first, the distance
  /// between them, how many.
  struct StagedRows {
    Value first;
    int64_t step, passes;
  };
  StagedRows stagedRows(tile::BufType buffer);
  /// Whether every warp deposits and stores rows of its own.
  bool isStagedByWarps(tile::BufType buffer);
  LogicalResult emitDeposit(tile::DepositOp op);
  LogicalResult emitStore(tile::StoreOp op);
  LogicalResult storeFragment(tile::StoreOp op);
  LogicalResult storeBuffer(tile::StoreOp op);
  LogicalResult storeRowsInBulk(tile::StoreOp op);
  LogicalResult storeByDescriptor(tile::StoreOp op);

  DenseMap<Value, RingPlace> rings;
  DenseMap<Value, int64_t> buffers; ///< buf_alloc to its offset
  /// Bases of a gather by row list and memory.
  DenseMap<std::pair<Value, Value>, GatherRows> gathers;
  /// Row numbers of the thread's rows in a staged store by row list: they are
  /// read before the product, whose end they would delay.
  DenseMap<Value, SmallVector<Value>> storeRows;
  DenseMap<Operation *, OpenSum> sums;
  /// Where the warps of the teams exchange values of a row, -1 = nowhere.
  int64_t exchange = -1;
  /// Where each team hears that it is the last of a sum, -1 = nowhere.
  int64_t lastFlags = -1;
  /// Where each team hears which tokens it sums, one word for each of its rows.
  int64_t sumFlags = -1;
  /// Memories that are zeroed behind the wait of a role.
  SmallVector<Operation *> clears;
  struct MapKey {
    Value memory;
    SmallVector<int64_t> box;
    int64_t swizzle;
    Value pointer;
  };
  SmallVector<MapKey> tensorMaps;
  LLVM::GlobalOp sharedGlobal;
  int64_t sharedBytes = 0;
  Team team;
  std::optional<Trim> trim;
  DenseMap<int64_t, Value> unknownConstants; ///< by value, made at the entry
  std::optional<NextSlot> nextSlot;          ///< of the loop being emitted
  bool early = false; ///< copies stand before the wait for the last launch
  Value earlyEnd;     ///< i32, their end along k; null: not in their loop
  Value firstTile;    ///< i1, the current tile is the block's first
  Value copiedEarly;  ///< i1, the current step's copies are among them
  bool pdl = false;
  /// The chip has what came with sm_90, see ExplicitTarget.
  bool hopper = true;
  /// Warpgroups multiply, asynchronously; else single warps do.
  bool warpgroups = true;
};

/// The one promotion that a product is made for, or null.
tile::PromoteOp promotionOf(tile::MmaOp op);

/// Whether products are of warpgroups (wgmma), not of warps (mma.sync).
bool usesWarpgroups(tile::KernelOp kernel);

/// Whether sums of scaled products leave a team no register for what is only
/// needed behind them.
bool fillsRegisters(tile::KernelOp kernel);

/// Whether copies bring single numbers to the buffer, as those of scales.
bool holdsFactors(tile::BufType type);

/// Values of 8-bit floats, made by truncation of f32, as bytes: two at a time.
/// `values` has an even length. Empty, with a diagnostic on `op`, for others.
SmallVector<Value> packBytePairs(OpBuilder &b, Operation *op,
                                 ArrayRef<Value> values);

/// The external array of dynamic shared memory of the module, made on demand:
/// `dyn_smem`, aligned to 1024 bytes.
LLVM::GlobalOp getDynamicSharedMemory(Operation *module, Location loc);

/// What is XORed into the number of a 16-byte piece of row `row`, where a row
/// is as long as the swizzle: bits 7 to 9 of its address, as for the copy
/// engine.
Value swizzlePattern(OpBuilder &b, Location loc, Value row, int64_t swizzle);

} // namespace mlir::moe::nvvm

#endif // MOEC_LIB_CONVERSION_MOETILETONVVM_KERNELEMITTER_H
