//===- RoutingTest.cpp - Archetypes, recorded ids, weights ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Routing/Routing.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

using namespace mlir::moe;

template <typename T> static std::string message(llvm::Expected<T> value) {
  EXPECT_FALSE(static_cast<bool>(value));
  return value ? "" : llvm::toString(value.takeError());
}

TEST(NumpyGenerator, SeedSequenceWords) {
  // numpy.random.SeedSequence(0).generate_state(4), (12345), (2**40 + 7)
  uint32_t words[4];
  generateSeedState(0, words);
  EXPECT_EQ(words[0], 2968811710u);
  EXPECT_EQ(words[3], 2884920346u);
  generateSeedState(12345, words);
  EXPECT_EQ(words[0], 2688385916u);
  EXPECT_EQ(words[3], 3152189807u);
  generateSeedState((1ull << 40) + 7, words);
  EXPECT_EQ(words[0], 238885397u);
  EXPECT_EQ(words[3], 2599373530u);
}

TEST(NumpyGenerator, FirstDraws) {
  // default_rng(0).random(3) and default_rng(0).gumbel(size=2)
  NumpyGenerator uniform(0);
  EXPECT_EQ(uniform.random(), 0x1.461fd79fb3850p-1);
  EXPECT_EQ(uniform.random(), 0x1.1442f7e20b674p-2);
  EXPECT_EQ(uniform.random(), 0x1.4fa7b529d9bd0p-5);
  NumpyGenerator gumbel(0);
  EXPECT_DOUBLE_EQ(gumbel.gumbel(), -0x1.af3984498bac6p-7);
  EXPECT_DOUBLE_EQ(gumbel.gumbel(), 0x1.28331e745e8c5p+0);
  NumpyGenerator raw(UINT64_MAX);
  EXPECT_EQ(raw.next(), 12544278110101001871ull);
}

TEST(Archetypes, Names) {
  EXPECT_EQ(getAllRoutingArchetypes().size(), 5u);
  for (RoutingArchetype archetype : getAllRoutingArchetypes())
    EXPECT_EQ(parseRoutingArchetype(getRoutingArchetypeName(archetype)),
              archetype);
  EXPECT_FALSE(parseRoutingArchetype("zipf"));
}

TEST(Archetypes, BalancedCounts) {
  TopkIds ids = llvm::cantFail(
      sampleRouting(RoutingArchetype::Balanced, 5, 7, 3, uint64_t(0)));
  EXPECT_EQ(ids.ids, (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4,
                                           5, 6, 0}));
  EXPECT_EQ(ids.getToken(2), llvm::ArrayRef<int32_t>({6, 0, 1}));
}

TEST(Archetypes, DistinctInRangeAndReproducible) {
  for (RoutingArchetype archetype : getAllRoutingArchetypes())
    for (auto [experts, topk] :
         {std::pair<int64_t, int64_t>{17, 17}, {60, 4}, {128, 8}, {256, 1}}) {
      TopkIds ids = llvm::cantFail(
          sampleRouting(archetype, 50, experts, topk, uint64_t(5)));
      ASSERT_EQ(ids.ids.size(), static_cast<size_t>(50 * topk));
      EXPECT_FALSE(checkTopkIds(ids, experts));
      for (int64_t t = 0; t < 50; ++t) {
        llvm::ArrayRef<int32_t> row = ids.getToken(t);
        EXPECT_EQ(std::set<int32_t>(row.begin(), row.end()).size(), row.size());
      }
      TopkIds again = llvm::cantFail(
          sampleRouting(archetype, 50, experts, topk, uint64_t(5)));
      EXPECT_EQ(ids.ids, again.ids);
      if (archetype == RoutingArchetype::Balanced)
        continue;
      TopkIds other = llvm::cantFail(
          sampleRouting(archetype, 50, experts, topk, uint64_t(6)));
      EXPECT_NE(ids.ids, other.ids);
    }
}

TEST(Archetypes, SharedGeneratorContinues) {
  NumpyGenerator shared(3);
  TopkIds first =
      llvm::cantFail(sampleRouting(RoutingArchetype::Zipf1, 4, 32, 2, shared));
  TopkIds second =
      llvm::cantFail(sampleRouting(RoutingArchetype::Zipf1, 4, 32, 2, shared));
  TopkIds both = llvm::cantFail(
      sampleRouting(RoutingArchetype::Zipf1, 8, 32, 2, uint64_t(3)));
  first.ids.insert(first.ids.end(), second.ids.begin(), second.ids.end());
  EXPECT_EQ(first.ids, both.ids);
}

TEST(Archetypes, Hot16StaysHot) {
  TopkIds ids = llvm::cantFail(
      sampleRouting(RoutingArchetype::Hot16, 200, 64, 4, uint64_t(1)));
  std::vector<int64_t> counts = countTokensPerExpert(ids, 64);
  for (int e = 0; e < 16; ++e)
    EXPECT_GT(counts[e], 20);
  EXPECT_LE(std::accumulate(counts.begin() + 16, counts.end(), int64_t(0)), 2);
}

