//===- ElementTypeTest.cpp - Conversions against APFloat ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/ElementType.h"
#include "llvm/ADT/APFloat.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>
#include <set>

using namespace mlir::moe;
using llvm::APFloat;

/// LLVM's own implementation of a format, the oracle; null for integers.
static const llvm::fltSemantics *getSemantics(ElementType type) {
  switch (type) {
  case ElementType::F64:
    return &APFloat::IEEEdouble();
  case ElementType::F32:
    return &APFloat::IEEEsingle();
  case ElementType::BF16:
    return &APFloat::BFloat();
  case ElementType::F16:
    return &APFloat::IEEEhalf();
  case ElementType::F8E4M3FN:
    return &APFloat::Float8E4M3FN();
  case ElementType::F8E5M2:
    return &APFloat::Float8E5M2();
  case ElementType::F8E4M3FNUZ:
    return &APFloat::Float8E4M3FNUZ();
  case ElementType::F8E5M2FNUZ:
    return &APFloat::Float8E5M2FNUZ();
  case ElementType::F8E8M0FNU:
    return &APFloat::Float8E8M0FNU();
  case ElementType::F4E2M1FN:
    return &APFloat::Float4E2M1FN();
  default:
    return nullptr;
  }
}

static uint64_t apfloatEncode(ElementType type, double value) {
  APFloat number(value);
  bool lost;
  number.convert(*getSemantics(type), APFloat::rmNearestTiesToEven, &lost);
  return number.bitcastToAPInt().getZExtValue();
}

static double apfloatDecode(ElementType type, uint64_t code) {
  APFloat number(*getSemantics(type), llvm::APInt(getBitWidth(type), code));
  // The NaN of f8E8M0FNU would convert to an infinity.
  if (number.isNaN())
    return NAN;
  bool lost;
  number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
  return number.convertToDouble();
}

static std::vector<ElementType> smallFloats() {
  std::vector<ElementType> types;
  for (ElementType type : getAllElementTypes())
    if (isFloatType(type) && getBitWidth(type) <= 16)
      types.push_back(type);
  return types;
}

TEST(ElementType, NamesRoundTripAndDiffer) {
  std::set<std::string> names;
  for (ElementType type : getAllElementTypes()) {
    std::string name = getElementTypeName(type).str();
    EXPECT_TRUE(names.insert(name).second) << name;
    ASSERT_TRUE(parseElementType(name).has_value());
    EXPECT_EQ(*parseElementType(name), type);
  }
  EXPECT_EQ(names.size(), 16u);
  EXPECT_FALSE(parseElementType("f8"));
  EXPECT_FALSE(parseElementType("BF16"));
  EXPECT_FALSE(parseElementType(""));
}

TEST(ElementType, Widths) {
  EXPECT_EQ(getBitWidth(ElementType::F4E2M1FN), 4u);
  EXPECT_EQ(getBitWidth(ElementType::F8E8M0FNU), 8u);
  EXPECT_EQ(getBitWidth(ElementType::BF16), 16u);
  EXPECT_EQ(getBitWidth(ElementType::I64), 64u);
  EXPECT_EQ(getStorageBytes(ElementType::I4, 7), 4u);
  EXPECT_EQ(getStorageBytes(ElementType::U4, 8), 4u);
  EXPECT_EQ(getStorageBytes(ElementType::I4, 0), 0u);
  EXPECT_EQ(getStorageBytes(ElementType::F32, 3), 12u);
}

TEST(ElementType, EveryCodeDecodesAsInAPFloat) {
  for (ElementType type : smallFloats())
    for (uint64_t code = 0; code < (uint64_t(1) << getBitWidth(type)); ++code) {
      double got = decode(type, code), want = apfloatDecode(type, code);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got))
            << getElementTypeName(type).str() << " " << code;
        continue;
      }
      ASSERT_EQ(got, want) << getElementTypeName(type).str() << " " << code;
      ASSERT_EQ(std::signbit(got), std::signbit(want));
    }
}

