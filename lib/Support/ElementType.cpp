//===- ElementType.cpp - Storage types and exact conversions --------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/ElementType.h"
#include "llvm/Support/ErrorHandling.h"
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Names and sizes
//===----------------------------------------------------------------------===//

namespace {
struct TypeInfo {
  ElementType type;
  const char *name;
  unsigned bits;
  bool isFloat;
  double largest;
};
} // namespace

static constexpr TypeInfo typeInfos[] = {
    {ElementType::F64, "f64", 64, true, std::numeric_limits<double>::max()},
    {ElementType::F32, "f32", 32, true, std::numeric_limits<float>::max()},
    {ElementType::BF16, "bf16", 16, true, 0x1.fep+127},
    {ElementType::F16, "f16", 16, true, 65504.0},
    {ElementType::F8E4M3FN, "f8E4M3FN", 8, true, 448.0},
    {ElementType::F8E5M2, "f8E5M2", 8, true, 57344.0},
    {ElementType::F8E4M3FNUZ, "f8E4M3FNUZ", 8, true, 240.0},
    {ElementType::F8E5M2FNUZ, "f8E5M2FNUZ", 8, true, 57344.0},
    {ElementType::F8E8M0FNU, "f8E8M0FNU", 8, true, 0x1p127},
    {ElementType::F4E2M1FN, "f4E2M1FN", 4, true, 6.0},
    {ElementType::I4, "i4", 4, false, 7.0},
    {ElementType::U4, "u4", 4, false, 15.0},
    {ElementType::I8, "i8", 8, false, 127.0},
    {ElementType::U8, "u8", 8, false, 255.0},
    {ElementType::I32, "i32", 32, false, 2147483647.0},
    {ElementType::I64, "i64", 64, false, 0x1p63},
};

static const TypeInfo &info(ElementType type) {
  return typeInfos[static_cast<unsigned>(type)];
}

llvm::ArrayRef<ElementType> mlir::moe::getAllElementTypes() {
  static const auto types = [] {
    std::array<ElementType, std::size(typeInfos)> all;
    for (unsigned i = 0; i < all.size(); ++i)
      all[i] = typeInfos[i].type;
    return all;
  }();
  return types;
}

llvm::StringRef mlir::moe::getElementTypeName(ElementType type) {
  return info(type).name;
}

std::optional<ElementType> mlir::moe::parseElementType(llvm::StringRef name) {
  for (const TypeInfo &entry : typeInfos)
    if (name == entry.name)
      return entry.type;
  return std::nullopt;
}

unsigned mlir::moe::getBitWidth(ElementType type) { return info(type).bits; }
bool mlir::moe::isFloatType(ElementType type) { return info(type).isFloat; }
double mlir::moe::getLargestValue(ElementType type) {
  return info(type).largest;
}

//===----------------------------------------------------------------------===//
// Small floating-point formats
//===----------------------------------------------------------------------===//

namespace {
/// A format of at most 16 bits: sign, exponent, mantissa, from the top.
/// `infinity` is the magnitude that overflow and infinity become natively
/// (the infinity, the NaN, or the largest value); `nan` a whole code.
template <unsigned Bits, unsigned Mantissa, int MinExponent, unsigned Largest,
          unsigned Infinity, unsigned Nan, bool NanHasSign, bool Unsigned0>
struct Format {
  static constexpr unsigned bits = Bits, mantissa = Mantissa;
  static constexpr int minExponent = MinExponent;
  static constexpr unsigned largest = Largest, infinity = Infinity, nan = Nan;
  static constexpr bool nanHasSign = NanHasSign, unsigned0 = Unsigned0;
  static constexpr unsigned sign = 1u << (Bits - 1);
};
using BF16 = Format<16, 7, -126, 0x7f7f, 0x7f80, 0x7fc0, true, false>;
using F16 = Format<16, 10, -14, 0x7bff, 0x7c00, 0x7e00, true, false>;
using E4M3FN = Format<8, 3, -6, 0x7e, 0x7f, 0x7f, true, false>;
using E5M2 = Format<8, 2, -14, 0x7b, 0x7c, 0x7e, true, false>;
using E4M3FNUZ = Format<8, 3, -7, 0x7f, 0x80, 0x80, false, true>;
using E5M2FNUZ = Format<8, 2, -15, 0x7f, 0x80, 0x80, false, true>;
using E2M1FN = Format<4, 1, 0, 0x7, 0x7, 0x7, false, false>;
} // namespace

