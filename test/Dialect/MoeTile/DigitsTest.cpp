//===- DigitsTest.cpp - Fragment layouts ----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "gtest/gtest.h"
#include <functional>
#include <map>
#include <set>

using namespace mlir;
using namespace mlir::moe::tile;

namespace {
class DigitsTest : public ::testing::Test {
protected:
  DigitsTest() { context.loadDialect<MoeTileDialect>(); }

  DigitsAttr atomLayout(StringRef family, int64_t m, int64_t n, int64_t k,
                        bool swap = false) {
    return getAtomLayout(AtomAttr::get(
        &context, StringAttr::get(&context, family), m, n, k, swap));
  }

  /// Calls `visit` with every combination of level indices.
  static void enumerate(DigitsAttr layout,
                        llvm::function_ref<void(ArrayRef<int64_t>)> visit) {
    int64_t sizes[numLevels];
    int64_t total = 1;
    for (unsigned level = 0; level < numLevels; ++level) {
      sizes[level] = layout.getLevelSize(static_cast<Level>(level));
      total *= sizes[level];
    }
    for (int64_t flat = 0; flat < total; ++flat) {
      int64_t indices[numLevels], rest = flat;
      for (unsigned level = 0; level < numLevels; ++level) {
        indices[level] = rest % sizes[level];
        rest /= sizes[level];
      }
      visit(indices);
    }
  }

  /// Whether every element is hit, and equally often.
  static void expectCover(DigitsAttr layout, int64_t m, int64_t n) {
    EXPECT_EQ(layout.getExtent(Dim::M), m);
    EXPECT_EQ(layout.getExtent(Dim::N), n);
    std::map<std::pair<int64_t, int64_t>, int> hits;
    enumerate(layout,
              [&](ArrayRef<int64_t> indices) { ++hits[layout.map(indices)]; });
    EXPECT_EQ(static_cast<int64_t>(hits.size()), m * n);
    for (auto &[element, count] : hits) {
      EXPECT_TRUE(element.first < m && element.second < n);
      EXPECT_EQ(count, hits.begin()->second);
    }
  }

  /// Compares with a map from (register, lane, warp) to (row, column).
  using LaneMap =
      std::function<std::pair<int64_t, int64_t>(int64_t, int64_t, int64_t)>;
  static void expectMap(DigitsAttr layout, const LaneMap &expected) {
    enumerate(layout, [&](ArrayRef<int64_t> i) {
      EXPECT_EQ(layout.map(i), expected(i[0], i[1], i[2]));
    });
  }

