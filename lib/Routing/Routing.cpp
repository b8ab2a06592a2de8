//===- Routing.cpp - Which token goes to which expert ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Routing/Routing.h"
#include "moec/Support/Random.h"
#include "moec/Support/TensorIO.h"
#include <algorithm>
#include <cmath>
#include <functional>

using namespace mlir::moe;

static constexpr RoutingArchetype archetypes[] = {
    RoutingArchetype::Balanced, RoutingArchetype::Uniform,
    RoutingArchetype::Zipf1, RoutingArchetype::Zipf2, RoutingArchetype::Hot16};

llvm::ArrayRef<RoutingArchetype> mlir::moe::getAllRoutingArchetypes() {
  return archetypes;
}

llvm::StringRef mlir::moe::getRoutingArchetypeName(RoutingArchetype archetype) {
  static constexpr llvm::StringLiteral names[] = {"balanced", "uniform",
                                                  "zipf1", "zipf2", "hot16"};
  return names[static_cast<unsigned>(archetype)];
}

std::optional<RoutingArchetype>
mlir::moe::parseRoutingArchetype(llvm::StringRef name) {
  for (RoutingArchetype archetype : archetypes)
    if (name == getRoutingArchetypeName(archetype))
      return archetype;
  return std::nullopt;
}

static double getPopularity(RoutingArchetype archetype, double rank) {
  switch (archetype) {
  case RoutingArchetype::Zipf1:
    return 1.0 / rank;
  case RoutingArchetype::Zipf2:
    return 1.0 / (rank * rank);
  case RoutingArchetype::Hot16:
    return rank <= 16 ? 1.0 : 1e-6;
  default:
    return 1.0;
  }
}

llvm::Expected<TopkIds> mlir::moe::sampleRouting(RoutingArchetype archetype,
                                                 int64_t tokens,
                                                 int64_t experts, int64_t topk,
                                                 NumpyGenerator &generator) {
  llvm::StringRef name = getRoutingArchetypeName(archetype);
  if (experts < 1 || experts > (1 << 20))
    return llvm::createStringError("routing '" + name +
                                   "': " + llvm::Twine(experts) +
                                   " experts; from 1 to 1048576 are possible");
  if (topk < 1 || topk > experts)
    return llvm::createStringError(
        "routing '" + name + "': top-" + llvm::Twine(topk) + " of " +
        llvm::Twine(experts) + " experts; 1 <= top-k <= experts must hold");
  if (tokens < 0 || tokens > INT32_MAX / topk)
    return llvm::createStringError(
        "routing '" + name + "': " + llvm::Twine(tokens) + " tokens x top-" +
        llvm::Twine(topk) + " must lie in [0, 2^31)");
  if (archetype == RoutingArchetype::Hot16 && experts <= 16)
    return llvm::createStringError("routing 'hot16' needs more than 16 "
                                   "experts, not " +
                                   llvm::Twine(experts));
  TopkIds result;
  result.tokens = tokens;
  result.topk = topk;
  result.ids.resize(tokens * topk);
  if (archetype == RoutingArchetype::Balanced) {
    for (size_t i = 0; i < result.ids.size(); ++i)
      result.ids[i] = static_cast<int32_t>(i % experts);
    return result;
  }

  std::vector<double> logits(experts);
  for (int64_t e = 0; e < experts; ++e)
    logits[e] =
        std::log(getPopularity(archetype, static_cast<double>(e + 1)) + 1e-12);
  std::vector<std::pair<double, int32_t>> keys(experts);
  auto before = [](const auto &a, const auto &b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t e = 0; e < experts; ++e)
      keys[e] = {logits[e] + generator.gumbel(), static_cast<int32_t>(e)};
    std::partial_sort(keys.begin(), keys.begin() + topk, keys.end(), before);
    for (int64_t slot = 0; slot < topk; ++slot)
      result.ids[token * topk + slot] = keys[slot].second;
  }
  return result;
}

llvm::Expected<TopkIds> mlir::moe::sampleRouting(RoutingArchetype archetype,
                                                 int64_t tokens,
                                                 int64_t experts, int64_t topk,
                                                 uint64_t seed) {
  NumpyGenerator generator(seed);
  return sampleRouting(archetype, tokens, experts, topk, generator);
}