/// What the format makes of a magnitude beyond its largest value.
template <typename F> static constexpr unsigned overflowCode(bool saturate) {
  return saturate ? F::largest : F::infinity;
}

template <typename F>
static inline unsigned encodeSmall(double value, bool saturate) {
  constexpr int sourceMantissa = 52, sourceBias = 1023;
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  unsigned sign = bits >> 63 ? F::sign : 0;
  uint64_t magnitude = bits & ~(uint64_t(1) << 63);
  constexpr uint64_t infinity = uint64_t(2 * sourceBias + 1) << sourceMantissa;
  if (LLVM_UNLIKELY(magnitude > infinity))
    return F::nan | (F::nanHasSign ? sign : 0);

  // A subnormal f64 is far below half the least value of every target.
  int biased = static_cast<int>(magnitude >> sourceMantissa);
  uint64_t significand = (magnitude & ((uint64_t(1) << sourceMantissa) - 1)) |
                         uint64_t(biased != 0) << sourceMantissa;
  int exponent = biased - sourceBias;

  // Below the least normal the target's quantum is fixed: shift further.
  int below = std::max(0, F::minExponent - exponent);
  int shift = std::min(sourceMantissa - static_cast<int>(F::mantissa) + below,
                       sourceMantissa + 2);
  uint64_t half = uint64_t(1) << (shift - 1);
  uint64_t rounded = significand >> shift;
  uint64_t rest = significand & ((half << 1) - 1);
  rounded += rest > half || (rest == half && (rounded & 1));
  // The hidden bit (or a carry) adds one to the exponent field by itself.
  int64_t code =
      (static_cast<int64_t>(exponent + below - F::minExponent) << F::mantissa) +
      static_cast<int64_t>(rounded);
  if (LLVM_UNLIKELY(code > static_cast<int64_t>(F::largest)))
    code = overflowCode<F>(saturate);
  if (F::unsigned0 && (code == 0 || code == F::nan))
    return static_cast<unsigned>(code);
  return static_cast<unsigned>(code) | sign;
}

/// The same from f32 without branches, so that loops over it vectorise. Below
/// the least normal an addition rounds at the target's fixed quantum (the
/// environment's rounding is to nearest even, subnormals are not flushed).
template <typename F>
static inline unsigned encodeSmall(float value, bool saturate) {
  constexpr int drop = 23 - static_cast<int>(F::mantissa);
  constexpr uint32_t leastNormal = uint32_t(F::minExponent + 127) << 23;
  // The f32 whose last mantissa bit has the value of the target's quantum.
  constexpr uint32_t quantum =
      uint32_t(F::minExponent - static_cast<int>(F::mantissa) + 23 + 127) << 23;
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t sign = bits >> 31 << (F::bits - 1);
  uint32_t normal = (magnitude - (leastNormal - (1u << 23)) +
                     ((1u << (drop - 1)) - 1) + (magnitude >> drop & 1)) >>
                    drop;
  float positive, offset;
  std::memcpy(&positive, &magnitude, 4);
  std::memcpy(&offset, &quantum, 4);
  float shifted = positive + offset;
  uint32_t subnormal;
  std::memcpy(&subnormal, &shifted, 4);
  subnormal -= quantum;
  uint32_t code = magnitude < leastNormal ? subnormal : normal;
  code = code > F::largest ? overflowCode<F>(saturate) : code;
  bool isNan = magnitude > 0x7f800000u;
  code = isNan ? F::nan : code;
  bool dropSign = (isNan && !F::nanHasSign) ||
                  (F::unsigned0 && (code == 0 || code == F::nan));
  return code | (dropSign ? 0 : sign);
}

