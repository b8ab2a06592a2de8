//===- ExecMemory.cpp - Loads, stores and atomics -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Ops.h"
#include "Scalars.h"
#include <cmath>

using namespace mlir::moe;
using namespace mlir::moe::emu;

static void readElement(Exec &x, Reg reg, bool wide, unsigned lane,
                        const uint8_t *from, unsigned bytes) {
  uint64_t v = 0;
  std::memcpy(&v, from, bytes);
  if (wide)
    x.at<uint64_t>(reg)[lane] = v;
  else
    x.at<uint32_t>(reg)[lane] = v;
}
static uint64_t laneValue(Exec &x, Reg reg, bool wide, unsigned lane) {
  return wide ? x.at<uint64_t>(reg)[lane] : x.at<uint32_t>(reg)[lane];
}

/// Elements of type M at from[lane] into registers of words of type W.
template <typename M, typename W>
static void readElements(Exec &x, const Instr &i, const uint8_t *const *from) {
  W *d = x.at<W>(i.dst);
  for (unsigned e = 0; e < i.count; ++e, d += x.lanes)
    x.each([&](unsigned l) {
      M v;
      std::memcpy(&v, from[l] + e * sizeof(M), sizeof(M));
      d[l] = v;
    });
}

Step emu::execLoad(Exec &x, const Instr &i) {
  bool wide = i.flags & memWide;
  unsigned bytes = i.imm * i.count;
  const uint64_t *address = x.at<uint64_t>(i.a);
  const uint8_t *from[mostLanes];
  bool refused = false;
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    Bytes at = x.machine.resolve(x, i, l, i.flags & memSpace, address[l], bytes,
                                 i.flags >> memAlignShift);
    from[l] = at.host;
    refused |= !at.host;
    if (!at.host)
      return;
    if (i.flags & memAtomic && at.buffer) {
      // Ordered by itself; initialised it must be.
      x.machine.globalRead(x.warp, l, i.place, *at.buffer, at.bufferOffset, 0);
      if (!(i.flags & memNarrow))
        x.machine.observe(x.warp, address[l], i.flags & memAcquire);
    } else {
      x.machine.noteRead(x, i, l, at, bytes);
    }
  });
  if (refused || x.machine.stopped)
    return Step::Stop;
  if (wide)
    readElements<uint64_t, uint64_t>(x, i, from);
  else if (i.imm == 4)
    readElements<uint32_t, uint32_t>(x, i, from);
  else if (i.imm == 2)
    readElements<uint16_t, uint32_t>(x, i, from);
  else
    readElements<uint8_t, uint32_t>(x, i, from);
  // Someone else must get a chance to change what is polled.
  return i.flags & memAtomic ? Step::Yield : Step::Next;
}

Step emu::execStore(Exec &x, const Instr &i) {
  bool wide = i.flags & memWide;
  unsigned bytes = i.imm * i.count, regStep = x.lanes * (wide ? 8 : 4);
  const uint64_t *address = x.at<uint64_t>(i.b);
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    Bytes at = x.machine.resolve(x, i, l, i.flags & memSpace, address[l], bytes,
                                 i.flags >> memAlignShift);
    if (!at.host)
      return;
    if (i.flags & memAtomic && at.buffer) {
      x.machine.globalAtomic(x.warp, l, i.place, *at.buffer, at.bufferOffset,
                             0);
      if (!(i.flags & memNarrow))
        x.machine.publish(x.warp, address[l], i.flags & memRelease);
    } else {
      x.machine.noteWrite(x, i, l, at, bytes);
    }
    for (unsigned e = 0; e < i.count; ++e) {
      uint64_t v = laneValue(x, i.a + e * regStep, wide, l);
      std::memcpy(at.host + e * i.imm, &v, i.imm);
    }
  });
  ++x.machine.effects;
  return x.machine.stopped ? Step::Stop : Step::Next;
}

uint64_t emu::applyRmw(RmwOp op, Scalar s, uint64_t old, uint64_t v) {
  uint64_t ones = s.bits == 64 ? ~0ull : (1ull << s.bits) - 1;
  auto sign = [&](uint64_t u) {
    return int64_t(u << (64 - s.bits)) >> (64 - s.bits);
  };
  auto f = [&](double r) { return encodeScalar(s, r); };
  double a = s.isFloat() ? decodeScalar(s, old) : 0;
  double b = s.isFloat() ? decodeScalar(s, v) : 0;
  switch (op) {
  case RmwOp::Xchg:
    return v;
  case RmwOp::Add:
    return (old + v) & ones;
  case RmwOp::Sub:
    return (old - v) & ones;
  case RmwOp::And:
    return old & v;
  case RmwOp::Nand:
    return ~(old & v) & ones;
  case RmwOp::Or:
    return old | v;
  case RmwOp::Xor:
    return old ^ v;
  case RmwOp::Max:
    return sign(old) > sign(v) ? old : v;
  case RmwOp::Min:
    return sign(old) < sign(v) ? old : v;
  case RmwOp::UMax:
    return old > v ? old : v;
  case RmwOp::UMin:
    return old < v ? old : v;
  case RmwOp::FAdd:
    return f(a + b);
  case RmwOp::FMax:
    return f(std::fmax(a, b));
  case RmwOp::FMin:
    return f(std::fmin(a, b));
  case RmwOp::Inc:
    return old >= v ? 0 : old + 1;
  case RmwOp::Dec:
    return old == 0 || old > v ? v : old - 1;
  }
  return v;
}

