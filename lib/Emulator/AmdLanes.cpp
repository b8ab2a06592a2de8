//===- AmdLanes.cpp - Across the lanes of a wave ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Amd.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

/// Reports that lane `lane` reads a lane that is not there to be read.
static Step inactive(Exec &x, const Instr &i, unsigned lane, unsigned from) {
  return x.machine.report(x, i, lane, Kind::Invalid,
                          format("reads lane %u, which is not active", from));
}

Step emu::execMbcnt(Exec &x, const Instr &i) {
  const uint32_t *mask = x.at<uint32_t>(i.a), *add = x.at<uint32_t>(i.b);
  uint32_t *d = x.at<uint32_t>(i.dst);
  unsigned first = i.imm;
  x.each([&](unsigned l) {
    unsigned below = l < first ? 0 : std::min(l - first, 32u);
    d[l] = add[l] + __builtin_popcountll(mask[l] & firstLanes(below));
  });
  return Step::Next;
}

Step emu::execBpermute(Exec &x, const Instr &i) {
  Step step;
  if (!gatherLanes(x, i, step))
    return step;
  const uint32_t *index = x.at<uint32_t>(i.a);
  uint32_t in[mostLanes];
  std::memcpy(in, x.at<uint32_t>(i.b), x.lanes * 4);
  uint32_t *d = x.at<uint32_t>(i.dst);
  int bad = -1;
  x.each([&](unsigned l) {
    unsigned from = index[l] / 4 % x.lanes;
    if (!(x.mask >> from & 1))
      bad = l;
    d[l] = in[from];
  });
  return bad < 0 ? Step::Next : inactive(x, i, bad, index[bad] / 4 % x.lanes);
}

Step emu::execDsSwizzle(Exec &x, const Instr &i) {
  Step step;
  if (!gatherLanes(x, i, step))
    return step;
  uint32_t in[mostLanes];
  std::memcpy(in, x.at<uint32_t>(i.a), x.lanes * 4);
  uint32_t *d = x.at<uint32_t>(i.dst);
  int bad = -1;
  unsigned badFrom = 0;
  x.each([&](unsigned l) {
    unsigned from;
    if (i.imm & 0x8000) // within four lanes
      from = (l & ~3u) | (i.imm >> (2 * (l % 4)) & 3);
    else // within 32 lanes: and, or, xor
      from = (l & ~31u) | ((((l & i.imm) | (i.imm >> 5)) ^ (i.imm >> 10)) & 31);
    if (!(x.mask >> from & 1))
      bad = l, badFrom = from;
    d[l] = in[from];
  });
  return bad < 0 ? Step::Next : inactive(x, i, bad, badFrom);
}

Step emu::execReadLane(Exec &x, const Instr &i) {
  Step step;
  if (!gatherLanes(x, i, step))
    return step;
  unsigned from = x.firstLane();
  if (i.b != noReg) {
    const uint32_t *lane = x.at<uint32_t>(i.b);
    from = lane[from] % x.lanes;
    bool same = true;
    x.each([&](unsigned l) { same &= lane[l] % x.lanes == from; });
    if (!same)
      return x.machine.report(x, i, -1, Kind::Invalid,
                              "has lane numbers that differ between lanes");
    if (!(x.mask >> from & 1))
      return inactive(x, i, x.firstLane(), from);
  }
  for (unsigned w = 0; w < i.count; ++w) {
    uint32_t v = x.at<uint32_t>(i.a)[w * x.lanes + from];
    uint32_t *d = x.at<uint32_t>(i.dst) + w * x.lanes;
    x.each([&](unsigned l) { d[l] = v; });
  }
  return Step::Next;
}

Step emu::execBallot(Exec &x, const Instr &i) {
  Step step;
  if (!gatherLanes(x, i, step))
    return step;
  const uint32_t *a = x.at<uint32_t>(i.a);
  LaneMask ballot = 0;
  x.each([&](unsigned l) { ballot |= LaneMask(a[l] & 1) << l; });
  x.each([&](unsigned l) {
    if (i.flags & 1)
      x.at<uint64_t>(i.dst)[l] = ballot;
    else
      x.at<uint32_t>(i.dst)[l] = ballot;
  });
  return Step::Next;
}