TEST(ElementType, EveryCodeRoundTrips) {
  for (ElementType type : getAllElementTypes()) {
    if (getBitWidth(type) > 16)
      continue;
    for (uint64_t code = 0; code < (uint64_t(1) << getBitWidth(type)); ++code) {
      double value = decode(type, code);
      if (std::isnan(value))
        EXPECT_TRUE(std::isnan(decode(type, encode(type, value))));
      else
        ASSERT_EQ(encode(type, value), code)
            << getElementTypeName(type).str() << " " << value;
    }
  }
}

/// Whether the contract leaves APFloat's path: f4E2M1FN has no NaN, f8E8M0FNU
/// defines zero and negative values.
static bool isOwnRule(ElementType type, double value) {
  if (type == ElementType::F4E2M1FN)
    return std::isnan(value) || std::isinf(value);
  if (type == ElementType::F8E8M0FNU)
    return !(value >= 0x1p-127) || std::isinf(value);
  return false;
}

static void expectAsAPFloat(ElementType type, double value) {
  if (isOwnRule(type, value))
    return;
  uint64_t got = encode(type, value), want = apfloatEncode(type, value);
  if (std::isnan(apfloatDecode(type, want)))
    ASSERT_TRUE(std::isnan(decode(type, got)))
        << getElementTypeName(type).str() << " of " << value << ": " << got;
  else
    ASSERT_EQ(got, want) << getElementTypeName(type).str() << " of " << value;
}

TEST(ElementType, RandomDoublesEncodeAsInAPFloat) {
  std::mt19937_64 random(1);
  for (ElementType type : smallFloats())
    for (int i = 0; i < 60000; ++i) {
      // Exponents about the format's range, and a few far outside.
      int exponent = static_cast<int>(random() % 300) - 150;
      if (i % 4 && type != ElementType::BF16 && type != ElementType::F8E8M0FNU)
        exponent = static_cast<int>(random() % 40) - 20;
      double value = std::ldexp(
          1.0 + std::ldexp(static_cast<double>(random() >> 12), -52), exponent);
      expectAsAPFloat(type, random() % 2 ? value : -value);
    }
}

// The neighbourhood of every tie: halfway between codes, one f64 ulp off.
TEST(ElementType, TiesAndTheirNeighbours) {
  for (ElementType type : smallFloats()) {
    uint64_t codes = uint64_t(1) << getBitWidth(type);
    for (uint64_t code = 0; code + 1 < codes; ++code) {
      double low = decode(type, code), high = decode(type, code + 1);
      if (!std::isfinite(low) || !std::isfinite(high))
        continue;
      double middle = low + (high - low) / 2;
      expectAsAPFloat(type, middle);
      expectAsAPFloat(type, std::nextafter(middle, HUGE_VAL));
      expectAsAPFloat(type, std::nextafter(middle, -HUGE_VAL));
    }
  }
}

TEST(ElementType, EdgeOfRange) {
  auto code = [](double value, Overflow mode) {
    return encode(ElementType::F8E4M3FN, value, mode);
  };
  EXPECT_EQ(code(448, Overflow::Native), 0x7eu);
  EXPECT_EQ(code(464, Overflow::Native), 0x7eu);     // the tie goes to even
  EXPECT_EQ(code(464.001, Overflow::Native), 0x7fu); // beyond it: NaN
  EXPECT_EQ(code(464.001, Overflow::Saturate), 0x7eu);
  EXPECT_EQ(code(-1e30, Overflow::Saturate), 0xfeu);
  EXPECT_EQ(code(HUGE_VAL, Overflow::Saturate), 0x7eu);
  EXPECT_EQ(code(-HUGE_VAL, Overflow::Native), 0xffu);
  EXPECT_EQ(code(NAN, Overflow::Saturate) & 0x7f, 0x7fu);
  EXPECT_EQ(code(0x1p-10, Overflow::Native), 0u);
  EXPECT_EQ(code(-0x1.8p-10, Overflow::Native), 0x81u);

  EXPECT_EQ(encode(ElementType::F8E5M2, 1e9), 0x7cu);
  EXPECT_EQ(encode(ElementType::F8E5M2, -1e9, Overflow::Saturate), 0xfbu);
  EXPECT_EQ(encode(ElementType::BF16, 1e39), 0x7f80u);
  EXPECT_EQ(encode(ElementType::BF16, 1e39, Overflow::Saturate), 0x7f7fu);
  EXPECT_EQ(encode(ElementType::F16, -65520.0), 0xfc00u);
  EXPECT_EQ(encode(ElementType::F16, 65519.0), 0x7bffu);
  EXPECT_EQ(encode(ElementType::F32, 1e300, Overflow::Saturate), 0x7f7fffffu);
}

