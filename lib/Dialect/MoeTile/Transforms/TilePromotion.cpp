//===- TilePromotion.cpp - Products that are scaled into a sum ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileGemm.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

/// The load behind argument `tile` of the compute region, or null.
static LoadOp loadOf(KLoopOp loop, Value tile) {
  for (auto [argument, loaded] :
       llvm::zip(loop.getComputeTiles(), loop.getLoaded()))
    if (argument == tile)
      return loaded.getDefiningOp<LoadOp>();
  return {};
}

LogicalResult moe::tile::matchPromotion(TileGemm &gemm) {
  KLoopOp loop = gemm.loop;
  auto refuse = [&](const Twine &why) {
    return loop.emitOpError("has no explicit form: ") << why;
  };
  auto splat = loop.getInits()[0].getDefiningOp<FragSplatOp>();
  if (!splat || !matchPattern(splat.getValue(), m_AnyZeroFloat()))
    return refuse("it does not start from zero");
  // The product, what reads it, the sum; before them what decodes weights.
  SmallVector<Operation *> ops;
  for (Operation &op : loop.getCompute().front())
    if (!op.hasTrait<OpTrait::ConstantLike>() &&
        !isa<DequantOp, FragLoadOp>(op))
      ops.push_back(&op);
  if (ops.size() != 4)
    return refuse("its compute region is more than one product and its sum");
  gemm.mma = dyn_cast<MmaOp>(ops[0]);
  gemm.read = dyn_cast<AccReadOp>(ops[1]);
  gemm.promote = dyn_cast<PromoteOp>(ops[2]);
  Value second = gemm.dequant ? Value(gemm.dequant.getResult())
                              : Value(loop.getComputeTiles()[1]);
  if (!gemm.mma || !gemm.read || !gemm.promote || gemm.mma.getC() ||
      gemm.mma.getA() != loop.getComputeTiles()[0] ||
      gemm.mma.getB() != second || gemm.read.getAcc() != gemm.mma.getResult() ||
      gemm.promote.getPart() != gemm.read.getResult() ||
      gemm.promote.getMain() != loop.getComputeCarried()[0] ||
      ops[3]->getOperand(0) != gemm.promote.getResult())
    return refuse("its compute region is more than one product and its sum");
  if (gemm.promote.getRowSum() || gemm.promote.getScalar() ||
      gemm.promote.getFactor())
    return refuse("only row and column factors are scaled in, no zero points");
  size_t scales = gemm.getFactors().size();
  for (auto [factor, load] :
       {std::pair<Value, LoadOp *>{gemm.promote.getRow(), &gemm.aScale},
        {gemm.promote.getCol(), &gemm.bScale}}) {
    if (!factor)
      continue;
    ++scales;
    // Scales beside decoded weights: those of all of K are loaded together.
    auto column = factor.getDefiningOp<FragLoadOp>();
    if (gemm.dequant && column && column.getAt() && !gemm.scale) {
      gemm.scale = loadOf(loop, column.getBuffer());
      if (!gemm.scale || !matchPattern(column.getAt(), m_Zero()))
        return refuse("the column of its factors is not the first of a load");
      continue;
    }
    *load = loadOf(loop, factor);
    if (!*load || !getTileElementType((*load).getType()).isF32())
      return refuse("factors are not loaded as f32");
  }
  if (loop.getLoaded().size() != 2 + scales)
    return refuse("it loads more than operands and their factors");
  return success();
}

SmallVector<LoadOp> moe::tile::slotLoads(const TileGemm &gemm) {
  SmallVector<LoadOp> loads{gemm.a, gemm.b};
  for (LoadOp scale : {gemm.aScale, gemm.bScale})
    if (scale)
      loads.push_back(scale);
  return loads;
}

DigitsAttr moe::tile::rowFactorLayout(DigitsAttr full, FragType factor) {
  full = full.slice(Dim::N);
  return factor.getRows() == 1 ? full.slice(Dim::M) : full;
}

DigitsAttr moe::tile::colFactorLayout(DigitsAttr full, FragType factor) {
  int64_t run = full.getExtent(Dim::N) / factor.getCols();
  SmallVector<Digit> digits;
  for (Digit digit : full.getDigits()) {
    int64_t reach = digit.stride * digit.extent;
    if (digit.dim == Dim::M || reach <= run) {
      digit.stride = 0;
    } else if (digit.stride >= run) {
      if (digit.stride % run != 0)
        return {};
      digit.stride /= run;
    } else {
      // The steps inside of a run share a factor.
      int64_t inside = run / digit.stride;
      if (run % digit.stride != 0 || digit.extent % inside != 0)
        return {};
      digits.push_back({digit.level, digit.dim, inside, 0});
      digit.extent /= inside;
      digit.stride = 1;
    }
    digits.push_back(digit);
  }
  return DigitsAttr::get(full.getContext(), digits);
}
