//===- AmdConversions.cpp - Narrow floats of AMD chips ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Amd.h"
#include "Scalars.h"
#include <cmath>

using namespace mlir::moe;
using namespace mlir::moe::emu;

/// The power of two in the exponent of f32 `bits`; NaN for that of NaN.
static double powerOf(uint32_t bits) {
  int exponent = bits >> 23 & 0xFF;
  return exponent == 0xFF ? NAN : std::ldexp(1.0, exponent - 127);
}

static Scalar scalarOf(uint64_t packed) {
  return {static_cast<Scalar::Class>(packed >> 8 & 0xFF), uint8_t(packed)};
}

Step emu::execAmdUnpack(Exec &x, const Instr &i) {
  auto from = static_cast<ElementType>(i.imm >> 16);
  Scalar to = scalarOf(i.imm);
  unsigned bits = getBitWidth(from);
  const uint32_t *a = x.at<uint32_t>(i.a);
  uint32_t *d = x.at<uint32_t>(i.dst);
  x.each([&](unsigned l) {
    double scale = i.b == noReg ? 1 : powerOf(x.at<uint32_t>(i.b)[l]);
    for (unsigned e = 0; e < i.count; ++e) {
      unsigned code = a[l] >> ((i.flags + e) * bits) & ((1u << bits) - 1);
      d[e * x.lanes + l] = encodeScalar(to, decode(from, code) * scale);
    }
  });
  return Step::Next;
}

Step emu::execAmdPack(Exec &x, const Instr &i) {
  // extra: the two values; flags: first element of the word, or with bit 8 the
  // 16-bit half that is a register of its own.
  auto to = static_cast<ElementType>(i.imm >> 16);
  Scalar from = scalarOf(i.imm);
  unsigned bits = getBitWidth(to);
  const uint32_t *sources = x.grid.kernel->extra.data() + i.extra;
  const uint32_t *old = x.at<uint32_t>(i.a);
  uint32_t *d = x.at<uint32_t>(i.dst);
  bool halves = i.flags >> 8;
  unsigned shift = halves ? 0 : (i.flags & 0xFF) * bits;
  unsigned half = halves ? i.flags & 0xFF : 0;
  uint32_t ones = ((1u << 2 * bits) - 1) << shift;
  x.each([&](unsigned l) {
    double scale = i.b == noReg ? 1 : powerOf(x.at<uint32_t>(i.b)[l]);
    uint32_t pair = 0;
    for (unsigned e = 0; e < 2; ++e) {
      double v = decodeScalar(from, x.at<uint32_t>(sources[e])[l]) / scale;
      pair |= uint32_t(encode(to, v)) << (e * bits);
    }
    unsigned at = half * x.lanes + l, other = (1 - half) * x.lanes + l;
    uint32_t kept = old[at];
    if (halves)
      d[other] = old[other];
    d[at] = (kept & ~ones) | pair << shift;
  });
  return Step::Next;
}

/// f16 of `value`, towards zero.
static uint16_t truncateToHalf(float value) {
  uint16_t h = floatToHalf(value);
  if (std::isnan(value))
    return h;
  // Rounded away from zero, the code before it is the one towards zero; so it
  // is behind infinity, whose predecessor is the largest value.
  if (std::fabs(halfToFloat(h)) > std::fabs(value))
    --h;
  return h;
}

Step emu::execPkRtz(Exec &x, const Instr &i) {
  const Reg sources[2] = {i.a, i.b};
  for (unsigned e = 0; e < 2; ++e) {
    const float *a = x.at<float>(sources[e]);
    uint32_t *d = x.at<uint32_t>(i.dst) + e * x.lanes;
    x.each([&](unsigned l) { d[l] = truncateToHalf(a[l]); });
  }
  return Step::Next;
}
