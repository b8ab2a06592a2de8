//===- MemoryTest.cpp - What probes of memory read and write --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emulated.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

constexpr uint32_t kThreads = 512;
constexpr uint32_t kPoison = 0xdeadbeef;
/// Words of a piece.
constexpr size_t kPiece = 4;

/// Kernels that every GPU has; of NVIDIA and, with other waves, of AMD.
class MemoryProbes : public testing::TestWithParam<const char *> {
protected:
  Emulated &device = Emulated::of(GetParam());
};

/// Words added without carry by thread, from the pieces that `place` gives.
template <typename Place>
std::vector<uint32_t> fold(const std::vector<uint32_t> &source, int64_t count,
                           int64_t threads, Place place) {
  std::vector<uint32_t> sums(threads, 0);
  for (int64_t i = 0; i < count; ++i)
    for (size_t j = 0; j < kPiece; ++j)
      sums[i % threads] ^= source[place(i) * kPiece + j];
  return sums;
}

// Counts below one round, whole rounds, and with a rest of every kind.
const int64_t kCounts[] = {1, 700, 2048, 8192, 9001};

TEST_P(MemoryProbes, readsAllOnce) {
  std::vector<uint32_t> source = randomWords(9001 * kPiece);
  for (int64_t count : kCounts)
    for (uint32_t blocks : {1, 2}) {
      int64_t threads = blocks * kThreads;
      std::vector<uint32_t> out(threads, kPoison);
      device.launch("probe_read", blocks, kThreads, 0,
                    {device.memory(source, "source"), number(count),
                     number(threads), device.memory(out, "out", false)});
      EXPECT_EQ(out, fold(source, count, threads, [](int64_t i) { return i; }));
    }
}

TEST_P(MemoryProbes, copiesAndNoMore) {
  std::vector<uint32_t> source = randomWords(9001 * kPiece);
  for (int64_t count : kCounts) {
    std::vector<uint32_t> target(9001 * kPiece, kPoison);
    device.launch("probe_copy", 2, kThreads, 0,
                  {device.memory(source, "source"),
                   device.memory(target, "target"), number(count),
                   number(2 * kThreads)});
    std::vector<uint32_t> expected(9001 * kPiece, kPoison);
    std::copy_n(source.begin(), count * kPiece, expected.begin());
    EXPECT_EQ(target, expected);
  }
}

TEST_P(MemoryProbes, writesNoise) {
  for (int64_t count : kCounts) {
    std::vector<uint32_t> target(9001 * kPiece, kPoison);
    device.launch("probe_write", 2, kThreads, 0,
                  {device.memory(target, "target"), number(count),
                   number(2 * kThreads), word(0x80ff80ff), word(0x3f003f00)});
    for (int64_t i = 0; i < 9001; ++i) {
      uint32_t flips[] = {0, 0x9e3779b9, 0x3c6ef372, 0x5bd1e995};
      for (size_t j = 0; j < kPiece; ++j) {
        uint32_t noise =
            ((mix(uint32_t(i)) ^ flips[j]) & 0x80ff80ff) | 0x3f003f00;
        ASSERT_EQ(target[i * kPiece + j], i < count ? noise : kPoison) << i;
      }
    }
  }
}

TEST_P(MemoryProbes, gathersRows) {
  // 37 rows of 32 pieces (512 bytes), read 50 times.
  constexpr int64_t rows = 37, shift = 5, count = 50 << shift;
  std::vector<uint32_t> source = randomWords((rows << shift) * kPiece);
  std::vector<uint32_t> out(2 * kThreads, kPoison);
  device.launch("probe_gather", 2, kThreads, 0,
                {device.memory(source, "source"), number(rows), number(shift),
                 number(count), number(2 * kThreads),
                 device.memory(out, "out", false)});
  EXPECT_EQ(out, fold(source, count, 2 * kThreads, [&](int64_t i) {
              int64_t row =
                  int64_t(uint64_t(mix(uint32_t(i >> shift))) * rows >> 32);
              return (row << shift) + i % (1 << shift);
            }));
}

TEST_P(MemoryProbes, scattersRows) {
  // As many blocks as there are rows to write: none is written twice.
  constexpr int64_t rows = 1 << 16, shift = 4, written = 20;
  std::vector<uint32_t> target((rows << shift) * kPiece, kPoison);
  device.launch("probe_scatter", 1, kThreads, 0,
                {device.memory(target, "target"), number(rows), number(shift),
                 number(written << shift), number(kThreads)});
  std::vector<uint32_t> expected(target.size(), kPoison);
  for (int64_t i = 0; i < written; ++i) {
    int64_t row = int64_t(uint64_t(mix(uint32_t(i))) * rows >> 32);
    std::fill_n(expected.begin() + (row << shift) * kPiece, kPiece << shift,
                uint32_t(row));
  }
  EXPECT_EQ(target, expected);
}

