//===- SpaceMap.cpp - How routing fills blocks of rows --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Routing/SpaceMap.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>

using namespace mlir::moe;

double BlockStatistics::getUsePercent() const {
  return blocks ? 100.0 * rows / getPaddedRows() : 0.0;
}

double BlockStatistics::getSkinnyPercent() const {
  return blocks ? 100.0 * skinnyBlocks / blocks : 0.0;
}

BlockStatistics mlir::moe::countBlocks(llvm::ArrayRef<int64_t> tokensPerExpert,
                                       int64_t blockM) {
  BlockStatistics stats;
  stats.blockM = blockM;
  for (int64_t count : tokensPerExpert) {
    int64_t full = count / blockM, last = count % blockM;
    stats.rows += count;
    stats.blocks += full + (last != 0);
    stats.skinnyBlocks += (blockM <= 8 ? full : 0) + (last >= 1 && last <= 8);
  }
  return stats;
}

HistogramStatistics
mlir::moe::describeHistogram(llvm::ArrayRef<int64_t> tokensPerExpert) {
  HistogramStatistics stats;
  std::vector<int64_t> alive;
  for (int64_t count : tokensPerExpert)
    if (count)
      alive.push_back(count);
  stats.deadExperts = tokensPerExpert.size() - alive.size();
  if (alive.empty())
    return stats;
  llvm::sort(alive);
  for (int64_t count : alive)
    stats.rows += count;
  stats.max = alive.back();
  stats.mean = static_cast<double>(stats.rows) / alive.size();
  size_t middle = alive.size() / 2;
  stats.median = alive.size() % 2 ? alive[middle]
                                  : (alive[middle - 1] + alive[middle]) / 2;
  return stats;
}

llvm::Expected<std::vector<SpaceMapRow>>
mlir::moe::computeSpaceMap(const SpaceMapOptions &options) {
  NumpyGenerator generator(options.seed);
  std::vector<SpaceMapRow> rows;
  for (RoutingArchetype archetype : options.archetypes)
    for (int64_t tokens : options.tokens) {
      llvm::Expected<TopkIds> ids = sampleRouting(
          archetype, tokens, options.experts, options.topk, generator);
      if (!ids)
        return ids.takeError();
      std::vector<int64_t> counts = countTokensPerExpert(*ids, options.experts);
      rows.push_back({archetype, tokens, describeHistogram(counts),
                      countBlocks(counts, 16), countBlocks(counts, 32)});
    }
  return rows;
}

void mlir::moe::printSpaceMap(llvm::raw_ostream &os,
                              llvm::ArrayRef<SpaceMapRow> rows) {
  os << "arch          T nvalid   mean  med   max dead  bm16use sk8  bm32use "
        "sk8  blk16 blk32\n";
  std::optional<RoutingArchetype> previous;
  for (const SpaceMapRow &row : rows) {
    if (previous && *previous != row.archetype)
      os << '\n';
    previous = row.archetype;
    const HistogramStatistics &h = row.histogram;
    os << llvm::left_justify(getRoutingArchetypeName(row.archetype), 9)
       << llvm::format("%6lld%7lld%7.1f%5lld%6lld%5lld",
                       static_cast<long long>(row.tokens),
                       static_cast<long long>(h.rows), h.mean,
                       static_cast<long long>(h.median),
                       static_cast<long long>(h.max),
                       static_cast<long long>(h.deadExperts))
       << llvm::format("%9.1f%4.0f%9.1f%4.0f", row.block16.getUsePercent(),
                       row.block16.getSkinnyPercent(),
                       row.block32.getUsePercent(),
                       row.block32.getSkinnyPercent())
       << llvm::format("%7lld%6lld\n",
                       static_cast<long long>(row.block16.blocks),
                       static_cast<long long>(row.block32.blocks));
  }
}

void mlir::moe::printSpaceMap(llvm::raw_ostream &os, uint64_t seed) {
  SpaceMapOptions options;
  options.seed = seed;
  // 256 experts and top-8 suit every archetype.
  printSpaceMap(os, llvm::cantFail(computeSpaceMap(options)));
}
