//===- Fragments.cpp - Registers of a team: load, map, store --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A fragment is the list of one thread's registers. Register r of the thread
// holds the element at threadPosition + offset(r); the offsets are constants of
// the layout. Slices keep the list of the whole layout, with values repeated.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

std::pair<Value, Value>
KernelEmitter::positionOf(tile::DigitsAttr layout,
                          ArrayRef<std::pair<tile::Level, Value>> indices) {
  Value position[2] = {c32(0), c32(0)};
  for (auto [level, index] : indices) {
    Value rest = index;
    int64_t left = layout.getLevelSize(level);
    for (const tile::Digit &digit : layout.getDigits()) {
      if (digit.level != level)
        continue;
      Value d = rest;
      left /= digit.extent;
      if (left > 1) {
        d = arith::RemUIOp::create(b, loc, rest, c32(digit.extent));
        rest = arith::DivUIOp::create(b, loc, rest, c32(digit.extent));
      }
      Value &at = position[digit.dim == tile::Dim::M ? 0 : 1];
      if (digit.stride)
        at = add(at, mul(d, c32(digit.stride)));
    }
  }
  return {position[0], position[1]};
}

std::pair<Value, Value> KernelEmitter::threadPosition(tile::DigitsAttr layout) {
  Value lane = arith::AndIOp::create(b, loc, team.thread, c32(31));
  return positionOf(layout, {{tile::Level::Lane, lane},
                             {tile::Level::Warp, team.warp},
                             {tile::Level::Group, team.group}});
}

std::pair<Value, Value> KernelEmitter::warpPosition(tile::DigitsAttr layout) {
  return positionOf(layout, {{tile::Level::Warp, team.warp},
                             {tile::Level::Group, team.group}});
}

Value KernelEmitter::rowNumber(const RowList &rows, Value m, Value &valid) {
  if (rows.limit)
    valid = both(valid, cmp(arith::CmpIPredicate::slt, m, rows.limit));
  if (!rows.slots)
    return wide(add(rows.first, m));
  const Memory &slots = memories[rows.slots];
  // The first row of a listed block exists; a row that does not is read there.
  Value inside =
      rows.limit ? Value(arith::SelectOp::create(b, loc, valid, m, c32(0))) : m;
  Value at = wide(add(rows.first, inside));
  Value slot = LLVM::LoadOp::create(b, loc, slots.type.getElementType(),
                                    globalAt(slots, at));
  if (slot.getType().isInteger(64))
    slot = arith::TruncIOp::create(b, loc, b.getI32Type(), slot);
  valid = both(valid, cmp(arith::CmpIPredicate::sge, slot, c32(0)));
  if (rows.bound)
    valid = both(valid, cmp(arith::CmpIPredicate::slt, slot, rows.bound));
  Value number = slot;
  if (rows.divisor != 1)
    number = arith::DivUIOp::create(b, loc, slot, c32(rows.divisor));
  number = arith::SelectOp::create(b, loc, valid, number, c32(0));
  return wide(number);
}

//===----------------------------------------------------------------------===//
// Stores
//===----------------------------------------------------------------------===//

/// Two 16-bit values in one register; conversions from f32 become one.
static Value packPair(OpBuilder &b, Location loc, Value low, Value high) {
  Type element = low.getType();
  auto pair = VectorType::get({2}, element);
  auto lowCast = low.getDefiningOp<arith::TruncFOp>();
  auto highCast = high.getDefiningOp<arith::TruncFOp>();
  auto build = [&](VectorType type, Value x, Value y) -> Value {
    Value v = LLVM::PoisonOp::create(b, loc, type);
    Value elements[] = {x, y};
    for (int32_t i : {0, 1}) {
      Value at = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(i));
      v = LLVM::InsertElementOp::create(b, loc, v, elements[i], at);
    }
    return v;
  };
  Value v;
  if (lowCast && highCast && lowCast.getIn().getType().isF32() &&
      highCast.getIn().getType().isF32())
    v = arith::TruncFOp::create(b, loc, pair,
                                build(VectorType::get({2}, b.getF32Type()),
                                      lowCast.getIn(), highCast.getIn()));
  else
    v = build(pair, low, high);
  return v;
}

