//===- Random.h - Counter-based parallel random values --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Value i of a stream depends on (seed, tensor id, i) alone: not on threads,
// not on the order of filling, not on the storage type. Philox4x32-10 (Salmon
// et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_RANDOM_H
#define MOEC_SUPPORT_RANDOM_H

#include "moec/Support/HostTensor.h"
#include <array>

namespace mlir::moe {

/// One application of Philox4x32 with 10 rounds.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                   std::array<uint32_t, 2> key);

/// A stream of 2^66 random words. Word i is word i % 4 of Philox with counter
/// (i / 4, tensorId), both low half first, and key seed.
struct RandomStream {
  uint64_t seed = 0;
  uint64_t tensorId = 0;

  /// The stream of a tensor known by name ("w1", "layer.3.bias"); stable over
  /// versions and machines.
  static RandomStream forName(uint64_t seed, llvm::StringRef name);

  /// Word i, the slow way.
  uint32_t operator[](uint64_t i) const;
};

/// How a random word becomes a value.
struct Distribution {
  enum Kind : uint8_t {
    /// low + (high - low) x u with u = (word >> 8) / 2^24 in [0, 1), in f32.
    Uniform,
    /// mean + deviation x z, z standard normal up to |z| < 4: a piecewise
    /// linear quantile function of 4096 cells, of variance 1.
    Normal,
    /// Raw random bits; integer types only.
    Bits,
  };
  Kind kind = Normal;
  float first = 0, second = 1;

  static Distribution uniform(float low, float high) {
    return {Uniform, low, high};
  }
  static Distribution normal(float mean, float deviation) {
    return {Normal, mean, deviation};
  }
  static Distribution bits() { return {Bits, 0, 0}; }
};

/// Writes values [first, first + count) of the stream to `target`.
void fillFloats(llvm::MutableArrayRef<float> target, RandomStream stream,
                Distribution distribution, uint64_t first = 0,
                unsigned threads = 0);

/// Fills a tensor: element i is value i of the stream, rounded to the tensor's
/// type, saturating. Bits take type-wide pieces of the word sequence (32 / bits
/// elements per word, the low ones first; two words, low first, for i64).
/// Fails for bits of a floating-point type, which would include NaN.
llvm::Error fillRandom(HostTensor &tensor, RandomStream stream,
                       Distribution distribution, unsigned threads = 0);

} // namespace mlir::moe

#endif // MOEC_SUPPORT_RANDOM_H