static Scalar scalarOf(uint64_t packed) {
  return {static_cast<Scalar::Class>(packed >> 8 & 0xFF), uint8_t(packed)};
}

/// The place of an atomic, or null; does its bookkeeping.
static uint8_t *atomicPlace(Exec &x, const Instr &i, unsigned lane,
                            uint64_t address, unsigned bytes) {
  Bytes at =
      x.machine.resolve(x, i, lane, i.flags & memSpace, address, bytes, bytes);
  if (!at.host)
    return nullptr;
  if (at.buffer) {
    x.machine.globalAtomic(x.warp, lane, i.place, *at.buffer, at.bufferOffset,
                           bytes);
    // A read-modify-write goes both ways.
    if (!(i.flags & memNarrow)) {
      x.machine.observe(x.warp, address, i.flags & memAcquire);
      x.machine.publish(x.warp, address, i.flags & memRelease);
    }
  } else if (at.block) {
    x.machine.shadowAtomic(x.warp, lane, i.place, *at.block, at.offset, bytes);
    if (x.machine.stopped)
      return nullptr;
  }
  ++x.machine.effects;
  return at.host;
}

Step emu::execAtomicRmw(Exec &x, const Instr &i) {
  Scalar s = scalarOf(i.imm >> 8);
  const uint64_t *address = x.at<uint64_t>(i.a);
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    uint8_t *at = atomicPlace(x, i, l, address[l], s.bytes());
    if (!at)
      return;
    uint64_t old = 0;
    std::memcpy(&old, at, s.bytes());
    uint64_t v = laneValue(x, i.b, s.wide(), l);
    uint64_t r = applyRmw(static_cast<RmwOp>(i.imm & 0xFF), s, old, v);
    std::memcpy(at, &r, s.bytes());
    readElement(x, i.dst, s.wide(), l, reinterpret_cast<uint8_t *>(&old),
                s.bytes());
  });
  return x.machine.stopped ? Step::Stop : Step::Yield;
}

Step emu::execCmpXchg(Exec &x, const Instr &i) {
  Scalar s = scalarOf(i.imm);
  const uint64_t *address = x.at<uint64_t>(i.a);
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    uint8_t *at = atomicPlace(x, i, l, address[l], s.bytes());
    if (!at)
      return;
    uint64_t old = 0;
    std::memcpy(&old, at, s.bytes());
    bool same = old == laneValue(x, i.b, s.wide(), l);
    uint64_t v = laneValue(x, i.c, s.wide(), l);
    if (same)
      std::memcpy(at, &v, s.bytes());
    readElement(x, i.dst, s.wide(), l, reinterpret_cast<uint8_t *>(&old),
                s.bytes());
    x.at<uint32_t>(i.dst + s.regBytes(x.lanes))[l] = same;
  });
  return x.machine.stopped ? Step::Stop : Step::Yield;
}

Step emu::execRedAdd(Exec &x, const Instr &i) {
  Scalar s = scalarOf(i.imm);
  const uint64_t *address = x.at<uint64_t>(i.a);
  unsigned bytes = s.bytes() * i.count;
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    Bytes at = x.machine.resolve(x, i, l, 1, address[l], bytes, bytes);
    if (!at.host)
      return;
    x.machine.globalAtomic(x.warp, l, i.place, *at.buffer, at.bufferOffset,
                           bytes);
    for (unsigned e = 0; e < i.count; ++e) {
      uint64_t old = 0;
      std::memcpy(&old, at.host + e * s.bytes(), s.bytes());
      uint64_t r =
          applyRmw(RmwOp::FAdd, s, old,
                   laneValue(x, i.b + e * s.regBytes(x.lanes), s.wide(), l));
      std::memcpy(at.host + e * s.bytes(), &r, s.bytes());
    }
  });
  ++x.machine.effects;
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execFence(Exec &x, const Instr &) {
  x.machine.fence(x.warp);
  return Step::Next;
}

Step emu::execMemset(Exec &x, const Instr &i) {
  // a address, b byte, c bytes (wide)
  const uint64_t *address = x.at<uint64_t>(i.a);
  x.each([&](unsigned l) {
    uint64_t bytes = x.at<uint64_t>(i.c)[l];
    if (x.machine.stopped || !bytes)
      return;
    Bytes at =
        x.machine.resolve(x, i, l, i.flags & memSpace, address[l], bytes, 1);
    if (!at.host)
      return;
    x.machine.noteWrite(x, i, l, at, bytes);
    std::memset(at.host, x.at<uint32_t>(i.b)[l], bytes);
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}
