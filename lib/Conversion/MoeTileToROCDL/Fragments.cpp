//===- Fragments.cpp - Registers of a team: load, map, store --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A fragment is the list of one lane's registers. Register r of the lane holds
// the element at threadPosition + offset(r); the offsets are constants of the
// layout. Slices keep the list of the whole layout, with values repeated.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "moec/Conversion/WaveTarget.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

std::pair<Value, Value> KernelEmitter::threadPosition(tile::DigitsAttr layout) {
  auto [it, isNew] = positions.try_emplace(layout);
  if (!isNew)
    return it->second;
  auto made = atEntry([&]() -> std::pair<Value, Value> {
    Value position[2] = {c32(0), c32(0)};
    for (auto [level, index] :
         {std::pair<tile::Level, Value>{tile::Level::Lane, lane},
          {tile::Level::Warp, warp}}) {
      Value left = index;
      for (const tile::Digit &digit : layout.getDigits()) {
        if (digit.level != level)
          continue;
        Value d = rest(left, digit.extent);
        left = quotient(left, digit.extent);
        Value &at = position[digit.dim == tile::Dim::M ? 0 : 1];
        if (digit.stride)
          at = add(at, mul(d, c32(digit.stride)));
      }
    }
    return {position[0], position[1]};
  });
  positions[layout] = made;
  return made;
}

/// Number of the memory's row that is row `m` of a tile, i64. A row that does
/// not exist, of which `valid` is made false, gives the tile's first one.
Value KernelEmitter::rowNumber(const RowList &rows, Value m, Value &valid) {
  Value inside = m;
  if (rows.limit) {
    valid = both(valid, cmp(arith::CmpIPredicate::slt, m, rows.limit));
    inside = arith::SelectOp::create(b, loc, valid, m, c32(0));
  }
  if (!rows.slots)
    return wide(add(rows.first, inside));
  const Memory &slots = memories[rows.slots];
  Value slot =
      LLVM::LoadOp::create(b, loc, slots.type.getElementType(),
                           globalAt(slots, wide(add(rows.first, inside))));
  if (slot.getType().isInteger(64))
    slot = arith::TruncIOp::create(b, loc, b.getI32Type(), slot);
  Value exists = cmp(arith::CmpIPredicate::sge, slot, c32(0));
  if (rows.bound)
    exists = both(exists, cmp(arith::CmpIPredicate::slt, slot, rows.bound));
  valid = both(valid, exists);
  Value number = quotient(slot, rows.divisor);
  return wide(arith::SelectOp::create(b, loc, exists, number, c32(0)));
}

/// `rowNumber` of the row (or, not `byRow`, column) at `offset` of the lane's
/// position in what `op` loads, made once for all steps of a tile: between two
/// steps stands a barrier that the compiler moves no load over.
std::pair<Value, Value> KernelEmitter::knownRow(tile::LoadOp op, Value list,
                                                bool byRow, int64_t offset,
                                                Value row) {
  Attribute layout = cast<tile::FragType>(op.getResult().getType()).getLayout();
  for (const KnownRow &known : knownRows)
    if (known.list == list && known.layout == layout && known.byRow == byRow &&
        known.offset == offset &&
        known.region->isAncestor(op->getParentRegion()))
      return {known.number, known.valid};
  Value valid;
  Value number = rowNumber(rowLists[list], row, valid);
  knownRows.push_back(
      {list, layout, byRow, offset, op->getParentRegion(), number, valid});
  return {number, valid};
}

Value KernelEmitter::rowOfLoad(tile::LoadOp op, Value list, bool byRow,
                               int64_t offset, Value row, Value &valid) {
  Value number;
  std::tie(number, valid) = knownRow(op, list, byRow, offset, row);
  return number;
}

