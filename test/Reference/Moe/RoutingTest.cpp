//===- RoutingTest.cpp - Every slot of a routing --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Reference/Moe/Routing.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::moe;

namespace {
HostTensor makeIds(std::vector<int32_t> ids, int64_t topk) {
  int64_t tokens = static_cast<int64_t>(ids.size()) / topk;
  HostTensor tensor =
      llvm::cantFail(HostTensor::create(ElementType::I32, {tokens, topk}));
  llvm::copy(ids, tensor.getAs<int32_t>().begin());
  return tensor;
}

HostTensor makeMap(std::vector<int32_t> map) {
  HostTensor tensor = llvm::cantFail(
      HostTensor::create(ElementType::I32, {static_cast<int64_t>(map.size())}));
  llvm::copy(map, tensor.getAs<int32_t>().begin());
  return tensor;
}

std::string messageOf(llvm::Expected<RoutingTable> table) {
  EXPECT_FALSE(static_cast<bool>(table));
  return table ? "" : llvm::toString(table.takeError());
}
using Ints = std::vector<int32_t>;
} // namespace

// Three tokens, two choices: a duplicate, a dropped slot, an empty expert.
TEST(Routing, EveryPositionIsDefined) {
  HostTensor ids = makeIds({2, 0, 2, 2, -1, 0}, 2);
  RoutingTable table = llvm::cantFail(alignSlots(ids, nullptr, 3, 2));
  EXPECT_EQ(table.slotExpert, (Ints{2, 0, 2, 2, -1, 0}));
  EXPECT_EQ(table.offsets, (Ints{0, 2, 2, 5}));
  EXPECT_EQ(table.paddedOffsets, (Ints{0, 2, 2, 6}));
  EXPECT_EQ(table.sortedSlots, (Ints{1, 5, 0, 2, 3, 6}));
  // Capacity 6 + 3 * 1: six used rows, three behind them.
  EXPECT_EQ(table.paddedSlots, (Ints{1, 5, 0, 2, 3, 6, 6, 6, 6}));
  EXPECT_EQ(table.blockExperts, (Ints{0, 2, 2, -1, -1}));
  EXPECT_EQ(table.sortedRow, (Ints{2, 0, 3, 4, -1, 1}));
  EXPECT_EQ(table.paddedRow, (Ints{2, 0, 3, 4, -1, 1}));
  EXPECT_EQ(table.getNumRows(RowLayout::FlatTopk), 6);
  EXPECT_EQ(table.getNumRows(RowLayout::ExpertSorted), 6);
  EXPECT_EQ(table.getNumRows(RowLayout::ExpertSortedPadded), 9);
  EXPECT_EQ(table.getNumRows(RowLayout::Token), 3);
  EXPECT_EQ(table.getRow(RowLayout::FlatTopk, 4), -1);
  EXPECT_EQ(table.getRow(RowLayout::FlatTopk, 3), 3);
  EXPECT_EQ(table.getRow(RowLayout::Token, 3), 1);
  EXPECT_EQ(table.getSlots(2).size(), 3u);
  EXPECT_TRUE(table.getSlots(1).empty());
}

TEST(Routing, NoTokens) {
  HostTensor ids = makeIds({}, 4);
  RoutingTable table = llvm::cantFail(alignSlots(ids, nullptr, 2, 16));
  EXPECT_EQ(table.offsets, (Ints{0, 0, 0}));
  EXPECT_TRUE(table.paddedSlots.empty());
  EXPECT_TRUE(table.blockExperts.empty());
  EXPECT_EQ(table.getNumRows(RowLayout::ExpertSortedPadded), 0);
}

TEST(Routing, MapMovesAndDrops) {
  HostTensor ids = makeIds({3, 1, 0, -1}, 2), map = makeMap({-1, 0, -1, 1});
  RoutingTable table = llvm::cantFail(alignSlots(ids, &map, 2, 1));
  EXPECT_EQ(table.slotExpert, (Ints{1, 0, -1, -1}));
  EXPECT_EQ(table.sortedSlots, (Ints{1, 0, 4, 4}));
}

TEST(Routing, RouteAllIsEverySlot) {
  RoutingTable table = llvm::cantFail(routeToAll(3, 2, 4));
  EXPECT_EQ(table.topk, 2);
  EXPECT_EQ(table.slotExpert, (Ints{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(table.sortedSlots, (Ints{0, 2, 4, 1, 3, 5}));
  EXPECT_EQ(table.paddedOffsets, (Ints{0, 4, 8}));
}

// The padded order is a permutation of the valid slots and pads, whatever the
// ids: capacity is never exceeded and blocks hold one expert each.
TEST(Routing, PaddedBlocksHoldOneExpert) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    int64_t experts = 1 + random() % 9, topk = 1 + random() % 4;
    int64_t tokens = random() % 20, blockM = 1 + random() % 8;
    Ints ids(tokens * topk);
    for (int32_t &id : ids)
      id = static_cast<int32_t>(random() % (experts + 1)) - 1;
    RoutingTable table = llvm::cantFail(
        alignSlots(makeIds(ids, topk), nullptr, experts, blockM));
    int64_t capacity = table.getNumRows(RowLayout::ExpertSortedPadded);
    ASSERT_EQ(static_cast<int64_t>(table.paddedSlots.size()), capacity);
    ASSERT_LE(table.paddedOffsets.back(), capacity);
    std::vector<int> seen(ids.size(), 0);
    for (auto [row, slot] : llvm::enumerate(table.paddedSlots)) {
      if (slot == static_cast<int64_t>(ids.size()))
        continue;
      ++seen[slot];
      EXPECT_EQ(table.blockExperts[row / blockM], ids[slot]);
      EXPECT_EQ(table.getRow(RowLayout::ExpertSortedPadded, slot),
                static_cast<int64_t>(row));
    }
    for (auto [slot, id] : llvm::enumerate(ids))
      EXPECT_EQ(seen[slot], id >= 0 ? 1 : 0);
  }
}

TEST(Routing, BadIdsAreNamed) {
  EXPECT_EQ(messageOf(alignSlots(makeIds({0, 1, 5, 0}, 2), nullptr, 5, 1)),
            "expert id 5 of token 1, choice 0 is outside [-1, 5)");
  EXPECT_EQ(messageOf(alignSlots(makeIds({0, -2}, 2), nullptr, 5, 1)),
            "expert id -2 of token 0, choice 1 is outside [-1, 5)");
  HostTensor map = makeMap({0, 4});
  EXPECT_EQ(messageOf(alignSlots(makeIds({0, 1}, 2), &map, 4, 1)),
            "expert map sends id 1 of token 0, choice 1 to 4, outside [-1, 4)");
  EXPECT_EQ(messageOf(routeToAll(int64_t(1) << 30, 2, 1)),
            "routing of 1073741824 tokens, topk 2, block_m 1 exceeds the range "
            "of i32");
  EXPECT_EQ(messageOf(routeToAll(-1, 2, 1)),
            "routing of -1 tokens, topk 2, block_m 1 exceeds the range of i32");
}
