//===- ComputeOps.cpp - Products, scales, fragments -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

TileRef Runner::newTile(Type type) {
  auto tile = std::make_shared<Tile>();
  std::tie(tile->rows, tile->cols) = getTileShape(type);
  tile->element = *ScalarType::of(getTileElementType(type));
  tile->data.assign(tile->rows * tile->cols, HostScalar::ofUndefined());
  return tile;
}

FailureOr<TileRef> Runner::read(Operation *op, Value value) {
  TileRef tile = get<TileRef>(value);
  if (tile->state != TileState::Plain && tile->state != TileState::Reading) {
    StringRef why =
        tile->state == TileState::Filling ? "that has not been published"
        : tile->state == TileState::Full  ? "that has not been waited for"
                                          : "that has been released";
    return op->emitError("reads a buffer of a slot ") << why;
  }
  if (tile->copying)
    return op->emitError("reads a buffer before a copy_wait for its copy");
  if (tile->unsynced)
    return op->emitError("reads a deposit before a group_sync");
  tile->readSinceSync = true;
  return tile;
}

LogicalResult Runner::runCompute(Operation &op, bool &known) {
  known = true;
  if (auto mma = dyn_cast<MmaOp>(op))
    return runMma(mma);
  if (auto dequant = dyn_cast<DequantOp>(op))
    return runDequant(dequant);
  if (auto promote = dyn_cast<PromoteOp>(op))
    return runPromote(promote);
  if (auto map = dyn_cast<MapOp>(op))
    return runMap(map);
  if (auto reduce = dyn_cast<RowReduceOp>(op))
    return runRowReduce(reduce);
  if (auto zero = dyn_cast<AccZeroOp>(op)) {
    TileRef tile = newTile(zero.getType());
    tile->data.assign(tile->data.size(), tile->element.isFloat
                                             ? HostScalar::ofFloat(0)
                                             : HostScalar::ofInt(0));
    set(zero.getResult(), tile);
    return success();
  }
  if (auto splat = dyn_cast<FragSplatOp>(op)) {
    TileRef tile = newTile(splat.getType());
    tile->data.assign(tile->data.size(), get<HostScalar>(splat.getValue()));
    set(splat.getResult(), tile);
    return success();
  }
  if (auto readAcc = dyn_cast<AccReadOp>(op)) {
    TileRef tile = get<TileRef>(readAcc.getAcc());
    completeMma(tile->mma);
    set(readAcc.getResult(), tile);
    return success();
  }
  if (auto relayout = dyn_cast<RelayoutOp>(op)) {
    set(relayout.getResult(), values[relayout.getSource()]);
    return success();
  }
  if (auto load = dyn_cast<FragLoadOp>(op)) {
    FailureOr<TileRef> source = read(load, load.getBuffer());
    if (failed(source))
      return failure();
    // Registers keep what the buffer holds now.
    TileRef tile = newTile(load.getType());
    if (!load.getAt()) {
      tile->data = (*source)->data;
    } else {
      FailureOr<int64_t> column = getIndex(&op, load.getAt());
      if (failed(column))
        return failure();
      if (*column < 0 || *column >= (*source)->cols)
        return load.emitOpError("reads column ")
               << *column << ", the buffer has " << (*source)->cols;
      for (int64_t r = 0; r < (*source)->rows; ++r)
        tile->at(0, r) = (*source)->at(r, *column);
    }
    set(load.getResult(), tile);
    return success();
  }
  if (auto split = dyn_cast<SplitOp>(op)) {
    TileRef source = get<TileRef>(split.getSource());
    TileRef halves[2] = {newTile(split.getFirst().getType()),
                         newTile(split.getSecond().getType())};
    int64_t block = split.getBlock();
    for (int64_t r = 0; r < source->rows; ++r)
      for (int64_t c = 0; c < source->cols; ++c)
        halves[c / block % 2]->at(r, c / (2 * block) * block + c % block) =
            source->at(r, c);
    set(split.getFirst(), halves[0]);
    set(split.getSecond(), halves[1]);
    return success();
  }
  if (auto join = dyn_cast<JoinOp>(op)) {
    TileRef halves[2] = {get<TileRef>(join.getFirst()),
                         get<TileRef>(join.getSecond())};
    TileRef tile = newTile(join.getType());
    int64_t block = join.getBlock();
    for (int64_t r = 0; r < tile->rows; ++r)
      for (int64_t c = 0; c < tile->cols; ++c)
        tile->at(r, c) =
            halves[c / block % 2]->at(r, c / (2 * block) * block + c % block);
    set(join.getResult(), tile);
    return success();
  }
  known = false;
  return success();
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

namespace {
/// A tile's values as plain numbers, and which rows have undefined ones.
struct Dense {
  std::vector<double> values;
  std::vector<bool> undefinedRow;

  explicit Dense(const Tile &tile) : undefinedRow(tile.rows) {
    values.reserve(tile.data.size());
    for (auto [i, cell] : llvm::enumerate(tile.data)) {
      if (cell.undefined)
        undefinedRow[i / tile.cols] = true;
      values.push_back(tile.element.isFloat ? cell.f
                                            : static_cast<double>(cell.i));
    }
  }
};
} // namespace

LogicalResult Runner::runMma(MmaOp op) {
  FailureOr<TileRef> a = read(op, op.getA()), b = read(op, op.getB());
  if (failed(a) || failed(b))
    return failure();
  TileRef result = newTile(op.getType());
  TileRef from = op.getC() ? get<TileRef>(op.getC()) : TileRef();
  Dense left(**a), right(**b);
  int64_t k = op.getK();
  // i32 sums are exact in f64 for the k of any slot.
  for (int64_t m = 0; m < result->rows; ++m)
    for (int64_t n = 0; n < result->cols; ++n) {
      HostScalar &cell = result->at(m, n);
      if (left.undefinedRow[m] || right.undefinedRow[n] ||
          (from && from->at(m, n).undefined))
        continue;
      double sum = 0;
      const double *x = left.values.data() + m * k;
      const double *y = right.values.data() + n * k;
      for (int64_t i = 0; i < k; ++i)
        sum += x[i] * y[i];
      if (result->element.isFloat) {
        sum += from ? from->at(m, n).f : 0.0;
        cell = HostScalar::ofFloat(
            roundTo(result->element, sum, machine.options.wide));
      } else {
        int64_t old = from ? from->at(m, n).i : 0;
        cell = HostScalar::ofInt(
            wrapTo(result->element, old + static_cast<int64_t>(sum)));
      }
    }
  result->mma = ++numMma;
  inFlight.push_back({numMma, {*a, *b}});
  set(op.getResult(), result);
  return success();
}

void Runner::completeMma(int64_t upTo) {
  while (!inFlight.empty() && inFlight.front().number <= upTo)
    inFlight.pop_front();
}

bool Runner::isInFlight(const TileRef &tile) {
  return llvm::any_of(inFlight, [&](const InFlight &mma) {
    return llvm::is_contained(mma.operands, tile);
  });
}

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

/// The value of column c of a stored row.
static HostScalar unpack(DequantFormat format, Tile &tile, int64_t r,
                         int64_t c) {
  auto nibble = [](HostScalar cell, int64_t position) {
    if (cell.undefined)
      return cell;
    return HostScalar::ofInt(static_cast<uint64_t>(cell.i) >> (4 * position) &
                             15);
  };
  switch (format) {
  case DequantFormat::Plain:
    return tile.at(r, c);
  case DequantFormat::LowEven:
    return nibble(tile.at(r, c / 2), c % 2);
  case DequantFormat::Mx: {
    HostScalar code = nibble(tile.at(r, c / 2), c % 2);
    return code.undefined
               ? code
               : HostScalar::ofFloat(decode(ElementType::F4E2M1FN, code.i));
  }
  case DequantFormat::Exllama: {
    // From bit 0 up a word holds columns 0,2,4,6,1,3,5,7.
    int64_t column = c % 8;
    int64_t position = column % 2 == 0 ? column / 2 : 4 + column / 2;
    if (tile.element.width == 32)
      return nibble(tile.at(r, c / 8), position);
    return nibble(tile.at(r, c / 8 * 4 + position / 2), position % 2);
  }
  }
  return HostScalar::ofUndefined();
}

/// An integer code as a number: unsigned with a zero point, else two's
/// complement.
static double codeOf(DequantFormat format, int64_t code, bool isUnsigned) {
  if (format == DequantFormat::Plain)
    return static_cast<double>(
        isUnsigned ? static_cast<int64_t>(static_cast<uint8_t>(code)) : code);
  return static_cast<double>(isUnsigned ? code : (code ^ 8) - 8);
}

/// A zero point as a number: those of a byte are unsigned.
static double zeroOf(const ScalarType &type, HostScalar value) {
  if (type.isFloat)
    return value.f;
  return static_cast<double>(
      type.width == 8 ? static_cast<int64_t>(static_cast<uint8_t>(value.i))
                      : value.i);
}

/// A scalar of any type as a number.
static double numberOf(const ScalarType &type, HostScalar value) {
  return type.isFloat ? value.f : static_cast<double>(value.i);
}

LogicalResult Runner::runDequant(DequantOp op) {
  FailureOr<TileRef> source = read(op, op.getSource());
  if (failed(source))
    return failure();
  TileRef scale, zero;
  for (auto [value, target] : {std::make_pair(op.getScale(), &scale),
                               std::make_pair(op.getZero(), &zero)}) {
    if (!value)
      continue;
    FailureOr<TileRef> tile = read(op, value);
    if (failed(tile))
      return failure();
    *target = *tile;
  }
  TileRef result = newTile(op.getType());
  ScalarType f32 = result->element;
  f32.element = ElementType::F32;
  bool wide = machine.options.wide;
  const std::pair<int64_t, int64_t> granule = op.getScaleGranule();
  int64_t firstCol = 0;
  if (op.getAt()) {
    FailureOr<int64_t> at = getIndex(op, op.getAt());
    if (failed(at))
      return failure();
    firstCol = *at;
    int64_t columns = (scale ? scale : zero)->cols;
    if (firstCol < 0 || firstCol / granule.second >= columns)
      return op.emitError("column ")
             << firstCol << " has no scale, there are " << columns << " of "
             << granule.second << " columns each";
  }
  DequantFormat format = op.getFormat();
  bool floatSource = (*source)->element.isFloat || format == DequantFormat::Mx;
  for (int64_t r = 0; r < result->rows; ++r)
    for (int64_t c = 0; c < result->cols; ++c) {
      HostScalar stored = unpack(format, **source, r, c);
      // The last tile's columns beyond K have no scales of their own.
      auto factor = [&](const TileRef &tile) {
        int64_t column = (firstCol + c) / granule.second;
        return tile ? tile->at(r / granule.first,
                               std::min(column, tile->cols - 1))
                    : HostScalar();
      };
      HostScalar s = factor(scale), z = factor(zero);
      if (stored.undefined || s.undefined || z.undefined)
        continue;
      double value = floatSource
                         ? stored.f
                         : codeOf(format, stored.i, zero || op.getZeroValue());
      if (zero)
        value = roundTo(f32, value - zeroOf(zero->element, z), wide);
      if (op.getZeroValue())
        value = roundTo(f32,
                        value - static_cast<double>(
                                    static_cast<int64_t>(*op.getZeroValue())),
                        wide);
      if (scale)
        value = roundTo(f32, value * numberOf(scale->element, s), wide);
      if (!op.getUnrounded())
        value = roundTo(result->element, value, wide);
      result->at(r, c) = HostScalar::ofFloat(value);
    }
  set(op.getResult(), result);
  return success();
}

LogicalResult Runner::runPromote(PromoteOp op) {
  TileRef part = get<TileRef>(op.getPart()), main = get<TileRef>(op.getMain());
  TileRef factors[4];
  Value operands[4] = {op.getRow(), op.getCol(), op.getRowSum(), op.getZero()};
  for (unsigned i = 0; i < 4; ++i) {
    if (!operands[i])
      continue;
    FailureOr<TileRef> tile = read(op, operands[i]);
    if (failed(tile))
      return failure();
    factors[i] = *tile;
  }
  HostScalar scalar =
      op.getScalar() ? get<HostScalar>(op.getScalar()) : HostScalar::ofFloat(1);
  bool wide = machine.options.wide;
  TileRef result = newTile(op.getType());
  const ScalarType &type = result->element;
  for (int64_t r = 0; r < result->rows; ++r)
    for (int64_t c = 0; c < result->cols; ++c) {
      // A factor tile of fewer rows or columns is repeated in equal runs.
      auto factor = [&](unsigned i) {
        Tile &tile = *factors[i];
        return tile.at(r * tile.rows / result->rows,
                       c * tile.cols / result->cols);
      };
      HostScalar value = part->at(r, c), old = main->at(r, c);
      bool undefined = value.undefined || old.undefined || scalar.undefined;
      for (unsigned i = 0; i < 4; ++i)
        undefined |= factors[i] && factor(i).undefined;
      if (undefined)
        continue;
      double scale = 1.0;
      for (unsigned i : {0u, 1u})
        if (factors[i])
          scale = roundTo(
              type, scale * numberOf(factors[i]->element, factor(i)), wide);
      if (op.getScalar())
        scale = roundTo(type, scale * scalar.f, wide);
      if (op.getFactor())
        scale = roundTo(type, scale * op.getFactor()->convertToDouble(), wide);
      double x = value.f;
      if (factors[2]) {
        double shift = roundTo(type,
                               numberOf(factors[2]->element, factor(2)) *
                                   zeroOf(factors[3]->element, factor(3)),
                               wide);
        x = roundTo(type, x - shift, wide);
      }
      double sum =
          type.element == ElementType::F32 && !wide
              ? std::fma(static_cast<float>(x), static_cast<float>(scale),
                         static_cast<float>(old.f))
              : std::fma(x, scale, old.f);
      result->at(r, c) = HostScalar::ofFloat(roundTo(type, sum, wide));
    }
  set(op.getResult(), result);
  return success();
}

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

LogicalResult Runner::runMap(MapOp op) {
  Block &body = op.getBody().front();
  // Number the values of the body once, then run it element by element.
  struct Step {
    const ScalarOp *op;
    Operation *where;
    SmallVector<unsigned, 3> operands;
    unsigned result;
  };
  DenseMap<Value, unsigned> slots;
  std::vector<HostScalar> scalars;
  auto slotOf = [&](Value value) {
    auto [it, inserted] = slots.try_emplace(value, scalars.size());
    if (inserted)
      scalars.push_back(value.getParentBlock() == &body
                            ? HostScalar()
                            : get<HostScalar>(value));
    return it->second;
  };
  for (BlockArgument argument : body.getArguments())
    slotOf(argument);
  std::vector<Step> steps;
  for (Operation &inner : body.without_terminator()) {
    std::optional<ScalarOp> scalar = ScalarOp::decode(&inner);
    if (!scalar)
      return inner.emitError("the tile interpreter does not know this "
                             "operation");
    machine.decoded[&inner] = scalar;
    Step step{nullptr, &inner, {}, 0};
    for (Value operand : inner.getOperands())
      step.operands.push_back(slotOf(operand));
    step.result = slotOf(inner.getResult(0));
    steps.push_back(std::move(step));
  }
  // Pointers only now: inserting may move the table.
  for (Step &step : steps)
    step.op = &*machine.decoded[step.where];
  SmallVector<unsigned> results;
  for (Value value : body.getTerminator()->getOperands())
    results.push_back(slotOf(value));
  SmallVector<TileRef> inputs, outputs;
  for (Value input : op.getInputs())
    inputs.push_back(get<TileRef>(input));
  for (Type type : op.getResultTypes())
    outputs.push_back(newTile(type));
  SmallVector<HostScalar, 4> operands;
  for (int64_t r = 0; r < outputs[0]->rows; ++r)
    for (int64_t c = 0; c < outputs[0]->cols; ++c) {
      for (auto [i, input] : llvm::enumerate(inputs))
        scalars[i] =
            input->at(input->rows == 1 ? 0 : r, input->cols == 1 ? 0 : c);
      for (Step &step : steps) {
        operands.clear();
        for (unsigned slot : step.operands)
          operands.push_back(scalars[slot]);
        std::optional<HostScalar> value =
            step.op->evaluate(operands, machine.options.wide);
        if (!value)
          return step.where->emitError("division by zero or overflow of a "
                                       "division");
        scalars[step.result] = *value;
      }
      for (auto [output, slot] : llvm::zip(outputs, results))
        output->at(r, c) = scalars[slot];
    }
  for (auto [result, output] : llvm::zip(op.getResults(), outputs))
    set(result, output);
  return success();
}

LogicalResult Runner::runRowReduce(RowReduceOp op) {
  TileRef result = newTile(op.getType());
  int64_t group = op.getGroup();
  bool wide = machine.options.wide, isFloat = result->element.isFloat;
  for (int64_t r = 0; r < result->rows; ++r) {
    int64_t column = 0;
    for (Value input : op.getInputs()) {
      TileRef tile = get<TileRef>(input);
      for (int64_t c = 0; c < tile->cols; ++c, ++column) {
        HostScalar value = tile->at(r, c);
        HostScalar &cell = result->at(r, column / group);
        if (op.getKind() == ReduceKind::AbsMax && !value.undefined) {
          if (isFloat)
            value.f = std::fabs(value.f);
          else
            value.i = std::abs(value.i);
        }
        if (column % group == 0) {
          cell = value;
          continue;
        }
        if (cell.undefined || value.undefined)
          cell = HostScalar::ofUndefined();
        else if (op.getKind() == ReduceKind::Sum && isFloat)
          cell.f = roundTo(result->element, cell.f + value.f, wide);
        else if (op.getKind() == ReduceKind::Sum)
          cell.i = wrapTo(result->element, cell.i + value.i);
        else if (isFloat)
          cell.f = std::isnan(cell.f) || std::isnan(value.f)
                       ? std::nan("")
                       : std::max(cell.f, value.f);
        else
          cell.i = std::max(cell.i, value.i);
      }
    }
  }
  set(op.getResult(), result);
  return success();
}
