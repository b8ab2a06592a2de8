//===- Machine.h - State of an execution ------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Values, on-chip memory and the evaluation of operations. One Runner executes
// one role of one worker; what all share is in the Machine.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_REFERENCE_TILE_MACHINE_H
#define MOEC_LIB_REFERENCE_TILE_MACHINE_H

#include "Scalars.h"
#include "Scheduler.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"
#include "llvm/ADT/DenseMap.h"
#include <variant>

namespace mlir::moe::tile {

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

/// A memref: a strided view of a host buffer.
struct MemView {
  std::shared_ptr<HostBuffer> buffer;
  int64_t offset = 0;
  SmallVector<int64_t> sizes, strides;

  static MemView of(std::shared_ptr<HostBuffer> buffer);
  /// Index in the buffer's data, nothing if out of bounds.
  std::optional<int64_t> locate(ArrayRef<int64_t> indices) const;
};

/// What may be done with a tile. Values of the sequential form and fragments
/// are always Plain; buffers of a ring go through the other states.
enum class TileState : uint8_t { Plain, Free, Filling, Full, Reading };

/// A buf, acc, frag or staged value; a storage buffer is one that is shared.
struct Tile {
  ScalarType element;
  int64_t rows = 0, cols = 0;
  std::vector<HostScalar> data;
  TileState state = TileState::Plain;
  /// Deposits that no group_sync has ordered yet.
  bool unsynced = false;
  /// Reads since the last group_sync; a deposit must not overtake them.
  bool readSinceSync = false;
  /// A copy to a buffer outside of a ring that nobody has waited for.
  bool copying = false;
  /// Asynchronous copies that have not arrived.
  std::vector<std::function<void()>> arriving;
  /// Of an accumulator: number of the mma that makes it.
  int64_t mma = 0;

  HostScalar &at(int64_t r, int64_t c) { return data[r * cols + c]; }
};
using TileRef = std::shared_ptr<Tile>;

using RowNumbers = std::shared_ptr<std::vector<int64_t>>;

/// One entry of a tile list.
struct TileRecord {
  int64_t expert = 0, row0 = 0, rows = 0, n0 = 0;
  int64_t k0 = 0, k1 = 0, part = 0, parts = 1;
};

struct TileList {
  MemView table;
  int64_t count = 0, columns = 0, blockN = 0;
  /// Of a dense list, which has no table: rows of every expert.
  int64_t blockM = 0, rows = 0;
};

struct Ring {
  RingType type;
  std::vector<std::vector<TileRef>> slots;
  /// Steps begun and ended by each side.
  int64_t acquired = 0, published = 0, waited = 0, released = 0;
};

/// A cursor: the step it stands at; slot = step modulo slots.
struct Cursor {
  int64_t step = 0;
};

using HostValue =
    std::variant<std::monostate, HostScalar, MemView, TileRef, RowNumbers,
                 TileRecord, TileList, std::shared_ptr<Ring>, Cursor>;

//===----------------------------------------------------------------------===//
// Machine and Runner
//===----------------------------------------------------------------------===//

/// State of one block of the grid.
struct Worker {
  unsigned index = 0;
  unsigned numRoles = 1;
  /// Entries claimed by this worker from the shared counter.
  std::vector<int64_t> claims;
  /// Arrivals at block-wide group_sync, and how many times it has opened.
  unsigned arrived = 0;
  int64_t opened = 0;
  std::vector<std::shared_ptr<Ring>> rings;
  std::vector<TileRef> buffers;
};

/// What all runners of one execution share.
struct Machine {
  ModuleOp module;
  TileInterpreterOptions options;
  /// Null in sequential kernels and in plans.
  Scheduler *scheduler = nullptr;
  unsigned numWorkers = 1;
  int64_t nextEntry = 0;
  DenseMap<Operation *, std::optional<ScalarOp>> decoded;
};

/// Where the elements of a tile access lie.
struct AccessPlace {
  MemView memory;
  SmallVector<int64_t> base;
  RowNumbers rows;
  int64_t rowsDim = -1, dims[2] = {-1, -1}, rowsGranule = 1;
  SmallVector<int64_t> boxes;
  int64_t boxDim = 0, extents[2] = {0, 0};

  /// Index in the buffer of tile element (r, c), nothing if there is none.
  std::optional<int64_t> locate(int64_t r, int64_t c) const;
};

class Runner {
public:
  Runner(Machine &machine, Worker &worker) : machine(machine), worker(worker) {}

