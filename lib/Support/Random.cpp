//===- Random.cpp - Counter-based parallel random values ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/Random.h"
#include "moec/Support/Parallel.h"
#include "llvm/Support/xxhash.h"
#include <algorithm>
#include <cmath>

using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Philox
//===----------------------------------------------------------------------===//

static constexpr uint32_t multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57;
static constexpr uint32_t weyl0 = 0x9E3779B9, weyl1 = 0xBB67AE85;

std::array<uint32_t, 4> mlir::moe::philox4x32(std::array<uint32_t, 4> counter,
                                              std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t product0 = uint64_t(multiplier0) * counter[0];
    uint64_t product1 = uint64_t(multiplier1) * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += weyl0;
    key[1] += weyl1;
  }
  return counter;
}

RandomStream RandomStream::forName(uint64_t seed, llvm::StringRef name) {
  return {seed, llvm::xxh3_64bits(name)};
}

uint32_t RandomStream::operator[](uint64_t i) const {
  uint64_t block = i / 4;
  return philox4x32(
      {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
       static_cast<uint32_t>(tensorId), static_cast<uint32_t>(tensorId >> 32)},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)})[i % 4];
}

/// Blocks computed side by side, one per lane of a vector.
static constexpr unsigned lanes = 8;
using Lanes32 = uint32_t __attribute__((vector_size(lanes * 4)));
using Lanes64 = uint64_t __attribute__((vector_size(lanes * 8)));

/// Writes the words of blocks [block, block + lanes) to `words`.
static void philoxLanes(RandomStream stream, uint64_t block, uint32_t *words) {
  Lanes32 x0, x1, x2, x3;
  for (unsigned l = 0; l < lanes; ++l) {
    x0[l] = static_cast<uint32_t>(block + l);
    x1[l] = static_cast<uint32_t>((block + l) >> 32);
    x2[l] = static_cast<uint32_t>(stream.tensorId);
    x3[l] = static_cast<uint32_t>(stream.tensorId >> 32);
  }
  uint32_t key0 = static_cast<uint32_t>(stream.seed);
  uint32_t key1 = static_cast<uint32_t>(stream.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    // Zero-extended factors: one widening multiply each.
    Lanes64 product0 = __builtin_convertvector(x0, Lanes64) * multiplier0;
    Lanes64 product1 = __builtin_convertvector(x2, Lanes64) * multiplier1;
    x0 = __builtin_convertvector(product1 >> 32, Lanes32) ^ x1 ^ key0;
    x1 = __builtin_convertvector(product1, Lanes32);
    x2 = __builtin_convertvector(product0 >> 32, Lanes32) ^ x3 ^ key1;
    x3 = __builtin_convertvector(product0, Lanes32);
    key0 += weyl0;
    key1 += weyl1;
  }
  for (unsigned l = 0; l < lanes; ++l) {
    words[4 * l] = x0[l];
    words[4 * l + 1] = x1[l];
    words[4 * l + 2] = x2[l];
    words[4 * l + 3] = x3[l];
  }
}

/// Words that one call of visitWords' body may get.
static constexpr uint64_t chunkWords = 4096;

/// Calls body(words, offset, count) for consecutive pieces of the word range
/// [first, first + count); `offset` counts from `first`.
template <typename Body>
static void visitWords(RandomStream stream, uint64_t first, uint64_t count,
                       Body body) {
  alignas(64) uint32_t words[chunkWords + 4 * lanes];
  for (uint64_t done = 0; done < count;) {
    uint64_t position = first + done, lead = position % 4;
    uint64_t take = std::min(count - done, chunkWords - lead);
    for (uint64_t w = 0; w < lead + take; w += 4 * lanes)
      philoxLanes(stream, (position - lead + w) / 4, words + w);
    body(words + lead, done, take);
    done += take;
  }
}

//===----------------------------------------------------------------------===//
// Distributions
//===----------------------------------------------------------------------===//

namespace {
/// The quantile function of the standard normal distribution at j / cells; the
/// two infinite ends are replaced by the value that gives the piecewise linear
/// interpolation a variance of exactly 1.
struct NormalTable {
  static constexpr unsigned cellBits = 12, cells = 1u << cellBits;
  float knots[cells + 1];

