//===- Scalars.cpp - Arithmetic on lanes ----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scalars.h"
#include "Machine.h"
#include "moec/Support/ElementType.h"
#include "llvm/ADT/StringSwitch.h"
#include <cmath>

using namespace mlir::moe;
using namespace mlir::moe::emu;

//===----------------------------------------------------------------------===//
// Formats
//===----------------------------------------------------------------------===//

static const std::vector<float> &table(ElementType type, unsigned size) {
  static std::vector<float> tables[32];
  std::vector<float> &t = tables[static_cast<unsigned>(type)];
  if (t.empty())
    for (unsigned c = 0; c < size; ++c)
      t.push_back(decode(type, c));
  return t;
}

float emu::halfToFloat(uint16_t bits) {
  static const std::vector<float> &t = table(ElementType::F16, 1 << 16);
  return t[bits];
}
uint16_t emu::floatToHalf(float value) {
  return encode(ElementType::F16, value);
}
float emu::fp8ToFloat(bool e5m2, uint8_t bits) {
  static const std::vector<float> &a = table(ElementType::F8E4M3FN, 256);
  static const std::vector<float> &b = table(ElementType::F8E5M2, 256);
  return e5m2 ? b[bits] : a[bits];
}

uint64_t emu::encodeScalar(Scalar scalar, double value) {
  switch (scalar.cls) {
  case Scalar::BF16:
    return encode(ElementType::BF16, value);
  case Scalar::F16:
    return encode(ElementType::F16, value);
  case Scalar::F8E4M3:
    return encode(ElementType::F8E4M3FN, value);
  case Scalar::F8E5M2:
    return encode(ElementType::F8E5M2, value);
  case Scalar::F8E4M3Z:
    return encode(ElementType::F8E4M3FNUZ, value);
  case Scalar::F8E5M2Z:
    return encode(ElementType::F8E5M2FNUZ, value);
  case Scalar::F8E8M0:
    return encode(ElementType::F8E8M0FNU, value);
  case Scalar::F4E2M1:
    return encode(ElementType::F4E2M1FN, value);
  case Scalar::F64: {
    uint64_t bits;
    std::memcpy(&bits, &value, 8);
    return bits;
  }
  default: {
    float f = value;
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    return bits;
  }
  }
}

double emu::decodeScalar(Scalar scalar, uint64_t bits) {
  switch (scalar.cls) {
  case Scalar::BF16:
    return decodeBF16(bits);
  case Scalar::F16:
    return halfToFloat(bits);
  case Scalar::F8E4M3:
    return fp8ToFloat(false, bits);
  case Scalar::F8E5M2:
    return fp8ToFloat(true, bits);
  case Scalar::F8E4M3Z:
    return decode(ElementType::F8E4M3FNUZ, bits);
  case Scalar::F8E5M2Z:
    return decode(ElementType::F8E5M2FNUZ, bits);
  case Scalar::F8E8M0:
    return decode(ElementType::F8E8M0FNU, bits);
  case Scalar::F4E2M1:
    return decode(ElementType::F4E2M1FN, bits);
  case Scalar::F64: {
    double value;
    std::memcpy(&value, &bits, 8);
    return value;
  }
  default: {
    uint32_t word = bits;
    float value;
    std::memcpy(&value, &word, 4);
    return value;
  }
  }
}

