//===- QuantizeTest.cpp - Quantisers: rules, bounds, edge groups ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/Quantize.h"
#include "moec/Support/Parallel.h"
#include "gtest/gtest.h"
#include <atomic>
#include <cmath>
#include <random>

using namespace mlir::moe;

template <typename T> static T unwrap(llvm::Expected<T> value) {
  if (!value) {
    ADD_FAILURE() << llvm::toString(value.takeError());
    return T();
  }
  return std::move(*value);
}

template <typename T> static std::string message(llvm::Expected<T> value) {
  EXPECT_FALSE(static_cast<bool>(value));
  return value ? "" : llvm::toString(value.takeError());
}

static std::vector<float> normals(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float &value : values)
    value = normal(random);
  return values;
}

TEST(QuantizeBlocks, ScalesAreAmaxOverLargest) {
  int64_t rows = 5, cols = 300;
  std::vector<float> source = normals(rows * cols, 1);
  for (int64_t c = 128; c < 256; ++c)
    source[2 * cols + c] = 0; // one dead group
  QuantizedMatrix q =
      unwrap(quantizeBlocks(source, rows, cols, 1, 128, ElementType::F8E4M3FN));
  ASSERT_EQ(q.scales.getShape(), llvm::ArrayRef<int64_t>({5, 3}));
  llvm::ArrayRef<float> scales = q.scales.getAs<float>();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t g = 0; g < 3; ++g) {
      float amax = 0;
      for (int64_t c = g * 128; c < std::min(cols, (g + 1) * 128); ++c)
        amax = std::max(amax, std::fabs(source[r * cols + c]));
      EXPECT_EQ(scales[r * 3 + g], amax == 0 ? 1.0f : amax / 448.0f);
      for (int64_t c = g * 128; c < std::min(cols, (g + 1) * 128); ++c)
        EXPECT_EQ(q.codes.getData()[r * cols + c],
                  encode(ElementType::F8E4M3FN,
                         source[r * cols + c] / scales[r * 3 + g],
                         Overflow::Saturate));
    }
  EXPECT_EQ(scales[2 * 3 + 1], 1.0f);
}

TEST(QuantizeBlocks, TwoDimensionalBlocksWithRaggedEdges) {
  int64_t rows = 200, cols = 150;
  std::vector<float> source = normals(rows * cols, 2);
  source[0] = 1000; // only block [0, 0] may feel it
  QuantizedMatrix q = unwrap(
      quantizeBlocks(source, rows, cols, 128, 128, ElementType::F8E4M3FN));
  ASSERT_EQ(q.scales.getShape(), llvm::ArrayRef<int64_t>({2, 2}));
  llvm::ArrayRef<float> scales = q.scales.getAs<float>();
  EXPECT_EQ(scales[0], 1000.0f / 448.0f);
  for (int i = 1; i < 4; ++i)
    EXPECT_LT(scales[i], 10.0f / 448.0f);
  std::vector<float> back = dequantize(q);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) {
      float scale = scales[r / 128 * 2 + c / 128], x = source[r * cols + c];
      // Half a step of 3 mantissa bits, or half the least subnormal.
      EXPECT_LE(std::fabs(back[r * cols + c] - x),
                std::max(std::fabs(x) / 16, scale * 0x1p-10f) * 1.0001f);
    }
}

TEST(QuantizeBlocks, Int8PerChannel) {
  int64_t rows = 3, cols = 77;
  std::vector<float> source = normals(rows * cols, 3);
  QuantizedMatrix q =
      unwrap(quantizeBlocks(source, rows, cols, 1, cols, ElementType::I8));
  ASSERT_EQ(q.scales.getNumElements(), 3);
  std::vector<float> back = dequantize(q);
  bool touchesLimit[3] = {};
  for (int64_t i = 0; i < rows * cols; ++i) {
    float scale = q.scales.getAs<float>()[i / cols];
    EXPECT_LE(std::fabs(back[i] - source[i]), scale * 0.5001f);
    touchesLimit[i / cols] |= std::abs(q.codes.getAs<int8_t>()[i]) == 127;
  }
  for (bool touched : touchesLimit)
    EXPECT_TRUE(touched);
}

TEST(QuantizeBlocks, TinyAndHugeGroups) {
  std::vector<float> source = {1e-40f, -1e-42f, 3e38f, -3e38f};
  QuantizedMatrix q =
      unwrap(quantizeBlocks(source, 2, 2, 1, 2, ElementType::F8E4M3FN));
  EXPECT_EQ(q.scales.getAs<float>()[0], 1.0f);
  EXPECT_EQ(q.codes.getData()[0], 0u);
  EXPECT_EQ(q.codes.getData()[2], 0x7eu);
  EXPECT_EQ(q.codes.getData()[3], 0xfeu);
}

