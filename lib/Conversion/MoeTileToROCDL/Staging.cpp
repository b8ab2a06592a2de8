//===- Staging.cpp - Global memory to LDS through registers ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tile of the product's operands has rows of 32, 64 or 128 bytes, in LDS with
// the XOR pattern of a swizzle. A thread moves pieces of 16 bytes, neighbours
// in a wave neighbouring pieces of a row. A copy straight to LDS fills the
// bytes of a wave in the order of its lanes: there the pattern says what a lane
// reads.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

/// Bytes of one piece.
static constexpr int64_t kPiece = 16;
/// Start of a tile in LDS: a row of the swizzle's largest period.
static constexpr int64_t kTileAlignment = 128;

static int64_t bytesOf(Type element) {
  return element.getIntOrFloatBitWidth() / 8;
}

LogicalResult KernelEmitter::placeOnChip() {
  for (Operation &op : kernel.getBody().front())
    if (auto alloc = dyn_cast<tile::BufAllocOp>(op)) {
      buffers[alloc.getBuffer()] = ldsBytes;
      ldsBytes += llvm::alignTo(alloc.getBuffer().getType().getSizeInBytes(),
                                kTileAlignment);
    }
  bool copies = false;
  kernel.walk([&](tile::CopyOp) { copies = true; });
  if (copies) {
    MLIRContext *context = b.getContext();
    auto name = [&](StringRef what) {
      return b.getStringAttr(what + kernel.getSymName());
    };
    auto domain = LLVM::AliasScopeDomainAttr::get(context, name("lds of "),
                                                  b.getStringAttr("lds"));
    copyScope = b.getArrayAttr(LLVM::AliasScopeAttr::get(
        context, name("copies to lds of "), domain, b.getStringAttr("copies")));
  }
  exchange = ldsBytes;
  ldsBytes += exchangeBytes();
  int64_t limit = std::min<int64_t>(
      chip.ldsBytes, kernel.getSmemLimit().value_or(chip.ldsBytes));
  if (ldsBytes > limit)
    return refuse(kernel) << "rule lds: buffers need " << ldsBytes
                          << " bytes of LDS, limit is " << limit;
  if (ldsBytes == 0)
    return success();
  OpBuilder top(func);
  ldsGlobal = LLVM::GlobalOp::create(
      top, loc, LLVM::LLVMArrayType::get(b.getI8Type(), ldsBytes),
      /*isConstant=*/false, LLVM::Linkage::Internal,
      ("lds_" + kernel.getSymName()).str(), Attribute(), kTileAlignment,
      /*addrSpace=*/3);
  // LDS starts undefined.
  OpBuilder::InsertionGuard guard(top);
  top.createBlock(&ldsGlobal.getInitializerRegion());
  Value none = LLVM::PoisonOp::create(top, loc, ldsGlobal.getType());
  LLVM::ReturnOp::create(top, loc, none);
  return success();
}

Value KernelEmitter::lds(Value offset) {
  return LLVM::GEPOp::create(b, loc, ldsBase.getType(), b.getI8Type(), ldsBase,
                             ArrayRef<LLVM::GEPArg>{offset});
}

/// What is XORed into the number of a piece of row `row`, where a row is as
/// long as the swizzle: bits 7 to 9 of its address.
Value KernelEmitter::swizzlePattern(Value row, int64_t rowBytes) {
  if (rowBytes < 128)
    row =
        arith::ShRUIOp::create(b, loc, row, c32(llvm::Log2_64(128 / rowBytes)));
  return arith::AndIOp::create(b, loc, row, c32(rowBytes / kPiece - 1));
}

/// A read of LDS.
Value KernelEmitter::loadLds(Type type, Value at, int64_t alignment) {
  auto load = LLVM::LoadOp::create(b, loc, type, lds(at), alignment);
  if (copyScope)
    load.setNoaliasScopesAttr(copyScope);
  return load;
}

