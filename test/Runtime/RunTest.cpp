//===- RunTest.cpp - Running a layer --------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace moec::test;

TEST(Run, TwoLaunchesOverSharedWorkspace) {
  Directory artifact(toyManifest());
  Layer layer = open(artifact);
  for (int workers : {1, 2, 3, 5}) {
    Pool pool = makePool(workers);
    for (int64_t tokens : {1, 2, 7, 33, 257}) {
      ToyRun toy(tokens, tokens * 10 + workers);
      moec_run_stats stats = {};
      stats.struct_size = sizeof(stats);
      ASSERT_EQ(toy.run(layer.get(), pool.get(), &stats), MOEC_OK)
          << moec_last_error();
      toy.check();
      EXPECT_EQ(stats.variant, 0);
      EXPECT_EQ(stats.launches, 2);
      EXPECT_EQ(stats.workers, workers);
      EXPECT_EQ(stats.workspace_bytes, uint64_t(16 * tokens));
      EXPECT_GT(stats.nanoseconds, 0u);
      EXPECT_GE(stats.nanoseconds, stats.kernel_nanoseconds);
    }
  }
}

TEST(Run, WithoutPoolOnTheCallersThread) {
  Directory artifact(toyManifest());
  Layer layer = open(artifact);
  ToyRun toy(9);
  ASSERT_EQ(toy.run(layer.get()), MOEC_OK) << moec_last_error();
  toy.check();
}

TEST(Run, OptionalArgumentLeftOut) {
  Directory artifact(toyManifest());
  Layer layer = open(artifact);
  ToyRun toy(6);
  toy.tensors[1] = {};
  ASSERT_EQ(toy.run(layer.get()), MOEC_OK) << moec_last_error();
  toy.check();
}

TEST(Run, ContiguousStridesAreAccepted) {
  Directory artifact(toyManifest());
  Layer layer = open(artifact);
  ToyRun toy(3);
  int64_t strides[] = {4, 1};
  toy.tensors[0].strides = strides;
  ASSERT_EQ(toy.run(layer.get()), MOEC_OK) << moec_last_error();
  toy.check();
  // The stride of a dimension of one element is never used.
  ToyRun one(1);
  int64_t odd[] = {77, 1};
  one.tensors[0].strides = odd;
  ASSERT_EQ(one.run(layer.get()), MOEC_OK) << moec_last_error();
  one.check();
}

TEST(Run, NoTokens) {
  Directory artifact(toyManifest());
  Layer layer = open(artifact);
  uint64_t bytes = 99;
  ASSERT_EQ(moec_workspace_size(layer.get(), nullptr, 0, &bytes), MOEC_OK);
  EXPECT_EQ(bytes, 0u);
  ToyRun toy(0);
  toy.tensors[0].data = nullptr;
  toy.tensors[2].data = nullptr;
  moec_run_stats stats = {};
  stats.struct_size = sizeof(stats);
  ASSERT_EQ(moec_run(layer.get(), nullptr, toy.tensors.data(), 3, 0, nullptr, 0,
                     &stats),
            MOEC_OK)
      << moec_last_error();
  EXPECT_EQ(stats.variant, -1);
  EXPECT_EQ(stats.launches, 0);
  // Arguments are checked all the same.
  toy.shape[1] = 5;
  expectError(moec_run(layer.get(), nullptr, toy.tensors.data(), 3, 0, nullptr,
                       0, nullptr),
              MOEC_ERR_SHAPE, {"'x'", "is 5", "expected 4"});
}

TEST(Run, NoTokensWithVariantThatCoversZero) {
  Directory artifact(
      replaced(toyManifest(), "\"tokens\": [1, null]", "\"tokens\": [0, 5]"));
  Layer layer = open(artifact);
  ToyRun toy(0);
  moec_run_stats stats = {};
  stats.struct_size = sizeof(stats);
  ASSERT_EQ(toy.run(layer.get(), nullptr, &stats), MOEC_OK)
      << moec_last_error();
  EXPECT_EQ(stats.variant, 0);
  EXPECT_EQ(stats.launches, 2);
}

TEST(Run, Functions) {
  Directory artifact(toyManifest());
  moec_open_options options = openOptions();
  options.function = "tag";
  Layer layer = open(artifact, &options);
  EXPECT_STREQ(moec_layer_name(layer.get()), "tag");
  float y[6];
  TensorView tensor(y, MOEC_F32, {2, 3});
  ASSERT_EQ(moec_run(layer.get(), nullptr, &tensor, 1, 2, nullptr, 0, nullptr),
            MOEC_OK)
      << moec_last_error();
  for (float value : y)
    EXPECT_EQ(value, 2.0f);
}

/// counters per worker, arena per worker, both beyond MOEC_WORKSPACE_ALIGN.
static const char arenaManifest[] = R"({
  "moec": "0.1.0", "format": 1, "layer": {"name": "arena"},
  "arguments": [{"name": "y", "dtype": "i32", "shape": [3], "role": "output"}],
  "variants": [{
    "target": "cpu", "isa": "x86-64", "tokens": [1, null], "code": "toy.so",
    "workspace": [
      {"name": "odd", "bytes": [3, {"T": 1, "div": 2}], "align": 1},
      {"name": "arena", "per_worker": 256, "align": 256},
      {"name": "counters", "per_worker": 4, "align": 4, "init": "zero"}],
    "launches": [{"kernel": "toy_arena",
                  "args": [{"workspace": 1}, {"workspace": 2}, {"arg": 0}]}]}]})";

