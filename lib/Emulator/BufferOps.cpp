//===- BufferOps.cpp - Buffer resources and copies into LDS -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// The bounds of a raw buffer are checked for each 32-bit word (or the whole
// access if it is narrower): a word that begins behind the last byte reads as
// zero or is not written. One that begins before it and ends behind it is taken
// whole, so that memory behind the buffer shows.
#include "Amd.h"
#include "Scalars.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

namespace {
/// The resource of one lane.
struct LaneResource {
  uint64_t base, bytes;
  bool checked;

  LaneResource(Exec &x, Reg at, unsigned lane) {
    auto part = [&](Resource which) {
      return x.at<uint64_t>(at + which * 8 * x.lanes)[lane];
    };
    base = part(rsrcBase);
    bytes = part(rsrcBytes) & 0xFFFFFFFF;
    // Flags of RDNA can switch the check off: all or nothing.
    unsigned select = part(rsrcFlags) >> 28 & 3;
    checked = x.machine.program.amd->isCdna() || select != 2 || bytes == 0;
  }
  bool inside(uint64_t offset) const { return !checked || offset < bytes; }
};

/// Offset of a lane: i.b as i32, and i.c unless the offset is part of a pointer
/// of space 7.
uint64_t offsetOf(Exec &x, const Instr &i, unsigned lane) {
  uint64_t offset = x.at<uint32_t>(i.b)[lane];
  if (i.c != noReg)
    offset += x.at<uint32_t>(i.c)[lane];
  return offset;
}

/// Whether all lanes that are here have the same resource and scalar offset;
/// else the hardware would take those of one lane.
bool isUniform(Exec &x, const Instr &i, Reg resource, Reg scalarOffset) {
  unsigned first = x.firstLane();
  int bad = -1;
  for (unsigned part = 0; part < 3; ++part) {
    const uint64_t *v = x.at<uint64_t>(resource + part * 8 * x.lanes);
    x.each([&](unsigned l) {
      if (v[l] != v[first])
        bad = l;
    });
  }
  if (bad >= 0)
    x.machine.report(x, i, bad, Kind::Invalid,
                     "has a resource that differs between lanes");
  if (bad >= 0 || scalarOffset == noReg)
    return bad < 0;
  const uint32_t *v = x.at<uint32_t>(scalarOffset);
  x.each([&](unsigned l) {
    if (v[l] != v[first])
      bad = l;
  });
  if (bad >= 0)
    x.machine.report(x, i, bad, Kind::Invalid,
                     "has a scalar offset that differs between lanes");
  return bad < 0;
}
} // namespace

/// Bytes that are checked together.
static unsigned wordBytes(unsigned total) { return std::min(total, 4u); }

Step emu::execBufferLoad(Exec &x, const Instr &i) {
  bool wide = i.flags & memWide;
  unsigned total = i.imm * i.count, word = wordBytes(total);
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    LaneResource r(x, i.a, l);
    uint64_t offset = offsetOf(x, i, l);
    uint8_t bytes[64] = {};
    // Words inside come first: one piece.
    unsigned have = 0;
    while (have < total && r.inside(offset + have))
      have += word;
    have = std::min(have, total);
    if (have) {
      Bytes at = x.machine.resolveGlobal(x, i, l, r.base + offset, have,
                                         i.flags >> memAlignShift);
      if (!at.host)
        return;
      x.machine.noteRead(x, i, l, at, have);
      std::memcpy(bytes, at.host, have);
    }
    for (unsigned e = 0; e < i.count; ++e) {
      uint64_t v = 0;
      std::memcpy(&v, bytes + e * i.imm, i.imm);
      if (wide)
        x.at<uint64_t>(i.dst)[e * x.lanes + l] = v;
      else
        x.at<uint32_t>(i.dst)[e * x.lanes + l] = v;
    }
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execBufferStore(Exec &x, const Instr &i) {
  bool wide = i.flags & memWide;
  unsigned total = i.imm * i.count, word = wordBytes(total);
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    LaneResource r(x, i.a, l);
    uint64_t offset = offsetOf(x, i, l);
    unsigned have = 0;
    while (have < total && r.inside(offset + have))
      have += word;
    have = std::min(have, total);
    if (!have)
      return;
    Bytes at = x.machine.resolveGlobal(x, i, l, r.base + offset, have,
                                       i.flags >> memAlignShift);
    if (!at.host)
      return;
    x.machine.noteWrite(x, i, l, at, have);
    uint8_t bytes[64];
    for (unsigned e = 0; e < i.count; ++e) {
      uint64_t v = wide ? x.at<uint64_t>(i.dst)[e * x.lanes + l]
                        : x.at<uint32_t>(i.dst)[e * x.lanes + l];
      std::memcpy(bytes + e * i.imm, &v, i.imm);
    }
    std::memcpy(at.host, bytes, have);
  });
  ++x.machine.effects;
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execBufferAtomic(Exec &x, const Instr &i) {
  auto op = static_cast<RmwOp>(i.imm & 0xFF);
  Scalar s{static_cast<Scalar::Class>(i.imm >> 16 & 0xFF), uint8_t(i.imm >> 8)};
  const uint32_t *extra = x.grid.kernel->extra.data() + i.extra;
  Reg value = extra[0], compare = extra[1];
  unsigned total = s.bytes() * i.count;
  auto get = [&](Reg reg, unsigned e, unsigned l) -> uint64_t {
    return s.wide() ? x.at<uint64_t>(reg)[e * x.lanes + l]
                    : x.at<uint32_t>(reg)[e * x.lanes + l];
  };
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    LaneResource r(x, i.a, l);
    uint64_t offset = offsetOf(x, i, l);
    uint64_t old = 0;
    // All or nothing.
    if (!r.checked || offset + total <= r.bytes) {
      Bytes at =
          x.machine.resolveGlobal(x, i, l, r.base + offset, total, total);
      if (!at.host)
        return;
      x.machine.globalAtomic(x.warp, l, i.place, *at.buffer, at.bufferOffset,
                             total);
      for (unsigned e = 0; e < i.count; ++e) {
        old = 0;
        std::memcpy(&old, at.host + e * s.bytes(), s.bytes());
        uint64_t next = get(value, e, l);
        if (compare != noReg)
          next = old == get(compare, e, l) ? next : old;
        else
          next = applyRmw(op, s, old, next);
        std::memcpy(at.host + e * s.bytes(), &next, s.bytes());
      }
    }
    if (i.dst == noReg)
      return;
    if (s.wide())
      x.at<uint64_t>(i.dst)[l] = old;
    else
      x.at<uint32_t>(i.dst)[l] = old;
  });
  ++x.machine.effects;
  return x.machine.stopped ? Step::Stop : Step::Yield;
}

