//===- ExecMatrix.cpp - Matrix operations of one warp ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Ops.h"
#include "Scalars.h"
#include "moec/Support/ElementType.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

/// All 32 lanes are there: otherwise false and `step` says what to do.
static bool wholeWarp(Exec &x, const Instr &i, Step &step) {
  if (x.warp.lanes == allLanes)
    return converge(x, i, allLanes, step);
  step = x.machine.report(x, i, -1, Kind::PartialWarp,
                          format("needs all 32 lanes, the warp has lanes %s",
                                 maskText(x.lanes, x.warp.lanes).c_str()));
  return false;
}

/// Address of row r of 8x8 matrix m comes from lane 8m + r.
static bool rowsOf(Exec &x, const Instr &i, const uint64_t *address,
                   unsigned matrices, bool write, uint8_t **rows) {
  for (unsigned r = 0; r < matrices * 8; ++r) {
    Bytes at = x.machine.resolveShared(x, i, r, address[r], 16, 16);
    if (!at.host)
      return false;
    if (write)
      x.machine.shadowWrite(x.warp, -1, i.place, *at.block, at.offset, 16,
                            x.machine.genericEvent(x.warp, i.place), false);
    else
      x.machine.shadowRead(x.warp, -1, i.place, *at.block, at.offset, 16);
    rows[r] = at.host;
  }
  return true;
}

Step emu::execPermute(Exec &x, const Instr &i) {
  uint32_t *out = x.at<uint32_t>(i.dst);
  const uint32_t *low = x.at<uint32_t>(i.a), *high = x.at<uint32_t>(i.b);
  const uint32_t *selector = x.at<uint32_t>(i.c);
  x.each([&](unsigned l) {
    uint64_t bytes = low[l] | uint64_t(high[l]) << 32;
    uint32_t result = 0;
    for (unsigned b = 0; b < 4; ++b) {
      unsigned choice = selector[l] >> (4 * b) & 15;
      uint32_t byte = bytes >> (8 * (choice & 7)) & 0xFF;
      // The fourth bit asks for the byte's sign in all of its bits.
      if (choice & 8)
        byte = byte & 0x80 ? 0xFF : 0;
      result |= byte << (8 * b);
    }
    out[l] = result;
  });
  return Step::Next;
}