TEST(QuantizeInt4, SymmetricBothPackings) {
  int64_t rows = 4, cols = 256;
  std::vector<float> source = normals(rows * cols, 4);
  for (int64_t c = 0; c < 128; ++c)
    source[c] = 0;
  for (ElementType scaleType :
       {ElementType::F32, ElementType::BF16, ElementType::F16}) {
    QuantizedMatrix low = unwrap(quantizeInt4(
        source, rows, cols, 128, false, NibblePacking::LowEven, scaleType));
    QuantizedMatrix ex = unwrap(quantizeInt4(
        source, rows, cols, 128, false, NibblePacking::ExLlama, scaleType));
    ASSERT_EQ(low.codes.getShape(), llvm::ArrayRef<int64_t>({4, 128}));
    ASSERT_EQ(ex.codes.getShape(), llvm::ArrayRef<int64_t>({4, 32}));
    ASSERT_EQ(ex.codes.getType(), ElementType::I32);
    EXPECT_EQ(low.codes.getData()[0], 0x88); // zero is code 8
    std::vector<float> scales = low.scales.toFloats();
    EXPECT_EQ(scales[0], 1.0f);
    std::vector<float> a = dequantize(low), b = dequantize(ex);
    EXPECT_EQ(a, b);
    for (int64_t i = 0; i < rows * cols; ++i)
      EXPECT_LE(std::fabs(a[i] - source[i]), scales[i / 128] * 0.52f);
  }
}

TEST(QuantizeInt4, ZeroPoints) {
  int64_t rows = 2, cols = 64;
  std::vector<float> source(rows * cols);
  for (int64_t i = 0; i < rows * cols; ++i) // [0.25, 16): all positive
    source[i] = 0.25f + 15.75f * static_cast<float>(i % 64) / 64;
  QuantizedMatrix q = unwrap(quantizeInt4(
      source, rows, cols, 32, true, NibblePacking::LowEven, ElementType::F32));
  ASSERT_TRUE(q.zeros.has_value());
  ASSERT_EQ(q.zeros->getShape(), llvm::ArrayRef<int64_t>({2, 2}));
  std::vector<float> back = dequantize(q);
  for (int64_t i = 0; i < rows * cols; ++i) {
    EXPECT_EQ(q.zeros->getData()[i / 32], 0);
    EXPECT_LE(std::fabs(back[i] - source[i]),
              q.scales.getAs<float>()[i / 32] * 0.5001f);
  }
  for (float &value : source)
    value = -value;
  q = unwrap(quantizeInt4(source, rows, cols, 32, true, NibblePacking::LowEven,
                          ElementType::F32));
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(q.zeros->getData()[i], 15);
}

TEST(QuantizeMx, SharedExponent) {
  std::vector<float> source(96, 0.0f);
  source[0] = 5.0f; // 2^2 x 1.25: scale 2^0 for f4E2M1FN
  source[32] = -3e-2f;
  QuantizedMatrix q = unwrap(quantizeMx(source, 1, 96, ElementType::F4E2M1FN));
  ASSERT_EQ(q.scales.getType(), ElementType::F8E8M0FNU);
  EXPECT_EQ(q.scales.getData()[0], 127);
  EXPECT_EQ(q.scales.getData()[1], 127 - 6 - 2); // floor(log2 0.03) = -6
  EXPECT_EQ(q.scales.getData()[2], 127);         // nothing but zeros
  EXPECT_EQ(q.codes.getData()[0], 0x06);         // 5 ties between 4 and 6: even
  q = unwrap(quantizeMx(source, 1, 96, ElementType::F8E4M3FN));
  EXPECT_EQ(q.scales.getData()[0], 127 + 2 - 8);
  EXPECT_EQ(dequantize(q)[0], 5.0f);
  q = unwrap(quantizeMx(source, 1, 96, ElementType::F8E5M2));
  EXPECT_EQ(q.scales.getData()[0], 127 + 2 - 15);
}

TEST(QuantizeMx, ErrorBound) {
  int64_t rows = 7, cols = 320;
  std::vector<float> source = normals(rows * cols, 5);
  std::vector<float> back =
      dequantize(unwrap(quantizeMx(source, rows, cols, ElementType::F4E2M1FN)));
  for (int64_t g = 0; g < rows * cols / 32; ++g) {
    float amax = 0;
    for (int64_t i = 0; i < 32; ++i)
      amax = std::max(amax, std::fabs(source[g * 32 + i]));
    float step = std::exp2(std::floor(std::log2(amax)) - 2);
    for (int64_t i = 0; i < 32; ++i) // at most 2 steps where 6 saturates 7.99
      EXPECT_LE(std::fabs(back[g * 32 + i] - source[g * 32 + i]), 2 * step);
  }
}

