//===- NumpyRandom.h - NumPy's default generator --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// numpy.random.default_rng(seed): SeedSequence, PCG64 (XSL-RR 128/64), and the
// two draws that routing archetypes need, bit for bit.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_ROUTING_NUMPYRANDOM_H
#define MOEC_ROUTING_NUMPYRANDOM_H

#include "llvm/ADT/ArrayRef.h"
#include <array>
#include <cstdint>

namespace mlir::moe {

/// SeedSequence(seed).generate_state(words.size(), uint32).
void generateSeedState(uint64_t seed, llvm::MutableArrayRef<uint32_t> words);

/// numpy.random.default_rng(seed) for 0 <= seed < 2^64.
class NumpyGenerator {
public:
  explicit NumpyGenerator(uint64_t seed);

  /// bit_generator.random_raw().
  uint64_t next();
  /// random(): uniform in [0, 1) with 53 bits.
  double random() {
    return static_cast<double>(next() >> 11) * (1.0 / 9007199254740992.0);
  }
  /// gumbel(): location 0, scale 1. Uses the C library's log, as NumPy does.
  double gumbel();

private:
  unsigned __int128 state, increment;
};

} // namespace mlir::moe

#endif // MOEC_ROUTING_NUMPYRANDOM_H
