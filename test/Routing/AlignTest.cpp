//===- AlignTest.cpp - The host reference of moe.align --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Routing/Align.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::moe;

template <typename T> static std::string message(llvm::Expected<T> value) {
  EXPECT_FALSE(static_cast<bool>(value));
  return value ? "" : llvm::toString(value.takeError());
}

static TopkIds makeIds(int64_t topk, std::vector<int32_t> ids) {
  TopkIds result;
  result.topk = topk;
  result.tokens = ids.size() / topk;
  result.ids = std::move(ids);
  return result;
}

TEST(Align, ByHand) {
  // Expert 1 has rows 0, 3, 4; expert 3 has 1, 2; row 5 is nobody's.
  TopkIds ids = makeIds(2, {1, 3, 3, 1, 1, -1});
  AlignedRouting r = llvm::cantFail(alignRouting(ids, 4, 2));
  EXPECT_EQ(r.sortedIds, (std::vector<int32_t>{0, 3, 4, 6, 1, 2}));
  EXPECT_EQ(r.blockExperts, (std::vector<int32_t>{1, 1, 3}));
  EXPECT_EQ(r.offsets, (std::vector<int64_t>{0, 0, 3, 3, 5}));
  EXPECT_EQ(r.paddedOffsets, (std::vector<int64_t>{0, 0, 4, 4, 6}));
  EXPECT_EQ(r.getNumPadded(), 6);
}

TEST(Align, SpareBlocksAreDefined) {
  AlignedRouting r =
      llvm::cantFail(alignRouting(makeIds(1, {0, 0}), 2, 4, {}, 3));
  EXPECT_EQ(r.sortedIds,
            (std::vector<int32_t>{0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(r.blockExperts, (std::vector<int32_t>{0, -1, -1}));
  EXPECT_EQ(r.getNumPadded(), 4);
}

TEST(Align, ExpertMapDropsOtherRanks) {
  // Global experts 2, 3 are local 0, 1.
  AlignedRouting r = llvm::cantFail(
      alignRouting(makeIds(2, {0, 2, 3, 1, 2, -1}), 2, 2, {-1, -1, 0, 1}));
  EXPECT_EQ(r.sortedIds, (std::vector<int32_t>{1, 4, 2, 6}));
  EXPECT_EQ(r.blockExperts, (std::vector<int32_t>{0, 1}));
}

TEST(Align, NoTokens) {
  AlignedRouting r = llvm::cantFail(alignRouting(makeIds(2, {}), 3, 16));
  EXPECT_TRUE(r.sortedIds.empty());
  EXPECT_EQ(r.offsets, (std::vector<int64_t>{0, 0, 0, 0}));
  EXPECT_EQ(getMaxBlocks(0, 3, 16), 0);
}

TEST(Align, RandomInvariants) {
  std::mt19937 random(4);
  for (int trial = 0; trial < 200; ++trial) {
    int64_t experts = 1 + random() % 20, topk = 1 + random() % 4;
    int64_t blockM = 1 + random() % 20, tokens = random() % 50;
    TopkIds ids = makeIds(topk, std::vector<int32_t>(tokens * topk));
    for (int32_t &id : ids.ids)
      id = static_cast<int32_t>(random() % (experts + 1)) - 1;
    int64_t bound = getMaxBlocks(tokens * topk, experts, blockM);
    AlignedRouting r =
        llvm::cantFail(alignRouting(ids, experts, blockM, {}, bound));
    ASSERT_EQ(static_cast<int64_t>(r.blockExperts.size()), bound);
    ASSERT_LE(r.getNumPadded(), bound * blockM);
    std::vector<int> seen(tokens * topk, 0);
    for (size_t slot = 0; slot < r.sortedIds.size(); ++slot) {
      int32_t flat = r.sortedIds[slot];
      if (flat == tokens * topk)
        continue;
      ++seen[flat];
      EXPECT_EQ(r.blockExperts[slot / blockM], ids.ids[flat]);
      if (slot % blockM)
        EXPECT_LT(r.sortedIds[slot - 1], flat);
    }
    for (size_t i = 0; i < seen.size(); ++i)
      EXPECT_EQ(seen[i], ids.ids[i] >= 0);
    std::vector<int64_t> counts = countTokensPerExpert(ids, experts);
    for (int64_t e = 0; e < experts; ++e) {
      EXPECT_EQ(r.offsets[e + 1] - r.offsets[e], counts[e]);
      EXPECT_EQ(r.paddedOffsets[e + 1] - r.paddedOffsets[e],
                (counts[e] + blockM - 1) / blockM * blockM);
    }
  }
}

// The bound is reached: one row for each expert, the rest for one.
TEST(Align, MaxBlocksIsTight) {
  for (int64_t rows : {1, 5, 8, 9, 24, 100})
    for (int64_t blockM : {1, 4, 16}) {
      int64_t experts = 8, hit = std::min(rows, experts);
      std::vector<int32_t> ids;
      for (int64_t e = 0; e < hit; ++e)
        ids.push_back(static_cast<int32_t>(e));
      while (static_cast<int64_t>(ids.size()) < rows)
        ids.push_back(0);
      AlignedRouting r =
          llvm::cantFail(alignRouting(makeIds(1, ids), experts, blockM));
      EXPECT_EQ(static_cast<int64_t>(r.blockExperts.size()),
                getMaxBlocks(rows, experts, blockM));
    }
}

TEST(Align, Errors) {
  TopkIds ids = makeIds(2, {0, 1, 2, 9});
  EXPECT_EQ(message(alignRouting(ids, 4, 16)),
            "topk_ids: token 1, slot 1: expert id 9 is outside [-1, 4)");
  ids.ids[3] = 3;
  EXPECT_EQ(message(alignRouting(ids, 4, 0)),
            "align: experts = 4 and block_m = 0 must be positive, blocks = 0 "
            "not negative");
  EXPECT_EQ(message(alignRouting(ids, 4, 16, {}, 3)),
            "align: the routing takes 4 blocks of 16 slots, only 3 are "
            "provided");
  EXPECT_EQ(message(alignRouting(ids, 2, 16, {0, 1, 2, -1})),
            "align: expert_map[2] = 2 is outside [-1, 2)");
}