TEST(Run, WorkspaceSlices) {
  Directory artifact(arenaManifest);
  Layer layer = open(artifact);
  for (int workers : {1, 2, 4}) {
    Pool pool = makePool(workers);
    uint64_t bytes = 0;
    // max(3, ceil(9 / 2)) = 5, then 256 for each worker from 256 on, then four
    // for each worker, and room to round up to 256.
    ASSERT_EQ(moec_workspace_size(layer.get(), pool.get(), 9, &bytes), MOEC_OK);
    EXPECT_EQ(bytes, 256u + 256 * workers + 4 * workers + (256 - 64));
    // All alignments that the caller may choose, and a guard behind the end.
    for (int offset : {0, 64, 128, 192}) {
      Buffer memory(bytes + 512, 256);
      char *workspace = static_cast<char *>(memory.data) + offset;
      int32_t y[] = {0, 0, 0};
      TensorView tensor(y, MOEC_I32, {3});
      ASSERT_EQ(moec_run(layer.get(), pool.get(), &tensor, 1, 9, workspace,
                         bytes, nullptr),
                MOEC_OK)
          << moec_last_error();
      EXPECT_EQ(y[0], workers);
      EXPECT_EQ(y[1], workers);
      EXPECT_EQ(y[2], 0) << "an arena piece is not on 256 bytes";
      for (int i = 0; i < offset; ++i)
        ASSERT_EQ(static_cast<unsigned char *>(memory.data)[i], 0xff);
      for (uint64_t i = bytes; i < bytes + 256; ++i)
        ASSERT_EQ(static_cast<unsigned char>(workspace[i]), 0xff);
      // The counters were 0xff bytes, were zeroed, and stayed zero.
      uintptr_t base =
          (reinterpret_cast<uintptr_t>(workspace) + 255) & ~uintptr_t(255);
      const int32_t *counters =
          reinterpret_cast<const int32_t *>(base + 256 + 256 * workers);
      for (int i = 0; i < workers; ++i)
        EXPECT_EQ(counters[i], 0);
    }
  }
}

#if defined(__x86_64__)
TEST(Run, DenormalsAreKeptWhateverTheCallersMode) {
  Directory artifact(R"({
    "moec": "0.1.0", "format": 1, "layer": {"name": "quarter"},
    "arguments": [
      {"name": "x", "dtype": "f32", "shape": ["T", 4], "role": "input"},
      {"name": "y", "dtype": "f32", "shape": ["T", 4], "role": "output"}],
    "variants": [{"target": "cpu", "isa": "x86-64", "tokens": [1, null],
      "code": "toy.so", "launches": [{"kernel": "toy_quarter", "args":
        [{"arg": 0}, {"arg": 1}, {"dim": "T"}, {"dim": 4}]}]}]})");
  Layer layer = open(artifact);
  std::vector<float> x(8, std::numeric_limits<float>::min()), y(8, NAN);
  TensorView tensors[] = {{x.data(), MOEC_F32, {2, 4}},
                          {y.data(), MOEC_F32, {2, 4}}};
  moec_tensor plain[] = {tensors[0], tensors[1]};
  unsigned saved = _mm_getcsr();
  // Flush-to-zero and denormals-are-zero; a pool inherits them from its maker.
  _mm_setcsr(saved | 0x8040);
  Pool pool = makePool(2);
  std::vector<std::vector<float>> results;
  for (moec_pool *where : {pool.get(), static_cast<moec_pool *>(nullptr)}) {
    y.assign(8, NAN);
    EXPECT_EQ(moec_run(layer.get(), where, plain, 2, 2, nullptr, 0, nullptr),
              MOEC_OK);
    results.push_back(y);
  }
  unsigned after = _mm_getcsr();
  _mm_setcsr(saved);
  EXPECT_EQ(after & 0x8040, 0x8040u) << "the caller's mode was not restored";
  for (const std::vector<float> &result : results)
    for (float value : result)
      EXPECT_EQ(value, std::numeric_limits<float>::min() / 4);
}
#endif

TEST(Run, ManyThreadsOneLayer) {
  Directory artifact(toyManifest());
  Layer layer = open(artifact);
  Pool shared = makePool(3);
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&, i] {
      // Two share a pool with a third, two have their own, one has none.
      Pool own = i >= 3 && i < 5 ? makePool(2) : nullptr;
      moec_pool *pool = i < 3 ? shared.get() : own.get();
      for (int repeat = 0; repeat < 60; ++repeat) {
        ToyRun toy(1 + (repeat * 7 + i) % 40, repeat * 8 + i);
        if (toy.run(layer.get(), pool) != MOEC_OK)
          ++failures;
        toy.check();
        // Errors are of the thread that made them.
        if (moec_select_variant(layer.get(), -1 - i, nullptr) == MOEC_OK ||
            moec_run(layer.get(), pool, nullptr, 3, -1 - i, nullptr, 0,
                     nullptr) == MOEC_OK ||
            std::string(moec_last_error()).find(std::to_string(-1 - i)) ==
                std::string::npos)
          ++failures;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(failures, 0);
}
