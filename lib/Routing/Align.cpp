//===- Align.cpp - Host reference of moe.align ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Routing/Align.h"
#include <algorithm>

using namespace mlir::moe;

int64_t mlir::moe::getMaxBlocks(int64_t rows, int64_t experts, int64_t blockM) {
  int64_t hit = std::min(rows, experts);
  return (rows + hit * (blockM - 1)) / blockM;
}

llvm::Expected<AlignedRouting>
mlir::moe::alignRouting(const TopkIds &ids, int64_t experts, int64_t blockM,
                        llvm::ArrayRef<int32_t> expertMap, int64_t blocks) {
  if (experts < 1 || blockM < 1 || blocks < 0)
    return llvm::createStringError(
        "align: experts = " + llvm::Twine(experts) +
        " and block_m = " + llvm::Twine(blockM) +
        " must be positive, blocks = " + llvm::Twine(blocks) + " not negative");
  int64_t globalExperts = expertMap.empty() ? experts : expertMap.size();
  if (llvm::Error error = checkTopkIds(ids, globalExperts))
    return std::move(error);
  for (size_t e = 0; e < expertMap.size(); ++e)
    if (expertMap[e] < -1 || expertMap[e] >= experts)
      return llvm::createStringError("align: expert_map[" + llvm::Twine(e) +
                                     "] = " + llvm::Twine(expertMap[e]) +
                                     " is outside [-1, " +
                                     llvm::Twine(experts) + ")");

  auto localExpert = [&](int32_t id) {
    return id < 0 || expertMap.empty() ? id : expertMap[id];
  };
  AlignedRouting result;
  result.blockM = blockM;
  result.offsets.assign(experts + 1, 0);
  result.paddedOffsets.assign(experts + 1, 0);
  for (int32_t id : ids.ids)
    if (int32_t expert = localExpert(id); expert >= 0)
      ++result.offsets[expert + 1];
  for (int64_t e = 0; e < experts; ++e) {
    int64_t count = result.offsets[e + 1];
    int64_t padded = (count + blockM - 1) / blockM * blockM;
    result.offsets[e + 1] += result.offsets[e];
    result.paddedOffsets[e + 1] = result.paddedOffsets[e] + padded;
  }
  int64_t used = result.getNumPadded() / blockM;
  if (blocks == 0)
    blocks = used;
  if (blocks < used)
    return llvm::createStringError("align: the routing takes " +
                                   llvm::Twine(used) + " blocks of " +
                                   llvm::Twine(blockM) + " slots, only " +
                                   llvm::Twine(blocks) + " are provided");

  result.sortedIds.assign(blocks * blockM,
                          static_cast<int32_t>(ids.tokens * ids.topk));
  result.blockExperts.assign(blocks, -1);
  std::vector<int64_t> next(result.paddedOffsets.begin(),
                            result.paddedOffsets.end() - 1);
  for (size_t i = 0; i < ids.ids.size(); ++i)
    if (int32_t expert = localExpert(ids.ids[i]); expert >= 0)
      result.sortedIds[next[expert]++] = static_cast<int32_t>(i);
  for (int64_t e = 0; e < experts; ++e)
    std::fill(result.blockExperts.begin() + result.paddedOffsets[e] / blockM,
              result.blockExperts.begin() +
                  result.paddedOffsets[e + 1] / blockM,
              static_cast<int32_t>(e));
  return result;
}
