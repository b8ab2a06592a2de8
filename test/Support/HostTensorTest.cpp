//===- HostTensorTest.cpp - Creation, views, refusals ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/HostTensor.h"
#include "gtest/gtest.h"

using namespace mlir::moe;

template <typename T> static std::string message(llvm::Expected<T> value) {
  EXPECT_FALSE(static_cast<bool>(value));
  return value ? "" : llvm::toString(value.takeError());
}

TEST(HostTensor, CreateIsZeroAndAligned) {
  HostTensor t = llvm::cantFail(HostTensor::create(ElementType::BF16, {3, 5}));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.getData()) % 64, 0u);
  EXPECT_EQ(t.getNumElements(), 15);
  EXPECT_EQ(t.getByteSize(), 30u);
  EXPECT_EQ(t.describe(), "bf16[3, 5]");
  for (float value : t.toFloats())
    EXPECT_EQ(value, 0.0f);
}

TEST(HostTensor, EmptyAndScalar) {
  HostTensor empty =
      llvm::cantFail(HostTensor::create(ElementType::F32, {4, 0, 1LL << 62}));
  EXPECT_EQ(empty.getNumElements(), 0);
  EXPECT_NE(empty.getData(), nullptr);
  HostTensor scalar = llvm::cantFail(HostTensor::create(ElementType::I64, {}));
  EXPECT_EQ(scalar.getNumElements(), 1);
  EXPECT_EQ(scalar.getByteSize(), 8u);
  HostTensor none;
  EXPECT_EQ(none.getNumElements(), 0);
  EXPECT_EQ(none.describe(), "f32[0]");
}

TEST(HostTensor, FloatsAndClone) {
  HostTensor t = llvm::cantFail(
      HostTensor::fromFloats(ElementType::F4E2M1FN, {3}, {0.5f, -6.0f, 1.5f}));
  EXPECT_EQ(t.getByteSize(), 2u);
  EXPECT_EQ(t.toFloats(), (std::vector<float>{0.5f, -6.0f, 1.5f}));
  HostTensor copy = llvm::cantFail(t.clone());
  t.getData()[0] = 0;
  EXPECT_EQ(copy.toFloats(), (std::vector<float>{0.5f, -6.0f, 1.5f}));
  EXPECT_EQ(copy.getType(), ElementType::F4E2M1FN);
}

TEST(HostTensor, Reinterpret) {
  HostTensor t = llvm::cantFail(HostTensor::create(ElementType::U8, {2, 4}));
  t.getData()[4] = 0x80;
  t.getData()[5] = 0x3f;
  ASSERT_FALSE(t.reinterpret(ElementType::BF16, {2, 2}));
  EXPECT_EQ(t.toFloats()[2], 1.0f);
  EXPECT_EQ(llvm::toString(t.reinterpret(ElementType::F32, {3})),
            "tensor bf16[2, 2] of 8 bytes cannot be seen as f32[3] of 12 "
            "bytes");
  EXPECT_EQ(t.describe(), "bf16[2, 2]");
}

TEST(HostTensor, Errors) {
  EXPECT_EQ(message(HostTensor::create(ElementType::F32, {2, -1})),
            "tensor: shape [2, -1] has the negative extent -1");
  EXPECT_EQ(
      message(HostTensor::create(ElementType::F32, {1LL << 40, 1LL << 40})),
      "tensor: shape [1099511627776, 1099511627776] with 32-bit elements "
      "exceeds 2^59 bytes");
  EXPECT_EQ(message(HostTensor::create(ElementType::F64, {INT64_MAX})),
            "tensor: shape [9223372036854775807] with 64-bit elements exceeds "
            "2^59 bytes");
  EXPECT_EQ(message(HostTensor::create(ElementType::U8, {(1LL << 59) + 1})),
            "tensor: shape [576460752303423489] with 8-bit elements exceeds "
            "2^59 bytes");
  EXPECT_EQ(llvm::cantFail(checkedNumElements({1LL << 60}, 4, "x")), 1LL << 60);
  EXPECT_EQ(message(HostTensor::fromFloats(ElementType::F32, {3}, {1, 2})),
            "tensor f32[3] has 3 elements, but 2 values are given");
}

TEST(HostTensor, MemoryThatIsNotThere) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  GTEST_SKIP() << "the sanitizer's allocator ends the process instead";
#endif
#endif
  std::string text =
      message(HostTensor::createUninitialized(ElementType::U8, {1LL << 55}));
  EXPECT_EQ(text, "tensor u8[36028797018963968]: no memory for "
                  "36028797018963968 bytes");
}
