//===- Copies.cpp - Asynchronous copies to shared memory ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// `desc`: the tensor copy engine, one thread starts it; the map is a parameter
// by value. `gather`: 16 bytes by each thread, rows by number; rows that do not
// exist are filled with zeros by copies of size 0, which touch no memory.
// `bulk`: runs of memory as they lie, one thread starts them. `vector`: 16
// bytes by each thread, consecutive rows; those outside of the memory are zeros
// too.
//
// A buffer whose row is longer than its swizzle lies in panels: the first 128
// bytes of all rows, then the next.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Bytes of one copy by a thread.
static constexpr int64_t kChunkBits = 4, kChunk = 1 << kChunkBits;
/// Rows that one tensor copy can bring.
static constexpr int64_t kMaxBoxRows = 256;

static int64_t bytesOf(Type element) {
  return element.getIntOrFloatBitWidth() / 8;
}

Value KernelEmitter::tensorMap(Value of, int64_t swizzle,
                               ArrayRef<int64_t> box) {
  const Memory &memory = memories[of];
  for (MapKey &key : tensorMaps)
    if (key.memory == of && key.swizzle == swizzle &&
        ArrayRef<int64_t>(key.box) == box)
      return key.pointer;
  Value pointer = addParameter(
      LLVM::LLVMPointerType::get(b.getContext()),
      b.getDictionaryAttr(
          {b.getNamedAttr("map", b.getI64IntegerAttr(memory.operand)),
           b.getNamedAttr("box", b.getDenseI64ArrayAttr(box)),
           b.getNamedAttr("swizzle", b.getI64IntegerAttr(swizzle)),
           b.getNamedAttr("l2", b.getI64IntegerAttr(256))}));
  tensorMaps.push_back({of, llvm::to_vector(box), swizzle, pointer});
  return pointer;
}

/// A row of the tile is one row of the swizzle's pattern, or of its panels.
static LogicalResult checkRow(tile::CopyOp op) {
  tile::BufType buffer = op.getBuffer().getType();
  int64_t rowBytes = buffer.getCols() * bytesOf(buffer.getElementType());
  if (buffer.getSwizzle() != rowBytes &&
      (buffer.getSwizzle() != 128 || rowBytes % 128))
    return op.emitOpError("a row of ")
           << rowBytes << " bytes must equal the swizzle of "
           << buffer.getSwizzle() << " bytes";
  return success();
}

LogicalResult KernelEmitter::emitCopy(tile::CopyOp op) {
  if (!memories.count(op.getMemory()))
    return op.emitOpError("reads memory that is no kernel argument");
  if (op.getHow() == tile::How::Bulk)
    return emitBulkCopy(op);
  if (op.getHow() == tile::How::Vector &&
      !op.getBuffer().getType().getSwizzle())
    return emitRunCopy(op);
  if (holdsFactors(op.getBuffer().getType()) && op.getHow() != tile::How::Desc)
    return emitFactorCopy(op);
  if (op.getGranule())
    return op.emitOpError("copies with granules have no lowering to NVVM");
  if (failed(checkRow(op)))
    return failure();
  switch (op.getHow().value_or(tile::How::Element)) {
  case tile::How::Desc: {
    if (!copiedEarly || !isEarly(op))
      return emitDescCopy(op);
    LogicalResult result = success();
    ifThen(arith::XOrIOp::create(
               b, loc, copiedEarly,
               arith::ConstantOp::create(b, loc, b.getBoolAttr(true))),
           [&] { result = emitDescCopy(op); });
    return result;
  }
  case tile::How::Gather:
    return emitGatherCopy(op);
  case tile::How::Vector:
    return emitVectorCopy(op);
  default:
    return op.emitOpError("copies are made by desc, gather or vector");
  }
}

