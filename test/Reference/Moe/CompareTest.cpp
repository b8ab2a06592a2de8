//===- CompareTest.cpp - The error measure --------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Reference/Moe/Compare.h"
#include "gtest/gtest.h"
#include <cmath>
#include <limits>

using namespace mlir::moe;

static HostTensor make(std::vector<float> values,
                       ElementType type = ElementType::F32) {
  return llvm::cantFail(HostTensor::fromFloats(
      type, {static_cast<int64_t>(values.size())}, values));
}

static Difference compare(std::vector<float> a, std::vector<float> b) {
  return llvm::cantFail(compareTensors(make(a), make(b)));
}

static constexpr float notANumber = std::numeric_limits<float>::quiet_NaN();
static constexpr float inf = std::numeric_limits<float>::infinity();

TEST(Compare, FrobeniusRelativeToTheSecond) {
  Difference d = compare({3, 4.5f}, {3, 4});
  EXPECT_DOUBLE_EQ(d.relErr, 0.5 / 5);
  EXPECT_DOUBLE_EQ(d.maxAbs, 0.5);
  EXPECT_EQ(d.worst, 1);
  EXPECT_EQ(d.special, 0);
}

TEST(Compare, EqualAndEmpty) {
  EXPECT_EQ(compare({1, -2}, {1, -2}).relErr, 0);
  EXPECT_EQ(compare({}, {}).relErr, 0);
  EXPECT_EQ(compare({0, -0.0f}, {0, 0}).relErr, 0);
}

TEST(Compare, ZeroExpected) {
  EXPECT_TRUE(std::isinf(compare({1e-30f}, {0}).relErr));
}

TEST(Compare, SpecialValues) {
  EXPECT_EQ(
      compare({notANumber, inf, -inf, 1}, {notANumber, inf, -inf, 1}).relErr,
      0);
  for (auto [a, b] : {std::pair{notANumber, 1.0f},
                      {1.0f, notANumber},
                      {inf, -inf},
                      {inf, 1.0f},
                      {notANumber, inf},
                      {0.0f, -inf}}) {
    Difference d = compare({2, a}, {2, b});
    EXPECT_EQ(d.special, 1) << a << " " << b;
    EXPECT_EQ(d.worst, 1);
    EXPECT_TRUE(std::isinf(d.relErr));
  }
  // NaN places do not hide a difference elsewhere.
  EXPECT_GT(compare({notANumber, 1}, {notANumber, 2}).relErr, 0.4);
}

TEST(Compare, MixedTypesAndLongTensors) {
  std::vector<float> values(10000, 1.0f);
  HostTensor wide = make(values);
  values[9999] = 1.5f;
  HostTensor narrow = make(values, ElementType::BF16);
  Difference d = llvm::cantFail(compareTensors(narrow, wide));
  EXPECT_EQ(d.worst, 9999);
  EXPECT_NEAR(d.relErr, 0.5 / 100, 1e-12);
  EXPECT_EQ(d.describe({100, 100}), "rel_err=0.005 max_abs=0.5 at [99, 99]");
}

TEST(Compare, PackedTypes) {
  HostTensor a = make({1, 2, 3}, ElementType::I4);
  HostTensor b = make({1, 2, -3}, ElementType::I4);
  EXPECT_EQ(llvm::cantFail(compareTensors(a, b)).maxAbs, 6);
}

TEST(Compare, DescribeNamesSpecial) {
  EXPECT_EQ(compare({1, notANumber}, {1, 1}).describe({2}),
            "rel_err=inf max_abs=0 at [1] (1 elements are NaN or infinite on "
            "one side only)");
}

TEST(Compare, ShapesMustAgree) {
  auto difference = compareTensors(make({1, 2}), make({1}));
  ASSERT_FALSE(static_cast<bool>(difference));
  EXPECT_EQ(llvm::toString(difference.takeError()),
            "cannot compare f32[2] with f32[1]");
}

TEST(Compare, Tolerances) {
  EXPECT_EQ(getTolerance("bf16"), 4e-3);
  EXPECT_EQ(getTolerance("w4a16-g128"), 5e-3);
  EXPECT_EQ(getTolerance("fp8-block"), 1e-2);
  EXPECT_EQ(getTolerance("f8E4M3FN"), 1e-2);
  EXPECT_EQ(getTolerance("f32"), 1e-5);
  EXPECT_EQ(getTolerance("f16"), 2e-3);
  EXPECT_EQ(getTolerance("tf"), std::nullopt);
  EXPECT_EQ(getTolerance(""), std::nullopt);
}
