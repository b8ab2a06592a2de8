//===- Conversions.cpp - Conversions and moves of lanes -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"
#include "Scalars.h"
#include "moec/Support/ElementType.h"
#include <cmath>

using namespace mlir::moe;
using namespace mlir::moe::emu;

/// The bits of a float, and back.
static uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
static float valueOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

namespace {
template <typename A, typename D, typename F>
Step convert(Exec &x, const Instr &i, F f) {
  const A *a = x.at<A>(i.a);
  D *d = x.at<D>(i.dst);
  for (unsigned e = 0; e < i.count; ++e, a += x.lanes, d += x.lanes)
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
      unsigned at = e * x.lanes + l;
      store(x, i.dst, out.wide(), at,
            encodeScalar(out, decodeScalar(in, load(x, i.a, in.wide(), at))));
    });
  return Step::Next;
}
Step intToFloat(Exec &x, const Instr &i) {
  Scalar in = unpack(i.imm >> 16), out = unpack(i.imm);
  for (unsigned e = 0; e < i.count; ++e)
    x.each([&](unsigned l) {
      unsigned at = e * x.lanes + l;
      uint64_t v = load(x, i.a, in.wide(), at);
      // One rounding: 64-bit integers to f32 directly.
      uint64_t bits;
      if (out.cls == Scalar::F32)
        bits = bitsOf(i.flags ? float(signExtend(v, in.bits)) : float(v));
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
      unsigned at = e * x.lanes + l;
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
      x, i, [](uint32_t a) { return encodeBF16(valueOf(a)); });
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
      for (uint32_t o = 0; o < bytes; o += 8 * x.lanes)
        x.each([&](unsigned l) {
          x.at<uint64_t>(dst + o)[l] = x.at<uint64_t>(src + o)[l];
        });
    } else {
      for (uint32_t o = 0; o < bytes; o += 4 * x.lanes)
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
  for (unsigned e = 0; e < i.count;
       ++e, b += x.lanes, c += x.lanes, d += x.lanes) {
    x.each([&](unsigned l) { d[l] = cond[l] & 1 ? b[l] : c[l]; });
    // A vector condition has one word per element.
    if (i.flags)
      cond += x.lanes;
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
  uint32_t fromStep = x.lanes * (from > 32 ? 8 : 4);
  uint32_t toStep = x.lanes * (to > 32 ? 8 : 4);
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
  uint32_t step = x.lanes * (i.flags ? 8 : 4);
  x.each([&](unsigned l) {
    uint64_t index = load(x, i.b, i.imm, l);
    store(x, i.dst, i.flags, l,
          index < i.count ? load(x, i.a + index * step, i.flags, l) : 0);
  });
  return Step::Next;
}
Step emu::execInsertDynamic(Exec &x, const Instr &i) {
  // dst already is a copy of the vector; b the index, c the value.
  uint32_t step = x.lanes * (i.flags ? 8 : 4);
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
      unsigned at = e * x.lanes + l;
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