/// The pieces of this thread of a tile of `rows` rows. `unit`: bytes of a copy
/// straight to LDS, 0 for pieces that go through registers.
const Share &KernelEmitter::shareOf(int64_t rows, int64_t rowBytes,
                                    int64_t unit) {
  auto [it, isNew] = shares.try_emplace({rows, rowBytes, unit});
  Share &share = it->second;
  if (!isNew)
    return share;
  int64_t pieces = rowBytes / (unit ? unit : kPiece);
  share.rows = rows;
  share.rowBytes = rowBytes;
  share.step = threads / pieces;
  share.count = llvm::divideCeil(rows, share.step);
  share.partial = rows % share.step != 0;
  atEntry([&] {
    share.row = quotient(thread, pieces);
    Value piece = rest(thread, pieces);
    if (unit) {
      // Where the wave's bytes begin, and what belongs at the lane's.
      share.inBuffer = mul(warp, c32(chip.waveSize * unit));
      Value chunk = quotient(piece, kPiece / unit);
      Value from = arith::XOrIOp::create(b, loc, chunk,
                                         swizzlePattern(share.row, rowBytes));
      share.byte = add(mul(from, c32(kPiece)),
                       mul(rest(piece, kPiece / unit), c32(unit)));
      return share.byte;
    }
    share.byte = mul(piece, c32(kPiece));
    Value swizzled = arith::XOrIOp::create(b, loc, piece,
                                           swizzlePattern(share.row, rowBytes));
    share.inBuffer =
        add(mul(share.row, c32(rowBytes)), mul(swizzled, c32(kPiece)));
    return share.inBuffer;
  });
  return share;
}