LogicalResult KernelEmitter::emitDescCopy(tile::CopyOp op) {
  const Memory &memory = memories[op.getMemory()];
  tile::BufType buffer = op.getBuffer().getType();
  tile::TileAccess access = cast<tile::TileAccess>(op.getOperation());
  int64_t rank = memory.type.getRank();
  // A view that only adds dimensions of extent 1 in front (the weights of one
  // expert for all) is described by its argument.
  int64_t added = 0;
  if (!memory.whole) {
    auto argument = cast<MemRefType>(
        kernel.getBody().getArgument(memory.operand).getType());
    added = rank - argument.getRank();
    if (added < 0 ||
        memory.type.getShape().drop_front(added) != argument.getShape() ||
        llvm::any_of(
            memory.type.getShape().take_front(added),
            [](int64_t size) { return size != 1; }))
      return op.emitOpError("a descriptor describes a whole argument, this "
                            "memory is another view of one: ")
             << memory.type;
  }
  // A row dimension that the view has added stays, for the rows beyond its one.
  if (access.getMemoryDim(0) >= 0)
    added = std::min(added, access.getMemoryDim(0));
  if (rank - added > 5)
    return op.emitOpError("a descriptor has at most 5 dimensions, this memory ")
           << rank - added;
  int64_t rowDim = access.getMemoryDim(0), colDim = access.getMemoryDim(1);
  if (colDim != rank - 1)
    return op.emitOpError("columns of the tile must be the innermost dimension "
                          "of the memory");
  int64_t pitch = bytesOf(memory.type.getElementType());
  for (int64_t d = rank - 1; d > 0; --d) {
    pitch *= memory.type.getDimSize(d);
    if (pitch % 16)
      return op.emitOpError("a descriptor needs strides that are multiples of "
                            "16 bytes, dimension ")
             << d - 1 << " has " << pitch;
  }
  ArrayRef<int64_t> boxes = op.getBoxes().value_or(ArrayRef<int64_t>());
  if (!boxes.empty() && op.getBoxDim() != 0)
    return op.emitOpError("boxes of a descriptor copy are along the rows");
  int64_t boxRows =
      buffer.getRows() / std::max<int64_t>(1, int64_t(boxes.size()));
  // Each box in pieces that the copy engine takes.
  int64_t pieces = llvm::divideCeil(boxRows, kMaxBoxRows);
  if (boxRows % pieces)
    return op.emitOpError("boxes of ")
           << boxRows << " rows cannot be cut into equal pieces of at most "
           << kMaxBoxRows;
  // Of the tile's rows only pieces are copied that the products read.
  bool trimmed = isTrimmed(op);
  if (trimmed)
    pieces = boxRows / trim->piece;
  int64_t pieceRows = boxRows / pieces;
  int64_t size = bytesOf(buffer.getElementType());
  int64_t panelCols = buffer.getSwizzle() / size;
  int64_t panels = buffer.getCols() / panelCols;
  SmallVector<int64_t> box(rank, 1);
  box[rank - 1 - colDim] = panelCols;
  if (rowDim >= 0)
    box[rank - 1 - rowDim] = pieceRows;
  box.resize(rank - added);
  Value map = tensorMap(op.getMemory(), buffer.getSwizzle(), box);

  SmallVector<Value> target = parts[op.getBuffer()]; // address, slot
  const RingPlace *ring = nullptr;
  if (auto acquire = op.getBuffer().getDefiningOp<tile::AcquireOp>())
    ring = &rings[acquire.getRing()];
  if (!ring)
    return op.emitOpError("copies by descriptor go to the slot of a ring");
  Value full = barrierAt(ring->fullBarriers, target[1]);
  int64_t rowBytes = buffer.getSwizzle();
  ifThen(team.single ? Value()
                     : cmp(arith::CmpIPredicate::eq, team.thread, c32(0)),
         [&] {
           int64_t count = std::max<int64_t>(1, boxes.size()) * pieces;
           for (int64_t j = 0; j < count * panels; ++j) {
             int64_t i = j % count, panel = j / count;
             int64_t shift = (boxes.empty() ? 0 : boxes[i / pieces]) +
                             i % pieces * pieceRows;
             SmallVector<Value> coords;
             for (int64_t d = rank - 1; d >= added; --d) {
               Value at = scalar(op.getIndices()[d]);
               if (d == rowDim && shift)
                 at = add(at, c32(shift));
               if (d == colDim && panel)
                 at = add(at, c32(panel * panelCols));
               coords.push_back(at);
             }
             Value wanted;
             if (trimmed && i)
               wanted = cmp(arith::CmpIPredicate::sgt, trim->width,
                            c32(i * pieceRows));
             ifThen(wanted, [&] {
               Type cluster = LLVM::LLVMPointerType::get(b.getContext(), 7);
               Value to = LLVM::AddrSpaceCastOp::create(
                   b, loc, cluster,
                   sharedAt(target[0],
                            c32((panel * buffer.getRows() + i * pieceRows) *
                                rowBytes)));
               NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
                   b, loc, to, map, coords, full, ValueRange(), Value(),
                   Value(), NVVM::TMALoadMode::TILE, /*isCTAOnly=*/false,
                   NVVM::CTAGroupKindAttr(), Value());
             });
           }
         });
  return success();
}