TEST(ElementType, NegativeZero) {
  EXPECT_EQ(encode(ElementType::F8E4M3FN, -0.0), 0x80u);
  EXPECT_EQ(encode(ElementType::BF16, -0.0), 0x8000u);
  for (ElementType type : {ElementType::F8E4M3FNUZ, ElementType::F8E5M2FNUZ}) {
    EXPECT_EQ(encode(type, -0.0), 0u);
    EXPECT_EQ(encode(type, -1e-20), 0u); // rounds to zero, not to NaN's code
    EXPECT_EQ(encode(type, NAN), 0x80u);
    EXPECT_EQ(encode(type, 1e9), 0x80u);
    EXPECT_EQ(encode(type, -1e9, Overflow::Saturate), 0xffu);
  }
}

TEST(ElementType, FormatsWithoutNan) {
  EXPECT_EQ(encode(ElementType::F4E2M1FN, NAN), 7u);
  EXPECT_EQ(encode(ElementType::F4E2M1FN, -HUGE_VAL), 15u);
  EXPECT_EQ(encode(ElementType::F4E2M1FN, 100), 7u);
  EXPECT_EQ(encode(ElementType::F4E2M1FN, 0.25), 0u);
  EXPECT_EQ(encode(ElementType::F4E2M1FN, 2.5), 4u);
}

TEST(ElementType, PowersOfTwo) {
  ElementType type = ElementType::F8E8M0FNU;
  EXPECT_EQ(encode(type, 0), 0u);
  EXPECT_EQ(encode(type, 1e-45), 0u);
  EXPECT_EQ(encode(type, 1), 127u);
  EXPECT_EQ(encode(type, 1.4999), 127u);
  EXPECT_EQ(encode(type, 1.5), 128u);
  EXPECT_EQ(encode(type, -1), 255u);
  EXPECT_EQ(encode(type, NAN, Overflow::Saturate), 255u);
  EXPECT_EQ(encode(type, HUGE_VAL, Overflow::Saturate), 254u);
  EXPECT_EQ(encode(type, HUGE_VAL), 255u);
  EXPECT_EQ(encode(type, 0x1p127), 254u);
}

TEST(ElementType, Integers) {
  EXPECT_EQ(encode(ElementType::I8, 2.5), 2u);
  EXPECT_EQ(encode(ElementType::I8, 3.5), 4u);
  EXPECT_EQ(encode(ElementType::I8, -1000), 0x80u);
  EXPECT_EQ(encode(ElementType::U8, -3), 0u);
  EXPECT_EQ(encode(ElementType::U8, 255.4), 255u);
  EXPECT_EQ(encode(ElementType::I4, -9), 8u);
  EXPECT_EQ(encode(ElementType::U4, 99), 15u);
  EXPECT_EQ(encode(ElementType::I32, 1e10), 0x7fffffffu);
  EXPECT_EQ(encode(ElementType::I32, -1e10), 0x80000000u);
  EXPECT_EQ(encode(ElementType::I64, 1e30), uint64_t(INT64_MAX));
  EXPECT_EQ(encode(ElementType::I64, 0x1p63), uint64_t(INT64_MAX));
  EXPECT_EQ(encode(ElementType::I64, -1e30), uint64_t(INT64_MIN));
  EXPECT_EQ(encode(ElementType::I8, NAN), 0u);
  EXPECT_EQ(decode(ElementType::I4, 0xf), -1);
  EXPECT_EQ(decode(ElementType::U4, 0xf), 15);
  EXPECT_EQ(decode(ElementType::I32, 0xffffffffu), -1);
}