TEST_P(MemoryProbes, walks) {
  constexpr int64_t lines = 9973, steps = 50;
  std::vector<uint32_t> walk(lines * 32, kPoison);
  device.launch(
      "probe_walk", 2, kThreads, 0,
      {device.memory(walk, "walk"), number(lines), number(2 * kThreads)});
  uint32_t at = 0;
  std::vector<bool> seen(lines);
  for (int64_t i = 0; i < steps; ++i) {
    ASSERT_FALSE(seen[at]) << "a short walk stays in the cache";
    seen[at] = true;
    at = walk[at * 32];
    ASSERT_LT(at, lines);
  }
  std::vector<uint32_t> out(1, kPoison);
  uint32_t wave = StringRef(GetParam()) == "gfx942" ? 64 : 32;
  device.launch("probe_chase", 1, wave, 0,
                {device.memory(walk, "walk"), word(steps),
                 device.memory(out, "out", false)});
  EXPECT_EQ(out[0], at);
}

TEST_P(MemoryProbes, readsSharedMemory) {
  std::vector<uint32_t> out(kThreads, kPoison);
  bool amd = StringRef(GetParam()).starts_with("gfx");
  device.launch("probe_shared", 1, kThreads, amd ? 0 : 32768,
                {word(3), device.memory(out, "out", false)});
  for (uint32_t thread = 0; thread < kThreads; ++thread) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < 3; ++round)
      for (uint32_t j = 0; j < 4; ++j) {
        uint32_t noise = mix((thread + round + j * kThreads) % 2048);
        sum ^= noise ^ (noise ^ 0x9e3779b9) ^ (noise ^ 0x3c6ef372) ^
               (noise ^ 0x5bd1e995);
      }
    ASSERT_EQ(out[thread], sum) << thread;
  }
}

TEST_P(MemoryProbes, doNothing) { device.launch("probe_empty", 3, 384, 0, {}); }

INSTANTIATE_TEST_SUITE_P(Targets, MemoryProbes,
                         testing::Values("sm_80", "sm_90a", "gfx942",
                                         "gfx1201"));

//===----------------------------------------------------------------------===//
// Bulk copies
//===----------------------------------------------------------------------===//

/// Bytes of shared memory of a ring.
uint32_t ring(int64_t piece, int64_t slots) { return piece * slots + 512; }

TEST(BulkProbes, readRoundAWindow) {
  Emulated &device = Emulated::of("sm_90a");
  // Words of a piece; pieces of the window.
  constexpr int64_t piece = 256 / 4, window = 37;
  std::vector<uint32_t> source = randomWords(window * piece);
  for (int64_t total : {1, 5, 100})
    for (int32_t slots : {1, 3, 12})
      for (uint32_t blocks : {1, 3, 40})
        for (bool random : {false, true}) {
          std::vector<uint32_t> out(blocks, kPoison), expected(blocks, 0);
          device.launch("probe_bulk_read", blocks, 32, ring(256, slots),
                        {device.memory(source, "source"), number(window),
                         number(total), word(256), word(slots),
                         word(int32_t(blocks)), word(random),
                         device.memory(out, "out", false)},
                        /*seed=*/uint64_t(total));
          for (int64_t i = 0; i < total; ++i) {
            int64_t place =
                random ? int64_t(uint64_t(mix(uint32_t(i))) * window >> 32)
                       : i % window;
            expected[i % blocks] ^= source[place * piece];
          }
          EXPECT_EQ(out, expected) << total << " " << slots << " " << blocks;
        }
}

TEST(BulkProbes, copy) {
  Emulated &device = Emulated::of("sm_90a");
  constexpr int64_t piece = 512 / 4, all = 61;
  std::vector<uint32_t> source = randomWords(all * piece);
  for (int64_t total : {1, 7, 61})
    for (int32_t slots : {2, 5})
      for (uint32_t blocks : {1, 4}) {
        std::vector<uint32_t> target(all * piece, kPoison);
        device.launch("probe_bulk_copy", blocks, 32, ring(512, slots),
                      {device.memory(source, "source"),
                       device.memory(target, "target"), number(total),
                       word(512), word(slots), word(int32_t(blocks))},
                      /*seed=*/uint64_t(slots));
        std::vector<uint32_t> expected(all * piece, kPoison);
        std::copy_n(source.begin(), total * piece, expected.begin());
        EXPECT_EQ(target, expected) << total << " " << slots << " " << blocks;
      }
}

TEST(LaunchProbes, dependOnOneAnother) {
  Emulated &device = Emulated::of("sm_90a");
  for (int32_t early : {0, 1})
    device.launch("probe_dependent", 3, 384, 0, {word(early)});
}

} // namespace
