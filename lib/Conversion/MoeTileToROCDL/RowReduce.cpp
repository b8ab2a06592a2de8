//===- RowReduce.cpp - Reductions of rows, floats of 8 bits ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A row of a fragment is reduced in a lane's registers, over the lanes that
// have columns of it, and over waves through LDS.
//
//===----------------------------------------------------------------------===//

#include "AmdTarget.h"
#include "KernelEmitter.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rocdl;

/// Waves that have different columns of one row.
static int64_t wavesAcross(tile::DigitsAttr layout) {
  int64_t count = 1;
  for (const tile::Digit &digit : layout.getDigits())
    if (digit.level == tile::Level::Warp && digit.dim == tile::Dim::N &&
        digit.stride != 0)
      count *= digit.extent;
  return count;
}

/// Bytes of LDS in which waves exchange values of rows; 0 if they need not.
int64_t KernelEmitter::exchangeBytes() {
  int64_t bytes = 0;
  kernel.walk([&](tile::RowReduceOp op) {
    auto type = cast<tile::FragType>(op.getInputs()[0].getType());
    if (type.getLayout() && wavesAcross(type.getLayout()) > 1)
      bytes = std::max(bytes, wavesAcross(type.getLayout()) * type.getRows() *
                                  int64_t(sizeof(float)));
  });
  return bytes;
}

/// The index of the wave among those with columns of its rows, and whether it
/// is the lane's turn to speak for a row: all i32 and i1, null = always.
Value KernelEmitter::waveAcross(tile::DigitsAttr layout) {
  Value number = c32(0), left = warp;
  int64_t radix = 1;
  for (const tile::Digit &digit : layout.getDigits()) {
    if (digit.level != tile::Level::Warp)
      continue;
    if (digit.dim == tile::Dim::N && digit.stride != 0) {
      number = add(number, mul(rest(left, digit.extent), c32(radix)));
      radix *= digit.extent;
    }
    left = quotient(left, digit.extent);
  }
  return number;
}

/// True in one thread of those that hold the same elements; null if every
/// thread has its own.
Value KernelEmitter::ownsElement(tile::DigitsAttr layout, bool lanesOnly) {
  Value owns;
  for (auto [level, index] :
       {std::pair{tile::Level::Lane, lane}, {tile::Level::Warp, warp}}) {
    if (lanesOnly && level != tile::Level::Lane)
      continue;
    Value left = index;
    for (const tile::Digit &digit : layout.getDigits()) {
      if (digit.level != level)
        continue;
      if (digit.stride == 0 && digit.extent > 1)
        owns = both(owns, cmp(arith::CmpIPredicate::eq,
                              rest(left, digit.extent), c32(0)));
      left = quotient(left, digit.extent);
    }
  }
  return owns;
}

LogicalResult KernelEmitter::emitRowReduce(tile::RowReduceOp op) {
  auto source = cast<tile::FragType>(op.getInputs()[0].getType());
  tile::FragType type = op.getResult().getType();
  tile::DigitsAttr layout = source.getLayout();
  if (!layout || !type.getLayout() || type.getCols() != 1 ||
      !source.getElementType().isF32())
    return refuse(op) << "rows of f32 are reduced to one column, with layouts, "
                         "got "
                      << source << " to " << type;
  auto combine = [&](Value x, Value y) -> Value {
    if (op.getKind() == tile::ReduceKind::Sum)
      return arith::AddFOp::create(b, loc, x, y);
    return arith::MaximumFOp::create(b, loc, x, y);
  };
  std::map<int64_t, Value> rows;
  for (Value input : op.getInputs()) {
    if (cast<tile::FragType>(input.getType()).getLayout() != layout)
      return refuse(op) << "its inputs have different layouts";
    for (auto [i, element] : llvm::enumerate(parts[input])) {
      Value v = element;
      if (op.getKind() == tile::ReduceKind::AbsMax)
        v = math::AbsFOp::create(b, loc, v);
      Value &row = rows[layout.map({int64_t(i)}).first];
      row = row ? combine(row, v) : v;
    }
  }
  // Lanes, each with the one at the other side of a bit of its number.
  int64_t radix = 1;
  for (const tile::Digit &digit : layout.getDigits()) {
    if (digit.level != tile::Level::Lane)
      continue;
    if (digit.dim == tile::Dim::N && digit.stride != 0)
      for (int64_t d = 1; d < digit.extent; d *= 2) {
        Value other = arith::XOrIOp::create(b, loc, lane, c32(d * radix));
        Value byte = mul(other, c32(4));
        for (auto &row : rows) {
          Value bits =
              LLVM::BitcastOp::create(b, loc, b.getI32Type(), row.second);
          Value got =
              ROCDL::DsBpermuteOp::create(b, loc, b.getI32Type(), byte, bits);
          row.second = combine(
              row.second, LLVM::BitcastOp::create(b, loc, b.getF32Type(), got));
        }
      }
    radix *= digit.extent;
  }
  if (int64_t waves = wavesAcross(layout); waves > 1) {
    tile::DigitsAttr rowLayout = layout.slice(tile::Dim::N);
    Value m = threadPosition(rowLayout).first;
    auto place = [&](Value wave, int64_t offset) {
      Value row = offset ? add(m, c32(offset)) : m;
      Value number = add(mul(wave, c32(source.getRows())), row);
      return lds(add(mul(number, c32(4)), c32(exchange)));
    };
    Value own = waveAcross(layout);
    ifThen(ownsElement(rowLayout, /*lanesOnly=*/true), [&] {
      for (auto &row : rows)
        LLVM::StoreOp::create(b, loc, row.second, place(own, row.first), 4);
    });
    amdgpu::LDSBarrierOp::create(b, loc);
    for (auto &row : rows) {
      Value all;
      for (int64_t w = 0; w < waves; ++w) {
        Value v = LLVM::LoadOp::create(b, loc, b.getF32Type(),
                                       place(c32(w), row.first), 4);
        all = all ? combine(all, v) : v;
      }
      row.second = all;
    }
    // Before the next tile's values come, its operands have been waited for.
  }
  SmallVector<Value> values;
  for (int64_t i = 0, e = type.getLayout().getLevelSize(tile::Level::Reg);
       i < e; ++i)
    values.push_back(rows[type.getLayout().map({i}).first]);
  parts[op.getResult()] = values;
  return success();
}

