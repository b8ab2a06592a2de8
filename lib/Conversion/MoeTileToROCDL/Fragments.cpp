//===- Fragments.cpp - Registers of a team: load, map, store --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A fragment is the list of one lane's registers. Register r of the lane holds
// the element at lanePosition + offset(r); the offsets are constants of the
// layout. Slices keep the list of the whole layout, with values repeated.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "moec/Conversion/WaveTarget.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

using Offset = std::pair<int64_t, int64_t>;

/// Offsets of the registers of a layout.
static SmallVector<Offset> registerOffsets(tile::DigitsAttr layout) {
  SmallVector<Offset> offsets;
  int64_t count = layout.getLevelSize(tile::Level::Reg);
  for (int64_t r = 0; r < count; ++r)
    offsets.push_back(layout.map({r}));
  return offsets;
}

/// First register at each offset.
static std::map<Offset, int64_t> registersByOffset(tile::DigitsAttr layout) {
  std::map<Offset, int64_t> registers;
  for (auto [r, offset] : llvm::enumerate(registerOffsets(layout)))
    registers.try_emplace(offset, r);
  return registers;
}

static LogicalResult needLayout(Operation *op, Type type) {
  auto frag = dyn_cast<tile::FragType>(type);
  if (frag && !frag.getLayout())
    return op->emitOpError("the ROCDL lowering needs a layout on ") << type;
  return success();
}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

