//===- Promotion.cpp - Sums of scaled products ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every k step's product is scaled and added to a sum in registers. A thread
// has no room for a whole product beside the sum: parts of the tile are
// multiplied and added in turn. The last part is added where the program says
// so, behind the release of the slot.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Registers of a thread for products that are not added yet.
static constexpr size_t kPartRegisters = 64;
/// Bytes of one factor.
static constexpr int64_t kFactorBytes = 4;

tile::PromoteOp nvvm::promotionOf(tile::MmaOp op) {
  if (op.getC() || !op.getResult().hasOneUse())
    return {};
  auto read = dyn_cast<tile::AccReadOp>(*op.getResult().user_begin());
  if (!read || !read.getResult().hasOneUse())
    return {};
  auto sum = dyn_cast<tile::PromoteOp>(*read.getResult().user_begin());
  return sum && sum.getPart() == read.getResult() &&
                 sum->getBlock() == op->getBlock()
             ? sum
             : tile::PromoteOp();
}

bool nvvm::fillsRegisters(tile::KernelOp kernel) {
  bool fills = false;
  kernel.walk([&](tile::PromoteOp op) {
    auto role = op->getParentOfType<tile::RoleOp>();
    tile::FragType type = op.getResult().getType();
    if (role && type.getLayout() &&
        type.getLayout().getLevelSize(tile::Level::Reg) >=
            2 * int64_t(kPartRegisters))
      fills = true;
  });
  return fills;
}

void KernelEmitter::refreshThread() {
  // An exchange with itself is not moved out of a loop, and neither are the
  // addresses that are made of its result.
  Value lane = arith::AndIOp::create(b, loc, team.thread, c32(31));
  team.thread =
      NVVM::ShflOp::create(b, loc, b.getI32Type(), c32(-1), team.thread, lane,
                           c32(31), NVVM::ShflKind::idx, UnitAttr());
}

bool nvvm::holdsFactors(tile::BufType type) {
  return !type.getSwizzle() && !type.getPad() &&
         type.getElementType().isF32() &&
         (type.getCols() == 1 || type.getRows() == 1);
}

//===----------------------------------------------------------------------===//
// Factors
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::prepareFactors(tile::CopyOp op, Value rows) {
  const RowList list = rowLists[rows];
  tile::BufType buffer = op.getBuffer().getType();
  auto key = std::make_pair(rows, Value(op.getMemory()));
  if (gathers.count(key))
    return success();
  // A thread keeps the numbers of its rows; -1 = no row.
  GatherRows gather;
  for (int64_t r = 0; r < buffer.getRows(); r += team.threads) {
    Value valid;
    Value number =
        rowNumber(list, r ? add(team.thread, c32(r)) : team.thread, valid);
    number = arith::TruncIOp::create(b, loc, b.getI32Type(), number);
    if (valid)
      number = arith::SelectOp::create(b, loc, valid, number, c32(-1));
    gather.bases.push_back(number);
  }
  gathers[key] = gather;
  return success();
}

/// Offset of a factor in elements. 32 bits: what does not change in the k loop
/// is one register, of which load roles have few.
Value KernelEmitter::factorOffset(tile::TileAccess access, Value row, Value r,
                                  Value c, Value &inside) {
  const Memory &memory = memories[access.getMemory()];
  int64_t rowsAt = access.getRowsPosition();
  if (auto boxes = access.getBoxes()) {
    // One box each: factors of boxes are single columns.
    Value shift = c32((*boxes)[0]);
    for (size_t i = 1; i < boxes->size(); ++i)
      shift = arith::SelectOp::create(
          b, loc, cmp(arith::CmpIPredicate::uge, c, c32(int64_t(i))),
          c32((*boxes)[i] - int64_t(i)), shift);
    c = add(c, shift);
  }
  Value flat;
  for (int64_t d = 0, rank = memory.type.getRank(); d < rank; ++d) {
    Value at = row;
    if (d != rowsAt) {
      at = scalar(access.getIndices()[d]);
      if (int64_t granule = access.getGranuleOf(d); granule != 1)
        at = arith::DivUIOp::create(b, loc, at, c32(granule));
      bool moves = false;
      for (auto [dim, step] : {std::pair{0, r}, {1, c}})
        if (access.getMemoryDim(dim) == d) {
          at = add(at, step);
          moves = true;
        }
      if (moves)
        inside =
            both(inside, cmp(arith::CmpIPredicate::slt, at, extent(memory, d)));
    }
    flat = flat ? add(mul(flat, extent(memory, d)), at) : at;
  }
  return flat;
}