/// Values of f32 that a program has rounded to 8-bit floats, as one vector of
/// bytes in the OCP encoding: 1, or a multiple of 4 values.
FailureOr<Value> KernelEmitter::packBytes(Operation *op,
                                          ArrayRef<Value> values) {
  SmallVector<Value> sources;
  Type element = values[0].getType();
  for (Value v : values)
    if (auto cast = v.getDefiningOp<arith::TruncFOp>())
      if (cast.getIn().getType().isF32() &&
          isa<Float8E4M3FNType, Float8E5M2Type>(element))
        sources.push_back(cast.getIn());
  if (sources.size() != values.size())
    return LogicalResult(refuse(op)
                         << "bytes that are stored are f32 rounded to f8E4M3FN "
                            "or f8E5M2, got "
                         << element);
  if (chip.fp8 == AmdFp8::None) {
    if (sources.size() == 1)
      return AmdTarget(chip).truncateToSmallFloat(b, loc, sources[0], element);
    Value all = LLVM::PoisonOp::create(
        b, loc, VectorType::get({int64_t(sources.size())}, b.getF32Type()));
    for (auto [i, v] : llvm::enumerate(sources))
      all = LLVM::InsertElementOp::create(b, loc, all, v, c32(i));
    return AmdTarget(chip).truncateToSmallFloat(b, loc, all, element);
  }
  // With the other bias, half of a number has the bits of the number.
  if (chip.fp8 == AmdFp8::Fnuz) {
    Value half = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0.5));
    for (Value &v : sources)
      v = arith::MulFOp::create(b, loc, v, half);
  }
  Type i32 = b.getI32Type();
  auto pair = [&](Value x, Value y, Value old, bool high) -> Value {
    if (isa<Float8E4M3FNType>(element))
      return ROCDL::CvtPkFp8F32Op::create(b, loc, i32, x, y, old, high);
    return ROCDL::CvtPkBf8F32Op::create(b, loc, i32, x, y, old, high);
  };
  SmallVector<Value> words;
  for (size_t i = 0; i < sources.size(); i += 4) {
    auto at = [&](size_t k) {
      return sources[std::min(i + k, sources.size() - 1)];
    };
    Value word = pair(at(0), at(1), c32(0), false);
    if (sources.size() > 1)
      word = pair(at(2), at(3), word, true);
    words.push_back(word);
  }
  if (sources.size() == 1)
    return Value(arith::TruncIOp::create(b, loc, b.getI8Type(), words[0]));
  if (words.size() == 1)
    return words[0];
  Value v = LLVM::PoisonOp::create(
      b, loc, VectorType::get({int64_t(words.size())}, i32));
  for (auto [i, word] : llvm::enumerate(words))
    v = LLVM::InsertElementOp::create(b, loc, v, word, c32(i));
  return v;
}
