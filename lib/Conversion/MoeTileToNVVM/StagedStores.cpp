//===- StagedStores.cpp - Results through staging buffers -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What was deposited in shared memory leaves 16 bytes at a time by threads,
// 16 rows at a time by the copy engine, or row by row in bulk.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

bool KernelEmitter::isStagedByWarps(tile::BufType buffer) {
  // The layout of a wgmma result gives every warp 16 rows of its own.
  if (!warpgroups)
    return false;
  int64_t chunks = buffer.getCols() *
                   buffer.getElementType().getIntOrFloatBitWidth() / 8 / 16;
  return chunks && 32 % chunks == 0 &&
         buffer.getRows() == team.role.getCopies() * team.threads / 32 * 16;
}

KernelEmitter::StagedRows KernelEmitter::stagedRows(tile::BufType buffer) {
  int64_t chunks = buffer.getCols() *
                   buffer.getElementType().getIntOrFloatBitWidth() / 8 / 16;
  int64_t share = buffer.getRows() / team.role.getCopies();
  Value first = mul(team.group, c32(share));
  Value index = team.thread;
  int64_t threads = team.threads, rows = share;
  if (isStagedByWarps(buffer)) {
    threads = 32;
    rows = 16;
    index = arith::AndIOp::create(b, loc, team.thread, c32(31));
    first = add(first, mul(team.warp, c32(16)));
  }
  int64_t step = threads / chunks;
  return {add(first, arith::DivUIOp::create(b, loc, index, c32(chunks))), step,
          (rows + step - 1) / step};
}

void KernelEmitter::prepareStores(Value rows) {
  if (fillsRegisters(kernel))
    return;
  for (Operation *user : rows.getUsers()) {
    auto op = dyn_cast<tile::StoreOp>(user);
    auto buffer = op ? dyn_cast<tile::BufType>(op.getValues()[0].getType())
                     : tile::BufType();
    if (!buffer || storeRows.count(rows) ||
        op->getBlock() != rows.getParentBlock())
      continue;
    StagedRows staged = stagedRows(buffer);
    Value active;
    if (op.getHow() == tile::How::Bulk) {
      // A thread copies a whole row.
      int64_t share = buffer.getRows() / team.role.getCopies();
      active = cmp(arith::CmpIPredicate::ult, team.thread, c32(share));
      Value row = arith::SelectOp::create(b, loc, active, team.thread, c32(0));
      staged = {add(mul(team.group, c32(share)), row), share, 1};
    }
    SmallVector<Value> numbers;
    for (int64_t i = 0; i < staged.passes; ++i) {
      Value valid = active;
      Value number = rowNumber(rowLists[rows],
                               add(staged.first, c32(i * staged.step)), valid);
      number = arith::TruncIOp::create(b, loc, b.getI32Type(), number);
      if (valid)
        number = arith::SelectOp::create(b, loc, valid, number, c32(-1));
      numbers.push_back(number);
    }
    storeRows[rows] = numbers;
  }
}

LogicalResult KernelEmitter::storeBuffer(tile::StoreOp op) {
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  auto buffer = cast<tile::BufType>(op.getValues()[0].getType());
  auto it = buffers.find(op.getValues()[0]);
  int64_t size = buffer.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t rowBytes = buffer.getCols() * size;
  int64_t rank = memory.type.getRank();
  if (op.getValues().size() != 1 || it == buffers.end() ||
      buffer.getSwizzle() != rowBytes)
    return op.emitOpError("the NVVM lowering stores one staged buffer whose "
                          "row is its swizzle, got ")
           << buffer;
  if (access.getMemoryDim(1) != rank - 1 || op.getGranule())
    return op.emitOpError("columns of a staged store must be the innermost "
                          "dimension of the memory, without granule");
  int64_t cols = memory.type.getDimSize(rank - 1);
  if (ShapedType::isDynamic(cols) || cols * size % 16)
    return op.emitOpError("a staged store writes 16 bytes at a time, rows of ")
           << memory.type << " do not stay aligned";
  int64_t chunks = rowBytes / 16, perChunk = 16 / size;
  Value chunk = arith::RemUIOp::create(b, loc, team.thread, c32(chunks));
  StagedRows staged = stagedRows(buffer);
  int64_t rowsAt = access.getRowsPosition();
  Value limit = op.getLimit() ? scalar(op.getLimit()) : Value();
  auto vector = VectorType::get({4}, b.getI32Type());
  for (int64_t i = 0; i < staged.passes; ++i) {
    Value m = i ? add(staged.first, c32(i * staged.step)) : staged.first;
    Value pattern = swizzlePattern(b, loc, m, buffer.getSwizzle());
    Value place = mul(arith::XOrIOp::create(b, loc, chunk, pattern), c32(16));
    Value valid, number;
    if (limit)
      valid = cmp(arith::CmpIPredicate::slt, m, limit);
    if (rowsAt >= 0) {
      auto known = storeRows.find(op.getIndices()[rowsAt]);
      if (known != storeRows.end()) {
        Value row32 = known->second[i];
        valid = both(valid, cmp(arith::CmpIPredicate::sge, row32, c32(0)));
        number = wide(row32);
      } else {
        number = rowNumber(rowLists[op.getIndices()[rowsAt]], m, valid);
      }
    }
    Value c = mul(chunk, c32(perChunk));
    Value at = elementOffset(access, number, m, c, valid);
    ifThen(valid, [&] {
      Value from =
          sharedAt(shared(it->second), add(mul(m, c32(rowBytes)), place));
      Value v = LLVM::LoadOp::create(b, loc, vector, from, /*alignment=*/16);
      LLVM::StoreOp::create(b, loc, v, globalAt(memory, at), /*alignment=*/16);
    });
  }
  return success();
}