Type KernelEmitter::loadedType(tile::LoadOp op) {
  Type element = memories[op.getMemory()].type.getElementType();
  // Powers of two, and scales of what is decoded, are read as the bytes that
  // they are.
  bool decodes = llvm::all_of(op.getResult().getUsers(), [](Operation *user) {
    return isa<tile::DequantOp, scf::YieldOp, scf::ForOp>(user);
  });
  if (isa<Float8E8M0FNUType>(element) ||
      (decodes && isa<Float8E4M3FNType>(element)))
    return b.getI8Type();
  if (!isa<FloatType>(element) || element.getIntOrFloatBitWidth() != 8)
    return element;
  refuse(op) << "8-bit floats have no lowering as operands of an epilogue";
  return {};
}

Value KernelEmitter::emitOwn(Operation &op, ValueRange operands) {
  // Powers of two are the bytes that they are stored as.
  auto isPower = [](Type type) { return isa<Float8E8M0FNUType>(type); };
  if (isa<arith::TruncFOp>(op) && isPower(op.getResult(0).getType()))
    return rows::truncateToPower(b, loc, operands[0]);
  if (isa<arith::ExtFOp>(op) && isPower(op.getOperand(0).getType()))
    return rows::extendPower(b, loc, operands[0]);
  return {};
}

//===----------------------------------------------------------------------===//
// Stores
//===----------------------------------------------------------------------===//

/// Values side by side as one vector; conversions from f32 become one.
Value KernelEmitter::packRun(ArrayRef<Value> values) {
  auto build = [&](Type element, ArrayRef<Value> from) {
    auto type = VectorType::get({int64_t(from.size())}, element);
    Value v = LLVM::PoisonOp::create(b, loc, type);
    for (auto [i, x] : llvm::enumerate(from))
      v = LLVM::InsertElementOp::create(b, loc, v, x, c32(i));
    return v;
  };
  Type element = values[0].getType();
  SmallVector<Value> sources;
  for (Value v : values)
    if (auto cast = v.getDefiningOp<arith::TruncFOp>())
      if (cast.getIn().getType().isF32())
        sources.push_back(cast.getIn());
  if (sources.size() != values.size())
    return build(element, values);
  return arith::TruncFOp::create(
      b, loc, VectorType::get({int64_t(values.size())}, element),
      build(b.getF32Type(), sources));
}

LogicalResult KernelEmitter::emitStore(tile::StoreOp op) {
  auto access = cast<tile::TileAccess>(op.getOperation());
  if (!memories.count(op.getMemory()))
    return refuse(op) << "writes memory that is no kernel argument";
  if (isa<tile::BufType>(op.getValues()[0].getType()))
    return refuse(op) << "stores of fragments have a lowering, not of buffers";
  const Memory &memory = memories[op.getMemory()];
  bool adds = op.getMode() != tile::StoreMode::Plain;
  if (adds && !memory.type.getElementType().isF32())
    return refuse(op) << "adding stores to memory of f32 have a lowering, got "
                      << memory.type.getElementType();
  int64_t rowsAt = access.getRowsPosition();
  if (rowsAt >= 0 && access.getMemoryDim(0) != rowsAt)
    return refuse(op) << "a row list must follow the rows of the tile";
  for (Value v : op.getValues()) {
    auto type = cast<tile::FragType>(v.getType());
    if (failed(needLayout(op, type)))
      return failure();
    if (type.getRows() == 1)
      return refuse(op) << "stores of one row have no lowering, got " << type;
  }
  const RowList *list =
      rowsAt >= 0 ? &rowLists[op.getIndices()[rowsAt]] : nullptr;
  Value limit = op.getLimit() ? asI32(op.getLimit()) : Value();
  Value rows = list ? list->limit : limit;
  if (!rows || (list && list->bound)) {
    return storeRows(op, /*whole=*/false);
  }
  // Most tiles have all their rows: those are stored without a branch for each.
  // That sums are needed on both ways also keeps the compiler from moving
  // products behind the branches, where their operands would pile up.
  Value whole =
      cmp(arith::CmpIPredicate::sge, rows, c32(access.getTileShape().first));
  auto ifOp = scf::IfOp::create(b, loc, whole, /*else=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(ifOp.thenBlock());
  if (failed(storeRows(op, /*whole=*/true)))
    return failure();
  b.setInsertionPointToStart(ifOp.elseBlock());
  return storeRows(op, /*whole=*/false);
}