  NormalTable() {
    // Variance of a cell with ends a, b: (a^2 + ab + b^2) / 3.
    double inner = 0, previous = 0;
    for (unsigned j = 1; j < cells; ++j) {
      double z = quantile(static_cast<double>(j) / cells);
      knots[j] = static_cast<float>(z);
      if (j > 1)
        inner += (previous * previous + previous * z + z * z) / 3;
      previous = z;
    }
    // Both end cells: 2 (e^2 + e b + b^2) / 3 fills up to `cells`.
    double rest = 1.5 * (cells - inner), b = previous;
    double end = (-b + std::sqrt(b * b - 4 * (b * b - rest))) / 2;
    knots[cells] = static_cast<float>(end);
    knots[0] = -knots[cells];
  }

  /// Bisection: exact enough for f32 and free of approximation formulas.
  static double quantile(double p) {
    double low = -10, high = 10;
    for (int step = 0; step < 60; ++step) {
      double middle = (low + high) / 2;
      (0.5 * std::erfc(-middle * M_SQRT1_2) < p ? low : high) = middle;
    }
    return (low + high) / 2;
  }
};
} // namespace

static const NormalTable &normalTable() {
  static const NormalTable table;
  return table;
}

static void wordsToFloats(const uint32_t *words, float *out, uint64_t count,
                          Distribution distribution) {
  float first = distribution.first, second = distribution.second;
  if (distribution.kind == Distribution::Uniform) {
    float span = second - first;
    for (uint64_t i = 0; i < count; ++i)
      out[i] = first +
               span * (static_cast<float>(static_cast<int32_t>(words[i] >> 8)) *
                       0x1p-24f);
    return;
  }
  const float *knots = normalTable().knots;
  constexpr unsigned fractionBits = 32 - NormalTable::cellBits;
  for (uint64_t i = 0; i < count; ++i) {
    const float *cell = knots + (words[i] >> fractionBits);
    float fraction = static_cast<float>(static_cast<int32_t>(
                         words[i] & ((1u << fractionBits) - 1))) *
                     (1.0f / (1u << fractionBits));
    float z = cell[0] + fraction * (cell[1] - cell[0]);
    out[i] = first + second * z;
  }
}

void mlir::moe::fillFloats(llvm::MutableArrayRef<float> target,
                           RandomStream stream, Distribution distribution,
                           uint64_t first, unsigned threads) {
  parallelFor(
      target.size(), chunkWords, threads, [&](uint64_t begin, uint64_t end) {
        visitWords(stream, first + begin, end - begin,
                   [&](const uint32_t *words, uint64_t offset, uint64_t count) {
                     wordsToFloats(words, target.data() + begin + offset, count,
                                   distribution);
                   });
      });
}

llvm::Error mlir::moe::fillRandom(HostTensor &tensor, RandomStream stream,
                                  Distribution distribution, unsigned threads) {
  ElementType type = tensor.getType();
  uint8_t *data = tensor.getData();
  if (distribution.kind == Distribution::Bits) {
    if (isFloatType(type))
      return llvm::createStringError("random bits do not make values of " +
                                     getElementTypeName(type) +
                                     ": some would be NaN or infinite");
    uint64_t bytes = tensor.getByteSize();
    parallelFor(bytes / 4 + (bytes % 4 != 0), chunkWords, threads,
                [&](uint64_t begin, uint64_t end) {
                  visitWords(stream, begin, end - begin,
                             [&](const uint32_t *words, uint64_t offset,
                                 uint64_t count) {
                               uint64_t at = 4 * (begin + offset);
                               std::memcpy(data + at, words,
                                           std::min(4 * count, bytes - at));
                             });
                });
    if (isPackedType(type) && tensor.getNumElements() % 2)
      data[bytes - 1] &= 0xf;
    return llvm::Error::success();
  }
  unsigned bits = getBitWidth(type);
  // bf16 overflows only for deviations near f32's limit; the plain conversion
  // is several times faster.
  bool fits = std::fabs(distribution.first) < 1e30f &&
              std::fabs(distribution.second) < 1e30f;
  Overflow overflow =
      type == ElementType::BF16 && fits ? Overflow::Native : Overflow::Saturate;
  parallelFor(
      tensor.getNumElements(), chunkWords, threads,
      [&](uint64_t begin, uint64_t end) {
        alignas(64) float values[chunkWords];
        visitWords(stream, begin, end - begin,
                   [&](const uint32_t *words, uint64_t offset, uint64_t count) {
                     wordsToFloats(words, values, count, distribution);
                     // Pieces begin at even elements: `begin` is a multiple of
                     // chunkWords, and so is every piece but the last.
                     convertFromFloat(type, values,
                                      data + (begin + offset) * bits / 8, count,
                                      overflow);
                   });
      });
  return llvm::Error::success();
}