template <typename F> static double decodeSmall(unsigned code) {
  unsigned magnitude = code & (F::sign - 1);
  bool negative = code & F::sign;
  constexpr bool hasNan = F::infinity != F::largest;
  if (hasNan) {
    bool isNan = F::nanHasSign ? magnitude > F::largest : code == F::nan;
    if (F::nanHasSign && F::infinity != F::nan && magnitude == F::infinity)
      return negative ? -HUGE_VAL : HUGE_VAL;
    if (isNan)
      return negative && F::nanHasSign
                 ? -std::numeric_limits<double>::quiet_NaN()
                 : std::numeric_limits<double>::quiet_NaN();
  }
  unsigned field = magnitude >> F::mantissa;
  unsigned fraction = magnitude & ((1u << F::mantissa) - 1);
  double value = field
                     ? std::ldexp((1u << F::mantissa) | fraction,
                                  F::minExponent + static_cast<int>(field) - 1 -
                                      static_cast<int>(F::mantissa))
                     : std::ldexp(fraction, F::minExponent -
                                                static_cast<int>(F::mantissa));
  return negative ? -value : value;
}

template <typename Source>
static inline unsigned encodeE8M0(Source value, bool saturate) {
  if (std::isnan(value) || value < 0)
    return 0xff;
  if (std::isinf(value))
    return saturate ? 0xfe : 0xff;
  if (value < Source(0x1p-126) * Source(0.75))
    return 0;
  int exponent;
  // frexp gives [0.5, 1): 0.75 stands for 1.5 of the lower power.
  Source fraction = std::frexp(value, &exponent);
  int code = exponent - 1 + (fraction >= Source(0.75)) + 127;
  if (code > 0xfe)
    return saturate ? 0xfe : 0xff;
  return static_cast<unsigned>(std::max(code, 0));
}

/// Round to nearest even, clamp, NaN = 0. Both bounds are exact in f64 except
/// the upper one of i64, hence the >=.
static inline int64_t encodeInteger(double value, double low, double high,
                                    int64_t highCode) {
  if (std::isnan(value))
    return 0;
  double rounded = std::nearbyint(value);
  if (rounded >= high)
    return highCode;
  return static_cast<int64_t>(std::max(rounded, low));
}

/// Applies `visit` to a functor that encodes one source value.
template <typename Source, typename Visitor>
static auto withEncoder(ElementType type, bool saturate, Visitor visit) {
  switch (type) {
  case ElementType::F64:
    return visit([](Source v) -> uint64_t {
      double wide = v;
      uint64_t bits;
      std::memcpy(&bits, &wide, 8);
      return bits;
    });
  case ElementType::F32:
    return visit([=](Source v) -> uint64_t {
      float narrow = static_cast<float>(v);
      if (saturate && std::isinf(narrow))
        narrow = std::copysign(std::numeric_limits<float>::max(), narrow);
      uint32_t bits;
      std::memcpy(&bits, &narrow, 4);
      return bits;
    });
#define SMALL(NAME, FORMAT)                                                    \
  case ElementType::NAME:                                                      \
    return visit([=](Source v) { return encodeSmall<FORMAT>(v, saturate); });
    SMALL(BF16, BF16)
    SMALL(F16, F16)
    SMALL(F8E4M3FN, E4M3FN)
    SMALL(F8E5M2, E5M2)
    SMALL(F8E4M3FNUZ, E4M3FNUZ)
    SMALL(F8E5M2FNUZ, E5M2FNUZ)
    SMALL(F4E2M1FN, E2M1FN)
#undef SMALL
  case ElementType::F8E8M0FNU:
    return visit([=](Source v) -> uint64_t { return encodeE8M0(v, saturate); });
#define INTEGER(NAME, LOW, HIGH, CODE, MASK)                                   \
  case ElementType::NAME:                                                      \
    return visit([](Source v) -> uint64_t {                                    \
      return static_cast<uint64_t>(encodeInteger(v, LOW, HIGH, CODE)) & MASK;  \
    });
    INTEGER(I4, -8.0, 7.0, 7, 0xf)
    INTEGER(U4, 0.0, 15.0, 15, 0xf)
    INTEGER(I8, -128.0, 127.0, 127, 0xff)
    INTEGER(U8, 0.0, 255.0, 255, 0xff)
    INTEGER(I32, -0x1p31, 0x1p31 - 1, 0x7fffffff, 0xffffffffu)
    INTEGER(I64, -0x1p63, 0x1p63, INT64_MAX, ~uint64_t(0))
#undef INTEGER
  }
  llvm_unreachable("all element types are handled");
}