  MLIRContext context;
};

using Element = std::pair<int64_t, int64_t>;

/// Row and column of accumulator register i in lane l, as executed.
TEST_F(DigitsTest, AmdMapsMatchExecutedTable) {
  expectMap(atomLayout("mfma", 16, 16, 16), [](int64_t i, int64_t l, int64_t) {
    return Element(4 * (l / 16) + i, l % 16);
  });
  expectMap(atomLayout("mfma", 32, 32, 16), [](int64_t i, int64_t l, int64_t) {
    return Element(8 * (i / 4) + 4 * (l / 32) + i % 4, l % 32);
  });
  expectMap(atomLayout("wmma", 16, 16, 16), [](int64_t i, int64_t l, int64_t) {
    return Element(2 * i + l / 16, l % 16);
  });
  expectMap(atomLayout("wmma_gfx12", 16, 16, 16),
            [](int64_t i, int64_t l, int64_t) {
              return Element(8 * (l / 16) + i, l % 16);
            });
}

TEST_F(DigitsTest, NvidiaMapsMatchThePtxManual) {
  for (int64_t n : {8, 24, 40, 96, 128, 192, 256})
    expectMap(atomLayout("wgmma", 64, n, 16),
              [](int64_t i, int64_t l, int64_t w) {
                return Element(16 * w + l / 4 + 8 * (i / 2 % 2),
                               8 * (i / 4) + 2 * (l % 4) + i % 2);
              });
  expectMap(atomLayout("mma_sync", 16, 8, 16),
            [](int64_t i, int64_t l, int64_t) {
              return Element(l / 4 + 8 * (i / 2), 2 * (l % 4) + i % 2);
            });
  expectMap(
      atomLayout("tcgen05", 128, 64, 16),
      [](int64_t i, int64_t l, int64_t w) { return Element(32 * w + l, i); });
}

TEST_F(DigitsTest, EveryLayoutCoversItsTileOnce) {
  expectCover(atomLayout("wgmma", 64, 128, 32), 64, 128);
  // Logical 24 x 64: the hardware sees the operands exchanged.
  expectCover(atomLayout("wgmma", 24, 64, 16, /*swap=*/true), 24, 64);
  expectCover(atomLayout("mfma", 32, 32, 16), 32, 32);
  expectCover(atomLayout("wmma_gfx12", 16, 16, 16), 16, 16);
  expectCover(atomLayout("cpu", 6, 16, 1), 6, 16);
  expectCover(atomLayout("cpu", 8, 32, 1), 8, 32);
}

TEST_F(DigitsTest, RepeatAndDistributeCompose) {
  // gfx942, 128 x 256 over 2 x 2 waves: 2 x 4 repetitions of 32 x 32 each.
  DigitsAttr layout =
      atomLayout("mfma", 32, 32, 16).repeat(2, 4).distribute(Level::Warp, 2, 2);
  expectCover(layout, 128, 256);
  EXPECT_EQ(layout.getLevelSize(Level::Reg), 16 * 8);
  EXPECT_EQ(layout.getLevelSize(Level::Lane), 64);
  EXPECT_EQ(layout.getLevelSize(Level::Warp), 4);
  std::string text;
  llvm::raw_string_ostream(text) << layout;
  EXPECT_EQ(text,
            "#moe_tile.digits<reg = [m * 4 by 1, m * 4 by 8, m * 2 by 32, "
            "n * 4 by 32], lane = [n * 32 by 1, m * 2 by 4], warp = "
            "[m * 2 by 64, n * 2 by 128]>");
  // Two warpgroups of wgmma, each its own 64 rows.
  expectCover(atomLayout("wgmma", 64, 128, 32).distribute(Level::Group, 2, 1),
              128, 128);
}

TEST_F(DigitsTest, SlicesFollowTheLayout) {
  DigitsAttr layout = atomLayout("wgmma", 64, 24, 16);
  DigitsAttr rows = layout.slice(Dim::N), cols = layout.slice(Dim::M);
  expectCover(rows, 64, 1);
  expectCover(cols, 1, 24);
  enumerate(layout, [&](ArrayRef<int64_t> i) {
    Element element = layout.map(i);
    EXPECT_EQ(rows.map(i), Element(element.first, 0));
    EXPECT_EQ(cols.map(i), Element(0, element.second));
    EXPECT_EQ(layout.swapped().map(i), Element(element.second, element.first));
  });
  EXPECT_EQ(layout.swapped().swapped(), layout);
}

TEST_F(DigitsTest, SplitRenamesRegistersInOrder) {
  using Case = std::pair<DigitsAttr, int64_t>;
  DigitsAttr wide = atomLayout("wgmma", 64, 256, 16);
  DigitsAttr swapped = atomLayout("wgmma", 16, 64, 16, /*swap=*/true);
  for (auto [layout, block] :
       {Case(wide, 128), Case(wide, 64), Case(wide, 8), Case(wide, 1),
        Case(wide.distribute(Level::Group, 2, 1), 128),
        Case(wide.repeat(2, 1), 128), Case(swapped.repeat(1, 2), 64),
        Case(swapped.repeat(1, 4), 64), Case(swapped, 8),
        Case(atomLayout("wgmma", 64, 96, 16), 48)}) {
    DigitsAttr half = splitLayout(layout, block);
    ASSERT_TRUE(half) << block;
    int64_t cols = layout.getExtent(Dim::N);
    expectCover(half, layout.getExtent(Dim::M), cols / 2);
    EXPECT_EQ(half.getLevelSize(Level::Reg) * 2,
              layout.getLevelSize(Level::Reg));
    // Of each thread, in the order of its registers: those of the first half.
    std::map<std::vector<int64_t>, std::vector<Element>> expected, got;
    enumerate(layout, [&](ArrayRef<int64_t> i) {
      auto [m, n] = layout.map(i);
      if (n / block % 2 == 0)
        expected[i.drop_front().vec()].push_back(
            Element(m, n / (2 * block) * block + n % block));
    });
    enumerate(half, [&](ArrayRef<int64_t> i) {
      got[i.drop_front().vec()].push_back(half.map(i));
    });
    EXPECT_EQ(got, expected) << block;
    // Slices are split alike.
    EXPECT_EQ(splitLayout(layout.slice(Dim::M), block), half.slice(Dim::M));
  }
}

TEST_F(DigitsTest, SplitNeedsRegisters) {
  DigitsAttr wide = atomLayout("wgmma", 64, 256, 16);
  DigitsAttr swapped = atomLayout("wgmma", 16, 64, 16, /*swap=*/true);
  EXPECT_FALSE(splitLayout(wide, 2));     // between lanes
  EXPECT_FALSE(splitLayout(swapped, 32)); // between warps
  EXPECT_FALSE(splitLayout(swapped, 1));
  EXPECT_FALSE(splitLayout(swapped.distribute(Level::Group, 1, 2), 64));
  EXPECT_FALSE(splitLayout(wide, 12)); // cuts a digit unevenly
  EXPECT_FALSE(splitLayout(atomLayout("wgmma", 64, 96, 16), 32));
}
} // namespace