// An f64 just above a bf16 tie would lose its excess on the way through f32.
TEST(ElementType, DoubleRoundsOnce) {
  double value = 1.0 + 0x1p-8 + 0x1p-40;
  EXPECT_EQ(encode(ElementType::BF16, value), 0x3f81u);
  uint16_t code;
  convertFromDouble(ElementType::BF16, &value, &code, 1);
  EXPECT_EQ(code, 0x3f81u);
  float narrow = static_cast<float>(value);
  convertFromFloat(ElementType::BF16, &narrow, &code, 1);
  EXPECT_EQ(code, 0x3f80u);
}

TEST(ElementType, ArraysAgreeWithSingles) {
  std::mt19937 random(7);
  for (ElementType type : getAllElementTypes())
    for (Overflow mode : {Overflow::Native, Overflow::Saturate})
      for (size_t count : {0, 1, 2, 5, 64, 1001}) {
        std::vector<float> in(count), back(count);
        std::vector<double> wide(count), wideBack(count);
        for (size_t i = 0; i < count; ++i) {
          uint32_t bits = random();
          if (i % 3)
            bits = (bits & 0x87ffffffu) | 0x38000000u;
          std::memcpy(&in[i], &bits, 4);
          if (i % 7 == 0)
            in[i] = static_cast<float>(static_cast<int>(random() % 600) - 300);
          wide[i] = in[i];
        }
        uint64_t bytes = getStorageBytes(type, count);
        std::vector<uint8_t> fromFloat(bytes + 1, 0xcd), fromDouble = fromFloat;
        convertFromFloat(type, in.data(), fromFloat.data(), count, mode);
        convertFromDouble(type, wide.data(), fromDouble.data(), count, mode);
        EXPECT_EQ(fromFloat.back(), 0xcd);
        EXPECT_EQ(fromFloat, fromDouble) << getElementTypeName(type).str();
        convertToFloat(type, fromFloat.data(), back.data(), count);
        convertToDouble(type, fromFloat.data(), wideBack.data(), count);
        for (size_t i = 0; i < count; ++i) {
          double want = decode(type, encode(type, in[i], mode));
          if (std::isnan(want)) {
            EXPECT_TRUE(std::isnan(back[i]) && std::isnan(wideBack[i]));
            continue;
          }
          ASSERT_EQ(wideBack[i], want) << getElementTypeName(type).str();
          ASSERT_EQ(back[i], static_cast<float>(want));
        }
      }
}

// The path from f32 is written without branches; the one from f64 is checked
// against APFloat above. All exponents, all rounding positions.
TEST(ElementType, FloatsEncodeAsDoubles) {
  std::vector<float> narrow;
  for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 40009) {
    uint32_t base = static_cast<uint32_t>(bits);
    // Also with the low mantissa bits at a tie and beside it.
    for (uint32_t word :
         {base, base & 0xfffff800u, (base & 0xfff00000u) | 1,
          (base & 0xfff00000u) | 0x80000u, (base & 0xfff00000u) | 0x7ffffu}) {
      float value;
      std::memcpy(&value, &word, 4);
      narrow.push_back(value);
    }
  }
  std::vector<double> wide(narrow.begin(), narrow.end());
  for (ElementType type : smallFloats())
    for (Overflow mode : {Overflow::Native, Overflow::Saturate}) {
      std::vector<uint8_t> a(getStorageBytes(type, wide.size())), b = a;
      convertFromFloat(type, narrow.data(), a.data(), narrow.size(), mode);
      convertFromDouble(type, wide.data(), b.data(), wide.size(), mode);
      EXPECT_TRUE(a == b) << getElementTypeName(type).str();
    }
}

TEST(ElementType, OddCountsClearTheSpareNibble) {
  float values[] = {1, 2, 3};
  uint8_t bytes[2] = {0xff, 0xff};
  convertFromFloat(ElementType::U4, values, bytes, 3);
  EXPECT_EQ(bytes[0], 0x21);
  EXPECT_EQ(bytes[1], 0x03);
}
