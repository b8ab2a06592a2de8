//===- Routing.cpp - Which slot goes where --------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Reference/Moe/Routing.h"

using namespace mlir;
using namespace mlir::moe;

static int64_t getCapacity(int64_t slots, int64_t experts, int64_t blockM) {
  return slots + std::min(slots, experts) * (blockM - 1);
}

int64_t RoutingTable::getNumRows(RowLayout layout) const {
  switch (layout) {
  case RowLayout::Token:
    return tokens;
  case RowLayout::FlatTopk:
  case RowLayout::ExpertSorted:
    return getNumSlots();
  case RowLayout::ExpertSortedPadded:
    return getCapacity(getNumSlots(), experts, blockM);
  }
  llvm_unreachable("covered switch");
}

int64_t RoutingTable::getRow(RowLayout layout, int64_t slot) const {
  if (slotExpert[slot] < 0)
    return -1;
  switch (layout) {
  case RowLayout::Token:
    return slot / topk;
  case RowLayout::FlatTopk:
    return slot;
  case RowLayout::ExpertSorted:
    return sortedRow[slot];
  case RowLayout::ExpertSortedPadded:
    return paddedRow[slot];
  }
  llvm_unreachable("covered switch");
}

/// Fails if a size of the routing does not fit the i32 of its tables.
static llvm::Error checkSizes(int64_t tokens, int64_t topk, int64_t experts,
                              int64_t blockM) {
  int64_t slots, padding;
  if (tokens < 0 || llvm::MulOverflow(tokens, topk, slots) ||
      llvm::MulOverflow(std::min(slots, experts), blockM - 1, padding) ||
      slots > INT32_MAX - padding || padding > INT32_MAX ||
      experts > INT32_MAX - 1)
    return llvm::createStringError(
        "routing of " + Twine(tokens) + " tokens, topk " + Twine(topk) +
        ", block_m " + Twine(blockM) + " exceeds the range of i32");
  return llvm::Error::success();
}

/// Fills everything that follows from tokens, topk, experts, blockM and
/// slotExpert: a stable counting sort by expert.
static void sortSlots(RoutingTable &table) {
  int64_t slots = table.getNumSlots();
  std::vector<int32_t> counts(table.experts, 0);
  for (int32_t e : table.slotExpert)
    if (e >= 0)
      ++counts[e];
  table.offsets.assign(table.experts + 1, 0);
  table.paddedOffsets.assign(table.experts + 1, 0);
  for (int64_t e = 0; e < table.experts; ++e) {
    table.offsets[e + 1] = table.offsets[e] + counts[e];
    table.paddedOffsets[e + 1] =
        table.paddedOffsets[e] + llvm::alignTo(counts[e], table.blockM);
  }
  int64_t capacity = table.getNumRows(RowLayout::ExpertSortedPadded);
  table.sortedSlots.assign(slots, slots);
  table.paddedSlots.assign(capacity, slots);
  table.sortedRow.assign(slots, -1);
  table.paddedRow.assign(slots, -1);
  std::vector<int32_t> seen(table.experts, 0);
  for (int64_t slot = 0; slot < slots; ++slot) {
    int32_t e = table.slotExpert[slot];
    if (e < 0)
      continue;
    table.sortedRow[slot] = table.offsets[e] + seen[e];
    table.paddedRow[slot] = table.paddedOffsets[e] + seen[e];
    ++seen[e];
    table.sortedSlots[table.sortedRow[slot]] = slot;
    table.paddedSlots[table.paddedRow[slot]] = slot;
  }
  table.blockExperts.assign(llvm::divideCeil(capacity, table.blockM), -1);
  for (int64_t e = 0; e < table.experts; ++e)
    for (int64_t row = table.paddedOffsets[e]; row < table.paddedOffsets[e + 1];
         row += table.blockM)
      table.blockExperts[row / table.blockM] = e;
}

llvm::Expected<RoutingTable> moe::alignSlots(const HostTensor &ids,
                                             const HostTensor *map,
                                             int64_t experts, int64_t blockM) {
  RoutingTable table;
  table.tokens = ids.getDim(0);
  table.topk = ids.getDim(1);
  table.experts = experts;
  table.blockM = blockM;
  if (llvm::Error error = checkSizes(table.tokens, table.topk, experts, blockM))
    return std::move(error);
  int64_t global = map ? map->getDim(0) : experts;
  auto place = [&](int64_t slot) {
    return "token " + std::to_string(slot / table.topk) + ", choice " +
           std::to_string(slot % table.topk);
  };
  table.slotExpert.assign(table.getNumSlots(), -1);
  for (int64_t slot = 0; slot < table.getNumSlots(); ++slot) {
    int32_t id = ids.getAs<int32_t>()[slot];
    if (id < -1 || id >= global)
      return llvm::createStringError("expert id " + Twine(id) + " of " +
                                     place(slot) + " is outside [-1, " +
                                     Twine(global) + ")");
    if (id >= 0 && map) {
      int32_t local = map->getAs<int32_t>()[id];
      if (local < -1 || local >= experts)
        return llvm::createStringError(
            "expert map sends id " + Twine(id) + " of " + place(slot) + " to " +
            Twine(local) + ", outside [-1, " + Twine(experts) + ")");
      id = local;
    }
    table.slotExpert[slot] = id;
  }
  sortSlots(table);
  return table;
}

llvm::Expected<RoutingTable> moe::routeToAll(int64_t tokens, int64_t experts,
                                             int64_t blockM) {
  RoutingTable table;
  table.tokens = tokens;
  table.topk = table.experts = experts;
  table.blockM = blockM;
  if (llvm::Error error = checkSizes(tokens, experts, experts, blockM))
    return std::move(error);
  table.slotExpert.resize(table.getNumSlots());
  for (int64_t slot = 0; slot < table.getNumSlots(); ++slot)
    table.slotExpert[slot] = slot % experts;
  sortSlots(table);
  return table;
}
