//===- ExecCopy.cpp - cp.async and bulk copies ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AsyncSupport.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

//===----------------------------------------------------------------------===//
// cp.async
//===----------------------------------------------------------------------===//

Step emu::execCpAsync(Exec &x, const Instr &i) {
  const uint64_t *dst = x.at<uint64_t>(i.a), *src = x.at<uint64_t>(i.b);
  AsyncStream &stream = x.warp.cpAsync;
  Cluster &cluster = *x.block.cluster;
  ++stream.issued;
  stream.lastPlace = i.place;
  uint32_t event = x.machine.newEvent(
      cluster, {stream.agent, stream.issued, i.place,
                static_cast<uint16_t>(x.warp.agent), AccessKind::CpAsync});
  unsigned bytes = i.imm;
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    uint32_t size = i.c == noReg ? bytes : x.at<uint32_t>(i.c)[l];
    if (size > bytes) {
      x.machine.report(x, i, l, Kind::Invalid,
                       format("copies %u of %u bytes", size, bytes));
      return;
    }
    Bytes to = x.machine.resolveShared(x, i, l, dst[l], bytes, bytes);
    if (!to.host)
      return;
    Bytes from;
    if (size) {
      from = x.machine.resolveGlobal(x, i, l, src[l], size, bytes);
      if (!from.host)
        return;
      x.machine.noteRead(x, i, l, from, size);
    }
    // The shadow says "in flight" until the wait, so the bytes may be there.
    x.machine.shadowWrite(x.warp, l, i.place, *to.block, to.offset, bytes,
                          event,
                          /*async=*/false);
    std::memset(to.host + size, 0, bytes - size);
    if (size)
      std::memcpy(to.host, from.host, size);
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execCpAsyncCommit(Exec &x, const Instr &) {
  x.warp.cpAsync.commits.push_back(x.warp.cpAsync.issued);
  return Step::Next;
}

Step emu::execCpAsyncWait(Exec &x, const Instr &i) {
  AsyncStream &stream = x.warp.cpAsync;
  while (stream.commits.size() > i.imm) {
    stream.waited = std::max(stream.waited, stream.commits.front());
    stream.commits.pop_front();
  }
  x.warp.knows.order.raise(stream.agent, stream.waited);
  return Step::Next;
}

Step emu::execCpAsyncArrive(Exec &x, const Instr &i) {
  const uint64_t *address = x.at<uint64_t>(i.a);
  AsyncStream &stream = x.warp.cpAsync;
  stream.waitedRead = stream.issued;
  std::vector<std::pair<Block *, uint32_t>> arrivals;
  x.each([&](unsigned l) {
    Block *owner;
    if (x.machine.stopped)
      return;
    MBarrier *barrier = x.machine.findBarrier(x, i, l, 3, address[l], owner);
    if (!barrier)
      return;
    // Without noinc the arrival is on top of the expected ones.
    if (!(i.flags & 1))
      ++barrier->pending;
    arrivals.push_back({owner, barrier->offset});
  });
  if (x.machine.stopped)
    return Step::Stop;
  uint32_t agent = stream.agent, issued = stream.issued, place = i.place;
  Warp *warp = &x.warp;
  AsyncOp op;
  op.place = i.place;
  op.block = &x.block;
  op.warp = x.warp.id;
  op.complete = [=](Machine &m) {
    for (auto [owner, offset] : arrivals) {
      auto it = owner->mbarriers.find(offset);
      if (it == owner->mbarriers.end())
        return;
      if (it->second.pending == 0) {
        m.report(warp, -1, place, Kind::Invalid,
                 format("one arrival too many on the mbarrier at 0x%x",
                        offset + sharedBase));
        return;
      }
      it->second.gathering.order.raise(agent, issued);
      --it->second.pending;
      m.completePhaseIfDone(*owner, it->second);
    }
  };
  x.machine.submit(std::move(op));
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Bulk copies
//===----------------------------------------------------------------------===//

AsyncStream &emu::bulkStream(Exec &x, unsigned lane) {
  AsyncStream &stream = x.warp.bulk[lane];
  if (!stream.writeAgent) {
    stream.agent = newAgent(*x.block.cluster);
    stream.writeAgent = newAgent(*x.block.cluster);
  }
  return stream;
}

bool emu::openDestination(Exec &x, const Instr &i, unsigned lane,
                          unsigned space, uint64_t address, Reg barrierReg,
                          uint32_t bytes, unsigned align, Reg multicast,
                          std::vector<Destination> &out) {
  Machine &m = x.machine;
  Bytes at = m.resolveShared(x, i, lane, address, bytes, align);
  if (!at.host)
    return false;
  Cluster &cluster = *x.block.cluster;
  uint32_t mask = 1u << at.block->rank;
  if (multicast != noReg)
    mask = x.at<uint32_t>(multicast)[lane] & 0xFFFF;
  if (mask >> cluster.blocks.size()) {
    m.report(x, i, lane, Kind::Invalid,
             format("multicast mask 0x%x in a cluster of %zu blocks", mask,
                    cluster.blocks.size()));
    return false;
  }
  uint64_t barrierAddress = x.at<uint64_t>(barrierReg)[lane];
  for (auto &block : cluster.blocks) {
    if (!(mask >> block->rank & 1))
      continue;
    Block *owner;
    // The same offsets in every destination.
    uint64_t there = (barrierAddress & ((1u << rankShift) - 1)) |
                     uint64_t(block->rank + 1) << rankShift;
    MBarrier *barrier = m.findBarrier(x, i, lane, 7, there, owner);
    if (!barrier)
      return false;
    if (!barrier->fenced) {
      m.report(x, i, lane, Kind::MissingProxyFence,
               format("completes on the mbarrier at 0x%x, whose initialisation "
                      "no fence.mbarrier.init follows",
                      barrier->offset + sharedBase));
      return false;
    }
    uint32_t event = m.newEvent(cluster, {barrier->agent, ~0u, i.place,
                                          static_cast<uint16_t>(x.warp.agent),
                                          AccessKind::Async});
    m.shadowWrite(x.warp, lane, i.place, *block, at.offset, bytes, event,
                  /*async=*/true);
    out.push_back({block.get(), at.offset, barrier->offset, event});
  }
  return !m.stopped;
}

void emu::arriveBytes(Machine &m, const Destination &to, uint64_t bytes) {
  auto it = to.block->mbarriers.find(to.barrier);
  if (it == to.block->mbarriers.end())
    return;
  // Known to whoever sees the end of the phase that is under way.
  to.block->cluster->events[to.event].clock = it->second.phase + 1;
  m.completeTx(*to.block, it->second, bytes);
}

/// The rule of all one-dimensional bulk copies.
static bool checkSize(Exec &x, const Instr &i, unsigned lane, uint32_t size) {
  if (size && size % 16 == 0)
    return true;
  x.machine.report(x, i, lane, Kind::Misaligned,
                   format("size %u is not a multiple of 16", size));
  return false;
}

Step emu::execBulkLoad(Exec &x, const Instr &i) {
  const uint32_t *extra = x.grid.kernel->extra.data() + i.extra;
  x.each([&](unsigned l) {
    uint32_t size = x.at<uint32_t>(extra[0])[l];
    std::vector<Destination> to;
    if (x.machine.stopped || !checkSize(x, i, l, size))
      return;
    Bytes from =
        x.machine.resolveGlobal(x, i, l, x.at<uint64_t>(i.b)[l], size, 16);
    if (!from.host || !openDestination(x, i, l, i.flags, x.at<uint64_t>(i.a)[l],
                                       i.c, size, 16, extra[1], to))
      return;
    x.machine.noteRead(x, i, l, from, size);
    AsyncOp op;
    op.place = i.place;
    op.block = &x.block;
    op.warp = x.warp.id;
    op.complete = [=](Machine &m) {
      for (const Destination &d : to) {
        std::memcpy(d.block->shared.data() + d.offset, from.host, size);
        arriveBytes(m, d, size);
      }
    };
    x.machine.submit(std::move(op));
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execBulkToCluster(Exec &x, const Instr &i) {
  const uint32_t *extra = x.grid.kernel->extra.data() + i.extra;
  x.each([&](unsigned l) {
    uint32_t size = x.at<uint32_t>(extra[0])[l];
    if (x.machine.stopped || !checkSize(x, i, l, size))
      return;
    Bytes from =
        x.machine.resolveShared(x, i, l, x.at<uint64_t>(i.b)[l], size, 16);
    Bytes at =
        x.machine.resolveShared(x, i, l, x.at<uint64_t>(i.a)[l], size, 16);
    if (!from.host || !at.host)
      return;
    Block *owner;
    MBarrier *barrier =
        x.machine.findBarrier(x, i, l, 7, x.at<uint64_t>(i.c)[l], owner);
    if (!barrier)
      return;
    // The source is free again once the barrier's phase has ended.
    Cluster &cluster = *x.block.cluster;
    uint32_t event = x.machine.newEvent(
        cluster, {barrier->agent, ~0u, i.place,
                  static_cast<uint16_t>(x.warp.agent), AccessKind::Async});
    x.machine.shadowAsyncRead(x.warp, l, i.place, *from.block, from.offset,
                              size, barrier->agent, barrier->phase + 1,
                              nullptr);
    x.machine.shadowWrite(x.warp, l, i.place, *at.block, at.offset, size, event,
                          true);
    Destination d{at.block, at.offset, barrier->offset, event};
    AsyncOp op;
    op.place = i.place;
    op.block = &x.block;
    op.warp = x.warp.id;
    op.complete = [=](Machine &m) {
      std::memcpy(d.block->shared.data() + d.offset, from.host, size);
      arriveBytes(m, d, size);
    };
    x.machine.submit(std::move(op));
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

void emu::addElements(Scalar s, uint8_t *to, const uint8_t *from,
                      uint64_t elements) {
  for (uint64_t e = 0; e < elements; ++e, to += s.bytes(), from += s.bytes()) {
    uint64_t a = 0, b = 0;
    std::memcpy(&a, to, s.bytes());
    std::memcpy(&b, from, s.bytes());
    uint64_t r = s.isFloat()
                     ? encodeScalar(s, decodeScalar(s, a) + decodeScalar(s, b))
                     : a + b;
    std::memcpy(to, &r, s.bytes());
  }
}

Step emu::execBulkStore(Exec &x, const Instr &i) {
  x.each([&](unsigned l) {
    uint32_t size = x.at<uint32_t>(i.c)[l];
    if (x.machine.stopped || !checkSize(x, i, l, size))
      return;
    Machine &m = x.machine;
    Bytes to = m.resolveGlobal(x, i, l, x.at<uint64_t>(i.a)[l], size, 16);
    if (!to.host)
      return;
    Bytes from = m.resolveShared(x, i, l, x.at<uint64_t>(i.b)[l], size, 16);
    if (!from.host)
      return;
    AsyncStream &stream = bulkStream(x, l);
    uint32_t sequence = ++stream.issued;
    stream.lastPlace = i.place;
    m.shadowAsyncRead(x.warp, l, i.place, *from.block, from.offset, size,
                      stream.agent, sequence, nullptr);
    bool add = i.imm;
    Scalar s{static_cast<Scalar::Class>((i.imm - 1) >> 8 & 0xFF),
             uint8_t(i.imm - 1)};
    if (add)
      m.globalAtomic(x.warp, l, i.place, *to.buffer, to.bufferOffset, size);
    else
      m.globalWrite(x.warp, l, i.place, *to.buffer, to.bufferOffset, size,
                    stream.writeAgent, sequence);
    AsyncOp op;
    op.place = i.place;
    op.block = &x.block;
    op.warp = x.warp.id;
    op.stream = stream.writeAgent;
    op.sequence = sequence;
    op.complete = [=](Machine &) {
      if (add)
        addElements(s, to.host, from.host, size / s.bytes());
      else
        std::memcpy(to.host, from.host, size);
    };
    m.submit(std::move(op));
  });
  return x.machine.stopped ? Step::Stop : Step::Next;
}

Step emu::execBulkCommit(Exec &x, const Instr &) {
  x.each([&](unsigned l) {
    auto it = x.warp.bulk.find(l);
    if (it != x.warp.bulk.end())
      it->second.commits.push_back(it->second.issued);
  });
  return Step::Next;
}

Step emu::execBulkWait(Exec &x, const Instr &i) {
  bool readOnly = i.flags & 1;
  x.each([&](unsigned l) {
    auto it = x.warp.bulk.find(l);
    if (it == x.warp.bulk.end())
      return;
    AsyncStream &stream = it->second;
    if (stream.commits.size() <= i.imm)
      return;
    uint32_t upTo = stream.commits[stream.commits.size() - 1 - i.imm];
    stream.waitedRead = std::max(stream.waitedRead, upTo);
    x.warp.knows.order.raise(stream.agent, upTo);
    // The copy reads its source late: at the last moment that it may.
    x.machine.completeIf([&](const AsyncOp &op) {
      return op.block == &x.block && op.stream == stream.writeAgent &&
             op.sequence <= upTo;
    });
    if (readOnly)
      return;
    stream.waited = upTo;
    x.warp.knows.order.raise(stream.writeAgent, upTo);
    while (stream.commits.size() > i.imm)
      stream.commits.pop_front();
  });
  return Step::Next;
}
