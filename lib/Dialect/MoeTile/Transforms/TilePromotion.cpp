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
  Block &compute = loop.getCompute().front();
  if (compute.getOperations().size() != 4)
    return refuse("its compute region is more than one product and its sum");
  auto it = compute.begin();
  gemm.mma = dyn_cast<MmaOp>(*it++);
  gemm.read = dyn_cast<AccReadOp>(*it++);
  gemm.promote = dyn_cast<PromoteOp>(*it++);
  if (!gemm.mma || !gemm.read || !gemm.promote || gemm.mma.getC() ||
      gemm.mma.getA() != loop.getComputeTiles()[0] ||
      gemm.mma.getB() != loop.getComputeTiles()[1] ||
      gemm.read.getAcc() != gemm.mma.getResult() ||
      gemm.promote.getPart() != gemm.read.getResult() ||
      gemm.promote.getMain() != loop.getComputeCarried()[0] ||
      compute.getTerminator()->getOperand(0) != gemm.promote.getResult())
    return refuse("its compute region is more than one product and its sum");
  if (gemm.promote.getRowSum() || gemm.promote.getScalar() ||
      gemm.promote.getFactor())
    return refuse("only row and column factors are scaled in, no zero points");
  size_t scales = 0;
  for (auto [factor, load] :
       {std::pair<Value, LoadOp *>{gemm.promote.getRow(), &gemm.aScale},
        {gemm.promote.getCol(), &gemm.bScale}}) {
    if (!factor)
      continue;
    *load = loadOf(loop, factor);
    if (!*load || !getTileElementType((*load).getType()).isF32())
      return refuse("factors are not loaded as f32");
    ++scales;
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
