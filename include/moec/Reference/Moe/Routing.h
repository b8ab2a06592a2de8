//===- Routing.h - Which slot goes where ------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// The value behind `!moe.routing` in the reference interpreter: the order of
// the slots in every row layout, every position defined.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_REFERENCE_MOE_ROUTING_H
#define MOEC_REFERENCE_MOE_ROUTING_H

#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Support/HostTensor.h"
#include <vector>

namespace mlir::moe {

/// Routing of `tokens * topk` slots. A slot's flat index is `t * topk + j`.
struct RoutingTable {
  int64_t tokens = 0, topk = 1, experts = 1, blockM = 1;
  /// Local expert of every slot, -1 for a dropped one: [T * k].
  std::vector<int32_t> slotExpert;
  /// First row of every expert in `expert_sorted`, and the number of valid
  /// slots at the end: [E + 1].
  std::vector<int32_t> offsets;
  /// The same for `expert_sorted_padded`; the last entry is the padded total.
  std::vector<int32_t> paddedOffsets;
  /// Slot of every row of `expert_sorted`, T * k behind the last valid slot:
  /// [T * k].
  std::vector<int32_t> sortedSlots;
  /// Slot of every row of `expert_sorted_padded`, T * k for pads and behind the
  /// padded total: [capacity].
  std::vector<int32_t> paddedSlots;
  /// Expert of every block of blockM padded rows, -1 behind the last used one:
  /// [ceil(capacity / blockM)].
  std::vector<int32_t> blockExperts;
  /// Row of every slot in `expert_sorted` and `expert_sorted_padded`, -1 for a
  /// dropped slot: [T * k].
  std::vector<int32_t> sortedRow, paddedRow;

  int64_t getNumSlots() const { return tokens * topk; }
  /// Rows of a slot tensor in `layout`, as `moe.num_slots` gives them.
  int64_t getNumRows(RowLayout layout) const;
  /// Row of slot `slot` in `layout`; -1 for a dropped slot. `token` gives t.
  int64_t getRow(RowLayout layout, int64_t slot) const;
  /// Valid slots of expert `e`, ascending.
  llvm::ArrayRef<int32_t> getSlots(int64_t e) const {
    return llvm::ArrayRef(sortedSlots)
        .slice(offsets[e], offsets[e + 1] - offsets[e]);
  }
};

/// The meaning of `moe.align`: ids `[T, k]` i32, global; `map` (may be null)
/// `[global experts]` i32. Fails, naming token and choice, for an id outside
/// [-1, number of global experts), a mapped id outside [-1, experts), and
/// sizes beyond i32.
llvm::Expected<RoutingTable> alignSlots(const HostTensor &ids,
                                        const HostTensor *map, int64_t experts,
                                        int64_t blockM);

/// The meaning of `moe.route_all`: slot `t * experts + e` goes to expert `e`.
llvm::Expected<RoutingTable> routeToAll(int64_t tokens, int64_t experts,
                                        int64_t blockM);

} // namespace mlir::moe

#endif // MOEC_REFERENCE_MOE_ROUTING_H
