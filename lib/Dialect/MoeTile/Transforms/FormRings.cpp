//===- FormRings.cpp - moe-tile-form-rings --------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdForm.h"

#include "moec/Dialect/MoeTile/Transforms/Passes.h"

namespace mlir::moe::tile {
#define GEN_PASS_DEF_MOETILEFORMRINGS
#include "moec/Dialect/MoeTile/Transforms/Passes.h.inc"
} // namespace mlir::moe::tile

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

/// The type of a slot's buffer: the swizzle's period is the row or, beside
/// decoded weights, 128 bytes of it.
static FailureOr<BufType> slotBuffer(LoadOp load, bool panels) {
  auto type = cast<BufType>(load.getType());
  int64_t row =
      type.getCols() * (type.getElementType().getIntOrFloatBitWidth() / 8);
  if (panels && row % 128 == 0)
    row = 128;
  if (row != 32 && row != 64 && row != 128)
    return load.emitOpError("a row of a slot has 32, 64 or 128 bytes, the "
                            "period of a swizzle; ")
           << type.getCols() << " columns have " << row;
  if (type.getRows() % 8 != 0)
    return load.emitOpError("a slot has whole groups of 8 rows, got ")
           << type.getRows();
  if (type.getPad() || (type.getSwizzle() && type.getSwizzle() != row))
    return load.emitOpError("a row of ")
           << row << " bytes needs that swizzle, got " << type;
  return BufType::get(type.getContext(), type.getRows(), type.getCols(),
                      type.getElementType(), row, 0);
}

/// What the warps of a team tell each other of rows that they share.
static int64_t getExchangeBytes(const TileGemm &gemm) {
  ForTilesOp tiles = gemm.tiles;
  bool reduces = !tiles.getBody().getOps<RowReduceOp>().empty();
  bool shares = gemm.isSwapped() || gemm.isByWarps();
  return reduces && shares ? gemm.getComputeThreads() / 32 * gemm.rows *
                                 int64_t(sizeof(float))
                           : 0;
}

/// Factors stand without swizzle behind the operands.
static FailureOr<SmallVector<BufType>> slotBuffers(const TileGemm &gemm) {
  SmallVector<BufType> types;
  bool legal = true;
  for (LoadOp load : slotLoads(gemm)) {
    if (load != gemm.a && load != gemm.b) {
      types.push_back(cast<BufType>(load.getType()));
      continue;
    }
    FailureOr<BufType> type =
        slotBuffer(load, /*panels=*/load == gemm.a && gemm.dequant);
    legal &= succeeded(type);
    types.push_back(succeeded(type) ? *type : BufType());
  }
  if (!legal)
    return failure();
  return types;
}

namespace {
struct FormRingsPass
    : public mlir::moe::tile::impl::MoeTileFormRingsBase<FormRingsPass> {
  void runOnOperation() override {
    if (failed(run()))
      signalPassFailure();
  }

  LogicalResult run() {
    KernelOp kernel = getOperation();
    auto matched = matchTileGemm(kernel);
    if (failed(matched))
      return failure();
    if (!*matched)
      return success();
    TileGemm &gemm = **matched;
    if (const AmdChip *chip = amdChipOf(kernel))
      return formAmdBuffers(gemm, *chip);
    FailureOr<const ExplicitTarget *> target = targetOf(gemm);
    FailureOr<SmallVector<BufType>> slots = slotBuffers(gemm);
    FailureOr<Staging> staging = stagingOf(gemm);
    if (failed(target) || failed(slots) || failed(staging))
      return failure();

    int64_t stages = gemm.loop.getStages().value_or(0);
    if (stages == 0)
      stages = gemm.config.getInt("stages");
    int64_t slot = 0;
    for (BufType type : *slots)
      slot += type.getSizeInBytes();
    // The next slot's operands start where a swizzle does.
    if (slots->size() > 2)
      slot = llvm::alignTo(slot, 1024);
    int64_t factors = 0;
    for (LoadOp load : gemm.getFactors())
      factors += llvm::alignTo(factorBuffer(load).getSizeInBytes(), 1024);
    factors *= kFactorSlots;
    int64_t rest = staging->getSizeInBytes() + (*target)->barrierBytes +
                   factors + getExchangeBytes(gemm);
    int64_t limit =
        std::min<int64_t>((*target)->smemLimit,
                          kernel.getSmemLimit().value_or((*target)->smemLimit));
    int64_t fit = std::max<int64_t>(0, (limit - rest) / slot);
    if (stages < 2 || stages > fit)
      return kernel.emitOpError("a ring of ")
             << stages << " slots of " << slot << " bytes, "
             << staging->getSizeInBytes() + factors << " bytes of staging and "
             << (*target)->barrierBytes << " bytes of barriers: " << limit
             << " bytes hold at most " << fit << " slots, 2 are needed";
    gemm.loop.setStages(stages);
    Block &compute = gemm.loop.getCompute().front();
    for (auto [i, load] : llvm::enumerate(slotLoads(gemm))) {
      load.getResult().setType((*slots)[i]);
      compute.getArgument(1 + i).setType((*slots)[i]);
    }
    kernel.setSmemLimit(limit);
    ++numRings;
    numBytes += stages * slot + staging->getSizeInBytes() + factors;
    return success();
  }
};
} // namespace