uint64_t mlir::moe::encode(ElementType type, double value, Overflow overflow) {
  return withEncoder<double>(
      type, overflow == Overflow::Saturate,
      [=](auto encoder) -> uint64_t { return encoder(value); });
}

double mlir::moe::decode(ElementType type, uint64_t code) {
  switch (type) {
  case ElementType::F64: {
    double value;
    std::memcpy(&value, &code, 8);
    return value;
  }
  case ElementType::F32: {
    uint32_t bits = static_cast<uint32_t>(code);
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
  case ElementType::BF16:
    return decodeSmall<BF16>(code & 0xffff);
  case ElementType::F16:
    return decodeSmall<F16>(code & 0xffff);
  case ElementType::F8E4M3FN:
    return decodeSmall<E4M3FN>(code & 0xff);
  case ElementType::F8E5M2:
    return decodeSmall<E5M2>(code & 0xff);
  case ElementType::F8E4M3FNUZ:
    return decodeSmall<E4M3FNUZ>(code & 0xff);
  case ElementType::F8E5M2FNUZ:
    return decodeSmall<E5M2FNUZ>(code & 0xff);
  case ElementType::F8E8M0FNU:
    return (code & 0xff) == 0xff
               ? std::numeric_limits<double>::quiet_NaN()
               : std::ldexp(1.0, static_cast<int>(code & 0xff) - 127);
  case ElementType::F4E2M1FN:
    return decodeSmall<E2M1FN>(code & 0xf);
  case ElementType::I4:
    return static_cast<int>((code & 0xf) ^ 8) - 8;
  case ElementType::U4:
    return static_cast<double>(code & 0xf);
  case ElementType::I8:
    return static_cast<int8_t>(code);
  case ElementType::U8:
    return static_cast<uint8_t>(code);
  case ElementType::I32:
    return static_cast<int32_t>(code);
  case ElementType::I64:
    return static_cast<double>(static_cast<int64_t>(code));
  }
  llvm_unreachable("all element types are handled");
}

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

/// Values of all codes of a type of up to 16 bits, filled at first use.
static const float *decodeTable(ElementType type) {
  static const auto tables = [] {
    std::array<std::vector<float>, std::size(typeInfos)> all;
    for (const TypeInfo &entry : typeInfos) {
      if (entry.bits > 16 || entry.type == ElementType::BF16)
        continue;
      auto &table = all[static_cast<unsigned>(entry.type)];
      table.resize(size_t(1) << entry.bits);
      for (size_t code = 0; code < table.size(); ++code)
        table[code] = static_cast<float>(decode(entry.type, code));
    }
    return all;
  }();
  return tables[static_cast<unsigned>(type)].data();
}

template <typename Stored, typename Target>
static void convertPlain(const void *source, Target *target, uint64_t count) {
  const char *bytes = static_cast<const char *>(source);
  for (uint64_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, bytes + i * sizeof(Stored), sizeof(Stored));
    target[i] = static_cast<Target>(value);
  }
}