/// Whether registers and threads stand as in an unswapped wgmma accumulator,
/// for which stmatrix was made.
static bool isMatrixLayout(tile::DigitsAttr layout) {
  using tile::Dim;
  using tile::Level;
  ArrayRef<tile::Digit> d = layout.getDigits();
  auto is = [&](size_t i, Level level, Dim dim, int64_t extent,
                int64_t stride) {
    return i < d.size() && d[i] == tile::Digit{level, dim, extent, stride};
  };
  if (!is(0, Level::Reg, Dim::N, 2, 1) || !is(1, Level::Reg, Dim::M, 2, 8))
    return false;
  size_t i = 2;
  int64_t columns = 8;
  for (; i < d.size() && d[i].level == Level::Reg; ++i) {
    if (d[i].dim != Dim::N || d[i].stride != columns)
      return false;
    columns *= d[i].extent;
  }
  return columns % 16 == 0 && is(i, Level::Lane, Dim::N, 4, 2) &&
         is(i + 1, Level::Lane, Dim::M, 8, 1) &&
         is(i + 2, Level::Warp, Dim::M, 4, 16);
}

/// What is XORed into the number of a 16-byte piece of row `row`, where a row
/// is as long as the swizzle: bits 7 to 9 of its address, as for the copy
/// engine.
Value nvvm::swizzlePattern(OpBuilder &b, Location loc, Value row,
                           int64_t swizzle) {
  auto c32 = [&](int64_t value) {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
  };
  if (swizzle < 128)
    row =
        arith::ShRUIOp::create(b, loc, row, c32(llvm::Log2_64(128 / swizzle)));
  return arith::AndIOp::create(b, loc, row, c32(swizzle / 16 - 1));
}

/// Whether registers of even number and the next hold neighbours in a row.
static bool hasPairs(tile::DigitsAttr layout) {
  ArrayRef<tile::Digit> digits = layout.getDigits();
  return !digits.empty() &&
         digits[0] == tile::Digit{tile::Level::Reg, tile::Dim::N, 2, 1};
}