LogicalResult KernelEmitter::storeByDescriptor(tile::StoreOp op) {
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  auto buffer = cast<tile::BufType>(op.getValues()[0].getType());
  auto it = buffers.find(op.getValues()[0]);
  int64_t size = buffer.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t cols = memory.type.getDimSize(1);
  if (op.getValues().size() != 1 || it == buffers.end() ||
      !isStagedByWarps(buffer) ||
      buffer.getSwizzle() != buffer.getCols() * size)
    return op.emitOpError("a descriptor store takes one staged buffer of 16 "
                          "rows per warp whose row is its swizzle, got ")
           << buffer;
  if (!memory.whole || memory.type.getRank() != 2 ||
      access.getRowsPosition() >= 0 || op.getGranule() || access.getBoxes() ||
      ShapedType::isDynamic(cols) || cols * size % 16)
    return op.emitOpError("a descriptor store writes rows side by side of an "
                          "argument of rank 2, of whole 16 bytes, got ")
           << memory.type;
  // Every warp writes its 16 rows, if they exist; threads those of a last tile.
  Value map =
      tensorMap(op.getMemory(), buffer.getSwizzle(), {buffer.getCols(), 16});
  int64_t share = buffer.getRows() / team.role.getCopies();
  Value first = add(mul(team.group, c32(share)), mul(team.warp, c32(16)));
  Value whole;
  if (op.getLimit())
    whole = cmp(arith::CmpIPredicate::sle, add(first, c32(16)),
                scalar(op.getLimit()));
  LogicalResult result = success();
  auto byEngine = [&] {
    Value lane = arith::AndIOp::create(b, loc, team.thread, c32(31));
    ifThen(cmp(arith::CmpIPredicate::eq, lane, c32(0)), [&] {
      Value from = sharedAt(shared(it->second),
                            mul(first, c32(buffer.getCols() * size)));
      NVVM::CpAsyncBulkTensorSharedCTAToGlobalOp::create(
          b, loc, map, from,
          ValueRange{scalar(op.getIndices()[1]),
                     add(scalar(op.getIndices()[0]), first)},
          Value(), NVVM::TMAStoreMode::TILE, Value());
    });
  };
  if (!whole) {
    byEngine();
  } else {
    auto ifOp = scf::IfOp::create(b, loc, whole, /*else=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(ifOp.thenBlock());
    byEngine();
    b.setInsertionPointToStart(ifOp.elseBlock());
    result = storeBuffer(op);
  }
  // An empty group keeps the count of those that may be pending.
  NVVM::CpAsyncBulkCommitGroupOp::create(b, loc);
  return result;
}

LogicalResult KernelEmitter::storeRowsInBulk(tile::StoreOp op) {
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  auto buffer = cast<tile::BufType>(op.getValues()[0].getType());
  auto it = buffers.find(op.getValues()[0]);
  int64_t size = buffer.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t rank = memory.type.getRank();
  int64_t cols = memory.type.getDimSize(rank - 1);
  int64_t pitch = buffer.getCols() * size + buffer.getPad();
  int64_t share = buffer.getRows() / team.role.getCopies();
  if (op.getValues().size() != 1 || it == buffers.end() ||
      buffer.getSwizzle() || pitch % 16 || share > team.threads)
    return op.emitOpError("a bulk store takes one buffer of at most one row "
                          "per thread without swizzle, rows at multiples of 16 "
                          "bytes, got ")
           << buffer;
  if (access.getMemoryDim(1) != rank - 1 || op.getGranule() ||
      ShapedType::isDynamic(cols) || cols * size % 16)
    return op.emitOpError("a bulk store writes runs of 16 bytes of the "
                          "innermost dimension, rows of ")
           << memory.type << " do not stay aligned";
  Value active = cmp(arith::CmpIPredicate::ult, team.thread, c32(share));
  Value m = add(mul(team.group, c32(share)), team.thread);
  Value valid = active, number;
  int64_t rowsAt = access.getRowsPosition();
  if (op.getLimit())
    valid =
        both(valid, cmp(arith::CmpIPredicate::slt, m, scalar(op.getLimit())));
  if (rowsAt >= 0) {
    auto known = storeRows.find(op.getIndices()[rowsAt]);
    if (known != storeRows.end()) {
      valid = cmp(arith::CmpIPredicate::sge, known->second[0], c32(0));
      number = wide(known->second[0]);
    } else {
      number = rowNumber(rowLists[op.getIndices()[rowsAt]], m, valid);
    }
  }
  ifThen(valid, [&] {
    // Columns beyond the end of the memory stay out.
    Value bytes = c32(buffer.getCols() * size);
    if (cols % buffer.getCols()) {
      Value left = sub(c32(cols), scalar(op.getIndices()[rank - 1]));
      bytes = arith::MinSIOp::create(b, loc, bytes, mul(left, c32(size)));
    }
    Value inside;
    Value at = elementOffset(access, number, m, c32(0), inside);
    Value from = sharedAt(shared(it->second), mul(m, c32(pitch)));
    NVVM::CpAsyncBulkSharedCTAToGlobalOp::create(b, loc, globalAt(memory, at),
                                                 from, bytes, Value(), Value());
  });
  NVVM::CpAsyncBulkCommitGroupOp::create(b, loc);
  return success();
}