//===----------------------------------------------------------------------===//
// Gather
//===----------------------------------------------------------------------===//

/// The rules of the tile that `threads` threads gather, 16 bytes at a time: the
/// numbers below are divided by.
static LogicalResult checkGather(tile::CopyOp op, int64_t threads) {
  if (failed(checkRow(op)))
    return failure();
  int64_t chunks = op.getBuffer().getType().getSwizzle() / kChunk;
  if (threads / chunks % 8 || threads % chunks)
    return op.emitOpError("threads of the load role must fill groups of 8 "
                          "rows, got ")
           << threads << " threads for rows of " << chunks << " copies";
  return success();
}

LogicalResult KernelEmitter::prepareGathers(Value rows) {
  const RowList list = rowLists[rows];
  for (Operation *user : rows.getUsers()) {
    auto op = dyn_cast<tile::CopyOp>(user);
    if (!op || op.getHow() != tile::How::Gather ||
        !memories.count(op.getMemory()))
      continue;
    if (holdsFactors(op.getBuffer().getType())) {
      if (failed(prepareFactors(op, rows)))
        return failure();
      continue;
    }
    auto key = std::make_pair(rows, Value(op.getMemory()));
    if (gathers.count(key))
      continue;
    const Memory &memory = memories[op.getMemory()];
    tile::BufType buffer = op.getBuffer().getType();
    if (memory.type.getRank() != 2 ||
        !isa<tile::RowsType>(op.getIndices()[0].getType()))
      return op.emitOpError("a gather takes rows of a memory of rank 2, got ")
             << memory.type;
    if (failed(checkGather(op, team.threads)))
      return failure();
    int64_t size = bytesOf(memory.type.getElementType());
    int64_t pitch = memory.type.getDimSize(1) * size;
    if (pitch % kChunk)
      return op.emitOpError("a gather copies 16 bytes at a time, rows of ")
             << pitch << " bytes do not stay aligned";
    int64_t chunks = buffer.getSwizzle() / kChunk;
    int64_t rowsPerPass = team.threads / chunks;
    Value row = arith::DivUIOp::create(b, loc, team.thread, c32(chunks));
    Value chunk = arith::RemUIOp::create(b, loc, team.thread, c32(chunks));
    GatherRows gather;
    for (int64_t r = 0; r < buffer.getRows(); r += rowsPerPass) {
      Value valid;
      Value m = r ? add(row, c32(r)) : row;
      Value number = rowNumber(list, m, valid);
      Value units = add(mul(number, c64(pitch / kChunk)), wide(chunk));
      Value base = arith::TruncIOp::create(b, loc, b.getI32Type(), units);
      // Negative with any column added to it.
      if (valid)
        base = arith::SelectOp::create(
            b, loc, valid, base, c32(std::numeric_limits<int32_t>::min()));
      gather.bases.push_back(base);
    }
    gathers[key] = gather;
  }
  return success();
}

