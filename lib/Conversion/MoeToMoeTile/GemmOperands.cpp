//===- GemmOperands.cpp - Loads of a grouped GEMM's tiles
//--------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"

#include <numeric>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

Value GemmKernel::firstRowOfB(OpBuilder &builder) {
  GateUpAttr gateUp = op.getGateUpAttr();
  if (!gateUp || gateUp.getKind() == GateUpKind::Halves)
    return n0;
  auto c = [&](int64_t v) -> Value {
    return arith::ConstantIndexOp::create(builder, loc, v);
  };
  // Gate and up rows stand together, twice as far.
  if (boxes.empty())
    return arith::MulIOp::create(builder, loc, n0, c(2));
  // Inside of one long run: its pair starts at twice its first column.
  Value run = arith::DivUIOp::create(builder, loc, n0, c(gateUp.getBlock()));
  return arith::AddIOp::create(
      builder, loc, n0,
      arith::MulIOp::create(builder, loc, run, c(gateUp.getBlock())));
}

std::pair<int64_t, SmallVector<int64_t>>
GemmKernel::scaleRowsOfB(int64_t granule) {
  if (granule == QuantAttr::kWhole)
    return {1, {}};
  if (boxes.empty())
    return {std::max<int64_t>(1, tileRowsOfB / granule), {}};
  // Gate and up rows of one scale block.
  if (granule % (2 * boxes[1]) == 0)
    return {1, {}};
  return {2 * std::max<int64_t>(1, blockN / granule), {0, boxes[1] / granule}};
}

Value GemmKernel::loadOperand(OpBuilder &builder, bool isA, Value kAt) {
  QuantAttr quant = isA ? op.getAQuantAttr() : op.getBQuantAttr();
  Value memory = isA ? a : b;
  Value of = expert, rowsOfA = aRows;
  if (sumsExperts) {
    Value run = arith::ConstantIndexOp::create(builder, loc, columnsOfExpert);
    of = arith::DivUIOp::create(builder, loc, kAt, run);
    kAt = arith::RemUIOp::create(builder, loc, kAt, run);
    // Consecutive rows: those behind the last token are another expert's, and
    // nothing stores what they give.
    rowsOfA = arith::AddIOp::create(
        builder, loc, arith::MulIOp::create(builder, loc, of, tokens), row0);
  }
  int64_t stored = quant ? quant.getColsPerStored() : 1;
  Value at = kAt;
  if (stored != 1)
    at = arith::DivUIOp::create(
        builder, loc, kAt,
        arith::ConstantIndexOp::create(builder, loc, stored));
  int64_t tileRows = isA ? blockM : tileRowsOfB;
  Type element = cast<MemRefType>(memory.getType()).getElementType();
  Type type = tile::BufType::get(tileRows, step / stored, element);
  if (isA)
    return tile::LoadOp::create(builder, loc, type, memory,
                                ValueRange{rowsOfA, at});
  return tile::LoadOp::create(builder, loc, type, memory,
                              ValueRange{of, firstRowOfB(builder), at}, {}, {},
                              boxes);
}

static Type tileType(bool fragment, int64_t rows, int64_t cols, Type element) {
  if (fragment)
    return tile::FragType::get(rows, cols, element);
  return tile::BufType::get(rows, cols, element);
}

/// Scales of the rows of A at one k: one column.
Value GemmKernel::loadRowScale(OpBuilder &builder, Value kAt, bool fragment) {
  QuantAttr quant = op.getAQuantAttr();
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  auto memoryType = cast<MemRefType>(aScale.getType());
  bool oneRow = quant.getGranuleRows() == QuantAttr::kWhole;
  bool whole = quant.getGranuleCols() == QuantAttr::kWhole;
  Value row = oneRow ? zero : aRows;
  Value column = whole ? zero : kAt;
  bool groupMajor = quant.getLayout() == ScaleLayout::GroupMajor;
  SmallVector<int64_t> granule{1, whole ? 1 : quant.getGranuleCols()};
  SmallVector<int64_t> dims{oneRow ? -1 : 0, -1};
  SmallVector<Value> indices{row, column};
  if (groupMajor) {
    std::swap(granule[0], granule[1]);
    std::swap(indices[0], indices[1]);
    dims[0] = oneRow ? -1 : 1;
  }
  return tile::LoadOp::create(
      builder, loc,
      tileType(fragment, oneRow ? 1 : blockM, 1, memoryType.getElementType()),
      aScale, indices, dims, granule);
}

