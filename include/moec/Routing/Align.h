//===- Align.h - Host reference of moe.align ------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_ROUTING_ALIGN_H
#define MOEC_ROUTING_ALIGN_H

#include "moec/Routing/Routing.h"

namespace mlir::moe {

/// Tokens sorted by expert and padded so that every block of blockM slots
/// belongs to one expert.
struct AlignedRouting {
  int64_t blockM = 0;
  /// Per slot the flat index token * topk + slot, ascending within an expert;
  /// tokens * topk in pad slots.
  std::vector<int32_t> sortedIds;
  /// Per block the expert; -1 in blocks beyond the used ones.
  std::vector<int32_t> blockExperts;
  /// [experts + 1]: first row of each expert without padding, and the total.
  std::vector<int64_t> offsets;
  /// [experts + 1]: first slot of each expert with padding, and the total.
  std::vector<int64_t> paddedOffsets;

  /// Slots in use, padding included: a multiple of blockM.
  int64_t getNumPadded() const { return paddedOffsets.back(); }
};

/// The most blocks that `rows` = tokens * topk rows of `experts` experts can
/// take, whatever the routing: every hit expert wastes at most blockM - 1
/// slots.
int64_t getMaxBlocks(int64_t rows, int64_t experts, int64_t blockM);

/// Sorts and pads. `expertMap` (may be empty: the identity) maps global ids to
/// local ones, -1 for experts of another rank; its size is the number of global
/// experts, `experts` that of local ones. Ids of -1 take no slot. `blocks`
/// blocks are produced, 0 for exactly the used ones; all slots are defined.
/// Fails for ids or map entries out of range, and for too few blocks.
llvm::Expected<AlignedRouting>
alignRouting(const TopkIds &ids, int64_t experts, int64_t blockM,
             llvm::ArrayRef<int32_t> expertMap = {}, int64_t blocks = 0);

} // namespace mlir::moe

#endif // MOEC_ROUTING_ALIGN_H