  DenseMap<Value, HostValue> values;

  /// Runs a block up to its terminator; the operands of that are in `yielded`.
  LogicalResult runBlock(Block &block);
  SmallVector<HostValue> yielded;

  /// Sets up a block's arguments.
  void bind(Block &block, ArrayRef<HostValue> arguments);

private:
  Machine &machine;
  Worker &worker;
  /// Matrix products that have not been waited for, oldest first.
  struct InFlight {
    int64_t number;
    SmallVector<TileRef, 2> operands;
  };
  std::deque<InFlight> inFlight;
  int64_t numMma = 0;

  // Runner.cpp: dispatch, control flow, scalars.
  LogicalResult runOp(Operation &op);
  LogicalResult runScf(Operation &op, bool &known);
  LogicalResult runMemref(Operation &op, bool &known);
  LogicalResult runForTiles(ForTilesOp op);
  LogicalResult runKLoop(KLoopOp op);
  LogicalResult runLaunch(LaunchOp op);
  const std::optional<ScalarOp> &decode(Operation *op);
  template <typename T> T get(Value value) {
    return std::get<T>(values[value]);
  }
  void set(Value value, HostValue v) { values[value] = std::move(v); }
  SmallVector<HostValue> getAll(ValueRange range);
  FailureOr<int64_t> getIndex(Operation *op, Value value);
  FailureOr<SmallVector<int64_t>> getIndices(Operation *op, ValueRange range);
  FailureOr<TileRecord> getRecord(ForTilesOp op, const TileList &list,
                                  int64_t entry);

  // MemoryOps.cpp: access to global memory.
  LogicalResult runMemory(Operation &op, bool &known);
  FailureOr<AccessPlace> place(TileAccess access);
  LogicalResult runRowIndex(RowIndexOp op);
  LogicalResult runStore(StoreOp op);
  LogicalResult runCopy(CopyOp op);

  // RoutingOps.cpp: sorting rows by expert.
  LogicalResult runAlign(AlignOp op);
  LogicalResult runTopk(TopkOp op);
  LogicalResult runSlots(Operation &op, bool &known);
  LogicalResult runSumLast(SumLastOp op);
  // Sums.cpp: sums over top-k by tiles.
  LogicalResult runSumArrived(SumArrivedOp op);
  LogicalResult runClearAbsent(ClearAbsentOp op);
  template <typename SlotOp>
  FailureOr<int64_t> slotExpert(SlotOp op, int64_t slot);

  // ComputeOps.cpp: products, scales, fragments.
  LogicalResult runCompute(Operation &op, bool &known);
  LogicalResult runMma(MmaOp op);
  LogicalResult runDequant(DequantOp op);
  LogicalResult runPromote(PromoteOp op);
  LogicalResult runMap(MapOp op);
  LogicalResult runRowReduce(RowReduceOp op);
  TileRef newTile(Type type);
  /// The tile of an operand, checked to be readable now.
  FailureOr<TileRef> read(Operation *op, Value value);

  // ExplicitOps.cpp: rings, movement, synchronisation.
  LogicalResult runExplicit(Operation &op, bool &known);
  LogicalResult runRoles(RolesOp op);
  LogicalResult beginSlot(Operation *op, Value ring, Value cursor,
                          bool producer);
  LogicalResult endSlot(Operation *op, Value ring, Value cursor, bool producer);
  LogicalResult runDeposit(DepositOp op);
  LogicalResult runGroupSync(GroupSyncOp op);
  LogicalResult runGrid(Operation &op, bool &known);
  bool isInFlight(const TileRef &tile);
  void completeMma(int64_t upTo);
  LogicalResult yieldPoint(Operation *op);
};

/// A buffer for a memref type and its dynamic sizes; undefined or zero. Fails,
/// with a diagnostic at `op`, for a negative or very large size.
FailureOr<std::shared_ptr<HostBuffer>>
allocate(Operation *op, MemRefType type, ArrayRef<int64_t> sizes, bool zero);

/// Runs one kernel on `machine.numWorkers` workers.
LogicalResult runKernel(Machine &machine, KernelOp kernel,
                        ArrayRef<HostValue> arguments);

} // namespace mlir::moe::tile

#endif // MOEC_LIB_REFERENCE_TILE_MACHINE_H
