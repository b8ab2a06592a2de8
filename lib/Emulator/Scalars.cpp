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
  for (unsigned e = 0; e < i.count; ++e, a += 32, d += 32)
    x.each([&](unsigned l) { d[l] = C::put(f(C::get(a[l]))); });
  return Step::Next;
}
template <typename C, typename F> Step binary(Exec &x, const Instr &i, F f) {
  using W = typename C::W;
  const W *a = x.at<W>(i.a), *b = x.at<W>(i.b);
  W *d = x.at<W>(i.dst);
  for (unsigned e = 0; e < i.count; ++e, a += 32, b += 32, d += 32)
    x.each([&](unsigned l) { d[l] = C::put(f(C::get(a[l]), C::get(b[l]))); });
  return Step::Next;
}
template <typename C, typename F> Step ternary(Exec &x, const Instr &i, F f) {
  using W = typename C::W;
  const W *a = x.at<W>(i.a), *b = x.at<W>(i.b), *c = x.at<W>(i.c);
  W *d = x.at<W>(i.dst);
  for (unsigned e = 0; e < i.count; ++e, a += 32, b += 32, c += 32, d += 32)
    x.each([&](unsigned l) {
      d[l] = C::put(f(C::get(a[l]), C::get(b[l]), C::get(c[l])));
    });
  return Step::Next;
}
template <typename C, typename F> Step compare(Exec &x, const Instr &i, F f) {
  using W = typename C::W;
  const W *a = x.at<W>(i.a), *b = x.at<W>(i.b);
  uint32_t *d = x.at<uint32_t>(i.dst);
  for (unsigned e = 0; e < i.count; ++e, a += 32, b += 32, d += 32)
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

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

namespace {
template <typename A, typename D, typename F>
Step convert(Exec &x, const Instr &i, F f) {
  const A *a = x.at<A>(i.a);
  D *d = x.at<D>(i.dst);
  for (unsigned e = 0; e < i.count; ++e, a += 32, d += 32)
    x.each([&](unsigned l) { d[l] = f(a[l]); });
  return Step::Next;
}
template <typename A, typename D> struct ZeroExtend {
  static Step run(Exec &x, const Instr &i) {
    uint64_t ones = i.imm; // bits of the narrower of the two types
    return convert<A, D>(x, i, [ones](A a) { return D(a & ones); });
  }
};
template <typename A, typename D> struct SignExtend {
  static Step run(Exec &x, const Instr &i) {
    unsigned shift = 64 - i.imm;
    uint64_t ones = i.flags >= 32 ? ~0ull : (1ull << i.flags) - 1;
    return convert<A, D>(x, i, [shift, ones](A a) {
      return D((int64_t(uint64_t(a) << shift) >> shift) & ones);
    });
  }
};
template <template <typename, typename> class Op>
Fn pickPair(Scalar a, Scalar d) {
  if (a.wide())
    return d.wide() ? Op<uint64_t, uint64_t>::run : Op<uint64_t, uint32_t>::run;
  return d.wide() ? Op<uint32_t, uint64_t>::run : Op<uint32_t, uint32_t>::run;
}

Scalar unpack(uint64_t bits) {
  return {static_cast<Scalar::Class>(bits >> 8 & 0xFF), uint8_t(bits)};
}
uint64_t load(Exec &x, Reg r, bool wide, unsigned at) {
  return wide ? x.at<uint64_t>(r)[at] : x.at<uint32_t>(r)[at];
}
void store(Exec &x, Reg r, bool wide, unsigned at, uint64_t v) {
  if (wide)
    x.at<uint64_t>(r)[at] = v;
  else
    x.at<uint32_t>(r)[at] = v;
}
int64_t signExtend(uint64_t v, unsigned bits) {
  return int64_t(v << (64 - bits)) >> (64 - bits);
}

// Rare enough to look at the types while running: imm holds both.
Step floatToFloat(Exec &x, const Instr &i) {
  Scalar in = unpack(i.imm >> 16), out = unpack(i.imm);
  for (unsigned e = 0; e < i.count; ++e)
    x.each([&](unsigned l) {
      unsigned at = e * 32 + l;
      store(x, i.dst, out.wide(), at,
            encodeScalar(out, decodeScalar(in, load(x, i.a, in.wide(), at))));
    });
  return Step::Next;
}
Step intToFloat(Exec &x, const Instr &i) {
  Scalar in = unpack(i.imm >> 16), out = unpack(i.imm);
  for (unsigned e = 0; e < i.count; ++e)
    x.each([&](unsigned l) {
      unsigned at = e * 32 + l;
      uint64_t v = load(x, i.a, in.wide(), at);
      // One rounding: 64-bit integers to f32 directly.
      uint64_t bits;
      if (out.cls == Scalar::F32)
        bits =
            CodecF32::put(i.flags ? float(signExtend(v, in.bits)) : float(v));
      else
        bits = encodeScalar(out, i.flags ? double(signExtend(v, in.bits))
                                         : double(v));
      store(x, i.dst, out.wide(), at, bits);
    });
  return Step::Next;
}
Step floatToInt(Exec &x, const Instr &i) {
  Scalar in = unpack(i.imm >> 16), out = unpack(i.imm);
  for (unsigned e = 0; e < i.count; ++e)
    x.each([&](unsigned l) {
      unsigned at = e * 32 + l;
      double v = decodeScalar(in, load(x, i.a, in.wide(), at));
      // Saturating, NaN to 0, as cvt.rzi does.
      double low = i.flags ? -std::ldexp(1.0, out.bits - 1) : 0;
      double high = std::ldexp(1.0, out.bits - (i.flags ? 1 : 0));
      uint64_t ones = out.bits == 64 ? ~0ull : (1ull << out.bits) - 1;
      uint64_t r;
      if (std::isnan(v))
        r = 0;
      else if (v <= low)
        r = i.flags ? 1ull << (out.bits - 1) : 0;
      else if (v >= high)
        r = i.flags ? ones >> 1 : ones;
      else
        r = i.flags ? uint64_t(int64_t(v)) : uint64_t(v);
      store(x, i.dst, out.wide(), at, r & ones);
    });
  return Step::Next;
}
// The pair that epilogues are made of.
Step f32ToBF16(Exec &x, const Instr &i) {
  return convert<uint32_t, uint32_t>(
      x, i, [](uint32_t a) { return encodeBF16(CodecF32::get(a)); });
}
Step bf16ToF32(Exec &x, const Instr &i) {
  return convert<uint32_t, uint32_t>(x, i, [](uint32_t a) { return a << 16; });
}
} // namespace

Fn emu::findConversion(llvm::StringRef name, Scalar in, Scalar out) {
  if (name == "zext" || name == "trunc")
    return pickPair<ZeroExtend>(in, out);
  if (name == "sext")
    return pickPair<SignExtend>(in, out);
  if (name == "fpext" || name == "fptrunc") {
    if (in.cls == Scalar::F32 && out.cls == Scalar::BF16)
      return f32ToBF16;
    if (in.cls == Scalar::BF16 && out.cls == Scalar::F32)
      return bf16ToF32;
    return floatToFloat;
  }
  if (name == "sitofp" || name == "uitofp")
    return intToFloat;
  if (name == "fptosi" || name == "fptoui")
    return floatToInt;
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Moves
//===----------------------------------------------------------------------===//

Step emu::execCopy(Exec &x, const Instr &i) {
  const uint32_t *part = x.grid.kernel->extra.data() + i.extra;
  for (unsigned p = 0; p < i.count; ++p, part += 4) {
    uint32_t dst = part[0], src = part[1], bytes = part[2];
    bool wide = part[3] & 1;
    if (x.full()) {
      std::memmove(x.regs + dst, x.regs + src, bytes);
    } else if (wide) {
      for (uint32_t o = 0; o < bytes; o += 256)
        x.each([&](unsigned l) {
          x.at<uint64_t>(dst + o)[l] = x.at<uint64_t>(src + o)[l];
        });
    } else {
      for (uint32_t o = 0; o < bytes; o += 128)
        x.each([&](unsigned l) {
          x.at<uint32_t>(dst + o)[l] = x.at<uint32_t>(src + o)[l];
        });
    }
    // An accumulator in flight stays one under its new name.
    if (part[3] & 2 && !x.warp.accumulators.empty()) {
      auto it = x.warp.accumulators.find(src);
      if (it != x.warp.accumulators.end())
        x.warp.accumulators[dst] = it->second;
      else
        x.warp.accumulators.erase(dst);
    }
  }
  return Step::Next;
}

template <typename W> static Step select(Exec &x, const Instr &i) {
  const uint32_t *cond = x.at<uint32_t>(i.a);
  const W *b = x.at<W>(i.b), *c = x.at<W>(i.c);
  W *d = x.at<W>(i.dst);
  for (unsigned e = 0; e < i.count; ++e, b += 32, c += 32, d += 32) {
    x.each([&](unsigned l) { d[l] = cond[l] & 1 ? b[l] : c[l]; });
    // A vector condition has one word per element.
    if (i.flags)
      cond += 32;
  }
  return Step::Next;
}
Step emu::execSelect32(Exec &x, const Instr &i) {
  return select<uint32_t>(x, i);
}
Step emu::execSelect64(Exec &x, const Instr &i) {
  return select<uint64_t>(x, i);
}

Step emu::execBitcast(Exec &x, const Instr &i) {
  // count input elements of (imm >> 8) bits become elements of (imm & 255).
  unsigned from = i.imm >> 8, to = i.imm & 0xFF;
  uint32_t fromStep = from > 32 ? 256 : 128, toStep = to > 32 ? 256 : 128;
  unsigned total = i.count * from;
  x.each([&](unsigned l) {
    // Through a bit string, at most 64 bits at a time.
    uint64_t hold = 0;
    unsigned have = 0, in = 0;
    for (unsigned out = 0; out < total / to; ++out) {
      while (have < to) {
        uint64_t v = load(x, i.a + in * fromStep, from > 32, l);
        if (from < 64)
          v &= (1ull << from) - 1;
        hold |= v << have;
        have += from;
        ++in;
      }
      uint64_t v = to < 64 ? hold & ((1ull << to) - 1) : hold;
      store(x, i.dst + out * toStep, to > 32, l, v);
      hold = to < 64 ? hold >> to : 0;
      have -= to;
    }
  });
  return Step::Next;
}

Step emu::execExtractDynamic(Exec &x, const Instr &i) {
  uint32_t step = i.flags ? 256 : 128;
  x.each([&](unsigned l) {
    uint64_t index = load(x, i.b, i.imm, l);
    store(x, i.dst, i.flags, l,
          index < i.count ? load(x, i.a + index * step, i.flags, l) : 0);
  });
  return Step::Next;
}
Step emu::execInsertDynamic(Exec &x, const Instr &i) {
  // dst already is a copy of the vector; b the index, c the value.
  uint32_t step = i.flags ? 256 : 128;
  x.each([&](unsigned l) {
    uint64_t index = load(x, i.b, i.imm, l);
    if (index < i.count)
      store(x, i.dst + index * step, i.flags, l, load(x, i.c, i.flags, l));
  });
  return Step::Next;
}

Step emu::execSaturate(Exec &x, const Instr &i) {
  Scalar in = unpack(i.imm >> 16), out = unpack(i.imm);
  ElementType type =
      out.cls == Scalar::F8E5M2 ? ElementType::F8E5M2 : ElementType::F8E4M3FN;
  for (unsigned e = 0; e < i.count; ++e)
    x.each([&](unsigned l) {
      unsigned at = e * 32 + l;
      double v = decodeScalar(in, load(x, i.a, in.wide(), at));
      store(x, i.dst, false, at, encode(type, v, Overflow::Saturate));
    });
  return Step::Next;
}

Step emu::execGep(Exec &x, const Instr &i) {
  // dst = a + imm + sum of index * size; extra: register, bits, size.
  const uint32_t *part = x.grid.kernel->extra.data() + i.extra;
  const uint64_t *a = x.at<uint64_t>(i.a);
  uint64_t *d = x.at<uint64_t>(i.dst);
  x.each([&](unsigned l) { d[l] = a[l] + i.imm; });
  for (unsigned p = 0; p < i.count; ++p, part += 3) {
    Reg reg = part[0];
    unsigned bits = part[1];
    int64_t size = part[2];
    x.each([&](unsigned l) {
      d[l] += signExtend(load(x, reg, bits > 32, l), bits) * size;
    });
  }
  return Step::Next;
}