/// Where the thread reads its pieces, but for the reduction's position.
FailureOr<FetchPlace> KernelEmitter::fetchPlace(tile::TileAccess access,
                                                const Share &share) {
  Operation *op = access.getOperation();
  const Memory memory = memories[access.getMemory()];
  int64_t rank = memory.type.getRank(), rowsAt = access.getRowsPosition();
  int64_t rowDim = rowsAt >= 0 ? rowsAt : access.getMemoryDim(0);
  int64_t bytes = bytesOf(memory.type.getElementType());
  if (access.getMemoryDim(1) != rank - 1 || rowDim < 0 || rowDim == rank - 1 ||
      access.getBoxDim() != 0)
    return refuse(op) << "operands have rows along the last dimension";
  SmallVector<Value> indices(access.getIndices());
  indices.pop_back();
  for (const KnownPlace &known : places)
    if (known.memory == access.getMemory() && known.indices == indices &&
        known.region->isAncestor(op->getParentRegion()))
      return known.place;

  SmallVector<int64_t> strides(rank, bytes);
  for (int64_t d = rank - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * memory.type.getDimSize(d + 1);
  FetchPlace place;
  Value uniform = c64(0);
  for (int64_t d = 0; d < rank - 1; ++d)
    if (d != rowDim)
      uniform = add(uniform, mul(wide(asI32(indices[d])), c64(strides[d])));
  Type i8 = b.getI8Type();
  place.base =
      LLVM::GEPOp::create(b, loc, memory.pointer.getType(), i8, memory.pointer,
                          ArrayRef<LLVM::GEPArg>{uniform});
  bool narrow =
      !ShapedType::isDynamic(memory.type.getDimSize(rowDim)) &&
      llvm::isInt<31>(memory.type.getDimSize(rowDim) * strides[rowDim]);
  for (int64_t i = 0; i < share.count; ++i) {
    Value row = i ? add(share.row, c32(i * share.step)) : share.row;
    if (share.partial && i + 1 == share.count)
      row = arith::MinUIOp::create(b, loc, row, c32(share.rows - 1));
    Value number; // i64
    if (rowsAt >= 0) {
      Value valid;
      number = rowNumber(rowLists[indices[rowsAt]], row, valid);
    } else {
      Value index = asI32(indices[rowDim]);
      Value within = row;
      if (auto boxes = access.getBoxes()) {
        int64_t size = share.rows / int64_t(boxes->size());
        Value shift = c32((*boxes)[0]);
        for (size_t k = 1; k < boxes->size(); ++k)
          shift = arith::SelectOp::create(
              b, loc,
              cmp(arith::CmpIPredicate::uge, row, c32(int64_t(k) * size)),
              c32((*boxes)[k] - int64_t(k) * size), shift);
        within = add(row, shift);
      }
      index = add(index, within);
      int64_t size = memory.type.getDimSize(rowDim);
      // Rows beyond the weights give columns that nobody stores.
      if (ShapedType::isDynamic(size) || access.getBoxes() ||
          size % std::max(share.rows, tileColumns) != 0)
        index = arith::MinSIOp::create(b, loc, index,
                                       sub(extent(memory, rowDim), c32(1)));
      if (narrow) {
        Value at = add(mul(index, c32(strides[rowDim])), share.byte);
        place.pieces.push_back(
            arith::ExtUIOp::create(b, loc, b.getI64Type(), at));
        continue;
      }
      number = wide(index);
    }
    Value byte = arith::ExtUIOp::create(b, loc, b.getI64Type(), share.byte);
    place.pieces.push_back(add(mul(number, c64(strides[rowDim])), byte));
  }
  places.push_back({access.getMemory(), indices, op->getParentRegion(), place});
  return place;
}

LogicalResult KernelEmitter::emitFetch(tile::FetchOp op) {
  auto it = memories.find(op.getMemory());
  if (it == memories.end())
    return refuse(op) << "reads memory that is no kernel argument";
  tile::StagedType type = op.getResult().getType();
  int64_t bytes = bytesOf(type.getElementType());
  int64_t rowBytes = type.getCols() * bytes;
  if ((rowBytes != 32 && rowBytes != 64 && rowBytes != 128) ||
      threads % (rowBytes / kPiece) != 0)
    return refuse(op) << "rows of 32, 64 or 128 bytes are fetched, got "
                      << rowBytes;
  const Share &share = shareOf(type.getRows(), rowBytes, /*unit=*/0);
  FailureOr<FetchPlace> place =
      fetchPlace(cast<tile::TileAccess>(op.getOperation()), share);
  if (failed(place))
    return failure();
  int64_t k = it->second.type.getShape().back();
  Value column = asI32(op.getIndices().back());
  Type i8 = b.getI8Type();
  Type pointer = place->base.getType();
  Value from = LLVM::GEPOp::create(
      b, loc, pointer, i8, place->base,
      ArrayRef<LLVM::GEPArg>{mul(wide(column), c64(bytes))});
  auto vector = VectorType::get({4}, b.getI32Type());
  // A last step that is not whole reads zeros behind the end.
  Value inside;
  if (k % type.getCols() != 0)
    inside = cmp(arith::CmpIPredicate::slt,
                 add(column, quotient(share.byte, bytes)), c32(k));
  SmallVector<Value> values;
  for (Value at : place->pieces) {
    if (inside)
      at = arith::SelectOp::create(
          b, loc, inside, at,
          sub(at, arith::ExtUIOp::create(b, loc, b.getI64Type(), share.byte)));
    Value address = LLVM::GEPOp::create(b, loc, pointer, i8, from,
                                        ArrayRef<LLVM::GEPArg>{at});
    Value v = LLVM::LoadOp::create(b, loc, vector, address, kPiece);
    if (inside)
      v = arith::SelectOp::create(
          b, loc, inside, v,
          arith::ConstantOp::create(b, loc, b.getZeroAttr(vector)));
    values.push_back(v);
  }
  parts[op.getResult()] = values;
  return success();
}

LogicalResult KernelEmitter::emitCopy(tile::CopyOp op) {
  auto it = memories.find(op.getMemory());
  auto buffer = buffers.find(op.getBuffer());
  tile::BufType type = op.getBuffer().getType();
  int64_t bytes = bytesOf(type.getElementType());
  int64_t rowBytes = type.getCols() * bytes, unit = chip.directToLdsBytes;
  int64_t threads = kernel.getExecAttr().getThreads();
  if (it == memories.end() || buffer == buffers.end() ||
      op.getHow() != tile::How::LdsDirect || unit == 0)
    return refuse(op) << "copies are lds_direct, from an argument to a "
                         "buf_alloc, on chips that have them";
  if (type.getSwizzle() != rowBytes ||
      (rowBytes != 32 && rowBytes != 64 && rowBytes != 128) ||
      threads * unit % 1024 != 0 ||
      type.getSizeInBytes() % (chip.waveSize * unit) != 0 ||
      it->second.type.getShape().back() % type.getCols() != 0)
    return refuse(op) << "copies of whole waves and steps fill rows of 32, 64 "
                         "or 128 bytes with their swizzle, got "
                      << type;
  const Share share = shareOf(type.getRows(), rowBytes, unit);
  FailureOr<FetchPlace> place =
      fetchPlace(cast<tile::TileAccess>(op.getOperation()), share);
  if (failed(place))
    return failure();
  Type i8 = b.getI8Type(), pointer = place->base.getType();
  Value column = asI32(op.getIndices().back());
  Value from = LLVM::GEPOp::create(
      b, loc, pointer, i8, place->base,
      ArrayRef<LLVM::GEPArg>{mul(wide(column), c64(bytes))});
  for (auto [i, at] : llvm::enumerate(place->pieces)) {
    Value address = LLVM::GEPOp::create(b, loc, pointer, i8, from,
                                        ArrayRef<LLVM::GEPArg>{at});
    int64_t offset = int64_t(i) * share.step * rowBytes;
    Value to = add(share.inBuffer, c32(buffer->second + offset));
    // Whole waves have no rows.
    Value exists;
    if (share.partial && int64_t(i) + 1 == share.count)
      exists = cmp(arith::CmpIPredicate::ult, share.inBuffer,
                   c32(type.getSizeInBytes() - offset));
    ifThen(exists, [&] {
      ROCDL::LoadToLDSOp::create(b, loc, address, lds(to), uint32_t(unit),
                                 /*offset=*/0u, /*aux=*/0u, copyScope,
                                 ArrayAttr(), ArrayAttr());
    });
  }
  // They start at once, not where the assembler finds room between products.
  ROCDL::SchedBarrier::create(b, loc, 0);
  return success();
}

/// What the wave has copied is there; loads to registers count, too.
LogicalResult KernelEmitter::emitCopyWait(tile::CopyWaitOp op) {
  // Products before it are what hides the copies: the assembler would move
  // them behind.
  ROCDL::SchedBarrier::create(b, loc, 0);
  amdgpu::MemoryCounterWaitOp::create(b, loc, b.getI32IntegerAttr(0),
                                      IntegerAttr(), IntegerAttr(),
                                      IntegerAttr(), IntegerAttr());
  return success();
}

/// Bytes 0x80, the negative zeros of OCP floats, become 0: with the other bias
/// they are NaN.
Value KernelEmitter::clearNegativeZeros(Value v) {
  auto splat = [&](uint32_t word) -> Value {
    auto type = cast<VectorType>(v.getType());
    return arith::ConstantOp::create(
        b, loc,
        DenseElementsAttr::get(type, b.getI32IntegerAttr(int32_t(word))));
  };
  // Bit 7 of a byte of `some` is set if any of its lower seven bits is.
  Value low = arith::AndIOp::create(b, loc, v, splat(0x7F7F7F7F));
  Value some = arith::AddIOp::create(b, loc, low, splat(0x7F7F7F7F));
  Value keep = arith::OrIOp::create(b, loc, some, splat(0x7F7F7F7F));
  return arith::AndIOp::create(b, loc, v, keep);
}

/// Writes what stands for the thread's piece `i`: neighbours of a row of the
/// buffer, as many as its row has pieces for each that was fetched.
void KernelEmitter::depositPieces(const Share &share, size_t i, Value buffer,
                                  ArrayRef<Value> pieces) {
  auto type = cast<tile::BufType>(buffer.getType());
  int64_t rowBytes = type.getCols() * bytesOf(type.getElementType());
  int64_t base = buffers.lookup(buffer);
  int64_t distance = int64_t(i) * share.step;
  int64_t count = int64_t(pieces.size());
  // The distance of two pieces is whole periods of the XOR pattern, or the
  // pattern is made anew.
  bool periodic = distance * rowBytes % 1024 == 0;
  Value row = periodic ? share.row : add(share.row, c32(distance));
  Value exists;
  if (share.partial && int64_t(i) + 1 == share.count)
    exists = cmp(arith::CmpIPredicate::ult, add(share.row, c32(distance)),
                 c32(share.rows));
  for (auto [number, v] : llvm::enumerate(pieces)) {
    Value at = share.inBuffer;
    if (count > 1 || !periodic) {
      Value piece = quotient(share.byte, kPiece);
      if (count > 1)
        piece = add(mul(piece, c32(count)), c32(int64_t(number)));
      piece =
          arith::XOrIOp::create(b, loc, piece, swizzlePattern(row, rowBytes));
      at = add(mul(row, c32(rowBytes)), mul(piece, c32(kPiece)));
    }
    at = add(at, c32(base + (periodic ? distance * rowBytes : 0)));
    ifThen(exists, [&, v = v] {
      LLVM::StoreOp::create(b, loc, v, lds(at), /*alignment=*/kPiece);
    });
  }
}

LogicalResult KernelEmitter::depositStaged(tile::DepositOp op) {
  tile::BufType buffer = op.getBuffer().getType();
  auto staged = dyn_cast<tile::StagedType>(op.getValues()[0].getType());
  int64_t rowBytes = buffer.getCols() * bytesOf(buffer.getElementType());
  if (op.getValues().size() != 1 || !staged || buffer.getSwizzle() != rowBytes)
    return refuse(op) << "one fetched tile is deposited in a buffer whose row "
                         "is its swizzle, got "
                      << buffer;
  auto it = buffers.find(op.getBuffer());
  if (it == buffers.end())
    return refuse(op) << "tiles are deposited in a buf_alloc";
  // Weights that are decoded stand as those that were fetched. One piece after
  // the other, so that few values wait to be stored.
  if (auto unpack = op.getValues()[0].getDefiningOp<tile::DequantOp>()) {
    auto packed = cast<tile::StagedType>(unpack.getSource().getType());
    const Share share = shareOf(
        packed.getRows(), packed.getCols() * bytesOf(packed.getElementType()),
        /*unit=*/0);
    for (int64_t i = 0; i < share.count; ++i) {
      depositPieces(share, i, op.getBuffer(), unpackPiece(unpack, i));
      ROCDL::SchedBarrier::create(b, loc, 0);
    }
    return success();
  }
  const Share share = shareOf(buffer.getRows(), rowBytes, /*unit=*/0);
  bool fnuz = chip.fp8 == AmdFp8::Fnuz &&
              isa<Float8E4M3FNType, Float8E5M2Type>(buffer.getElementType());
  for (auto [i, value] : llvm::enumerate(parts[op.getValues()[0]]))
    depositPieces(share, i, op.getBuffer(),
                  {fnuz ? clearNegativeZeros(value) : value});
  return success();
}

LogicalResult KernelEmitter::emitGroupSync(tile::GroupSyncOp op) {
  // Two in a row are one to MLIR, but not to another role that waits twice.
  Block *block = b.getInsertionBlock();
  if (!block->empty() && isa<amdgpu::LDSBarrierOp>(block->back()))
    ROCDL::SchedBarrier::create(b, loc, 0);
  amdgpu::LDSBarrierOp::create(b, loc);
  return success();
}