template <typename Target>
static void convertTo(ElementType type, const void *source, Target *target,
                      uint64_t count) {
  const uint8_t *bytes = static_cast<const uint8_t *>(source);
  switch (type) {
  case ElementType::F64:
    return convertPlain<double>(source, target, count);
  case ElementType::F32:
    return convertPlain<float>(source, target, count);
  case ElementType::I8:
    return convertPlain<int8_t>(source, target, count);
  case ElementType::U8:
    return convertPlain<uint8_t>(source, target, count);
  case ElementType::I32:
    return convertPlain<int32_t>(source, target, count);
  case ElementType::I64:
    return convertPlain<int64_t>(source, target, count);
  case ElementType::BF16:
    for (uint64_t i = 0; i < count; ++i) {
      uint16_t code;
      std::memcpy(&code, bytes + 2 * i, 2);
      target[i] = decodeBF16(code);
    }
    return;
  case ElementType::F16: {
    const float *table = decodeTable(type);
    for (uint64_t i = 0; i < count; ++i) {
      uint16_t code;
      std::memcpy(&code, bytes + 2 * i, 2);
      target[i] = table[code];
    }
    return;
  }
  case ElementType::F8E4M3FN:
  case ElementType::F8E5M2:
  case ElementType::F8E4M3FNUZ:
  case ElementType::F8E5M2FNUZ:
  case ElementType::F8E8M0FNU: {
    const float *table = decodeTable(type);
    for (uint64_t i = 0; i < count; ++i)
      target[i] = table[bytes[i]];
    return;
  }
  case ElementType::F4E2M1FN:
  case ElementType::I4:
  case ElementType::U4: {
    const float *table = decodeTable(type);
    for (uint64_t i = 0; i < count; ++i)
      target[i] = table[i % 2 ? bytes[i / 2] >> 4 : bytes[i / 2] & 0xf];
    return;
  }
  }
}

void mlir::moe::convertToFloat(ElementType type, const void *source,
                               float *target, uint64_t count) {
  convertTo(type, source, target, count);
}

void mlir::moe::convertToDouble(ElementType type, const void *source,
                                double *target, uint64_t count) {
  convertTo(type, source, target, count);
}

template <typename Source>
static void convertFrom(ElementType type, const Source *source, void *target,
                        uint64_t count, Overflow overflow) {
  uint8_t *bytes = static_cast<uint8_t *>(target);
  bool saturate = overflow == Overflow::Saturate;
  withEncoder<Source>(type, saturate, [&](auto encoder) {
    switch (getBitWidth(type)) {
    case 4:
      for (uint64_t i = 0; i < count; i += 2) {
        uint64_t high = i + 1 < count ? encoder(source[i + 1]) : 0;
        bytes[i / 2] = static_cast<uint8_t>(encoder(source[i]) | high << 4);
      }
      return;
    case 8:
      for (uint64_t i = 0; i < count; ++i)
        bytes[i] = static_cast<uint8_t>(encoder(source[i]));
      return;
    case 16:
      for (uint64_t i = 0; i < count; ++i) {
        uint16_t code = static_cast<uint16_t>(encoder(source[i]));
        std::memcpy(bytes + 2 * i, &code, 2);
      }
      return;
    case 32:
      for (uint64_t i = 0; i < count; ++i) {
        uint32_t code = static_cast<uint32_t>(encoder(source[i]));
        std::memcpy(bytes + 4 * i, &code, 4);
      }
      return;
    default:
      for (uint64_t i = 0; i < count; ++i) {
        uint64_t code = encoder(source[i]);
        std::memcpy(bytes + 8 * i, &code, 8);
      }
    }
  });
}

void mlir::moe::convertFromFloat(ElementType type, const float *source,
                                 void *target, uint64_t count,
                                 Overflow overflow) {
  // The common case without the branch on saturation, open to vectorisation.
  if (type == ElementType::BF16 && overflow == Overflow::Native) {
    uint8_t *bytes = static_cast<uint8_t *>(target);
    for (uint64_t i = 0; i < count; ++i) {
      uint16_t code = encodeBF16(source[i]);
      std::memcpy(bytes + 2 * i, &code, 2);
    }
    return;
  }
  convertFrom(type, source, target, count, overflow);
}

void mlir::moe::convertFromDouble(ElementType type, const double *source,
                                  void *target, uint64_t count,
                                  Overflow overflow) {
  convertFrom(type, source, target, count, overflow);
}