LogicalResult KernelEmitter::emitDeposit(tile::DepositOp op) {
  tile::BufType buffer = op.getBuffer().getType();
  Type element = buffer.getElementType();
  int64_t size = element.getIntOrFloatBitWidth() / 8;
  int64_t rowBytes = buffer.getCols() * size;
  bool swizzled = buffer.getSwizzle() == rowBytes;
  if (op.getValues().size() != 1 || (size != 1 && size != 2 && size != 4) ||
      (!swizzled && buffer.getSwizzle()))
    return op.emitOpError(
               "the NVVM lowering stages one fragment of 8, 16 or 32 "
               "bit elements in a buffer whose row is its swizzle, "
               "or without swizzle, got ")
           << buffer;
  int64_t pitch = rowBytes + buffer.getPad();
  auto type = dyn_cast<tile::FragType>(op.getValues()[0].getType());
  if (!type || failed(needLayout(op, type)))
    return op.emitOpError("the NVVM lowering deposits fragments");
  bool matrices = warpgroups && hopper && isMatrixLayout(type.getLayout());
  if (!matrices && (warpgroups || !hasPairs(type.getLayout())))
    return op.emitOpError("the NVVM lowering deposits fragments in the layout "
                          "of a wgmma result, got ")
           << type.getLayout();
  auto it = buffers.find(op.getBuffer());
  if (it == buffers.end())
    return op.emitOpError("fragments are staged in a buf_alloc");
  SmallVector<Value> values = parts[op.getValues()[0]];
  if (size == 1 && swizzled && matrices)
    return depositBytes(op);
  if (size != 2 || !matrices) {
    // A thread's two neighbours in a row stay inside of 16 bytes.
    SmallVector<Value> pairs;
    if (size == 1) {
      pairs = packBytePairs(b, op, values);
      if (pairs.empty())
        return failure();
    }
    auto position = threadPosition(type.getLayout());
    SmallVector<Offset> offsets = registerOffsets(type.getLayout());
    for (size_t i = 0; i < values.size(); i += 2) {
      Value r = add(position.first, c32(offsets[i].first));
      Value byte = mul(add(position.second, c32(offsets[i].second)), c32(size));
      Value chunk = arith::ShRUIOp::create(b, loc, byte, c32(4));
      if (swizzled)
        chunk = arith::XOrIOp::create(
            b, loc, chunk, swizzlePattern(b, loc, r, buffer.getSwizzle()));
      Value inner = arith::AndIOp::create(b, loc, byte, c32(15));
      Value at = add(mul(r, c32(pitch)), add(mul(chunk, c32(16)), inner));
      Value v;
      if (size == 1) {
        v = pairs[i / 2];
      } else if (size == 2) {
        v = packPair(b, loc, values[i], values[i + 1]);
      } else {
        v = LLVM::PoisonOp::create(b, loc, VectorType::get({2}, element));
        v = LLVM::InsertElementOp::create(b, loc, v, values[i], c32(0));
        v = LLVM::InsertElementOp::create(b, loc, v, values[i + 1], c32(1));
      }
      LLVM::StoreOp::create(b, loc, v, sharedAt(shared(it->second), at),
                            /*alignment=*/2 * size);
    }
    return success();
  }
  // Lane l gives the address of row l % 8 of matrix l / 8: the matrices are
  // rows 0-7 and 8-15 of eight columns, then of the next eight.
  Value lane = arith::AndIOp::create(b, loc, team.thread, c32(31));
  Value matrix = arith::ShRUIOp::create(b, loc, lane, c32(3));
  Value rowInWarp =
      add(arith::AndIOp::create(b, loc, lane, c32(7)),
          mul(arith::AndIOp::create(b, loc, matrix, c32(1)), c32(8)));
  int64_t share = type.getRows() / team.role.getCopies();
  Value row =
      add(add(mul(team.group, c32(share)), mul(team.warp, c32(16))), rowInWarp);
  Value pattern;
  if (swizzled)
    pattern = swizzlePattern(b, loc, row, buffer.getSwizzle());
  Value half = arith::ShRUIOp::create(b, loc, matrix, c32(1));
  Value base = sharedAt(shared(it->second), mul(row, c32(pitch)));
  Type i32 = b.getI32Type();
  bool few = swizzled && fillsRegisters(kernel);
  Value first;
  if (few)
    first = add(add(c32(it->second), mul(row, c32(pitch))),
                mul(arith::XOrIOp::create(b, loc, half, pattern), c32(16)));
  for (int64_t j = 0; j < buffer.getCols() / 16; ++j) {
    SmallVector<Value> sources;
    for (int64_t q = 0; q < 4; ++q) {
      int64_t at = 8 * j + 2 * q;
      sources.push_back(LLVM::BitcastOp::create(
          b, loc, i32, packPair(b, loc, values[at], values[at + 1])));
    }
    Value chunk = add(half, c32(2 * j));
    if (swizzled)
      chunk = arith::XOrIOp::create(b, loc, chunk, pattern);
    Value at = sharedAt(base, mul(chunk, c32(16)));
    if (few)
      // One register for all: the number of a chunk is a part of the address.
      at = sharedAt(shared(0),
                    arith::XOrIOp::create(b, loc, first, c32(32 * j)));
    NVVM::StMatrixOp::create(
        b, loc, at, sources, NVVM::MMALayout::row,
        NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8),
        NVVM::LdStMatrixEltType::B16);
  }
  return success();
}

LogicalResult KernelEmitter::emitStore(tile::StoreOp op) {
  if (!memories.count(op.getMemory()))
    return op.emitOpError("writes memory that is no kernel argument");
  if (op.getMode() != tile::StoreMode::Plain &&
      (isa<tile::BufType>(op.getValues()[0].getType()) ||
       !memories[op.getMemory()].type.getElementType().isF32()))
    return op.emitOpError("adding stores to memory of f32 from fragments have "
                          "a lowering to NVVM, got memory of ")
           << memories[op.getMemory()].type.getElementType();
  if (auto buffer = dyn_cast<tile::BufType>(op.getValues()[0].getType())) {
    if (op.getHow() != tile::How::Bulk)
      return storeBuffer(op);
    return buffer.getSwizzle() ? storeByDescriptor(op) : storeRowsInBulk(op);
  }
  return storeFragment(op);
}

