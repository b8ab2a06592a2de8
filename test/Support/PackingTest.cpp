//===- PackingTest.cpp - Nibble layouts bit by bit ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/Packing.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::moe;

TEST(Packing, LowEvenBits) {
  uint8_t values[] = {1, 2, 0xf, 0}, bytes[2];
  ASSERT_FALSE(packNibbles(NibblePacking::LowEven, values, bytes));
  EXPECT_EQ(bytes[0], 0x21);
  EXPECT_EQ(bytes[1], 0x0f);
}

// k = 0..7 with value k: from bit 0 up the nibbles read 0,2,4,6,1,3,5,7.
TEST(Packing, ExLlamaBits) {
  uint8_t values[] = {0, 1, 2, 3, 4, 5, 6, 7}, bytes[4];
  ASSERT_FALSE(packNibbles(NibblePacking::ExLlama, values, bytes));
  uint32_t word = bytes[0] | bytes[1] << 8 | bytes[2] << 16 |
                  static_cast<uint32_t>(bytes[3]) << 24;
  EXPECT_EQ(word, 0x75316420u);
  // The kernel's unpacking: and, or, shift by 4 gives the pairs (k, k + 1).
  for (unsigned step = 0; step < 4; ++step) {
    uint32_t pair = (word >> (4 * step)) & 0x000f000f;
    EXPECT_EQ(pair & 0xffff, 2 * step);
    EXPECT_EQ(pair >> 16, 2 * step + 1);
  }
}

TEST(Packing, RoundTrip) {
  std::mt19937 random(3);
  for (NibblePacking packing : {NibblePacking::LowEven, NibblePacking::ExLlama})
    for (size_t count : {0, 8, 16, 1024}) {
      std::vector<uint8_t> values(count), bytes(count / 2, 0xaa),
          back(count, 0xbb);
      for (uint8_t &value : values)
        value = random() % 16;
      ASSERT_FALSE(packNibbles(packing, values, bytes));
      ASSERT_FALSE(unpackNibbles(packing, bytes, back));
      EXPECT_EQ(back, values);
    }
}

TEST(Packing, Names) {
  for (NibblePacking packing : {NibblePacking::LowEven, NibblePacking::ExLlama})
    EXPECT_EQ(parseNibblePacking(getNibblePackingName(packing)), packing);
  EXPECT_FALSE(parseNibblePacking("marlin"));
}

TEST(Packing, Errors) {
  std::vector<uint8_t> values(12, 1), bytes(6);
  EXPECT_EQ(llvm::toString(packNibbles(NibblePacking::ExLlama, values, bytes)),
            "exllama packing takes a multiple of 8 values, not 12");
  EXPECT_EQ(
      llvm::toString(unpackNibbles(NibblePacking::LowEven,
                                   llvm::ArrayRef(bytes).drop_back(), values)),
      "12 4-bit values take 6 bytes, not 5");
  values[3] = 16;
  EXPECT_EQ(llvm::toString(packNibbles(NibblePacking::LowEven, values, bytes)),
            "value 16 at index 3 does not fit 4 bits");
}