/// Sums of the rows of A over the K granule of B at one k: one column.
Value GemmKernel::loadRowSums(OpBuilder &builder, Value kAt, bool fragment) {
  QuantAttr quant = op.getBQuantAttr();
  int64_t granule = quant.getScaleCols(k) == 1 ? k : quant.getGranuleCols();
  return tile::LoadOp::create(
      builder, loc,
      tileType(fragment, blockM, 1, Float32Type::get(op.getContext())), aSums,
      ValueRange{kAt, aRows}, {1, -1}, {granule, 1});
}

/// Zero points of the tile's rows of B at one k: one row.
Value GemmKernel::zerosOfB(OpBuilder &builder, Value kAt, bool fragment) {
  QuantAttr quant = op.getBQuantAttr();
  if (bZero)
    return loadColScale(builder, bZero, quant, kAt, fragment);
  Type f32 = Float32Type::get(op.getContext());
  Value value = arith::ConstantOp::create(
      builder, loc,
      builder.getF32FloatAttr(static_cast<float>(quant.getZeroValue())));
  return tile::FragSplatOp::create(builder, loc, tile::FragType::get(1, 1, f32),
                                   value);
}

/// Scales (or zero points) of the tile's rows of B at one k: one row.
Value GemmKernel::loadColScale(OpBuilder &builder, Value memory,
                               QuantAttr quant, Value kAt, bool fragment) {
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  int64_t gr = quant.getGranuleRows();
  bool oneRow = gr == QuantAttr::kWhole;
  bool oneCol = quant.getGranuleCols() == QuantAttr::kWhole;
  bool groupMajor = quant.getLayout() == ScaleLayout::GroupMajor;
  int64_t rowDim = groupMajor ? 2 : 1;
  Value n = oneRow ? zero : firstRowOfB(builder);
  auto [extent, scaleBoxes] = scaleRowsOfB(gr);
  SmallVector<Value> indices{expert, n, oneCol ? zero : kAt};
  SmallVector<int64_t> granule{1, oneRow ? 1 : gr,
                               oneCol ? 1 : quant.getGranuleCols()};
  if (groupMajor) {
    std::swap(indices[1], indices[2]);
    std::swap(granule[1], granule[2]);
  }
  return tile::LoadOp::create(
      builder, loc,
      tileType(fragment, 1, extent,
               cast<MemRefType>(memory.getType()).getElementType()),
      memory, indices, {-1, oneRow ? -1 : rowDim}, granule, scaleBoxes,
      /*boxDim=*/1);
}

bool GemmKernel::isDecoded(bool isA) {
  QuantAttr quant = isA ? op.getAQuantAttr() : op.getBQuantAttr();
  return quant && (quant.getPacking() != Packing::Plain ||
                   (isA ? aMatrix : bMatrix) != quant.getElem());
}