LogicalResult KernelEmitter::storeFragment(tile::StoreOp op) {
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  int64_t rowsAt = access.getRowsPosition();
  if (rowsAt >= 0 && access.getMemoryDim(0) != rowsAt)
    return op.emitOpError("a row list must follow the rows of the tile");
  Value limit = op.getLimit() ? scalar(op.getLimit()) : Value();
  int64_t column = 0;
  for (Value v : op.getValues()) {
    auto type = cast<tile::FragType>(v.getType());
    if (failed(needLayout(op, type)))
      return failure();
    SmallVector<Value> values = parts[v];
    if (isa<FloatType>(type.getElementType()) &&
        type.getElementType().getIntOrFloatBitWidth() == 8) {
      SmallVector<Value> pairs = packBytePairs(b, op, values);
      if (pairs.empty())
        return failure();
      for (size_t i = 0; i < values.size(); ++i) {
        Value both = pairs[i / 2];
        if (i % 2)
          both = arith::ShRUIOp::create(
              b, loc, both,
              arith::ConstantOp::create(b, loc, b.getI16IntegerAttr(8)));
        values[i] = arith::TruncIOp::create(b, loc, b.getI8Type(), both);
      }
    }
    std::pair<Value, Value> position = threadPosition(type.getLayout());
    Value owns = type.getRows() == 1 || type.getCols() == 1
                     ? ownsElement(type.getLayout())
                     : Value();
    Value m = position.first, n = position.second;
    // Registers by row, columns ascending.
    std::map<int64_t, std::map<int64_t, Value>> rows;
    for (auto [offset, value] :
         llvm::zip(registerOffsets(type.getLayout()), values))
      rows[type.getRows() == 1 ? 0 : offset.first].try_emplace(
          type.getCols() == 1 ? 0 : offset.second, value);
    // Neighbours in one register digit go together.
    ArrayRef<tile::Digit> digits = type.getLayout().getDigits();
    int64_t rank = memory.type.getRank();
    bool inner = access.getMemoryDim(1) == rank - 1 &&
                 access.getGranuleOf(rank - 1) == 1;
    int64_t width = 1;
    bool adds = op.getMode() != tile::StoreMode::Plain;
    if (adds && llvm::any_of(digits, [](const tile::Digit &digit) {
          return digit.level != tile::Level::Reg && !digit.stride &&
                 digit.extent > 1;
        }))
      return op.emitOpError("adds a fragment that several threads hold: ")
             << type.getLayout();
    if (!adds && inner && !digits.empty() &&
        digits[0].level == tile::Level::Reg && digits[0].dim == tile::Dim::N &&
        digits[0].stride == 1 && digits[0].extent == 2 &&
        memory.type.getDimSize(rank - 1) % 2 == 0 && column % 2 == 0)
      width = 2;
    for (auto &entry : rows) {
      int64_t rowOffset = entry.first;
      if (isTrimmedAway(type, rowOffset))
        continue;
      std::map<int64_t, Value> &registers = entry.second;
      Value r = type.getRows() == 1 ? c32(0)
                : rowOffset         ? add(m, c32(rowOffset))
                                    : m;
      Value row, valid = owns;
      if (limit)
        valid = both(valid, cmp(arith::CmpIPredicate::slt, r, limit));
      if (rowsAt >= 0)
        row = rowNumber(rowLists[op.getIndices()[rowsAt]], r, valid);
      // One thread of those that hold the same element writes it.
      ifThen(valid, [&] {
        for (auto it = registers.begin(); it != registers.end();) {
          auto next = std::next(it);
          bool pair = width == 2 && next != registers.end() &&
                      next->first == it->first + 1 && it->first % 2 == 0;
          Value c = type.getCols() == 1 ? c32(column)
                                        : add(n, c32(it->first + column));
          Value inside;
          Value at = elementOffset(access, row, r, c, inside);
          ifThen(inside, [&] {
            Value v = it->second;
            int64_t size = v.getType().getIntOrFloatBitWidth() / 8;
            if (pair) {
              if (size == 2) {
                v = packPair(b, loc, it->second, next->second);
              } else if (size == 1) {
                auto type = VectorType::get({2}, v.getType());
                v = LLVM::PoisonOp::create(b, loc, type);
                v = LLVM::InsertElementOp::create(b, loc, v, it->second,
                                                  c32(0));
                v = LLVM::InsertElementOp::create(b, loc, v, next->second,
                                                  c32(1));
              } else {
                auto type = VectorType::get({2}, v.getType());
                Value both = LLVM::PoisonOp::create(b, loc, type);
                both = LLVM::InsertElementOp::create(b, loc, both, it->second,
                                                     c32(0));
                v = LLVM::InsertElementOp::create(b, loc, both, next->second,
                                                  c32(1));
              }
            }
            if (adds)
              // Rows of one token meet here in any order.
              LLVM::AtomicRMWOp::create(
                  b, loc, LLVM::AtomicBinOp::fadd, globalAt(memory, at), v,
                  LLVM::AtomicOrdering::monotonic, "device");
            else
              LLVM::StoreOp::create(b, loc, v, globalAt(memory, at),
                                    /*alignment=*/pair ? 2 * size : size);
          });
          it = pair ? std::next(next) : next;
        }
      });
    }
    column += type.getCols();
  }
  return success();
}