LogicalResult KernelEmitter::emitGatherCopy(tile::CopyOp op) {
  if (op.getBoxes())
    return op.emitOpError("a gather has no boxes");
  auto it = gathers.find({op.getIndices()[0], Value(op.getMemory())});
  if (it == gathers.end())
    return op.emitOpError("rows of a gather must come from a row list");
  const Memory &memory = memories[op.getMemory()];
  tile::BufType buffer = op.getBuffer().getType();
  int64_t size = bytesOf(memory.type.getElementType());
  int64_t rowBytes = buffer.getSwizzle();
  int64_t chunks = rowBytes / kChunk;
  int64_t panelCols = rowBytes / size;
  int64_t panels = buffer.getCols() / panelCols;
  int64_t rowsPerPass = team.threads / chunks;
  Value row = arith::DivUIOp::create(b, loc, team.thread, c32(chunks));
  Value chunk = arith::RemUIOp::create(b, loc, team.thread, c32(chunks));
  Value pattern = swizzlePattern(b, loc, row, rowBytes);
  Value place =
      add(mul(row, c32(rowBytes)),
          mul(arith::XOrIOp::create(b, loc, chunk, pattern), c32(kChunk)));
  Value target = parts[op.getBuffer()][0];
  Value first = scalar(op.getIndices()[1]);
  int64_t cols = memory.type.getDimSize(1);
  bool tail = cols % buffer.getCols();
  if (tail && cols % (kChunk / size))
    return op.emitOpError("a gather copies 16 bytes at a time, rows of ")
           << cols << " elements end inside of a copy";
  bool few = fillsRegisters(kernel);
  const GatherRows &gather = it->second;
  int64_t passes = gather.bases.size();
  for (int64_t j = 0; j < passes * panels; ++j) {
    int64_t i = j % passes, panel = j / passes;
    int64_t firstRow = i * rowsPerPass;
    Value k = panel ? add(first, c32(panel * panelCols)) : first;
    Value kBytes = wide(mul(k, c32(size)));
    Value active;
    if (firstRow + rowsPerPass > buffer.getRows())
      active =
          cmp(arith::CmpIPredicate::ult, row, c32(buffer.getRows() - firstRow));
    if (firstRow && isTrimmed(op))
      active = both(active,
                    cmp(arith::CmpIPredicate::sgt, trim->width, c32(firstRow)));
    ifThen(active, [&] {
      Value base = gather.bases[i];
      // Where registers are few, only the base is the same in every step.
      if (few)
        base = add(base, arith::ShRUIOp::create(b, loc, mul(k, c32(size)),
                                                c32(kChunkBits)));
      Value present = cmp(arith::CmpIPredicate::sge, base, c32(0));
      // Columns beyond the end of the memory are zeros.
      if (tail) {
        Value column = add(k, mul(chunk, c32(kChunk / size)));
        present =
            both(present, cmp(arith::CmpIPredicate::slt, column, c32(cols)));
      }
      Value units = arith::MaxSIOp::create(b, loc, base, c32(0));
      Value offset = mul(wide(units), c64(kChunk));
      if (!few)
        offset = add(offset, kBytes);
      Type ptr = LLVM::LLVMPointerType::get(b.getContext(), 1);
      Value from =
          LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), memory.pointer,
                              ArrayRef<LLVM::GEPArg>{offset});
      Value bytes =
          arith::SelectOp::create(b, loc, present, c32(kChunk), c32(0));
      int64_t shift = (panel * buffer.getRows() + firstRow) * rowBytes;
      NVVM::CpAsyncOp::create(b, loc, sharedAt(target, add(place, c32(shift))),
                              from, uint32_t(kChunk),
                              NVVM::LoadCacheModifierKind::CG, bytes);
    });
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Consecutive rows by threads
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::emitVectorCopy(tile::CopyOp op) {
  const Memory &memory = memories[op.getMemory()];
  tile::BufType buffer = op.getBuffer().getType();
  auto access = cast<tile::TileAccess>(op.getOperation());
  if (failed(checkGather(op, team.threads)))
    return failure();
  int64_t rank = memory.type.getRank();
  int64_t rowDim = access.getMemoryDim(0), colDim = access.getMemoryDim(1);
  if (colDim != rank - 1 || rowDim < 0 || access.getRowsPosition() >= 0 ||
      (op.getBoxes() && op.getBoxDim() != 0))
    return op.emitOpError("a copy by threads takes consecutive rows whose "
                          "columns are the innermost dimension, got ")
           << memory.type;
  int64_t size = bytesOf(memory.type.getElementType());
  int64_t cols = memory.type.getDimSize(colDim);
  if (ShapedType::isDynamic(cols) || cols * size % kChunk)
    return op.emitOpError("a copy by threads moves 16 bytes at a time, rows "
                          "of ")
           << memory.type << " do not stay aligned";
  int64_t rowBytes = buffer.getSwizzle();
  int64_t chunks = rowBytes / kChunk, panelCols = rowBytes / size;
  int64_t panels = buffer.getCols() / panelCols;
  int64_t rowsPerPass = team.threads / chunks;
  SmallVector<int64_t> boxes(op.getBoxes().value_or(ArrayRef<int64_t>()));
  if (boxes.empty())
    boxes.push_back(0);
  int64_t boxRows = buffer.getRows() / int64_t(boxes.size());
  if (boxRows % 8)
    return op.emitOpError("boxes of a copy by threads have whole groups of 8 "
                          "rows, got ")
           << boxRows;

  Value row = arith::DivUIOp::create(b, loc, team.thread, c32(chunks));
  Value chunk = arith::RemUIOp::create(b, loc, team.thread, c32(chunks));
  Value pattern = swizzlePattern(b, loc, row, rowBytes);
  Value place =
      add(mul(row, c32(rowBytes)),
          mul(arith::XOrIOp::create(b, loc, chunk, pattern), c32(kChunk)));
  Value target = parts[op.getBuffer()][0];
  Value k = scalar(op.getIndices()[colDim]);
  Value position = add(scalar(op.getIndices()[rowDim]), row);
  // Elements from the memory's start to the thread's first piece.
  Value flat;
  for (int64_t d = 0; d < rank; ++d) {
    Value at = d == rowDim ? position : scalar(op.getIndices()[d]);
    if (d == colDim)
      at = add(at, mul(chunk, c32(kChunk / size)));
    if (flat)
      flat = mul(flat, memory.type.isDynamicDim(d)
                           ? wide(extent(memory, d))
                           : c64(memory.type.getDimSize(d)));
    flat = flat ? add(flat, wide(at)) : wide(at);
  }
  // Elements from one row to the next.
  int64_t pitch = 1;
  for (int64_t d = rowDim + 1; d < rank; ++d) {
    if (memory.type.isDynamicDim(d))
      return op.emitOpError("a copy by threads takes rows at static distances, "
                            "got ")
             << memory.type;
    pitch *= memory.type.getDimSize(d);
  }
  // Tiles start at multiples of their boxes.
  int64_t shift = *llvm::max_element(boxes);
  int64_t rows = memory.type.getDimSize(rowDim);
  bool mayLeave = ShapedType::isDynamic(rows) || rows < shift ||
                  (rows - shift) % boxRows != 0;
  bool tail = cols % buffer.getCols();
  Type ptr = LLVM::LLVMPointerType::get(b.getContext(), 1);
  for (int64_t panel = 0; panel < panels; ++panel) {
    Value inTail;
    if (tail)
      inTail = cmp(
          arith::CmpIPredicate::slt,
          add(add(k, c32(panel * panelCols)), mul(chunk, c32(kChunk / size))),
          c32(cols));
    for (size_t box = 0; box < boxes.size(); ++box)
      for (int64_t r = 0; r < boxRows; r += rowsPerPass) {
        int64_t first = boxes[box];
        Value active;
        if (r + rowsPerPass > boxRows)
          active = cmp(arith::CmpIPredicate::ult, row, c32(boxRows - r));
        ifThen(active, [&] {
          Value present = inTail;
          if (mayLeave)
            present = both(present, cmp(arith::CmpIPredicate::slt,
                                        add(position, c32(first + r)),
                                        extent(memory, rowDim)));
          Value at = flat;
          if (int64_t more = (first + r) * pitch + panel * panelCols)
            at = add(at, c64(more));
          Value bytes;
          if (present) {
            bytes =
                arith::SelectOp::create(b, loc, present, c32(kChunk), c32(0));
            at = arith::SelectOp::create(b, loc, present, at, c64(0));
          }
          Value from = LLVM::GEPOp::create(
              b, loc, ptr, b.getI8Type(), memory.pointer,
              ArrayRef<LLVM::GEPArg>{size == 1 ? at : mul(at, c64(size))});
          int64_t to = (panel * buffer.getRows() + int64_t(box) * boxRows + r) *
                       rowBytes;
          NVVM::CpAsyncOp::create(b, loc, sharedAt(target, add(place, c32(to))),
                                  from, uint32_t(kChunk),
                                  NVVM::LoadCacheModifierKind::CG, bytes);
        });
      }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Runs
//===----------------------------------------------------------------------===//

/// Whether all rows of all tiles of a copy `how(bulk)` exist.
static bool boxesAreWhole(tile::CopyOp op, int64_t tileColumns) {
  int64_t rows = op.getMemory().getType().getDimSize(1);
  // Tiles that end with the memory leave no box half outside.
  if (op.getBoxes())
    return rows / 2 % tileColumns == 0;
  return rows % op.getBuffer().getType().getRows() == 0;
}

/// Runs are whole rows of one expert.
static LogicalResult checkRuns(tile::CopyOp op) {
  MemRefType memory = op.getMemory().getType();
  tile::BufType buffer = op.getBuffer().getType();
  auto access = cast<tile::TileAccess>(op.getOperation());
  if (memory.getRank() != 3 || access.getMemoryDim(0) != 1 ||
      access.getMemoryDim(1) != 2 || access.getGranuleOf(1) != 1 ||
      buffer.getSwizzle() || buffer.getPad() ||
      buffer.getCols() != memory.getDimSize(2) ||
      (op.getBoxes() && op.getBoxDim() != 0))
    return op.emitOpError("a copy of runs takes whole rows of a memory of rank "
                          "3, got ")
           << memory << " for " << buffer;
  return success();
}

LogicalResult KernelEmitter::emitRunCopy(tile::CopyOp op) {
  if (failed(checkRuns(op)))
    return failure();
  const Memory &memory = memories[op.getMemory()];
  tile::BufType buffer = op.getBuffer().getType();
  int64_t pitch = buffer.getCols() * bytesOf(buffer.getElementType());
  ArrayRef<int64_t> boxes = op.getBoxes().value_or(ArrayRef<int64_t>());
  int64_t count = std::max<int64_t>(1, int64_t(boxes.size()));
  int64_t bytes = buffer.getRows() / count * pitch;
  int64_t rows = memory.type.getDimSize(1);
  if (bytes % kChunk)
    return op.emitOpError("a copy of runs by threads moves 16 bytes at a time, "
                          "a run has ")
           << bytes;
  Value first = mul(wide(scalar(op.getIndices()[0])), c64(rows));
  Value byte = mul(team.thread, c32(kChunk));
  Value target = parts[op.getBuffer()][0];
  Type ptr = LLVM::LLVMPointerType::get(b.getContext(), 1);
  for (int64_t i = 0; i < count; ++i) {
    Value row = scalar(op.getIndices()[1]);
    if (!boxes.empty() && boxes[i])
      row = add(row, c32(boxes[i]));
    Value start = mul(add(first, wide(row)), c64(pitch));
    // What lies beyond the last row is zeros.
    Value left = mul(sub(c32(rows), row), c32(pitch));
    for (int64_t at = 0; at < bytes; at += team.threads * kChunk) {
      Value place = at ? add(byte, c32(at)) : byte;
      Value active;
      if (at + team.threads * kChunk > bytes)
        active = cmp(arith::CmpIPredicate::ult, place, c32(bytes));
      ifThen(active, [&] {
        Value size = arith::MaxSIOp::create(
            b, loc,
            arith::MinSIOp::create(b, loc, sub(left, place), c32(kChunk)),
            c32(0));
        Value any = cmp(arith::CmpIPredicate::sgt, size, c32(0));
        Value offset = arith::SelectOp::create(b, loc, any,
                                               add(start, wide(place)), c64(0));
        Value from =
            LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), memory.pointer,
                                ArrayRef<LLVM::GEPArg>{offset});
        NVVM::CpAsyncOp::create(
            b, loc, sharedAt(target, add(place, c32(i * bytes))), from,
            uint32_t(kChunk), NVVM::LoadCacheModifierKind::CG, size);
      });
    }
  }
  return success();
}