//===----------------------------------------------------------------------===//
// Recorded ids
//===----------------------------------------------------------------------===//

/// One message for ids of either width.
static llvm::Error badId(int64_t index, int64_t topk, int64_t id,
                         int64_t experts) {
  return llvm::createStringError(
      "topk_ids: token " + llvm::Twine(index / topk) + ", slot " +
      llvm::Twine(index % topk) + ": expert id " + llvm::Twine(id) +
      " is outside [-1, " + llvm::Twine(experts) + ")");
}

llvm::Error mlir::moe::checkTopkIds(const TopkIds &ids, int64_t experts) {
  for (size_t i = 0; i < ids.ids.size(); ++i)
    if (ids.ids[i] < -1 || ids.ids[i] >= experts)
      return badId(i, ids.topk, ids.ids[i], experts);
  return llvm::Error::success();
}

llvm::Expected<TopkIds> mlir::moe::topkIdsFromTensor(const HostTensor &tensor,
                                                     int64_t experts,
                                                     llvm::StringRef name) {
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError(name + ": topk_ids " + what);
  };
  if (tensor.getType() != ElementType::I32 &&
      tensor.getType() != ElementType::I64)
    return fail("must be i32 or i64, not " +
                getElementTypeName(tensor.getType()));
  if (tensor.getRank() != 2)
    return fail("must have the shape [tokens, top-k], not " +
                formatShape(tensor.getShape()));
  TopkIds result;
  result.tokens = tensor.getDim(0);
  result.topk = tensor.getDim(1);
  if (result.topk < 1 || result.tokens > INT32_MAX / result.topk)
    return fail("of shape " + formatShape(tensor.getShape()) +
                ": top-k must be at least 1 and tokens x top-k below 2^31");
  int64_t count = tensor.getNumElements();
  result.ids.resize(count);
  for (int64_t i = 0; i < count; ++i) {
    int64_t id = tensor.getType() == ElementType::I32
                     ? tensor.getAs<int32_t>()[i]
                     : tensor.getAs<int64_t>()[i];
    if (id < -1 || id >= experts)
      return llvm::createStringError(
          name + ": " + llvm::toString(badId(i, result.topk, id, experts)));
    result.ids[i] = static_cast<int32_t>(id);
  }
  return result;
}

llvm::Expected<TopkIds> mlir::moe::readTopkIds(llvm::StringRef path,
                                               int64_t experts) {
  llvm::Expected<HostTensor> tensor = readNpy(path);
  if (!tensor)
    return tensor.takeError();
  return topkIdsFromTensor(*tensor, experts, path);
}

llvm::Expected<HostTensor> mlir::moe::topkIdsToTensor(const TopkIds &ids) {
  llvm::Expected<HostTensor> tensor =
      HostTensor::createUninitialized(ElementType::I32, {ids.tokens, ids.topk});
  if (tensor)
    llvm::copy(ids.ids, tensor->getAs<int32_t>().begin());
  return tensor;
}

std::vector<int64_t> mlir::moe::countTokensPerExpert(const TopkIds &ids,
                                                     int64_t experts) {
  std::vector<int64_t> counts(experts, 0);
  for (int32_t id : ids.ids)
    if (id >= 0)
      ++counts[id];
  return counts;
}

std::vector<float> mlir::moe::makeRouterWeights(int64_t tokens, int64_t topk,
                                                uint64_t seed) {
  std::vector<float> weights(tokens * topk);
  fillFloats(weights, RandomStream::forName(seed, "router_weights"),
             Distribution::normal(0, 1));
  for (int64_t token = 0; token < tokens; ++token) {
    llvm::MutableArrayRef<float> row(&weights[token * topk], topk);
    double sum = 0;
    for (float &weight : row) {
      weight = std::exp(weight);
      sum += weight;
    }
    for (float &weight : row)
      weight = static_cast<float>(weight / sum);
    std::sort(row.begin(), row.end(), std::greater<float>());
  }
  return weights;
}