TEST(QuantizeNvfp4, TwoLevels) {
  int64_t rows = 4, cols = 64;
  std::vector<float> source = normals(rows * cols, 6);
  for (int64_t i = 16; i < 32; ++i)
    source[i] = 0;
  source[40] = 1000;
  source[41] = 1e-9f;
  QuantizedMatrix q = unwrap(quantizeNvfp4(source, rows, cols));
  ASSERT_EQ(q.scales.getType(), ElementType::F8E4M3FN);
  ASSERT_EQ(q.scales.getShape(), llvm::ArrayRef<int64_t>({4, 4}));
  EXPECT_EQ(q.globalScale, 1000.0f / (6 * 448.0f));
  EXPECT_EQ(q.scales.getData()[1], 0x38);
  EXPECT_EQ(q.scales.getData()[2], 0x7e);
  std::vector<float> back = dequantize(q);
  EXPECT_NEAR(back[40], 1000.0f, 0.01f);
  for (int64_t i = 16; i < 32; ++i)
    EXPECT_EQ(back[i], 0.0f);
  for (int64_t g = 0; g < 16; ++g)
    for (int64_t i = 0; i < 16; ++i) {
      float scale = q.scales.toFloats()[g] * q.globalScale;
      EXPECT_LE(std::fabs(back[g * 16 + i] - source[g * 16 + i]),
                scale * 1.001f);
    }
}

TEST(Quantize, SameForAnyThreadCount) {
  int64_t rows = 300, cols = 512;
  std::vector<float> source = normals(rows * cols, 8);
  auto bytes = [](const HostTensor &t) {
    return llvm::ArrayRef<uint8_t>(t.getData(), t.getByteSize());
  };
  QuantizedMatrix one =
      unwrap(quantizeInt4(source, rows, cols, 128, true, NibblePacking::ExLlama,
                          ElementType::BF16, 1));
  QuantizedMatrix five =
      unwrap(quantizeInt4(source, rows, cols, 128, true, NibblePacking::ExLlama,
                          ElementType::BF16, 5));
  EXPECT_EQ(bytes(one.codes), bytes(five.codes));
  EXPECT_EQ(bytes(one.scales), bytes(five.scales));
  EXPECT_EQ(bytes(*one.zeros), bytes(*five.zeros));
}

TEST(Quantize, Errors) {
  std::vector<float> source(256, 1.0f);
  EXPECT_EQ(message(quantizeInt4(source, 2, 128, 96, false,
                                 NibblePacking::LowEven, ElementType::BF16)),
            "quantise: K = 128 is no multiple of the group of 96");
  EXPECT_EQ(message(quantizeMx(source, 16, 16, ElementType::F4E2M1FN)),
            "quantise: K = 16 is no multiple of the group of 32");
  EXPECT_EQ(message(quantizeMx(source, 2, 128, ElementType::I8)),
            "quantise: mx elements are f4E2M1FN, f8E4M3FN or f8E5M2, not i8");
  EXPECT_EQ(message(quantizeNvfp4(source, 3, 128)),
            "quantise: shape [3, 128] has 384 elements, but 256 are given");
  EXPECT_EQ(message(quantizeBlocks(source, 2, 128, 0, 128, ElementType::I8)),
            "quantise: block [0, 128] must have positive extents");
  EXPECT_EQ(message(quantizeBlocks(source, 2, 128, 1, 128, ElementType::BF16)),
            "quantise: block scales go with an 8-bit float or i8, not bf16");
  EXPECT_EQ(message(quantizeInt4(source, 2, 128, 128, false,
                                 NibblePacking::LowEven, ElementType::I8)),
            "quantise: int4 scales are f32, bf16 or f16, not i8");
  source[130] = NAN;
  source[200] = HUGE_VALF;
  EXPECT_EQ(
      message(quantizeBlocks(source, 2, 128, 1, 128, ElementType::F8E4M3FN)),
      "quantise: element [1, 2] is NaN; only finite values have a scale");
  source[130] = 0;
  EXPECT_EQ(message(quantizeNvfp4(source, 2, 128)),
            "quantise: element [1, 72] is infinite; only finite values have a "
            "scale");
}

TEST(Parallel, CoversEveryIndexOnce) {
  for (uint64_t count : {0, 1, 7, 64, 1000})
    for (uint64_t grain : {0, 1, 3, 64, 5000})
      for (unsigned threads : {0, 1, 2, 7}) {
        std::vector<std::atomic<int>> hits(count);
        parallelFor(count, grain, threads, [&](uint64_t begin, uint64_t end) {
          EXPECT_LT(begin, end);
          EXPECT_EQ(begin % std::max<uint64_t>(grain, 1), 0u);
          for (uint64_t i = begin; i < end; ++i)
            ++hits[i];
        });
        for (auto &hit : hits)
          EXPECT_EQ(hit.load(), 1);
      }
}