LogicalResult KernelEmitter::emitBulkCopy(tile::CopyOp op) {
  if (failed(checkRuns(op)))
    return failure();
  const Memory &memory = memories[op.getMemory()];
  tile::BufType buffer = op.getBuffer().getType();
  auto acquire = op.getBuffer().getDefiningOp<tile::AcquireOp>();
  if (!acquire)
    return op.emitOpError("copies of runs go to the slot of a ring");
  const RingPlace &ring = rings[acquire.getRing()];
  SmallVector<Value> target = parts[op.getBuffer()]; // address, slot
  Value full = barrierAt(ring.fullBarriers, target[1]);
  int64_t size = bytesOf(buffer.getElementType());
  int64_t pitch = buffer.getCols() * size;
  ArrayRef<int64_t> boxes = op.getBoxes().value_or(ArrayRef<int64_t>());
  int64_t boxRows =
      buffer.getRows() / std::max<int64_t>(1, int64_t(boxes.size()));
  bool whole = boxesAreWhole(op, tileColumns);
  int64_t rows = memory.type.getDimSize(1);
  Type cluster = LLVM::LLVMPointerType::get(b.getContext(), 7);
  auto copy = [&](Value offset, Value row, Value bytes) {
    Value from = LLVM::GEPOp::create(
        b, loc, LLVM::LLVMPointerType::get(b.getContext(), 1), b.getI8Type(),
        memory.pointer, ArrayRef<LLVM::GEPArg>{mul(row, c64(pitch))});
    Value to = LLVM::AddrSpaceCastOp::create(b, loc, cluster,
                                             sharedAt(target[0], offset));
    NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(b, loc, to, from, full,
                                                     bytes, Value(), Value());
  };
  ifThen(team.single ? Value()
                     : cmp(arith::CmpIPredicate::eq, team.thread, c32(0)),
         [&] {
           Value first = mul(wide(scalar(op.getIndices()[0])), c64(rows));
           Value n = scalar(op.getIndices()[1]);
           int64_t count = std::max<int64_t>(1, int64_t(boxes.size()));
           for (int64_t i = 0; i < count; ++i) {
             Value at = boxes.empty() ? n : add(n, c32(boxes[i]));
             Value offset = c32(i * boxRows * pitch);
             if (whole) {
               copy(offset, add(first, wide(at)), c32(boxRows * pitch));
               continue;
             }
             // Rows beyond the end are those of another expert: nothing stores
             // what they give, but they are read.
             Value left = arith::MinSIOp::create(
                 b, loc,
                 arith::MaxSIOp::create(b, loc, sub(c32(rows), at), c32(0)),
                 c32(boxRows));
             Value bytes = mul(left, c32(pitch));
             ifThen(cmp(arith::CmpIPredicate::sgt, left, c32(0)),
                    [&] { copy(offset, add(first, wide(at)), bytes); });
             ifThen(cmp(arith::CmpIPredicate::slt, left, c32(boxRows)), [&] {
               copy(add(offset, bytes), c64(0),
                    sub(c32(boxRows * pitch), bytes));
             });
           }
         });
  return success();
}
