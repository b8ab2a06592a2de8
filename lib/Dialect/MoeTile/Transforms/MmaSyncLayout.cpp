//===- MmaSyncLayout.cpp - Tiles shared by warps --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// mma.sync is an instruction of one warp for 16 x 8 results. The warps of a
// team form a grid over its tile. A warp reads both operands of its part from
// shared memory for itself, so parts that are about square read least.
//
//===----------------------------------------------------------------------===//

#include "TileGemm.h"

using namespace mlir;
using namespace mlir::moe::tile;

/// Rows of the instruction's first and second operand.
static constexpr int64_t kHardM = 16, kHardN = 8;
/// Rows of the first operand that make reading the second one worth while.
static constexpr int64_t kGoodRows = 32;

namespace {
/// What one team computes, in the tile's own dimensions.
struct TeamTile {
  int64_t teams, warps, m, n;
  bool byM, swap;
};
} // namespace

/// The part of a team of `warps` warps, if teams divide the tile.
static TeamTile partOfTeam(const TileGemm &gemm, int64_t warps) {
  TeamTile team;
  team.warps = warps;
  team.teams = std::max<int64_t>(1, gemm.getTeams());
  team.byM = gemm.getDivide() == Divide::M;
  team.swap = gemm.isSwapped();
  team.m = team.byM ? gemm.rows / team.teams : gemm.rows;
  team.n = team.byM ? gemm.cols : gemm.cols / team.teams;
  return team;
}

static FailureOr<TeamTile> teamTile(const TileGemm &gemm) {
  KernelOp kernel = gemm.kernel;
  int64_t threads = gemm.getComputeThreads();
  if (threads % 32 != 0 || threads < 32 || threads > 512)
    return kernel.emitOpError("a team has whole warps, at most 16 of them; the "
                              "configuration says ")
           << threads << " threads";
  TeamTile team = partOfTeam(gemm, threads / 32);
  int64_t parts = team.byM ? gemm.rows : gemm.cols;
  if (gemm.getTeams() < 1 || parts % team.teams != 0)
    return kernel.emitOpError()
           << gemm.getTeams() << " compute teams do not divide " << parts
           << (team.byM ? " rows" : " columns");
  return team;
}

/// Block of the split of the tile into gate and up columns, 0 without one.
static int64_t splitBlock(const TileGemm &gemm) {
  int64_t block = 0;
  ForTilesOp(gemm.tiles).walk([&](SplitOp split) {
    if (split.getSource().getType().getCols() == gemm.cols)
      block = split.getBlock();
  });
  return block;
}

/// Numbers of warps along the first operand, best first.
static SmallVector<int64_t> warpChoices(const TeamTile &team) {
  SmallVector<int64_t> choices;
  auto add = [&](int64_t count) {
    if (count >= 1 && count <= team.warps && team.warps % count == 0 &&
        !llvm::is_contained(choices, count))
      choices.push_back(count);
  };
  if (team.swap) {
    // The tokens are few: every warp takes all of them.
    for (int64_t count = team.warps; count >= 1; count /= 2)
      add(count);
    return choices;
  }
  for (int64_t count = std::max<int64_t>(1, team.warps / 2); count >= 1;
       count /= 2)
    if (team.m / count >= kGoodRows)
      add(count);
  for (int64_t count = 1; count <= team.warps; count *= 2)
    add(count);
  return choices;
}

/// Columns side by side of one warp, if `warps` of them share `extent` columns
/// so that both columns of a split are in one thread; 0 if they cannot.
static int64_t columnsOfWarp(int64_t extent, int64_t warps, int64_t unit,
                             int64_t block) {
  if (extent % (unit * warps) != 0)
    return 0;
  int64_t share = extent / warps;
  if (block == 0 || warps == 1 || share % (2 * block) == 0)
    return share;
  return block % (unit * warps) == 0 ? block / warps : 0;
}

FailureOr<AtomAttr> moe::tile::chooseMmaSyncAtom(const TileGemm &gemm) {
  KernelOp kernel = gemm.kernel;
  int64_t k = 32 / gemm.elementBytes;
  bool swap = gemm.isSwapped();
  if (gemm.config.getString("compute_split") == "tiles")
    return kernel.emitOpError("teams that take tiles in turn (compute_split = "
                              "\"tiles\") have no explicit form yet");
  if (gemm.step % k != 0)
    return kernel.emitOpError("k step ")
           << gemm.step << " is not a multiple of the instruction's " << k;
  MLIRContext *context = kernel.getContext();
  auto atom =
      AtomAttr::get(context, StringAttr::get(context, "mma_sync"),
                    swap ? kHardN : kHardM, swap ? kHardM : kHardN, k, swap);
  StringRef text = gemm.config.getString("atom");
  std::string known = swap ? llvm::formatv("mma_sync 8x16x{0}, swap", k).str()
                           : llvm::formatv("mma_sync 16x8x{0}", k).str();
  if (!text.empty() && text != known)
    return kernel.emitOpError("atom ")
           << text << " of the configuration does not fit, "
           << *kernel.getTarget() << " has " << known << " for these operands";
  return atom;
}

namespace {
/// A grid of a team's warps, and the columns side by side of one of them.
struct WarpGrid {
  int64_t m, n, columns;
};
} // namespace

static std::optional<WarpGrid> findGrid(const TileGemm &gemm,
                                        const TeamTile &team) {
  int64_t block = splitBlock(gemm);
  int64_t unitM = team.swap ? kHardN : kHardM;
  int64_t unitN = team.swap ? kHardM : kHardN;
  for (int64_t first : warpChoices(team)) {
    int64_t second = team.warps / first;
    WarpGrid grid{team.swap ? second : first, team.swap ? first : second, 0};
    grid.columns = columnsOfWarp(team.n, grid.n, unitN, block);
    if (team.m % (grid.m * unitM) == 0 && grid.columns != 0)
      return grid;
  }
  return std::nullopt;
}

int64_t moe::tile::warpsThatShare(const TileGemm &gemm) {
  int64_t most = gemm.getTarget()->computeThreads / 32;
  for (int64_t warps = most; warps >= 1; warps /= 2) {
    TeamTile team = partOfTeam(gemm, warps);
    // Decoded weights: 16 rows of each warp, all tokens.
    if (gemm.dequant ? team.n % (kHardM * warps) == 0
                     : findGrid(gemm, team).has_value())
      return warps;
  }
  return most;
}

FailureOr<DigitsAttr> moe::tile::mmaSyncLayout(const TileGemm &gemm,
                                               AtomAttr atom) {
  KernelOp kernel = gemm.kernel;
  FailureOr<TeamTile> team = teamTile(gemm);
  if (failed(team))
    return failure();
  if (std::optional<WarpGrid> grid = findGrid(gemm, *team)) {
    DigitsAttr layout = getAtomLayout(atom)
                            .repeat(team->m / grid->m / atom.getM(),
                                    grid->columns / atom.getN())
                            .distribute(Level::Warp, grid->m, grid->n)
                            .repeat(1, team->n / (grid->columns * grid->n));
    return layout.distribute(Level::Group, team->byM ? team->teams : 1,
                             team->byM ? 1 : team->teams);
  }
  InFlightDiagnostic error =
      kernel.emitOpError("no grid of ")
      << team->warps << " warps shares a team's tile of " << team->m << "x"
      << team->n << " in whole parts of " << atom.getM() << "x" << atom.getN();
  if (int64_t block = splitBlock(gemm))
    error << " that keep columns " << block << " apart together";
  return error;
}