/// The lane that lane `l` reads under a control of update.dpp; -1: none there.
static int dppSource(unsigned control, unsigned l, unsigned lanes) {
  int row = l & ~15, in = l % 16;
  unsigned n = control & 15;
  if (control < 0x100)
    return (l & ~3u) | (control >> (2 * (l % 4)) & 3);
  switch (control & ~15u) {
  case 0x100: // row_shl
    return in + int(n) < 16 ? row + in + int(n) : -1;
  case 0x110: // row_shr
    return in >= int(n) ? row + in - int(n) : -1;
  case 0x120: // row_ror
    return row + (in - int(n) + 16) % 16;
  case 0x150: // row_newbcast, row_share
    return row + int(n);
  case 0x160: // row_xmask
    return row + (in ^ int(n));
  }
  switch (control) {
  case 0x130: // wave_shl
    return l + 1 < lanes ? int(l) + 1 : -1;
  case 0x134: // wave_rol
    return (l + 1) % lanes;
  case 0x138: // wave_shr
    return int(l) - 1;
  case 0x13C: // wave_ror
    return (l + lanes - 1) % lanes;
  case 0x140: // row_mirror
    return row + 15 - in;
  case 0x141: // row_half_mirror
    return (l & ~7u) + 7 - l % 8;
  case 0x142: // row_bcast15
    return row - 1;
  default: // row_bcast31
    return l >= 32 ? 31 : -1;
  }
}

Step emu::execDpp(Exec &x, const Instr &i) {
  Step step;
  if (!gatherLanes(x, i, step))
    return step;
  bool zero = i.flags >> 8 & 1;
  for (unsigned w = 0; w < i.count; ++w) {
    uint32_t in[mostLanes];
    std::memcpy(in, x.at<uint32_t>(i.b) + w * x.lanes, x.lanes * 4);
    const uint32_t *old = x.at<uint32_t>(i.a) + w * x.lanes;
    uint32_t *d = x.at<uint32_t>(i.dst) + w * x.lanes;
    x.each([&](unsigned l) {
      int from = dppSource(i.imm, l, x.lanes);
      if (!(i.flags >> (l / 16) & 1) || !(i.flags >> (4 + l % 16 / 4) & 1))
        d[l] = old[l];
      else if (from >= 0 && x.mask >> from & 1)
        d[l] = in[from];
      else
        d[l] = zero ? 0 : old[l];
    });
  }
  return Step::Next;
}

Step emu::execPermLaneX16(Exec &x, const Instr &i) {
  Step step;
  if (!gatherLanes(x, i, step))
    return step;
  const uint32_t *low = x.at<uint32_t>(i.b), *high = x.at<uint32_t>(i.c);
  int bad = -1;
  unsigned badFrom = 0;
  for (unsigned w = 0; w < i.count; ++w) {
    uint32_t in[mostLanes];
    std::memcpy(in, x.at<uint32_t>(i.a) + w * x.lanes, x.lanes * 4);
    uint32_t *d = x.at<uint32_t>(i.dst) + w * x.lanes;
    x.each([&](unsigned l) {
      unsigned n = l % 16;
      unsigned pick = (n < 8 ? low[l] >> (4 * n) : high[l] >> (4 * (n - 8)));
      unsigned from = ((l & ~15u) ^ 16) | (pick & 15);
      if (!(x.mask >> from & 1))
        bad = l, badFrom = from;
      d[l] = in[from];
    });
  }
  return bad < 0 ? Step::Next : inactive(x, i, bad, badFrom);
}

Step emu::execPermLaneSwap(Exec &x, const Instr &i) {
  Step step;
  if (!gatherLanes(x, i, step))
    return step;
  uint32_t a[mostLanes], b[mostLanes];
  std::memcpy(a, x.at<uint32_t>(i.a), x.lanes * 4);
  std::memcpy(b, x.at<uint32_t>(i.b), x.lanes * 4);
  uint32_t *first = x.at<uint32_t>(i.dst), *second = first + x.lanes;
  // Odd rows of the first change places with the even rows of the second.
  unsigned row = i.imm;
  int bad = -1;
  x.each([&](unsigned l) {
    unsigned other = l ^ row;
    bool odd = l & row;
    if (!(x.mask >> other & 1))
      bad = l;
    first[l] = odd ? b[other] : a[l];
    second[l] = odd ? b[l] : a[other];
  });
  return bad < 0 ? Step::Next : inactive(x, i, bad, bad ^ row);
}