//===----------------------------------------------------------------------===//
// LDS
//===----------------------------------------------------------------------===//

Step emu::execLoadToShared(Exec &x, const Instr &i) {
  Machine &m = x.machine;
  unsigned bytes = i.imm, step = std::max(bytes, 4u);
  Reg laneOffset = x.grid.kernel->extra[i.extra];
  bool isBuffer = laneOffset != noReg;
  if (isBuffer && !isUniform(x, i, i.a, i.c))
    return Step::Stop;
  const uint64_t *shared = x.at<uint64_t>(i.b);
  unsigned first = x.firstLane();
  int bad = -1;
  x.each([&](unsigned l) {
    if (shared[l] != shared[first])
      bad = l;
  });
  if (bad >= 0)
    return m.report(x, i, bad, Kind::Invalid,
                    "has an LDS address that differs between lanes: lane n's "
                    "bytes go behind those of lane n - 1");
  AsyncStream &stream = x.warp.cpAsync;
  ++stream.issued;
  stream.lastPlace = i.place;
  uint32_t event =
      m.newEvent(*x.block.cluster,
                 {stream.agent, stream.issued, i.place,
                  static_cast<uint16_t>(x.warp.agent), AccessKind::CpAsync});
  x.each([&](unsigned l) {
    if (m.stopped)
      return;
    uint64_t address, have = bytes;
    if (isBuffer) {
      LaneResource r(x, i.a, l);
      uint64_t offset = uint64_t(x.at<uint32_t>(laneOffset)[l]) + i.flags;
      if (i.c != noReg)
        offset += x.at<uint32_t>(i.c)[l];
      address = r.base + offset;
      have = 0;
      while (have < bytes && r.inside(offset + have))
        have += wordBytes(bytes);
    } else {
      address = x.at<uint64_t>(i.a)[l] + i.flags;
    }
    Bytes to = m.resolveShared(x, i, l, shared[first] + i.flags + l * step,
                               bytes, wordBytes(bytes));
    if (!to.host)
      return;
    Bytes from;
    if (have) {
      from = m.resolveGlobal(x, i, l, address, have, wordBytes(bytes));
      if (!from.host)
        return;
      m.noteRead(x, i, l, from, have);
    }
    // In flight until the wait, says the shadow; so the bytes may be there.
    m.shadowWrite(x.warp, l, i.place, *to.block, to.offset, bytes, event,
                  /*async=*/false);
    std::memset(to.host, 0, bytes);
    if (have)
      std::memcpy(to.host, from.host, have);
  });
  ++m.statistics.asyncCopies;
  return m.stopped ? Step::Stop : Step::Next;
}

Step emu::execReadTransposed(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, x.warp.lanes, step))
    return step;
  // 16 lanes hold rows of 16 elements, one row after the other; lane n of them
  // gets column n.
  unsigned bits = i.imm, perLane = i.count * 32 / bits;
  const uint64_t *address = x.at<uint64_t>(i.a);
  uint8_t words[mostLanes][12];
  for (unsigned l = 0; l < x.lanes; ++l) {
    if (!(x.mask >> l & 1))
      continue;
    Bytes at = x.machine.resolveShared(x, i, l, address[l], i.count * 4,
                                       i.count == 2 ? 8 : 4);
    if (!at.host)
      return Step::Stop;
    x.machine.shadowRead(x.warp, l, i.place, *at.block, at.offset, i.count * 4);
    std::memcpy(words[l], at.host, i.count * 4);
  }
  auto element = [&](unsigned lane, unsigned e) {
    unsigned v = 0;
    for (unsigned b = 0; b < bits; ++b) {
      unsigned bit = e * bits + b;
      v |= (words[lane][bit / 8] >> (bit % 8) & 1u) << b;
    }
    return v;
  };
  for (unsigned l = 0; l < x.lanes; ++l) {
    uint8_t out[12] = {};
    for (unsigned j = 0; j < perLane; ++j) {
      unsigned flat = j * 16 + l % 16;
      unsigned v = element((l & ~15u) + flat / perLane, flat % perLane);
      for (unsigned b = 0; b < bits; ++b) {
        unsigned bit = j * bits + b;
        out[bit / 8] |= (v >> b & 1) << (bit % 8);
      }
    }
    for (unsigned w = 0; w < i.count; ++w)
      std::memcpy(x.at<uint32_t>(i.dst) + w * x.lanes + l, out + w * 4, 4);
  }
  return x.machine.stopped ? Step::Stop : Step::Next;
}
