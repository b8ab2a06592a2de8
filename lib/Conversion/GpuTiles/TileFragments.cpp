//===- TileFragments.cpp - Registers of a thread: load, map, split --------===//
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

#include "TileEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::gpu_tiles;

SmallVector<Offset> gpu_tiles::registerOffsets(tile::DigitsAttr layout) {
  SmallVector<Offset> offsets;
  int64_t count = layout.getLevelSize(tile::Level::Reg);
  for (int64_t r = 0; r < count; ++r)
    offsets.push_back(layout.map({r}));
  return offsets;
}

std::map<Offset, int64_t>
gpu_tiles::registersByOffset(tile::DigitsAttr layout) {
  std::map<Offset, int64_t> registers;
  for (auto [r, offset] : llvm::enumerate(registerOffsets(layout)))
    registers.try_emplace(offset, r);
  return registers;
}

LogicalResult TileEmitter::needLayout(Operation *op, Type type) {
  auto frag = dyn_cast<tile::FragType>(type);
  if (frag && !frag.getLayout())
    return op->emitOpError("the ")
           << language << " lowering needs a layout on " << type;
  return success();
}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

Value TileEmitter::globalAt(const Memory &memory, Value elements) {
  Type element = memory.type.getElementType();
  // LLVM has no floats of 8 bits.
  if (isa<FloatType>(element) && element.getIntOrFloatBitWidth() == 8)
    element = b.getI8Type();
  Type ptr = LLVM::LLVMPointerType::get(b.getContext(), 1);
  return LLVM::GEPOp::create(b, loc, ptr, element, memory.pointer,
                             ArrayRef<LLVM::GEPArg>{elements});
}

Value TileEmitter::elementOffset(tile::TileAccess access, Value row, Value r,
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

LogicalResult TileEmitter::emitLoad(tile::LoadOp op) {
  auto type = dyn_cast<tile::FragType>(op.getResult().getType());
  if (!type)
    return refuse(op) << "buffers of an explicit kernel are filled by copies";
  if (!memories.count(op.getMemory()))
    return refuse(op) << "reads memory that is no kernel argument";
  if (failed(needLayout(op, type)))
    return failure();
  auto access = cast<tile::TileAccess>(op.getOperation());
  const Memory &memory = memories[op.getMemory()];
  auto [m, n] = threadPosition(type.getLayout());
  Type element = loadedType(op);
  if (!element)
    return failure();
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
  int64_t rowsAt = access.getRowsPosition();
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
      if (rowsAt >= 0) {
        // The list follows the tile's rows, or its columns.
        bool byRow = access.getMemoryDim(0) == rowsAt;
        int64_t at = byRow ? offset.first : offset.second;
        auto &[number, valid] = numbers[at];
        if (!number)
          number = rowOfLoad(op, op.getIndices()[rowsAt], byRow, at,
                             byRow ? r : c, valid);
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

LogicalResult TileEmitter::emitSplat(tile::FragSplatOp op) {
  if (failed(needLayout(op, op.getResult().getType())))
    return failure();
  int64_t count =
      op.getResult().getType().getLayout().getLevelSize(tile::Level::Reg);
  parts[op.getResult()] = SmallVector<Value>(count, scalar(op.getValue()));
  return success();
}

LogicalResult TileEmitter::emitSplit(tile::SplitOp op) {
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
                          << " of the source in no register of the thread that "
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

LogicalResult TileEmitter::emitBody(Block &block,
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
        return refuse(&op) << "uses a value without lowering to " << language;
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
    if (Value v = emitOwn(op, operands)) {
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

LogicalResult TileEmitter::emitMap(tile::MapOp op) {
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