TEST(Archetypes, Errors) {
  EXPECT_EQ(
      message(sampleRouting(RoutingArchetype::Hot16, 1, 16, 2, uint64_t(0))),
      "routing 'hot16' needs more than 16 experts, not 16");
  EXPECT_EQ(
      message(sampleRouting(RoutingArchetype::Uniform, 1, 4, 5, uint64_t(0))),
      "routing 'uniform': top-5 of 4 experts; 1 <= top-k <= experts must "
      "hold");
  EXPECT_EQ(
      message(sampleRouting(RoutingArchetype::Uniform, 1, 4, 0, uint64_t(0))),
      "routing 'uniform': top-0 of 4 experts; 1 <= top-k <= experts must "
      "hold");
  EXPECT_EQ(
      message(sampleRouting(RoutingArchetype::Zipf1, 1, 0, 0, uint64_t(0))),
      "routing 'zipf1': 0 experts; from 1 to 1048576 are possible");
  EXPECT_EQ(
      message(sampleRouting(RoutingArchetype::Balanced, -1, 4, 2, uint64_t(0))),
      "routing 'balanced': -1 tokens x top-2 must lie in [0, 2^31)");
  EXPECT_EQ(message(sampleRouting(RoutingArchetype::Balanced, 1LL << 40, 4, 2,
                                  uint64_t(0))),
            "routing 'balanced': 1099511627776 tokens x top-2 must lie in [0, "
            "2^31)");
}

static HostTensor idTensor(ElementType type, llvm::ArrayRef<int64_t> shape,
                           llvm::ArrayRef<int64_t> values) {
  HostTensor tensor = llvm::cantFail(HostTensor::create(type, shape));
  for (size_t i = 0; i < values.size(); ++i) {
    if (type == ElementType::I64)
      tensor.getAs<int64_t>()[i] = values[i];
    else
      tensor.getAs<int32_t>()[i] = static_cast<int32_t>(values[i]);
  }
  return tensor;
}

TEST(TopkIds, BothWidthsRoundTrip) {
  for (ElementType type : {ElementType::I32, ElementType::I64}) {
    TopkIds ids = llvm::cantFail(
        topkIdsFromTensor(idTensor(type, {2, 3}, {0, -1, 7, 3, 3, 2}), 8, "x"));
    EXPECT_EQ(ids.tokens, 2);
    EXPECT_EQ(ids.topk, 3);
    EXPECT_EQ(ids.ids, (std::vector<int32_t>{0, -1, 7, 3, 3, 2}));
    EXPECT_EQ(countTokensPerExpert(ids, 8),
              (std::vector<int64_t>{1, 0, 1, 2, 0, 0, 0, 1}));
    HostTensor back = llvm::cantFail(topkIdsToTensor(ids));
    EXPECT_EQ(back.describe(), "i32[2, 3]");
    EXPECT_EQ(back.getAs<int32_t>()[2], 7);
  }
}

TEST(TopkIds, Errors) {
  // 2^32 + 1 would become 1 if it were cut to 32 bits before the check.
  EXPECT_EQ(message(topkIdsFromTensor(
                idTensor(ElementType::I64, {2, 2}, {0, 1, 2, (1LL << 32) + 1}),
                8, "ids.npy")),
            "ids.npy: topk_ids: token 1, slot 1: expert id 4294967297 is "
            "outside [-1, 8)");
  EXPECT_EQ(message(topkIdsFromTensor(
                idTensor(ElementType::I32, {2, 2}, {0, 1, -2, 8}), 8, "f")),
            "f: topk_ids: token 1, slot 0: expert id -2 is outside [-1, 8)");
  EXPECT_EQ(message(topkIdsFromTensor(idTensor(ElementType::I32, {1, 1}, {8}),
                                      8, "f")),
            "f: topk_ids: token 0, slot 0: expert id 8 is outside [-1, 8)");
  EXPECT_EQ(message(topkIdsFromTensor(
                idTensor(ElementType::I32, {4}, {0, 1, 2, 3}), 8, "f")),
            "f: topk_ids must have the shape [tokens, top-k], not [4]");
  HostTensor floats =
      llvm::cantFail(HostTensor::create(ElementType::F32, {2, 2}));
  EXPECT_EQ(message(topkIdsFromTensor(floats, 8, "f")),
            "f: topk_ids must be i32 or i64, not f32");
  EXPECT_EQ(message(topkIdsFromTensor(idTensor(ElementType::I32, {2, 0}, {}), 8,
                                      "f")),
            "f: topk_ids of shape [2, 0]: top-k must be at least 1 and tokens "
            "x top-k below 2^31");
  EXPECT_EQ(message(readTopkIds("/nonexistent/ids.npy", 8)),
            "/nonexistent/ids.npy: cannot read: No such file or directory");
}

TEST(RouterWeights, PositiveNormalisedSorted) {
  int64_t tokens = 500, topk = 8;
  std::vector<float> weights = makeRouterWeights(tokens, topk, 9);
  ASSERT_EQ(weights.size(), 4000u);
  for (int64_t t = 0; t < tokens; ++t) {
    double sum = 0;
    for (int64_t s = 0; s < topk; ++s) {
      float weight = weights[t * topk + s];
      EXPECT_GT(weight, 0.0f);
      if (s)
        EXPECT_LE(weight, weights[t * topk + s - 1]);
      sum += weight;
    }
    EXPECT_NEAR(sum, 1.0, 1e-6);
  }
  std::vector<float> fewer = makeRouterWeights(3, topk, 9);
  EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), weights.begin()));
  EXPECT_NE(makeRouterWeights(3, topk, 10), fewer);
  EXPECT_EQ(makeRouterWeights(2, 1, 0), (std::vector<float>{1, 1}));
}
