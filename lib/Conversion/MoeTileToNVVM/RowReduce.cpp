//===- RowReduce.cpp - Rows of fragments, and 8-bit results ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a fresh quantisation needs: the largest value of a row, wherever its
// columns are, and conversions of pairs.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::nvvm;

/// Index of a digit in the index of its level.
static Value digitOf(OpBuilder &b, Location loc, Value index, int64_t below,
                     int64_t extent) {
  auto c = [&](int64_t v) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(v));
  };
  if (below != 1)
    index = arith::DivUIOp::create(b, loc, index, c(below));
  return arith::RemUIOp::create(b, loc, index, c(extent));
}

/// True in one thread of those that hold the same elements; null if every
/// thread has its own.
Value KernelEmitter::ownsElement(tile::DigitsAttr layout) {
  Value lane = arith::AndIOp::create(b, loc, team.thread, c32(31));
  Value owns;
  int64_t below[5] = {1, 1, 1, 1, 1};
  for (const tile::Digit &digit : layout.getDigits()) {
    int64_t &radix = below[static_cast<unsigned>(digit.level)];
    Value index = digit.level == tile::Level::Lane    ? lane
                  : digit.level == tile::Level::Warp  ? team.warp
                  : digit.level == tile::Level::Group ? team.group
                                                      : Value();
    if (index && digit.stride == 0 && digit.extent > 1)
      owns =
          both(owns, cmp(arith::CmpIPredicate::eq,
                         digitOf(b, loc, index, radix, digit.extent), c32(0)));
    radix *= digit.extent;
  }
  return owns;
}

LogicalResult KernelEmitter::emitRowReduce(tile::RowReduceOp op) {
  auto source = cast<tile::FragType>(op.getInputs()[0].getType());
  tile::FragType type = op.getResult().getType();
  tile::DigitsAttr layout = source.getLayout();
  if (!layout || !type.getLayout() || type.getCols() != 1 ||
      !source.getElementType().isF32())
    return op.emitOpError("the NVVM lowering reduces rows of f32 to one "
                          "column, with layouts, got ")
           << source << " to " << type;
  auto combine = [&](Value x, Value y) -> Value {
    if (op.getKind() == tile::ReduceKind::Sum)
      return arith::AddFOp::create(b, loc, x, y);
    return arith::MaximumFOp::create(b, loc, x, y);
  };
  // A thread's own registers.
  std::map<int64_t, Value> rows;
  for (Value input : op.getInputs()) {
    if (cast<tile::FragType>(input.getType()).getLayout() != layout)
      return op.emitOpError("its inputs have different layouts");
    for (auto [i, element] : llvm::enumerate(parts[input])) {
      int64_t r = layout.map({int64_t(i)}).first;
      if (isTrimmedAway(source, r))
        continue;
      Value v = element;
      if (op.getKind() == tile::ReduceKind::AbsMax)
        v = math::AbsFOp::create(b, loc, v);
      Value &row = rows[r];
      row = row ? combine(row, v) : v;
    }
  }
  // Lanes, then warps.
  int64_t laneRadix = 1, warpCount = 1;
  for (const tile::Digit &digit : layout.getDigits()) {
    bool across = digit.dim == tile::Dim::N && digit.stride != 0;
    if (digit.level == tile::Level::Lane) {
      if (across)
        for (int64_t d = 1; d < digit.extent; d *= 2)
          for (auto &row : rows) {
            Value other = NVVM::ShflOp::create(
                b, loc, b.getF32Type(), c32(-1), row.second, c32(d * laneRadix),
                c32(31), NVVM::ShflKind::bfly, UnitAttr());
            row.second = combine(row.second, other);
          }
      laneRadix *= digit.extent;
    } else if (across && digit.level == tile::Level::Warp) {
      warpCount *= digit.extent;
    } else if (across && digit.level != tile::Level::Reg && digit.extent > 1) {
      return op.emitOpError("columns of a row are spread over teams");
    }
  }
  if (warpCount > 1) {
    if (exchange < 0)
      return op.emitOpError("columns of a row are spread over ")
             << warpCount << " warps, which have nowhere to meet";
    // The number of the warp among those that share its rows.
    Value among = c32(0);
    int64_t radix = 1, step = 1;
    for (const tile::Digit &digit : layout.getDigits()) {
      if (digit.level != tile::Level::Warp)
        continue;
      if (digit.dim == tile::Dim::N && digit.stride != 0) {
        among = add(among, mul(digitOf(b, loc, team.warp, radix, digit.extent),
                               c32(step)));
        step *= digit.extent;
      }
      radix *= digit.extent;
    }
    Value m = threadPosition(layout.slice(tile::Dim::N)).first;
    int64_t extent = source.getRows();
    Value base = shared(exchange);
    auto place = [&](Value warp, int64_t offset) {
      Value row = offset ? add(m, c32(offset)) : m;
      return sharedAt(base, mul(add(mul(warp, c32(extent)), row), c32(4)));
    };
    // Lanes that hold the same rows write once per warp.
    SmallVector<tile::Digit> digits(layout.slice(tile::Dim::N).getDigits());
    llvm::erase_if(digits, [](const tile::Digit &digit) {
      return digit.level != tile::Level::Lane;
    });
    Value writes = ownsElement(tile::DigitsAttr::get(b.getContext(), digits));
    ifThen(writes, [&] {
      for (auto &row : rows)
        LLVM::StoreOp::create(b, loc, row.second, place(among, row.first),
                              /*alignment=*/4);
    });
    teamBarrier();
    for (auto &row : rows) {
      Value all;
      for (int64_t w = 0; w < warpCount; ++w) {
        Value v = LLVM::LoadOp::create(b, loc, b.getF32Type(),
                                       place(c32(w), row.first),
                                       /*alignment=*/4);
        all = all ? combine(all, v) : v;
      }
      row.second = all;
    }
    // The next tile's values wait until all have read these.
    teamBarrier();
  }
  SmallVector<Value> values;
  for (int64_t i = 0, e = type.getLayout().getLevelSize(tile::Level::Reg);
       i < e; ++i) {
    int64_t r = type.getLayout().map({i}).first;
    // No one reads the rows that the tile does not have.
    if (isTrimmedAway(source, r))
      values.push_back(arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0)));
    else
      values.push_back(rows[r]);
  }
  parts[op.getResult()] = values;
  return success();
}

