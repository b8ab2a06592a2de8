//===- Routing.h - Which token goes to which expert -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Expert choices of a batch of tokens: sampled from the routing archetypes or
// recorded, their histogram, and the host's reference of `moe.align`.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_ROUTING_ROUTING_H
#define MOEC_ROUTING_ROUTING_H

#include "moec/Routing/NumpyRandom.h"
#include "moec/Support/HostTensor.h"
#include <optional>
#include <vector>

namespace mlir::moe {

/// Popularity p_r of the expert of rank r = 1, 2, ... (expert r - 1):
enum class RoutingArchetype : uint8_t {
  /// None is drawn: 0, 1, ..., E-1 repeated.
  Balanced,
  /// 1.
  Uniform,
  /// 1 / r.
  Zipf1,
  /// 1 / r^2.
  Zipf2,
  /// 1 for r <= 16, else 1e-6.
  Hot16,
};

/// All archetypes, in the order of the enumeration.
llvm::ArrayRef<RoutingArchetype> getAllRoutingArchetypes();
/// "balanced", "uniform", "zipf1", "zipf2", "hot16".
llvm::StringRef getRoutingArchetypeName(RoutingArchetype archetype);
/// The inverse of getRoutingArchetypeName; nothing for an unknown name.
std::optional<RoutingArchetype> parseRoutingArchetype(llvm::StringRef name);

/// Chosen experts: ids[t * topk + slot], global, -1 for none.
struct TopkIds {
  int64_t tokens = 0, topk = 0;
  std::vector<int32_t> ids;

  llvm::ArrayRef<int32_t> getToken(int64_t token) const {
    return llvm::ArrayRef(ids).slice(token * topk, topk);
  }
};

/// Draws tokens x topk distinct experts per token: to log(p + 1e-12) of every
/// expert a Gumbel variate is added, drawn in the order (token, expert); the
/// topk largest sums win, the largest first (the lower id on a tie).
/// `balanced` draws nothing. Fails unless 1 <= topk <= experts <= 2^20, and
/// experts > 16 for hot16; needs tokens x topk < 2^31.
llvm::Expected<TopkIds> sampleRouting(RoutingArchetype archetype,
                                      int64_t tokens, int64_t experts,
                                      int64_t topk, NumpyGenerator &generator);

/// As above with a generator of its own, default_rng(seed).
llvm::Expected<TopkIds> sampleRouting(RoutingArchetype archetype,
                                      int64_t tokens, int64_t experts,
                                      int64_t topk, uint64_t seed);

/// Recorded choices from a .npy file: int32 or int64 of shape [tokens, topk],
/// checked by checkTopkIds.
llvm::Expected<TopkIds> readTopkIds(llvm::StringRef path, int64_t experts);

/// As readTopkIds, from a tensor; `name` begins the errors.
llvm::Expected<TopkIds> topkIdsFromTensor(const HostTensor &tensor,
                                          int64_t experts,
                                          llvm::StringRef name);

/// The ids as an i32 tensor [tokens, topk].
llvm::Expected<HostTensor> topkIdsToTensor(const TopkIds &ids);

/// Fails at the first id outside [-1, experts), naming token, slot, id and E.
/// Duplicates within a token are legal.
llvm::Error checkTopkIds(const TopkIds &ids, int64_t experts);

/// Rows per expert, -1 left out. The ids must be in range.
std::vector<int64_t> countTokensPerExpert(const TopkIds &ids, int64_t experts);

/// Router weights f32 [tokens, topk]: positive, each token's sum 1 up to
/// rounding, largest first as a softmax router gives them; a function of
/// (seed, token, slot) only.
std::vector<float> makeRouterWeights(int64_t tokens, int64_t topk,
                                     uint64_t seed);

} // namespace mlir::moe

#endif // MOEC_ROUTING_ROUTING_H