/// The part of `memory`, scales or zero points, that belongs to a tile at one
/// k, in the orientation of the operand: rows x groups.
Value GemmKernel::loadFactor(OpBuilder &builder, bool isA, Value memory,
                             Value kAt) {
  QuantAttr quant = isA ? op.getAQuantAttr() : op.getBQuantAttr();
  int64_t tileRows = isA ? blockM : tileRowsOfB;
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  int64_t gc =
      quant.getGranuleCols() == QuantAttr::kWhole ? 0 : quant.getGranuleCols();
  int64_t groups = gc ? llvm::divideCeil(step, gc) : 1;
  int64_t gr = quant.getGranuleRows();
  Type element = cast<MemRefType>(memory.getType()).getElementType();
  bool groupMajor = quant.getLayout() == ScaleLayout::GroupMajor;
  SmallVector<Value> indices;
  SmallVector<int64_t> granule, dims;
  int64_t first = isA ? 0 : 1;
  if (!isA) {
    indices.push_back(expert);
    granule.push_back(1);
  }
  Value n = isA ? aRows : firstRowOfB(builder);
  indices.push_back(gr == QuantAttr::kWhole ? zero : n);
  granule.push_back(gr == QuantAttr::kWhole ? 1 : gr);
  indices.push_back(gc ? kAt : zero);
  granule.push_back(gc ? gc : 1);
  dims = {gr == QuantAttr::kWhole ? -1 : first, groups == 1 ? -1 : first + 1};
  if (groupMajor) {
    std::swap(indices[first], indices[first + 1]);
    std::swap(granule[first], granule[first + 1]);
    dims = {gr == QuantAttr::kWhole ? -1 : first + 1, groups == 1 ? -1 : first};
  }
  SmallVector<int64_t> scaleBoxes;
  int64_t scaleRows = gr == QuantAttr::kWhole ? 1 : tileRows / gr;
  if (!isA)
    std::tie(scaleRows, scaleBoxes) = scaleRowsOfB(gr);
  return tile::LoadOp::create(builder, loc,
                              tile::BufType::get(scaleRows, groups, element),
                              memory, indices, dims, granule, scaleBoxes);
}

/// Scales and zero points by which a tile is decoded at one k. Null where there
/// are none.
std::pair<Value, Value> GemmKernel::loadFactors(OpBuilder &builder, bool isA,
                                                Value kAt) {
  QuantAttr quant = isA ? op.getAQuantAttr() : op.getBQuantAttr();
  Value scale, zero;
  if ((isA ? aPlace : bPlace) == ScalePlace::Operand)
    scale = loadFactor(builder, isA, isA ? aScale : bScale, kAt);
  // Zero points that the sums of A correct are no part of the decoding.
  if (quant.getZero() == ZeroPoint::Operand && (isA || !rowSums))
    zero = loadFactor(builder, isA, bZero, kAt);
  return {scale, zero};
}

/// The values of a tile of quantised ones, in a buffer or in registers.
Value GemmKernel::decode(OpBuilder &builder, bool isA, Value loaded,
                         Value scale, Value zero, bool fragment) {
  QuantAttr quant = isA ? op.getAQuantAttr() : op.getBQuantAttr();
  Type matrix = isA ? aMatrix : bMatrix;
  tile::DequantFormat format = dequantFormat(quant);
  int64_t tileRows = isA ? blockM : tileRowsOfB;
  std::optional<int64_t> zeroValue;
  // Codes with a zero point are unsigned, also where it is subtracted later.
  if (!isA && rowSums)
    zeroValue = 0;
  else if (quant.getZero() == ZeroPoint::Constant)
    zeroValue = quant.getZeroValue();
  SmallVector<int64_t> granule;
  if (scale || zero)
    granule = {isA ? (quant.getGranuleRows() == 1 ? 1 : tileRows)
                   : tileRows / scaleRowsOfB(quant.getGranuleRows()).first,
               std::min(step, quant.getGranuleCols() == QuantAttr::kWhole
                                  ? step
                                  : quant.getGranuleCols())};
  return tile::DequantOp::create(
      builder, loc, tileType(fragment, tileRows, step, matrix), loaded, scale,
      zero, format, zeroValue, granule, /*at=*/Value(),
      /*unrounded=*/!isA && fragment && scale && scalesSums);
}

Value GemmKernel::dequantise(OpBuilder &builder, bool isA, Value loaded,
                             Value kAt) {
  if (!isDecoded(isA))
    return loaded;
  auto [scale, zero] = loadFactors(builder, isA, kAt);
  return decode(builder, isA, loaded, scale, zero, /*fragment=*/false);
}
