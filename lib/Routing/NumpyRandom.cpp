//===- NumpyRandom.cpp - NumPy's default generator ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Routing/NumpyRandom.h"
#include "llvm/ADT/SmallVector.h"
#include <cmath>

using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// SeedSequence: a pool of four words, mixed all with all
//===----------------------------------------------------------------------===//

static uint32_t hashMix(uint32_t value, uint32_t &constant) {
  value ^= constant;
  constant *= 0x931e8875u;
  value *= constant;
  return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y) {
  uint32_t result = 0xca01f9ddu * x - 0x4973f715u * y;
  return result ^ result >> 16;
}

void mlir::moe::generateSeedState(uint64_t seed,
                                  llvm::MutableArrayRef<uint32_t> words) {
  // A seed of 64 bits has at most two entropy words, fewer than the pool, so
  // the pass for surplus entropy never runs. Absent words count as zero.
  uint32_t constant = 0x43b0d7e5u;
  std::array<uint32_t, 4> pool = {static_cast<uint32_t>(seed),
                                  static_cast<uint32_t>(seed >> 32), 0, 0};
  for (uint32_t &word : pool)
    word = hashMix(word, constant);
  for (unsigned source = 0; source < pool.size(); ++source)
    for (unsigned target = 0; target < pool.size(); ++target)
      if (source != target)
        pool[target] = mix(pool[target], hashMix(pool[source], constant));

  constant = 0x8b51f9ddu;
  for (size_t i = 0; i < words.size(); ++i) {
    uint32_t value = pool[i % pool.size()] ^ constant;
    constant *= 0x58f38dedu;
    value *= constant;
    words[i] = value ^ value >> 16;
  }
}

//===----------------------------------------------------------------------===//
// PCG64
//===----------------------------------------------------------------------===//

static constexpr unsigned __int128 multiplier =
    static_cast<unsigned __int128>(0x2360ED051FC65DA4ull) << 64 |
    0x4385DF649FCCF645ull;

NumpyGenerator::NumpyGenerator(uint64_t seed) {
  uint32_t words[8];
  generateSeedState(seed, words);
  uint64_t wide[4];
  for (unsigned i = 0; i < 4; ++i)
    wide[i] = words[2 * i] | static_cast<uint64_t>(words[2 * i + 1]) << 32;
  auto join = [](uint64_t high, uint64_t low) {
    return static_cast<unsigned __int128>(high) << 64 | low;
  };
  increment = join(wide[2], wide[3]) << 1 | 1;
  // From state 0 one step, add the seed, one step.
  state = increment + join(wide[0], wide[1]);
  state = state * multiplier + increment;
}

uint64_t NumpyGenerator::next() {
  state = state * multiplier + increment;
  uint64_t folded =
      static_cast<uint64_t>(state >> 64) ^ static_cast<uint64_t>(state);
  unsigned rotation = static_cast<unsigned>(state >> 122);
  return folded >> rotation | folded << (-rotation & 63);
}

double NumpyGenerator::gumbel() {
  // 1 - random() is in (0, 1]; exactly 1 is drawn again.
  double u;
  do
    u = 1.0 - random();
  while (u >= 1.0);
  return 0.0 - std::log(-std::log(u));
}