LogicalResult KernelEmitter::emitFactorCopy(tile::CopyOp op) {
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  tile::BufType buffer = op.getBuffer().getType();
  if (!memory.type.getElementType().isF32())
    return op.emitOpError("factors are f32, the memory is ") << memory.type;
  int64_t rowsAt = access.getRowsPosition();
  bool byRow = op.getHow() == tile::How::Gather;
  int64_t count = buffer.getNumElements();
  if (byRow != (rowsAt >= 0) || (byRow && buffer.getCols() != 1))
    return op.emitOpError("factors are copied by gather, one for each row of "
                          "a list, or by element");
  if (auto boxes = access.getBoxes();
      boxes && (access.getBoxDim() != 1 || int64_t(boxes->size()) != count))
    return op.emitOpError("factors in boxes are one in each, got ")
           << boxes->size() << " boxes for " << count;
  Value target = parts[op.getBuffer()][0];
  for (int64_t first = 0, i = 0; first < count; first += team.threads, ++i) {
    Value place = first ? add(team.thread, c32(first)) : team.thread;
    Value active;
    if (first + team.threads > count)
      active = cmp(arith::CmpIPredicate::ult, place, c32(count));
    ifThen(active, [&] {
      Value row, present, inside, zero = c32(0);
      if (byRow) {
        Value base =
            gathers[{op.getIndices()[rowsAt], Value(op.getMemory())}].bases[i];
        present = cmp(arith::CmpIPredicate::sge, base, zero);
        row = arith::MaxSIOp::create(b, loc, base, zero);
      }
      Value at = buffer.getCols() == 1
                     ? factorOffset(access, row, place, zero, inside)
                     : factorOffset(access, row, zero, place, inside);
      if (inside)
        at = arith::SelectOp::create(b, loc, inside, at, zero);
      Value bytes = c32(kFactorBytes);
      if (Value any = both(present, inside))
        bytes = arith::SelectOp::create(b, loc, any, bytes, zero);
      NVVM::CpAsyncOp::create(b, loc,
                              sharedAt(target, mul(place, c32(kFactorBytes))),
                              globalAt(memory, at), uint32_t(kFactorBytes),
                              NVVM::LoadCacheModifierKind::CA, bytes);
    });
  }
  return success();
}

LogicalResult KernelEmitter::emitFragLoad(tile::FragLoadOp op) {
  if (nextSlot && nextSlot->more && llvm::is_contained(nextSlot->factors, op))
    return success();
  tile::BufType buffer = op.getBuffer().getType();
  tile::FragType type = op.getResult().getType();
  tile::DigitsAttr layout = type.getLayout();
  if (op.getAt())
    return emitColumnLoad(op);
  if (!layout || !holdsFactors(buffer) || !known(op.getBuffer()))
    return op.emitOpError("the NVVM lowering reads rows or columns of f32 in a "
                          "slot, to a fragment with a layout, got ")
           << buffer << " to " << type;
  auto [m, n] = threadPosition(layout);
  Value place = type.getRows() == 1 ? n : m;
  Value base =
      sharedAt(parts[op.getBuffer()][0], mul(place, c32(kFactorBytes)));
  DenseMap<int64_t, Value> loaded;
  SmallVector<Value> values;
  for (int64_t i = 0, e = layout.getLevelSize(tile::Level::Reg); i < e; ++i) {
    auto [r, c] = layout.map({i});
    int64_t offset = type.getRows() == 1 ? c : r;
    Value &v = loaded[offset];
    if (!v && isTrimmedAway(type, r))
      v = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    if (!v)
      v = LLVM::LoadOp::create(b, loc, b.getF32Type(),
                               sharedAt(base, c32(offset * kFactorBytes)),
                               /*alignment=*/kFactorBytes);
    values.push_back(v);
  }
  parts[op.getResult()] = values;
  return success();
}

/// One column of a buffer that holds the factors of all of K.
LogicalResult KernelEmitter::emitColumnLoad(tile::FragLoadOp op) {
  tile::BufType buffer = op.getBuffer().getType();
  tile::FragType type = op.getResult().getType();
  tile::DigitsAttr layout = type.getLayout();
  Type element = buffer.getElementType();
  if (!layout || buffer.getSwizzle() || buffer.getPad() ||
      !(element.isF32() || element.isBF16() || element.isF16()) ||
      !known(op.getBuffer()))
    return op.emitOpError("the NVVM lowering reads a column of f32, bf16 or "
                          "f16 values without swizzle, got ")
           << buffer << " to " << type;
  int64_t cols = buffer.getCols();
  Type pointer = LLVM::LLVMPointerType::get(b.getContext(), 3);
  Value at = scalar(op.getAt());
  if (at.getType().isInteger(64))
    at = arith::TruncIOp::create(b, loc, b.getI32Type(), at);
  Value first = add(mul(threadPosition(layout).second, c32(cols)), at);
  DenseMap<int64_t, Value> loaded;
  SmallVector<Value> values;
  for (int64_t i = 0, e = layout.getLevelSize(tile::Level::Reg); i < e; ++i) {
    int64_t column = layout.map({i}).second;
    Value &v = loaded[column];
    if (!v) {
      Value from = LLVM::GEPOp::create(
          b, loc, pointer, element, parts[op.getBuffer()][0],
          ArrayRef<LLVM::GEPArg>{column ? add(first, c32(column * cols))
                                        : first});
      v = LLVM::LoadOp::create(b, loc, element, from);
      if (!element.isF32())
        v = arith::ExtFOp::create(b, loc, b.getF32Type(), v);
    }
    values.push_back(v);
  }
  parts[op.getResult()] = values;
  return success();
}

