//===- SpaceMap.h - How routing fills blocks of rows ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_ROUTING_SPACEMAP_H
#define MOEC_ROUTING_SPACEMAP_H

#include "moec/Routing/Routing.h"

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace mlir::moe {

/// The work of one GEMM cut into blocks of `blockM` rows: an expert with c rows
/// takes ceil(c / blockM) blocks, all full but the last.
struct BlockStatistics {
  int64_t blockM = 0;
  /// Rows that hold a token, and blocks.
  int64_t rows = 0, blocks = 0;
  /// Blocks of at most 8 rows.
  int64_t skinnyBlocks = 0;

  /// Rows after padding: the work that is really done.
  int64_t getPaddedRows() const { return blocks * blockM; }
  /// Share of padded rows that hold a token, in percent; 0 without blocks.
  double getUsePercent() const;
  /// Share of blocks with at most 8 rows, in percent; 0 without blocks.
  double getSkinnyPercent() const;
};

/// Block statistics of a histogram (tokens per expert, none negative).
BlockStatistics countBlocks(llvm::ArrayRef<int64_t> tokensPerExpert,
                            int64_t blockM);

/// What a histogram looks like over the experts that have a token.
struct HistogramStatistics {
  int64_t rows = 0, max = 0, deadExperts = 0;
  double mean = 0;
  /// The median cut to an integer.
  int64_t median = 0;
};
HistogramStatistics describeHistogram(llvm::ArrayRef<int64_t> tokensPerExpert);

/// One line of the space map.
struct SpaceMapRow {
  RoutingArchetype archetype;
  int64_t tokens;
  HistogramStatistics histogram;
  BlockStatistics block16, block32;
};

/// What the space map covers; the defaults are its usual definition.
struct SpaceMapOptions {
  uint64_t seed = 0;
  int64_t experts = 256, topk = 8;
  std::vector<int64_t> tokens = {16,  64,   128,  256,  512, 768,
                                 994, 1024, 1536, 2048, 4096};
  /// All must allow the number of experts (hot16 needs more than 16).
  std::vector<RoutingArchetype> archetypes = getAllRoutingArchetypes();
};

/// Computes all rows, archetype by archetype, from one generator
/// default_rng(seed): a row's draws depend on the rows before it.
llvm::Expected<std::vector<SpaceMapRow>>
computeSpaceMap(const SpaceMapOptions &options);

/// Prints the rows under a heading, a blank line between archetypes.
void printSpaceMap(llvm::raw_ostream &os, llvm::ArrayRef<SpaceMapRow> rows);

/// The space map of 256 experts, top-8, for a seed.
void printSpaceMap(llvm::raw_ostream &os, uint64_t seed);

} // namespace mlir::moe

#endif // MOEC_ROUTING_SPACEMAP_H