/// Stores fragments by rows. `whole`: all rows of the tile exist.
LogicalResult KernelEmitter::storeRows(tile::StoreOp op, bool whole) {
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  bool adds = op.getMode() != tile::StoreMode::Plain;
  int64_t rowsAt = access.getRowsPosition();
  Value limit = op.getLimit() ? asI32(op.getLimit()) : Value();
  int64_t column = 0, rank = memory.type.getRank();
  for (Value v : op.getValues()) {
    auto type = cast<tile::FragType>(v.getType());
    auto [m, n] = threadPosition(type.getLayout());
    bool slice = type.getCols() == 1;
    Value owns =
        slice ? ownsElement(type.getLayout(), /*lanesOnly=*/false) : Value();
    // Registers by row, columns ascending.
    std::map<int64_t, std::map<int64_t, Value>> rows;
    for (auto [offset, value] :
         llvm::zip(registerOffsets(type.getLayout()), parts[v]))
      rows[offset.first].try_emplace(slice ? 0 : offset.second, value);
    // Neighbours in the first register digit go together, up to 16 bytes.
    ArrayRef<tile::Digit> digits = type.getLayout().getDigits();
    int64_t size = type.getElementType().getIntOrFloatBitWidth() / 8;
    int64_t length = 1, pitch = memory.type.getDimSize(rank - 1);
    bool bytes = isa<FloatType>(type.getElementType()) && size == 1 &&
                 !isa<Float8E8M0FNUType>(type.getElementType());
    if (!adds && !slice && access.getMemoryDim(1) == rank - 1 &&
        access.getGranuleOf(rank - 1) == 1 && !digits.empty() &&
        digits[0].level == tile::Level::Reg && digits[0].dim == tile::Dim::N &&
        digits[0].stride == 1)
      while (length * 2 * size <= 16 && digits[0].extent % (length * 2) == 0 &&
             pitch % (length * 2) == 0 && column % (length * 2) == 0 &&
             tileColumns % (length * 2) == 0)
        length *= 2;
    // Bytes are packed in fours.
    if (bytes && length < 4)
      length = 1;
    for (auto &entry : rows) {
      Value r = entry.first ? add(m, c32(entry.first)) : m;
      Value row, valid;
      if (limit && !whole)
        valid = cmp(arith::CmpIPredicate::slt, r, limit);
      if (rowsAt >= 0)
        row = rowNumber(rowLists[op.getIndices()[rowsAt]], r, valid);
      valid = whole ? owns : both(owns, valid);
      bool packed = true;
      std::map<int64_t, Value> &registers = entry.second;
      ifThen(valid, [&] {
        for (auto it = registers.begin(); it != registers.end();) {
          int64_t first = it->first;
          SmallVector<Value> values;
          while (it != registers.end() && int64_t(values.size()) < length &&
                 it->first == first + int64_t(values.size()))
            values.push_back((it++)->second);
          Value c = slice ? c32(column) : add(n, c32(first + column));
          Value inside;
          Value at = elementOffset(access, row, r, c, inside);
          Value run;
          if (bytes) {
            FailureOr<Value> made = packBytes(op, values);
            packed &= succeeded(made);
            if (!packed)
              return;
            run = *made;
          } else {
            run = values.size() > 1 ? packRun(values) : values[0];
          }
          ifThen(inside, [&] {
            if (!adds) {
              LLVM::StoreOp::create(b, loc, run, globalAt(memory, at),
                                    size * int64_t(values.size()));
              return;
            }
            // Rows of one token meet here in any order. The memory is the
            // device's own: the instruction may be used.
            auto sum = LLVM::AtomicRMWOp::create(
                b, loc, LLVM::AtomicBinOp::fadd, globalAt(memory, at), run,
                LLVM::AtomicOrdering::monotonic, "agent");
            sum->setAttr("rocdl.no_fine_grained_memory", b.getUnitAttr());
            sum->setAttr("rocdl.no_remote_memory", b.getUnitAttr());
          });
        }
      });
      if (!packed)
        return failure();
    }
    column += type.getCols();
  }
  return success();
}
