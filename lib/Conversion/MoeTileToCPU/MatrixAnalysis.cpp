//===- MatrixAnalysis.cpp - What a k_loop multiplies ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Codec.h"
#include "MatrixNest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

//===----------------------------------------------------------------------===//
// Reading the k_loop
//===----------------------------------------------------------------------===//

Value cpu::traceArgument(tile::KLoopOp op, Value v) {
  while (auto arg = dyn_cast<BlockArgument>(v)) {
    Block *owner = arg.getOwner();
    unsigned i = arg.getArgNumber();
    if (i == 0)
      return v;
    Block *from = nullptr;
    if (owner == &op.getCompute().front())
      from = op.hasTransform() ? &op.getTransform().front()
                               : &op.getLoad().front();
    else if (op.hasTransform() && owner == &op.getTransform().front())
      from = &op.getLoad().front();
    else
      return v;
    if (i - 1 >= from->getTerminator()->getNumOperands())
      return v; // carried
    v = from->getTerminator()->getOperand(i - 1);
  }
  if (auto load = v.getDefiningOp<tile::FragLoadOp>())
    return traceArgument(op, load.getBuffer());
  return v;
}

FailureOr<Side> MatrixNest::analyseSide(Value operand, StringRef name) {
  Side side;
  Value v = traceArgument(op, operand);
  if (auto dequant = v.getDefiningOp<tile::DequantOp>()) {
    side.dequant = dequant;
    if (dequant.getAt())
      return dequant.emitOpError("the CPU lowering takes scales of the tile's "
                                 "own columns only, not from a column on");
    if (dequant.getUnrounded())
      return dequant.emitOpError("the CPU lowering scales decoded values, not "
                                 "sums of their products");
    v = traceArgument(op, dequant.getSource());
  }
  side.load = v.getDefiningOp<tile::LoadOp>();
  if (!side.load) {
    op.emitOpError("the CPU lowering needs operand ")
        << name << " to be a load, optionally dequantised";
    return failure();
  }
  side.element = side.load.getMemory().getType().getElementType();
  auto access = cast<tile::TileAccess>(side.load.getOperation());
  int64_t rank = side.load.getMemory().getType().getRank();
  if (access.getMemoryDim(1) != rank - 1 ||
      access.getGranuleOf(rank - 1) != 1) {
    op.emitOpError("the CPU lowering needs k as the innermost dimension of ")
        << name;
    return failure();
  }
  if (side.load.getBoxes() && side.load.getBoxDim() != 0) {
    op.emitOpError(
        "the CPU lowering takes boxes along rows only, not along the "
        "columns of ")
        << name;
    return failure();
  }
  return side;
}

FailureOr<Factor> MatrixNest::analyseFactor(Value operand, StringRef name) {
  Factor factor;
  operand = traceArgument(op, operand);
  FloatAttr constant;
  if (auto splat = operand.getDefiningOp<tile::FragSplatOp>();
      splat && matchPattern(splat.getValue(), m_Constant(&constant))) {
    factor.constant = constant.getValueAsDouble();
    return factor;
  }
  factor.load = operand.getDefiningOp<tile::LoadOp>();
  if (!factor.load) {
    op.emitOpError("the CPU lowering needs factor ") << name << " to be a load";
    return failure();
  }
  auto [rows, cols] = factor.load.getTileShape();
  factor.extent = std::max(rows, cols);
  return factor;
}

bool MatrixNest::decodesToBf16(const Side &side) const {
  tile::DequantOp dequant = side.dequant;
  if (!dequant)
    return fitsBf16(side.element);
  if (!dequant.getScale() && !dequant.getZero())
    return dequant.getFormat() != tile::DequantFormat::Plain ||
           fitsBf16(side.element);
  return fitsBf16(tile::getTileElementType(dequant.getResult().getType()));
}