namespace {
// How a lane's word becomes a number of type V. `W` is the word.
struct CodecF32 {
  using W = uint32_t;
  using V = float;
  static V get(W w) {
    V v;
    std::memcpy(&v, &w, 4);
    return v;
  }
  static W put(V v) {
    W w;
    std::memcpy(&w, &v, 4);
    return w;
  }
};
struct CodecF64 {
  using W = uint64_t;
  using V = double;
  static V get(W w) {
    V v;
    std::memcpy(&v, &w, 8);
    return v;
  }
  static W put(V v) {
    W w;
    std::memcpy(&w, &v, 8);
    return w;
  }
};
// Sums, products and quotients of halves in f32, rounded once more, are the
// correctly rounded ones: f32 has more than twice their bits.
struct CodecBF16 {
  using W = uint32_t;
  using V = float;
  static V get(W w) { return decodeBF16(w); }
  static W put(V v) { return encodeBF16(v); }
};
struct CodecF16 {
  using W = uint32_t;
  using V = float;
  static V get(W w) { return halfToFloat(w); }
  static W put(V v) { return floatToHalf(v); }
};
// Integers: unsigned words, a signed view where the operation asks for it.
struct CodecI32 {
  using W = uint32_t;
  using V = uint32_t;
  static V get(W w) { return w; }
  static W put(V v) { return v; }
};
struct CodecI64 {
  using W = uint64_t;
  using V = uint64_t;
  static V get(W w) { return w; }
  static W put(V v) { return v; }
};
template <unsigned Bits> struct CodecNarrow {
  using W = uint32_t;
  using V = uint32_t;
  static constexpr uint32_t ones = (1u << Bits) - 1;
  static V get(W w) { return w & ones; }
  static W put(V v) { return v & ones; }
};

template <typename C> struct BitsOf {
  static constexpr unsigned value = sizeof(typename C::W) * 8;
};
template <unsigned Bits> struct BitsOf<CodecNarrow<Bits>> {
  static constexpr unsigned value = Bits;
};

/// `v`, whose width is that of codec C, as a signed number.
template <typename C, typename V> auto asSigned(V v) {
  using S = std::make_signed_t<V>;
  constexpr unsigned shift = sizeof(V) * 8 - BitsOf<C>::value;
  return static_cast<S>(v << shift) >> shift;
}

template <typename C, typename F> Step unary(Exec &x, const Instr &i, F f) {
  using W = typename C::W;
  const W *a = x.at<W>(i.a);
  W *d = x.at<W>(i.dst);
  for (unsigned e = 0; e < i.count; ++e, a += x.lanes, d += x.lanes)
    x.each([&](unsigned l) { d[l] = C::put(f(C::get(a[l]))); });
  return Step::Next;
}
template <typename C, typename F> Step binary(Exec &x, const Instr &i, F f) {
  using W = typename C::W;
  const W *a = x.at<W>(i.a), *b = x.at<W>(i.b);
  W *d = x.at<W>(i.dst);
  for (unsigned e = 0; e < i.count;
       ++e, a += x.lanes, b += x.lanes, d += x.lanes)
    x.each([&](unsigned l) { d[l] = C::put(f(C::get(a[l]), C::get(b[l]))); });
  return Step::Next;
}
template <typename C, typename F> Step ternary(Exec &x, const Instr &i, F f) {
  using W = typename C::W;
  const W *a = x.at<W>(i.a), *b = x.at<W>(i.b), *c = x.at<W>(i.c);
  W *d = x.at<W>(i.dst);
  for (unsigned e = 0; e < i.count;
       ++e, a += x.lanes, b += x.lanes, c += x.lanes, d += x.lanes)
    x.each([&](unsigned l) {
      d[l] = C::put(f(C::get(a[l]), C::get(b[l]), C::get(c[l])));
    });
  return Step::Next;
}
template <typename C, typename F> Step compare(Exec &x, const Instr &i, F f) {
  using W = typename C::W;
  const W *a = x.at<W>(i.a), *b = x.at<W>(i.b);
  uint32_t *d = x.at<uint32_t>(i.dst);
  for (unsigned e = 0; e < i.count;
       ++e, a += x.lanes, b += x.lanes, d += x.lanes)
    x.each([&](unsigned l) { d[l] = f(C::get(a[l]), C::get(b[l])); });
  return Step::Next;
}

template <typename V> V maximum(V a, V b) {
  if (std::isnan(a) || std::isnan(b))
    return std::numeric_limits<V>::quiet_NaN();
  if (a == b)
    return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
template <typename V> V minimum(V a, V b) {
  if (std::isnan(a) || std::isnan(b))
    return std::numeric_limits<V>::quiet_NaN();
  if (a == b)
    return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

// Defines one operation as a function object usable with every codec.
#define BINARY(NAME, EXPR)                                                     \
  template <typename C> struct NAME {                                          \
    static Step run(Exec &x, const Instr &i) {                                 \
      return binary<C>(x, i, [](auto a, auto b) {                              \
        using V = decltype(a);                                                 \
        return static_cast<V>(EXPR);                                           \
      });                                                                      \
    }                                                                          \
  };
#define UNARY(NAME, EXPR)                                                      \
  template <typename C> struct NAME {                                          \
    static Step run(Exec &x, const Instr &i) {                                 \
      return unary<C>(x, i, [](auto a) {                                       \
        using V = decltype(a);                                                 \
        return static_cast<V>(EXPR);                                           \
      });                                                                      \
    }                                                                          \
  };
#define TERNARY(NAME, EXPR)                                                    \
  template <typename C> struct NAME {                                          \
    static Step run(Exec &x, const Instr &i) {                                 \
      return ternary<C>(x, i, [](auto a, auto b, auto c) {                     \
        using V = decltype(a);                                                 \
        return static_cast<V>(EXPR);                                           \
      });                                                                      \
    }                                                                          \
  };

#define BITS (BitsOf<C>::value)
BINARY(Add, a + b)
BINARY(Sub, a - b)
BINARY(Mul, a *b)
BINARY(UDiv, b ? a / b : V(0))
BINARY(URem, b ? a % b : V(0))
BINARY(SDiv, b ? (asSigned<C>(b) == -1 ? V(0) - a
                                       : V(asSigned<C>(a) / asSigned<C>(b)))
               : V(0))
BINARY(SRem,
       b &&asSigned<C>(b) != -1 ? V(asSigned<C>(a) % asSigned<C>(b)) : V(0))
BINARY(CeilDivU, b ? (a ? (a - 1) / b + 1 : V(0)) : V(0))
BINARY(And, a &b)
BINARY(Or, a | b)
BINARY(Xor, a ^ b)
BINARY(Shl, b < BITS ? a << b : V(0))
BINARY(LShr, b < BITS ? a >> b : V(0))
BINARY(AShr, asSigned<C>(a) >> (b < BITS ? b : V(BITS - 1)))
BINARY(SMax, asSigned<C>(a) > asSigned<C>(b) ? a : b)
BINARY(SMin, asSigned<C>(a) < asSigned<C>(b) ? a : b)
BINARY(UMax, a > b ? a : b)
BINARY(UMin, a < b ? a : b)
UNARY(Abs, asSigned<C>(a) < 0 ? V(0) - a : a)
UNARY(CtPop, __builtin_popcountll(a))
UNARY(CtLz, a ? __builtin_clzll(a) - (64 - BITS) : BITS)
UNARY(CtTz, a ? __builtin_ctzll(a) : BITS)
UNARY(ByteSwap, __builtin_bswap64(a) >> (64 - BITS))
UNARY(BitReverse, __builtin_bitreverse64(a) >> (64 - BITS))
TERNARY(FunnelL, c % BITS ? (a << (c % BITS)) | (b >> (BITS - c % BITS)) : a)
TERNARY(FunnelR, c % BITS ? (a << (BITS - c % BITS)) | (b >> (c % BITS)) : b)
UNARY(Copy, a)

BINARY(FAdd, a + b)
BINARY(FSub, a - b)
BINARY(FMul, a *b)
BINARY(FDiv, a / b)
BINARY(FRem, std::fmod(a, b))
BINARY(FMaxNum, std::fmax(a, b))
BINARY(FMinNum, std::fmin(a, b))
BINARY(FMaximum, maximum(a, b))
BINARY(FMinimum, minimum(a, b))
BINARY(FCopySign, std::copysign(a, b))
BINARY(FPow, std::pow(a, b))
BINARY(FAtan2, std::atan2(a, b))
TERNARY(Fma, std::fma(a, b, c))
TERNARY(FMed3, std::fmax(std::fmin(a, b), std::fmin(std::fmax(a, b), c)))
UNARY(FNeg, -a)
UNARY(FAbs, std::fabs(a))
UNARY(FSqrt, std::sqrt(a))
UNARY(FRsqrt, V(1) / std::sqrt(a))
UNARY(FRcp, V(1) / a)
UNARY(FExp, std::exp(a))
UNARY(FExp2, std::exp2(a))
UNARY(FExpm1, std::expm1(a))
UNARY(FLog, std::log(a))
UNARY(FLog2, std::log2(a))
UNARY(FLog1p, std::log1p(a))
UNARY(FTanh, std::tanh(a))
UNARY(FErf, std::erf(a))
UNARY(FSin, std::sin(a))
UNARY(FCos, std::cos(a))
UNARY(FFloor, std::floor(a))
UNARY(FCeil, std::ceil(a))
UNARY(FTrunc, std::trunc(a))
UNARY(FRound, std::round(a))
UNARY(FRoundEven, std::nearbyint(a))

template <typename C> struct ICmp {
  static Step run(Exec &x, const Instr &i) {
    auto s = [](auto v) { return asSigned<C>(v); };
    switch (i.imm) {
    case 0:
      return compare<C>(x, i, [](auto a, auto b) { return a == b; });
    case 1:
      return compare<C>(x, i, [](auto a, auto b) { return a != b; });
    case 2:
      return compare<C>(x, i, [&](auto a, auto b) { return s(a) < s(b); });
    case 3:
      return compare<C>(x, i, [&](auto a, auto b) { return s(a) <= s(b); });
    case 4:
      return compare<C>(x, i, [&](auto a, auto b) { return s(a) > s(b); });
    case 5:
      return compare<C>(x, i, [&](auto a, auto b) { return s(a) >= s(b); });
    case 6:
      return compare<C>(x, i, [](auto a, auto b) { return a < b; });
    case 7:
      return compare<C>(x, i, [](auto a, auto b) { return a <= b; });
    case 8:
      return compare<C>(x, i, [](auto a, auto b) { return a > b; });
    default:
      return compare<C>(x, i, [](auto a, auto b) { return a >= b; });
    }
  }
};

/// LLVM's numbering: bit 0 equal, 1 greater, 2 less, 3 unordered.
template <typename C> struct FCmp {
  static Step run(Exec &x, const Instr &i) {
    unsigned predicate = i.imm;
    return compare<C>(x, i, [predicate](auto a, auto b) {
      unsigned relation = std::isnan(a) || std::isnan(b) ? 8
                          : a == b                       ? 1
                          : a > b                        ? 2
                                                         : 4;
      return (predicate & relation) != 0;
    });
  }
};

template <template <typename> class Op> Fn pickInt(Scalar s) {
  if (s.isFloat())
    return nullptr;
  switch (s.bits) {
  case 1:
    return Op<CodecNarrow<1>>::run;
  case 4:
    return Op<CodecNarrow<4>>::run;
  case 8:
    return Op<CodecNarrow<8>>::run;
  case 16:
    return Op<CodecNarrow<16>>::run;
  case 32:
    return Op<CodecI32>::run;
  case 64:
    return Op<CodecI64>::run;
  default:
    return nullptr;
  }
}
template <template <typename> class Op> Fn pickFloat(Scalar s) {
  switch (s.cls) {
  case Scalar::BF16:
    return Op<CodecBF16>::run;
  case Scalar::F16:
    return Op<CodecF16>::run;
  case Scalar::F32:
    return Op<CodecF32>::run;
  case Scalar::F64:
    return Op<CodecF64>::run;
  default:
    return nullptr;
  }
}
} // namespace

Fn emu::findElementwise(llvm::StringRef name, Scalar in, Scalar out) {
  return llvm::StringSwitch<Fn>(name)
      .Case("add", pickInt<Add>(in))
      .Case("sub", pickInt<Sub>(in))
      .Case("mul", pickInt<Mul>(in))
      .Case("udiv", pickInt<UDiv>(in))
      .Case("urem", pickInt<URem>(in))
      .Case("sdiv", pickInt<SDiv>(in))
      .Case("srem", pickInt<SRem>(in))
      .Case("ceildivu", pickInt<CeilDivU>(in))
      .Case("and", pickInt<And>(in))
      .Case("or", pickInt<Or>(in))
      .Case("xor", pickInt<Xor>(in))
      .Case("shl", pickInt<Shl>(in))
      .Case("lshr", pickInt<LShr>(in))
      .Case("ashr", pickInt<AShr>(in))
      .Case("smax", pickInt<SMax>(in))
      .Case("smin", pickInt<SMin>(in))
      .Case("umax", pickInt<UMax>(in))
      .Case("umin", pickInt<UMin>(in))
      .Case("abs", pickInt<Abs>(in))
      .Case("ctpop", pickInt<CtPop>(in))
      .Case("ctlz", pickInt<CtLz>(in))
      .Case("cttz", pickInt<CtTz>(in))
      .Case("bswap", pickInt<ByteSwap>(in))
      .Case("bitreverse", pickInt<BitReverse>(in))
      .Case("fshl", pickInt<FunnelL>(in))
      .Case("fshr", pickInt<FunnelR>(in))
      .Case("icmp", pickInt<ICmp>(in))
      .Case("fcmp", pickFloat<FCmp>(in))
      .Case("fadd", pickFloat<FAdd>(in))
      .Case("fsub", pickFloat<FSub>(in))
      .Case("fmul", pickFloat<FMul>(in))
      .Case("fdiv", pickFloat<FDiv>(in))
      .Case("frem", pickFloat<FRem>(in))
      .Case("maxnum", pickFloat<FMaxNum>(in))
      .Case("minnum", pickFloat<FMinNum>(in))
      .Case("maximum", pickFloat<FMaximum>(in))
      .Case("minimum", pickFloat<FMinimum>(in))
      .Case("copysign", pickFloat<FCopySign>(in))
      .Case("pow", pickFloat<FPow>(in))
      .Case("atan2", pickFloat<FAtan2>(in))
      .Case("fma", pickFloat<Fma>(in))
      .Case("fmed3", pickFloat<FMed3>(in))
      .Case("fneg", pickFloat<FNeg>(in))
      .Case("fabs", pickFloat<FAbs>(in))
      .Case("sqrt", pickFloat<FSqrt>(in))
      .Case("rsqrt", pickFloat<FRsqrt>(in))
      .Case("rcp", pickFloat<FRcp>(in))
      .Case("exp", pickFloat<FExp>(in))
      .Case("exp2", pickFloat<FExp2>(in))
      .Case("expm1", pickFloat<FExpm1>(in))
      .Case("log", pickFloat<FLog>(in))
      .Case("log2", pickFloat<FLog2>(in))
      .Case("log1p", pickFloat<FLog1p>(in))
      .Case("tanh", pickFloat<FTanh>(in))
      .Case("erf", pickFloat<FErf>(in))
      .Case("sin", pickFloat<FSin>(in))
      .Case("cos", pickFloat<FCos>(in))
      .Case("floor", pickFloat<FFloor>(in))
      .Case("ceil", pickFloat<FCeil>(in))
      .Case("trunc", pickFloat<FTrunc>(in))
      .Case("round", pickFloat<FRound>(in))
      .Cases({"roundeven", "rint", "nearbyint"}, pickFloat<FRoundEven>(in))
      .Case("copy", in.wide() ? Copy<CodecI64>::run : Copy<CodecI32>::run)
      .Default(nullptr);
}
