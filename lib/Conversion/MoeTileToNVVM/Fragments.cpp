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

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

namespace {
using Offset = std::pair<int64_t, int64_t>;

/// Offsets of the registers of a layout.
SmallVector<Offset> registerOffsets(tile::DigitsAttr layout) {
  SmallVector<Offset> offsets;
  int64_t count = layout.getLevelSize(tile::Level::Reg);
  for (int64_t r = 0; r < count; ++r)
    offsets.push_back(layout.map({r}));
  return offsets;
}

/// First register at each offset.
std::map<Offset, int64_t> registersByOffset(tile::DigitsAttr layout) {
  std::map<Offset, int64_t> registers;
  for (auto [r, offset] : llvm::enumerate(registerOffsets(layout)))
    registers.try_emplace(offset, r);
  return registers;
}

LogicalResult needLayout(Operation *op, Type type) {
  auto frag = dyn_cast<tile::FragType>(type);
  if (frag && !frag.getLayout())
    return op->emitOpError("the NVVM lowering needs a layout on ") << type;
  return success();
}
} // namespace

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
      Value index = scalar(access.getIndices()[d]);
      if (granule != 1)
        index = arith::DivUIOp::create(b, loc, index, c32(granule));
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
      bool limited = access.getMemoryDim(0) == d &&
                     isa<tile::StoreOp>(access.getOperation()) &&
                     cast<tile::StoreOp>(access.getOperation()).getLimit();
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
    return op.emitOpError("buffers of an explicit kernel are filled by copies");
  if (!memories.count(op.getMemory()))
    return op.emitOpError("reads memory that is no kernel argument");
  if (failed(needLayout(op, type)))
    return failure();
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  auto [m, n] = threadPosition(type.getLayout());
  Type element = type.getElementType();
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
    if (isTrimmedAway(type, offset.first))
      value = zero;
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
        auto &[number, valid] = numbers[byRow ? offset.first : offset.second];
        if (!number)
          number = rowNumber(*list, byRow ? r : c, valid);
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
      auto it = registers.find(from);
      if (it == registers.end())
        return op.emitOpError("the layout keeps column ")
               << from.second << " of the source in no register of the thread "
               << "that holds column " << offset.second << " of the result";
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
        return op.emitOpError("uses a value without lowering to NVVM");
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
    if (isTrimmedAway(type, offset.first)) {
      for (auto [result, list] : llvm::zip(op.getResults(), results)) {
        Type element = cast<tile::FragType>(result.getType()).getElementType();
        if (element.getIntOrFloatBitWidth() != 8) {
          list.push_back(
              arith::ConstantOp::create(b, loc, b.getZeroAttr(element)));
          continue;
        }
        // Stores take bytes that are rounded f32.
        Value wide = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
        list.push_back(arith::TruncFOp::create(b, loc, element, wide));
      }
      continue;
    }
    DenseMap<Value, Value> values;
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      auto from = cast<tile::FragType>(input.getType());
      Offset at{from.getRows() == 1 ? 0 : offset.first,
                from.getCols() == 1 ? 0 : offset.second};
      auto it = inputRegisters[i].find(at);
      if (it == inputRegisters[i].end())
        return op.emitOpError("the layout of input ")
               << i << " has no register for element (" << at.first << ", "
               << at.second << ") of the result's layout";
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