std::pair<Value, Value> KernelEmitter::lanePosition(tile::DigitsAttr layout) {
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

Value KernelEmitter::globalAt(const Memory &memory, Value elements) {
  Type element = memory.type.getElementType();
  // LLVM has no floats of 8 bits.
  if (isa<FloatType>(element) && element.getIntOrFloatBitWidth() == 8)
    element = b.getI8Type();
  Type ptr = LLVM::LLVMPointerType::get(b.getContext(), 1);
  return LLVM::GEPOp::create(b, loc, ptr, element, memory.pointer,
                             ArrayRef<LLVM::GEPArg>{elements});
}

Value KernelEmitter::elementOffset(tile::TileAccess access, Value row, Value r,
                                   Value c, Value &inside) {
  const Memory &memory = memories[access.getMemory()];
  int64_t rank = memory.type.getRank();
  int64_t rowsAt = access.getRowsPosition();
  auto [tileRows, tileCols] = access.getTileShape();
  auto boxes = access.getBoxes();
  if (boxes) {
    Value &moving = access.getBoxDim() == 0 ? r : c;
    int64_t size = (access.getBoxDim() == 0 ? tileRows : tileCols) /
                   int64_t(boxes->size());
    Value shift = c32((*boxes)[0]);
    for (size_t i = 1; i < boxes->size(); ++i)
      shift = arith::SelectOp::create(
          b, loc,
          cmp(arith::CmpIPredicate::uge, moving, c32(int64_t(i) * size)),
          c32((*boxes)[i] - int64_t(i) * size), shift);
    moving = add(moving, shift);
  }
  Value flat;
  for (int64_t d = 0; d < rank; ++d) {
    Value at;
    int64_t granule = access.getGranuleOf(d);
    if (d == rowsAt) {
      at = row;
    } else {
      Value index = asI32(access.getIndices()[d]);
      if (granule != 1)
        index = quotient(index, granule);
      int64_t reach = 1;
      if (access.getMemoryDim(0) == d && rowsAt != d) {
        index = add(index, r);
        reach = tileRows;
      }
      if (access.getMemoryDim(1) == d) {
        index = add(index, c);
        reach = tileCols;
      }
      // Tiles start at multiples of their size: they, and the pieces in which
      // they are stored, stay inside of an extent that is one too. Rows below a
      // limit exist.
      int64_t size = memory.type.getDimSize(d);
      auto store = dyn_cast<tile::StoreOp>(access.getOperation());
      bool limited = access.getMemoryDim(0) == d && store && store.getLimit();
      bool mayLeave = reach > 1 && !limited &&
                      (memory.type.isDynamicDim(d) || boxes || granule != 1 ||
                       size % std::max(reach, tileColumns) != 0);
      if (mayLeave)
        inside = both(inside,
                      cmp(arith::CmpIPredicate::slt, index, extent(memory, d)));
      at = wide(index);
    }
    if (!flat) {
      flat = at;
      continue;
    }
    Value size = memory.type.isDynamicDim(d) ? wide(extent(memory, d))
                                             : c64(memory.type.getDimSize(d));
    flat = add(mul(flat, size), at);
  }
  return flat ? flat : c64(0);
}

//===----------------------------------------------------------------------===//
// Loads, splits, programs
//===----------------------------------------------------------------------===//

LogicalResult KernelEmitter::emitLoad(tile::LoadOp op) {
  auto type = dyn_cast<tile::FragType>(op.getResult().getType());
  if (!type)
    return refuse(op) << "buffers of an explicit kernel are filled by deposits";
  if (!memories.count(op.getMemory()))
    return refuse(op) << "reads memory that is no kernel argument";
  if (failed(needLayout(op, type)))
    return failure();
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  auto [m, n] = lanePosition(type.getLayout());
  Type element = memory.type.getElementType();
  // Powers of two, and scales of what is decoded, are read as the bytes that
  // they are.
  bool decodes = llvm::all_of(op.getResult().getUsers(), [](Operation *user) {
    return isa<tile::DequantOp, scf::YieldOp, scf::ForOp>(user);
  });
  if (isa<Float8E8M0FNUType>(element) ||
      (decodes && isa<Float8E4M3FNType>(element)))
    element = b.getI8Type();
  if (isa<FloatType>(element) && element.getIntOrFloatBitWidth() == 8)
    return refuse(op) << "8-bit floats have no lowering as operands of an "
                         "epilogue";
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
  int64_t rowsAt = access.getRowsPosition();
  const RowList *list = nullptr;
  if (rowsAt >= 0)
    list = &rowLists[op.getIndices()[rowsAt]];
  std::map<Offset, Value> loaded;
  std::map<int64_t, std::pair<Value, Value>> numbers;
  SmallVector<Value> values;
  for (Offset offset : registerOffsets(type.getLayout())) {
    if (type.getRows() == 1)
      offset.first = 0;
    if (type.getCols() == 1)
      offset.second = 0;
    Value &value = loaded[offset];
    if (!value) {
      Value r = type.getRows() == 1 ? c32(0)
                : offset.first      ? add(m, c32(offset.first))
                                    : m;
      Value c = type.getCols() == 1 ? c32(0)
                : offset.second     ? add(n, c32(offset.second))
                                    : n;
      Value row, inside;
      if (list) {
        // The list follows the tile's rows, or its columns.
        bool byRow = access.getMemoryDim(0) == rowsAt;
        int64_t at = byRow ? offset.first : offset.second;
        auto &[number, valid] = numbers[at];
        if (!number)
          std::tie(number, valid) =
              knownRow(op, op.getIndices()[rowsAt], byRow, at, byRow ? r : c);
        row = number;
        inside = valid;
      }
      Value at = elementOffset(access, row, r, c, inside);
      if (inside)
        at = arith::SelectOp::create(b, loc, inside, at, c64(0));
      value = LLVM::LoadOp::create(b, loc, element, globalAt(memory, at));
      if (inside)
        value = arith::SelectOp::create(b, loc, inside, value, zero);
    }
    values.push_back(value);
  }
  parts[op.getResult()] = values;
  return success();
}

LogicalResult KernelEmitter::emitSplat(tile::FragSplatOp op) {
  if (failed(needLayout(op, op.getResult().getType())))
    return failure();
  int64_t count =
      op.getResult().getType().getLayout().getLevelSize(tile::Level::Reg);
  parts[op.getResult()] = SmallVector<Value>(count, scalar(op.getValue()));
  return success();
}

LogicalResult KernelEmitter::emitSplit(tile::SplitOp op) {
  tile::FragType source = op.getSource().getType();
  if (failed(needLayout(op, source)) ||
      failed(needLayout(op, op.getFirst().getType())))
    return failure();
  std::map<Offset, int64_t> registers = registersByOffset(source.getLayout());
  SmallVector<Value> values = parts[op.getSource()];
  int64_t block = op.getBlock();
  for (auto [which, result] : llvm::enumerate(op.getResults())) {
    SmallVector<Value> half;
    for (Offset offset :
         registerOffsets(cast<tile::FragType>(result.getType()).getLayout())) {
      Offset from{offset.first, offset.second / block * 2 * block +
                                    int64_t(which) * block +
                                    offset.second % block};
      if (source.getCols() == 1 ||
          source.getLayout().getExtent(tile::Dim::N) == 1)
        from.second = 0;
      auto it = registers.find(from);
      if (it == registers.end())
        return refuse(op) << "the layout keeps column " << from.second
                          << " of the source in no register of the lane that "
                             "holds column "
                          << offset.second << " of the result";
      half.push_back(values[it->second]);
    }
    parts[result] = half;
  }
  return success();
}

/// Functions without an instruction, by those that have one: exp2 and division
/// in the hardware's approximation (relative error 2^-22 and 2^-23).
static Value approximate(OpBuilder &b, Location loc, Operation &op,
                         ValueRange operands) {
  Type f32 = b.getF32Type();
  auto flags = arith::FastMathFlagsAttr::get(
      b.getContext(), arith::FastMathFlags::afn | arith::FastMathFlags::arcp);
  auto c = [&](double v) -> Value {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(v)));
  };
  auto exp2 = [&](Value x) -> Value {
    return math::Exp2Op::create(b, loc, x, flags);
  };
  auto mul = [&](Value x, Value y) -> Value {
    return arith::MulFOp::create(b, loc, x, y);
  };
  auto add = [&](Value x, Value y) -> Value {
    return arith::AddFOp::create(b, loc, x, y);
  };
  auto div = [&](Value x, Value y) -> Value {
    return arith::DivFOp::create(b, loc, x, y, flags);
  };
  if (op.getNumResults() != 1 || op.getResult(0).getType() != f32)
    return {};
  const double log2e = 1.4426950408889634;
  if (isa<math::ExpOp>(op))
    return exp2(mul(operands[0], c(log2e)));
  if (isa<math::Exp2Op>(op))
    return exp2(operands[0]);
  if (isa<arith::DivFOp>(op))
    return div(operands[0], operands[1]);
  // 1 - 2 / (e^2x + 1): right at both infinities.
  if (isa<math::TanhOp>(op))
    return add(c(1.0),
               div(c(-2.0), add(exp2(mul(operands[0], c(2 * log2e))), c(1.0))));
  // Abramowitz and Stegun 7.1.26, absolute error 1.5e-7.
  if (isa<math::ErfOp>(op)) {
    Value x = math::AbsFOp::create(b, loc, operands[0]);
    Value t = div(c(1.0), add(c(1.0), mul(x, c(0.3275911))));
    Value p = c(1.061405429);
    for (double a : {-1.453152027, 1.421413741, -0.284496736, 0.254829592})
      p = add(mul(p, t), c(a));
    Value e = exp2(mul(mul(x, x), c(-log2e)));
    Value y = arith::SubFOp::create(b, loc, c(1.0), mul(mul(p, t), e));
    return math::CopySignOp::create(b, loc, y, operands[0]);
  }
  return {};
}