LogicalResult MatrixNest::analyse() {
  if (op.getInits().size() != 1)
    return op.emitOpError("the CPU lowering carries one value, got ")
           << op.getInits().size();
  IntegerAttr lower, upper;
  if (!matchPattern(op.getLower(), m_Constant(&lower)) ||
      !matchPattern(op.getUpper(), m_Constant(&upper)) || lower.getInt() != 0)
    return op.emitOpError("the CPU lowering needs a constant reduction range "
                          "from 0");
  k = upper.getInt();
  step = std::min<int64_t>(op.getStep(), k);
  if (step < 128 && step < k)
    return op.emitOpError("the CPU lowering needs a k step of at least 128 or "
                          "all of K, got step ")
           << step << " of " << k;

  Block &computeBlock = op.getCompute().front();
  Value result = computeBlock.getTerminator()->getOperand(0);
  promote = result.getDefiningOp<tile::PromoteOp>();
  Value acc = result;
  if (promote) {
    if (promote.getMain() != op.getComputeCarried()[0])
      return promote.emitOpError("the CPU lowering promotes into the carried "
                                 "value");
    if (promote.getScalar())
      return promote.emitOpError("the CPU lowering has no scalar factor");
    auto read = promote.getPart().getDefiningOp<tile::AccReadOp>();
    if (!read)
      return promote.emitOpError(
          "the CPU lowering promotes what acc_read gives");
    acc = read.getAcc();
  }
  mma = acc.getDefiningOp<tile::MmaOp>();
  if (!mma)
    return op.emitOpError("the CPU lowering folds one mma per step");
  bool fromZero = !mma.getC() || mma.getC().getDefiningOp<tile::AccZeroOp>();
  if (promote ? !fromZero : mma.getC() != op.getComputeCarried()[0])
    return mma.emitOpError(
        "the CPU lowering accumulates into the carried value, "
        "or from zero before a promotion");
  Operation *init = op.getInits()[0].getDefiningOp();
  Attribute initValue;
  bool zeroInit = isa_and_nonnull<tile::AccZeroOp>(init) ||
                  (isa_and_nonnull<tile::FragSplatOp>(init) &&
                   matchPattern(cast<tile::FragSplatOp>(init).getValue(),
                                m_Constant(&initValue)) &&
                   isa<FloatAttr>(initValue) &&
                   cast<FloatAttr>(initValue).getValue().isZero());
  if (!zeroInit)
    return op.emitOpError("the CPU lowering starts products from zero");

  FailureOr<Side> sideA = analyseSide(mma.getA(), "a");
  FailureOr<Side> sideW = analyseSide(mma.getB(), "b");
  if (failed(sideA) || failed(sideW))
    return failure();
  a = *sideA;
  w = *sideW;
  if (a.load.getBoxes())
    return op.emitOpError("the CPU lowering takes boxes on b only");
  if (promote)
    for (auto [value, name, factor] :
         {std::tuple{promote.getRow(), "row", &rowFactor},
          {promote.getCol(), "col", &colFactor},
          {promote.getRowSum(), "row_sum", &rowSum},
          {promote.getZero(), "zero", &zero}}) {
      if (!value)
        continue;
      FailureOr<Factor> made = analyseFactor(value, name);
      if (failed(made))
        return failure();
      *factor = *made;
      (*factor)->isZero = StringRef(name) == "zero";
    }
  m = tile::getTileShape(mma.getA().getType()).first;
  n = tile::getTileShape(mma.getB().getType()).first;
  if (auto list = w.load.getBoxes())
    boxes = list->size();
  boxSize = n / boxes;
  groupCols = boxSize <= 2 ? boxSize : microCols;
  if (boxSize % groupCols)
    return op.emitOpError("the CPU lowering needs column blocks that are "
                          "multiples of ")
           << microCols << ", got " << boxSize;

  // What fills a stored element has one scale.
  for (Side *side : {&a, &w})
    if (side->dequant &&
        (side->dequant.getScale() || side->dequant.getZero()) &&
        side->dequant.getScaleGranule().second < k &&
        side->dequant.getScaleGranule().second %
                side->dequant.getValuesPerElement() !=
            0)
      return side->dequant.emitOpError("the CPU lowering needs scale groups of "
                                       "whole stored elements of ")
             << side->dequant.getValuesPerElement() << " columns, got "
             << side->dequant.getScaleGranule().second;

  // bf16 pairs where both sides are exact in bf16, else f32.
  bool bf16 = e.isa.bf16Dot && decodesToBf16(a) && decodesToBf16(w);
  compute = bf16 ? Type(b.getBF16Type()) : Type(b.getF32Type());
  lanes = e.isa.lanes * (bf16 ? 2 : 1);
  // One cache line more than a row: rows whose size is a power of two would
  // all fall into the same cache sets. For the same reason, and because its
  // rows are scattered, A is always copied; B is read where it lies.
  stride = llvm::alignTo(k, lanes) + 64 * 8 / compute.getIntOrFloatBitWidth();
  a.direct = false;
  w.direct = !w.dequant && w.element == compute;
  return success();
}

void MatrixNest::setK(Value value) {
  for (Region *region : {&op.getLoad(), &op.getTransform(), &op.getCompute()})
    if (!region->empty()) {
      Value arg = region->front().getArgument(0);
      Value v = value;
      if (!arg.getType().isIndex())
        v = arith::IndexCastOp::create(b, loc, arg.getType(), v);
      e.bind(arg, v);
    }
}
