//===- MachineTest.cpp - What this machine can do -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Machine.h"
#include <gtest/gtest.h>

using namespace mlir::moe;

static std::string getError(llvm::Error error) {
  return error ? llvm::toString(std::move(error)) : "";
}

TEST(GuardedBuffer, isPoisonedAndAligned) {
  for (uint64_t bytes : {0, 1, 63, 64, 65, 4096}) {
    auto buffer = GuardedBuffer::create(bytes);
    ASSERT_TRUE(bool(buffer));
    EXPECT_EQ(buffer->size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->payload()) % 64, 0u);
    for (uint64_t i = 0; i < bytes; ++i)
      ASSERT_EQ(buffer->payload()[i], 0xFF);
    // Writing all of it is no offence.
    std::memset(buffer->payload(), 0, bytes);
    EXPECT_EQ(getError(buffer->check("b")), "");
    buffer->poison();
    for (uint64_t i = 0; i < bytes; ++i)
      ASSERT_EQ(buffer->payload()[i], 0xFF);
  }
}

TEST(GuardedBuffer, seesWritesOnBothSides) {
  for (uint64_t bytes : {1, 64, 100}) {
    auto buffer = GuardedBuffer::create(bytes);
    ASSERT_TRUE(bool(buffer));
    uint8_t kept = buffer->payload()[bytes];
    buffer->payload()[bytes] = 0;
    EXPECT_EQ(getError(buffer->check("b")),
              "b: the run wrote 1 bytes behind its end");
    buffer->payload()[bytes] = kept;
    EXPECT_EQ(getError(buffer->check("b")), "");
    buffer->payload()[bytes + 4095] = 0;
    EXPECT_EQ(getError(buffer->check("b")),
              "b: the run wrote 4096 bytes behind its end");
    buffer->payload()[bytes + 4095] = kept;
    buffer->payload()[-7] = 0;
    EXPECT_EQ(getError(buffer->check("b")),
              "b: the run wrote 7 bytes before its start");
  }
}

TEST(ReadBuffer, measures) {
  auto buffer = ReadBuffer::create(8 << 20);
  ASSERT_TRUE(bool(buffer));
  EXPECT_GT(buffer->read(nullptr), 0);
  moec_pool *pool = nullptr;
  ASSERT_EQ(moec_pool_create(2, 0, &pool), MOEC_OK);
  double bandwidth = buffer->measureBandwidth(pool, 3);
  moec_pool_destroy(pool);
  EXPECT_GT(bandwidth, 1e8);
  EXPECT_LT(bandwidth, 1e13);
}

TEST(Machine, facts) {
  EXPECT_GE(ReadBuffer::getDefaultBytes(), uint64_t(256) << 20);
  EXPECT_FALSE(getProcessorName().empty());
  uint64_t before = getPeakMemoryBytes();
  EXPECT_GT(before, uint64_t(1) << 20);
  auto buffer = ReadBuffer::create(64 << 20);
  ASSERT_TRUE(bool(buffer));
  EXPECT_GE(getPeakMemoryBytes(), uint64_t(64) << 20);
  EXPECT_GE(getPeakMemoryBytes(), before);
}