//===----------------------------------------------------------------------===//
// The sum
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::openSum(tile::PromoteOp op, size_t count,
                                     size_t registers, OpenSum &sum) {
  if (op.getScalar() || op.getRowSum() || op.getFactor())
    return op.emitOpError("the NVVM lowering scales by rows and columns only");
  for (Value factor : {op.getRow(), op.getCol()})
    if (factor && (!isa<tile::FragType>(factor.getType()) || !known(factor)))
      return op.emitOpError("the NVVM lowering takes factors in fragments that "
                            "are read before the product");
  sum.registers = parts[op.getMain()];
  sum.stride = trim && trim->now ? size_t(trim->rows / 2) : registers;
  if (sum.registers.size() != count * sum.stride)
    return op.emitOpError("the sum has ")
           << sum.registers.size() << " registers, its products "
           << count * sum.stride;
  return success();
}

LogicalResult
KernelEmitter::beginSum(tile::PromoteOp op, size_t count, size_t registers,
                        int64_t slices,
                        function_ref<Value(size_t, int64_t, Value)> issue) {
  OpenSum sum;
  if (failed(openSum(op, count, registers, sum)))
    return failure();
  sum.slices = size_t(slices);
  SmallVector<Value> added;
  size_t together =
      std::max<size_t>(1, kPartRegisters / (registers * sum.slices));
  for (size_t first = 0; first < count; first += together) {
    NVVM::WgmmaFenceAlignedOp::create(b, loc);
    // In the registers of what has been added: a product that starts before
    // that would need others.
    SmallVector<Value> products;
    for (size_t i = first; i < std::min(first + together, count); ++i)
      for (int64_t slice = 0; slice < slices; ++slice)
        products.push_back(
            issue(i, slice, first ? added[products.size()] : Value()));
    NVVM::WgmmaGroupSyncAlignedOp::create(b, loc);
    if (first + together >= count && failed(readNextSlot()))
      return failure();
    auto wait =
        nv::WgmmaWaitOp::create(b, loc, /*pending=*/0, ValueRange(products));
    sum.products = llvm::to_vector(ValueRange(wait.getResults()));
    sum.firstProduct = first;
    added = sum.products;
    if (first + together < count)
      addProducts(op, sum);
  }
  sums[op] = std::move(sum);
  return success();
}

void KernelEmitter::addProducts(tile::PromoteOp op, OpenSum &sum) {
  ArrayRef<Value> rows, cols;
  if (op.getRow())
    rows = parts[op.getRow()];
  if (op.getCol())
    cols = parts[op.getCol()];
  DenseMap<std::pair<Value, Value>, Value> factors;
  for (auto [number, product] : llvm::enumerate(sum.products)) {
    size_t count =
        cast<LLVM::LLVMStructType>(product.getType()).getBody().size();
    size_t at = (sum.firstProduct + number / sum.slices) * sum.stride;
    for (size_t i = 0; i < count; ++i, ++at) {
      Value row = rows.empty() ? Value() : rows[at];
      Value col = cols.empty() ? Value() : cols[at];
      Value v = LLVM::ExtractValueOp::create(b, loc, product, int64_t(i));
      Value &old = sum.registers[at];
      if (!row && !col) {
        old = arith::AddFOp::create(b, loc, v, old);
        continue;
      }
      Value &factor = factors[{row, col}];
      if (!factor)
        factor = row && col ? Value(arith::MulFOp::create(b, loc, row, col))
                 : row      ? row
                            : col;
      old = math::FmaOp::create(b, loc, v, factor, old);
    }
  }
  sum.products.clear();
}

LogicalResult KernelEmitter::emitPromote(tile::PromoteOp op) {
  auto it = sums.find(op);
  if (it == sums.end())
    return op.emitOpError("the NVVM lowering promotes the product of one mma "
                          "of the same block");
  addProducts(op, it->second);
  parts[op.getResult()] = it->second.registers;
  sums.erase(it);
  return success();
}