LogicalResult KernelEmitter::depositBytes(tile::DepositOp op) {
  tile::BufType buffer = op.getBuffer().getType();
  auto type = cast<tile::FragType>(op.getValues()[0].getType());
  tile::DigitsAttr layout = type.getLayout();
  SmallVector<Value> pairs = packBytePairs(b, op, parts[op.getValues()[0]]);
  if (pairs.empty())
    return failure();
  // Columns of a lane stay inside of 8, registers are 8 columns or rows apart:
  // one address, in which the swizzle changes the number of a 16-byte chunk.
  auto [m, n] = threadPosition(layout);
  Value pattern =
      arith::AndIOp::create(b, loc, m, c32(buffer.getSwizzle() / 16 - 1));
  Value first =
      add(add(c32(buffers[op.getBuffer()]), mul(m, c32(buffer.getSwizzle()))),
          add(mul(pattern, c32(16)), n));
  std::map<int64_t, Value> chunks;
  for (auto [i, pair] : llvm::enumerate(pairs)) {
    auto [r, c] = layout.map({int64_t(2 * i)});
    Value &chunk = chunks[c / 16];
    if (!chunk)
      chunk = sharedAt(shared(0),
                       arith::XOrIOp::create(b, loc, first, c32(c / 16 * 16)));
    Value at = sharedAt(chunk, c32(r * buffer.getSwizzle() + c % 16));
    LLVM::StoreOp::create(b, loc, pair, at, /*alignment=*/2);
  }
  return success();
}

SmallVector<Value> nvvm::packBytePairs(OpBuilder &b, Operation *op,
                                       ArrayRef<Value> values) {
  Location loc = op->getLoc();
  SmallVector<Value> pairs;
  for (size_t i = 0; i < values.size(); i += 2) {
    auto low = values[i].getDefiningOp<arith::TruncFOp>();
    auto high = values[i + 1].getDefiningOp<arith::TruncFOp>();
    if (!low || !high || !low.getIn().getType().isF32() ||
        !high.getIn().getType().isF32() ||
        !isa<Float8E4M3FNType, Float8E5M2Type>(low.getType())) {
      op->emitOpError("the NVVM lowering stores bytes that are f32 rounded to "
                      "f8E4M3FN or f8E5M2, got ")
          << values[i].getType();
      return {};
    }
    pairs.push_back(NVVM::ConvertF32x2ToF8x2Op::create(
        b, loc, b.getI16Type(), high.getIn(), low.getIn(),
        NVVM::FPRoundingMode::RN, NVVM::SaturationMode::SATFINITE,
        /*relu=*/false, low.getType()));
  }
  return pairs;
}
