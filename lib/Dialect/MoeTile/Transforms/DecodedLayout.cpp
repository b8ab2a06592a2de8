//===- DecodedLayout.cpp - Layouts beside weights in registers ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A thread that decodes weights to registers may read any row of the slot, so
// the rows of the tile can be dealt to the instruction's rows freely. They are
// dealt such that the two rows of a thread, eight apart in the instruction, are
// the gate and the up row of one column, wherever these stand.
//
//===----------------------------------------------------------------------===//

#include "TileGemm.h"

using namespace mlir;
using namespace mlir::moe::tile;

/// Block of the split of the product into gate and up columns, 0 without one.
static int64_t splitBlockOf(const TileGemm &gemm) {
  Value result = gemm.promote ? KLoopOp(gemm.loop).getResult(0)
                              : AccReadOp(gemm.read).getResult();
  for (Operation *user : result.getUsers())
    if (auto split = dyn_cast<SplitOp>(user))
      return split.getBlock();
  return 0;
}

FailureOr<DecodedLayouts> moe::tile::decodedLayouts(const TileGemm &gemm,
                                                    AtomAttr atom) {
  int64_t teams = gemm.getTeams();
  if (teams > 1 && gemm.getDivide() != Divide::N)
    return DequantOp(gemm.dequant)
        .emitOpError("teams that decode weights share a tile by n, use "
                     "compute_split = \"n\"");
  int64_t share = gemm.cols / teams;
  // Instructions of a warp lie side by side in registers, those of a warpgroup
  // are one of 64 rows.
  int64_t warps = gemm.getComputeThreads() / 32;
  int64_t unit = 16 * warps;
  int64_t tokens = gemm.isByWarps() ? gemm.rows : atom.getM();
  int64_t repeatN = share / unit, repeatM = gemm.rows / tokens;
  if (repeatN * unit != share || repeatM * tokens != gemm.rows)
    return DequantOp(gemm.dequant)
               .emitOpError("the weight rows of one team "
                            "must be a multiple of ")
           << unit << " and the tokens one of " << tokens << ", got " << share
           << " and " << gemm.rows;
  // Who holds which weight rows, below and above the digit of the thread's two
  // rows; without a split that digit stands as in the instruction.
  struct Place {
    Level level;
    int64_t extent, stride;
  };
  SmallVector<Place> order{{Level::Lane, 8, 0},
                           {Level::Warp, warps, 0},
                           {Level::Reg, repeatN, 0},
                           {Level::Group, teams, 0}};
  int64_t block = splitBlockOf(gemm);
  if (block == 0)
    block = 8;
  int64_t product = 1, pairStride = 0;
  for (Place &place : order) {
    if (product == block && !pairStride) {
      pairStride = product;
      product *= 2;
    }
    place.stride = product;
    product *= place.extent;
  }
  if (product == block && !pairStride)
    pairStride = product;
  if (!pairStride)
    return DequantOp(gemm.dequant)
               .emitOpError("gate and up rows of decoded weights alternate in "
                            "runs of 1, 8, 32, 64, ... rows or are halves of "
                            "the tile, got runs of ")
           << block << " in a tile of " << gemm.cols << " rows of " << teams
           << " teams";
  constexpr Dim M = Dim::M, N = Dim::N;
  auto digits = [&](bool operand) {
    // Dimensions of the accumulator, or of the operand: rows, then k.
    Dim weights = operand ? M : N, other = operand ? N : M;
    int64_t inner = operand ? gemm.step : tokens;
    SmallVector<Digit> list{{Level::Reg, other, 2, 1},
                            {Level::Reg, weights, 2, pairStride},
                            {Level::Reg, other, inner / 8, 8}};
    if (!operand && repeatM > 1)
      list.push_back({Level::Reg, other, repeatM, tokens});
    if (repeatN > 1)
      list.push_back({Level::Reg, weights, repeatN, order[2].stride});
    list.push_back({Level::Lane, other, 4, 2});
    list.push_back({Level::Lane, weights, 8, order[0].stride});
    list.push_back({Level::Warp, weights, warps, order[1].stride});
    if (teams > 1)
      list.push_back({Level::Group, weights, teams, order[3].stride});
    return DigitsAttr::get(atom.getContext(), list);
  };
  return DecodedLayouts{digits(/*operand=*/false), digits(/*operand=*/true)};
}