LogicalResult KernelEmitter::emitBody(Block &block,
                                      DenseMap<Value, Value> &values,
                                      SmallVectorImpl<Value> &yielded) {
  auto lookup = [&](Value v) -> Value {
    if (Value own = values.lookup(v))
      return own;
    return known(v) ? scalar(v) : Value();
  };
  for (Operation &op : block) {
    SmallVector<Value> operands;
    for (Value operand : op.getOperands()) {
      Value v = lookup(operand);
      if (!v)
        return refuse(&op) << "uses a value without lowering to ROCDL";
      operands.push_back(v);
    }
    if (op.hasTrait<OpTrait::IsTerminator>()) {
      yielded.append(operands.begin(), operands.end());
      return success();
    }
    if (Value v = approximate(b, loc, op, operands)) {
      values[op.getResult(0)] = v;
      continue;
    }
    // Powers of two are the bytes that they are stored as.
    auto isPower = [](Type type) { return isa<Float8E8M0FNUType>(type); };
    if (isa<arith::TruncFOp>(op) && isPower(op.getResult(0).getType())) {
      values[op.getResult(0)] = rows::truncateToPower(b, loc, operands[0]);
      continue;
    }
    if (isa<arith::ExtFOp>(op) && isPower(op.getOperand(0).getType())) {
      values[op.getResult(0)] = rows::extendPower(b, loc, operands[0]);
      continue;
    }
    OperationState state(loc, op.getName(), operands, op.getResultTypes(),
                         op.getAttrs());
    Operation *clone = b.create(state);
    for (auto [from, to] : llvm::zip(op.getResults(), clone->getResults()))
      values[from] = to;
  }
  return success();
}

LogicalResult KernelEmitter::emitMap(tile::MapOp op) {
  auto type = cast<tile::FragType>(op.getResult(0).getType());
  SmallVector<std::map<Offset, int64_t>> inputRegisters;
  for (Value v : op.getInputs()) {
    if (failed(needLayout(op, v.getType())))
      return failure();
    inputRegisters.push_back(
        registersByOffset(cast<tile::FragType>(v.getType()).getLayout()));
  }
  for (Value v : op.getResults())
    if (failed(needLayout(op, v.getType())))
      return failure();
  Block &body = op.getBody().front();
  SmallVector<SmallVector<Value>> results(op.getNumResults());
  for (Offset offset : registerOffsets(type.getLayout())) {
    DenseMap<Value, Value> values;
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      auto from = cast<tile::FragType>(input.getType());
      Offset at{from.getRows() == 1 ? 0 : offset.first,
                from.getCols() == 1 ? 0 : offset.second};
      auto it = inputRegisters[i].find(at);
      if (it == inputRegisters[i].end())
        return refuse(op) << "the layout of input " << i
                          << " has no register for element (" << at.first
                          << ", " << at.second << ") of the result's layout";
      values[body.getArgument(i)] = parts[input][it->second];
    }
    SmallVector<Value> yielded;
    if (failed(emitBody(body, values, yielded)))
      return failure();
    for (auto [list, v] : llvm::zip(results, yielded))
      list.push_back(v);
  }
  for (auto [result, list] : llvm::zip(op.getResults(), results))
    parts[result] = list;
  return success();
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
    auto [m, n] = lanePosition(type.getLayout());
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