Step emu::execLdMatrix(Exec &x, const Instr &i) {
  Step step;
  if (!wholeWarp(x, i, step))
    return step;
  uint8_t *rows[32];
  if (!rowsOf(x, i, x.at<uint64_t>(i.a), i.count, false, rows))
    return Step::Stop;
  for (unsigned m = 0; m < i.count; ++m)
    for (unsigned l = 0; l < lanesPerWarp; ++l) {
      uint16_t pair[2];
      for (unsigned e = 0; e < 2; ++e) {
        unsigned row = l / 4, column = l % 4 * 2 + e;
        if (i.flags & 1)
          std::swap(row, column);
        std::memcpy(&pair[e], rows[8 * m + row] + column * 2, 2);
      }
      x.at<uint32_t>(i.dst + m * 128)[l] = pair[0] | uint32_t(pair[1]) << 16;
    }
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execStMatrix(Exec &x, const Instr &i) {
  Step step;
  if (!wholeWarp(x, i, step))
    return step;
  uint8_t *rows[32];
  if (!rowsOf(x, i, x.at<uint64_t>(i.a), i.count, true, rows))
    return Step::Stop;
  const uint32_t *sources = x.grid.kernel->extra.data() + i.extra;
  for (unsigned m = 0; m < i.count; ++m)
    for (unsigned l = 0; l < lanesPerWarp; ++l) {
      uint32_t v = x.at<uint32_t>(sources[m])[l];
      for (unsigned e = 0; e < 2; ++e) {
        unsigned row = l / 4, column = l % 4 * 2 + e;
        if (i.flags & 1)
          std::swap(row, column);
        uint16_t half = v >> (16 * e);
        std::memcpy(rows[8 * m + row] + column * 2, &half, 2);
      }
    }
  return x.machine.stopped ? Step::Stop : Step::Next;
}

/// Element `e` of the 32-bit register value `v`.
static float element(MatType type, uint32_t v, unsigned e) {
  switch (type) {
  case MatType::BF16:
    return decodeBF16(v >> (16 * e));
  case MatType::F16:
    return halfToFloat(v >> (16 * e));
  case MatType::TF32: {
    float f;
    v &= ~0x1FFFu;
    std::memcpy(&f, &v, 4);
    return f;
  }
  case MatType::S8:
    return int8_t(v >> (8 * e));
  case MatType::U8:
    return uint8_t(v >> (8 * e));
  default:
    return fp8ToFloat(type == MatType::E5M2, v >> (8 * e));
  }
}

Step emu::execMma(Exec &x, const Instr &i) {
  Step step;
  if (!wholeWarp(x, i, step))
    return step;
  ++x.machine.statistics.matrixOps;
  // m16n8: with p elements per register, lane 4g + t holds in register r of A
  // row g + 8 (r & 1), columns 4p (r >> 1) + p t ...; of B rows 4p r + p t ...,
  // column g; of C and D rows g and g + 8, columns 2t and 2t + 1.
  unsigned k = i.imm & 0xFFFF;
  auto typeA = static_cast<MatType>(i.imm >> 16 & 0xFF);
  auto typeB = static_cast<MatType>(i.imm >> 24 & 0xFF);
  auto typeD = static_cast<MatType>(i.imm >> 32 & 0xFF);
  unsigned p = typeA == MatType::TF32                            ? 1
               : typeA == MatType::BF16 || typeA == MatType::F16 ? 2
                                                                 : 4;
  unsigned groups = k / (4 * p);
  const uint32_t *extra = x.grid.kernel->extra.data() + i.extra;
  float a[16][64], b[64][8], d[16][8];
  for (unsigned l = 0; l < lanesPerWarp; ++l) {
    unsigned g = l / 4, t = l % 4;
    for (unsigned r = 0; r < groups * 2; ++r)
      for (unsigned e = 0; e < p; ++e)
        a[g + 8 * (r & 1)][4 * p * (r >> 1) + p * t + e] =
            element(typeA, x.at<uint32_t>(extra[r])[l], e);
    for (unsigned r = 0; r < groups; ++r)
      for (unsigned e = 0; e < p; ++e)
        b[4 * p * r + p * t + e][g] =
            element(typeB, x.at<uint32_t>(extra[groups * 2 + r])[l], e);
  }
  for (unsigned m = 0; m < 16; ++m)
    for (unsigned n = 0; n < 8; ++n) {
      float s = 0;
      for (unsigned kk = 0; kk < k; ++kk)
        s += a[m][kk] * b[kk][n];
      d[m][n] = s;
    }
  const uint32_t *c = extra + groups * 3;
  for (unsigned l = 0; l < lanesPerWarp; ++l) {
    unsigned g = l / 4, t = l % 4;
    for (unsigned h = 0; h < 2; ++h) {
      float *row = d[g + 8 * h] + 2 * t;
      if (typeD == MatType::F16) {
        uint32_t old = x.at<uint32_t>(c[h])[l];
        x.at<uint32_t>(i.dst + h * 128)[l] =
            floatToHalf(row[0] + halfToFloat(old)) |
            uint32_t(floatToHalf(row[1] + halfToFloat(old >> 16))) << 16;
        continue;
      }
      for (unsigned e = 0; e < 2; ++e) {
        unsigned r = 2 * h + e;
        uint32_t old = x.at<uint32_t>(c[r])[l];
        uint32_t *out = x.at<uint32_t>(i.dst + r * 128) + l;
        if (typeD == MatType::S32) {
          *out = old + uint32_t(int32_t(row[e]));
        } else {
          float f;
          std::memcpy(&f, &old, 4);
          f += row[e];
          std::memcpy(out, &f, 4);
        }
      }
    }
  }
  return Step::Next;
}
