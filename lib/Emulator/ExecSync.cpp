//===- ExecSync.cpp - Barriers, shuffles and hand-over --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Ops.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

static uint32_t fillAll(Exec &x, const Instr &i, uint32_t value) {
  uint32_t *d = x.at<uint32_t>(i.dst);
  x.each([&](unsigned l) { d[l] = value; });
  return value;
}

Step emu::execSreg(Exec &x, const Instr &i) {
  const Launch &launch = *x.grid.launch;
  const auto &shape = x.grid.clusterShape;
  uint32_t *d = x.at<uint32_t>(i.dst);
  auto tid = [&](auto f) {
    x.each([&](unsigned l) { d[l] = f(x.warp.id * x.lanes + l); });
    return Step::Next;
  };
  auto all = [&](uint64_t v) {
    fillAll(x, i, v);
    return Step::Next;
  };
  const auto &b = launch.block;
  auto s = static_cast<Sreg>(i.imm);
  unsigned n = static_cast<unsigned>(i.imm);
  auto axis = [&](Sreg first) { return n - static_cast<unsigned>(first); };
  uint32_t inCluster[3] = {x.block.rank % shape[0],
                           x.block.rank / shape[0] % shape[1],
                           x.block.rank / shape[0] / shape[1]};
  switch (s) {
  case Sreg::TidX:
    return tid([&](unsigned t) { return t % b[0]; });
  case Sreg::TidY:
    return tid([&](unsigned t) { return t / b[0] % b[1]; });
  case Sreg::TidZ:
    return tid([&](unsigned t) { return t / b[0] / b[1]; });
  case Sreg::NtidX:
  case Sreg::NtidY:
  case Sreg::NtidZ:
    return all(b[axis(Sreg::NtidX)]);
  case Sreg::CtaidX:
  case Sreg::CtaidY:
  case Sreg::CtaidZ:
    return all(x.block.index[axis(Sreg::CtaidX)]);
  case Sreg::NctaidX:
  case Sreg::NctaidY:
  case Sreg::NctaidZ:
    return all(launch.grid[axis(Sreg::NctaidX)]);
  case Sreg::LaneId:
    return tid([&](unsigned t) { return t % x.lanes; });
  case Sreg::WarpId:
    return all(x.warp.id);
  case Sreg::NWarpId:
    return all(x.block.warps.size());
  case Sreg::WarpSize:
    return all(x.lanes);
  case Sreg::ClusterIdX:
  case Sreg::ClusterIdY:
  case Sreg::ClusterIdZ:
    return all(x.block.index[axis(Sreg::ClusterIdX)] /
               shape[axis(Sreg::ClusterIdX)]);
  case Sreg::NClusterIdX:
  case Sreg::NClusterIdY:
  case Sreg::NClusterIdZ:
    return all(launch.grid[axis(Sreg::NClusterIdX)] /
               shape[axis(Sreg::NClusterIdX)]);
  case Sreg::ClusterCtaidX:
  case Sreg::ClusterCtaidY:
  case Sreg::ClusterCtaidZ:
    return all(inCluster[axis(Sreg::ClusterCtaidX)]);
  case Sreg::ClusterNctaidX:
  case Sreg::ClusterNctaidY:
  case Sreg::ClusterNctaidZ:
    return all(shape[axis(Sreg::ClusterNctaidX)]);
  case Sreg::ClusterCtarank:
    return all(x.block.rank);
  case Sreg::ClusterNctarank:
    return all(x.block.cluster->blocks.size());
  case Sreg::SmId:
    return all(x.block.linear);
  case Sreg::NSmId:
    return all(x.grid.blocksTotal);
  case Sreg::DynamicSmem:
    return all(launch.smem);
  case Sreg::TotalSmem:
    return all(x.block.shared.size());
  case Sreg::LaneMaskEq:
    return tid([](unsigned t) { return 1u << t % 32; });
  case Sreg::LaneMaskLt:
    return tid([](unsigned t) { return (1u << t % 32) - 1; });
  case Sreg::LaneMaskLe:
    return tid([](unsigned t) { return (2u << t % 32) - 1; });
  case Sreg::LaneMaskGt:
    return tid([](unsigned t) { return ~((2u << t % 32) - 1); });
  case Sreg::LaneMaskGe:
    return tid([](unsigned t) { return ~((1u << t % 32) - 1); });
  case Sreg::Clock:
    return all(x.machine.statistics.instructions);
  case Sreg::GlobalTimer: {
    uint64_t *wide = x.at<uint64_t>(i.dst);
    x.each([&](unsigned l) { wide[l] = x.machine.statistics.instructions; });
    return Step::Next;
  }
  }
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Named barriers
//===----------------------------------------------------------------------===//

static void completeIfAll(Exec &x, NamedBarrier &barrier) {
  uint32_t expected =
      barrier.expected ? barrier.expected : x.block.liveWarps * x.lanes;
  if (!barrier.arrived || barrier.arrived < expected)
    return;
  ++barrier.generation;
  barrier.released = barrier.gathering;
  barrier.gathering.clear();
  barrier.lastTrue = barrier.trueCount;
  barrier.lastLanes = barrier.lanes;
  barrier.arrived = barrier.trueCount = barrier.lanes = 0;
  ++x.machine.effects;
}

Step emu::execBarrier(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, x.warp.lanes, step))
    return step;
  unsigned first = x.firstLane();
  uint32_t id = i.a == noReg ? 0 : x.at<uint32_t>(i.a)[first];
  uint32_t threads = i.b == noReg ? 0 : x.at<uint32_t>(i.b)[first];
  if (id >= 16)
    return x.machine.report(x, i, -1, Kind::Invalid,
                            format("barrier %u is not in [0, 15]", id));
  NamedBarrier &barrier = x.block.barriers[id];
  Group &group = x.self();
  if (!group.ticket) {
    if (i.b != noReg && (threads == 0 || threads % x.lanes ||
                         threads > x.block.warps.size() * x.lanes))
      return x.machine.report(
          x, i, -1, Kind::Invalid,
          format("barrier %u for %u threads in a block of %zu warps", id,
                 threads, x.block.warps.size()));
    if (barrier.arrived && barrier.expected != threads)
      return x.machine.report(
          x, i, -1, Kind::Invalid,
          format("barrier %u: one warp expects %u threads, another %u", id,
                 barrier.expected, threads));
    barrier.expected = threads;
    group.ticket = barrier.generation + 1;
    barrier.arrived += x.lanes;
    if (i.c != noReg)
      x.each([&](unsigned l) {
        ++barrier.lanes;
        barrier.trueCount += x.at<uint32_t>(i.c)[l] != 0;
      });
    x.machine.release(x.warp, barrier.gathering);
    x.machine.syncLanes(x.warp);
    ++x.machine.effects;
  }
  completeIfAll(x, barrier);
  if (i.flags & 1) {
    group.ticket = 0;
    return Step::Next;
  }
  if (barrier.generation < group.ticket) {
    if (x.machine.explain)
      group.reason = format(
          "barrier %u: %u of %u threads have arrived", id, barrier.arrived,
          barrier.expected ? barrier.expected : x.block.liveWarps * x.lanes);
    return Step::Wait;
  }
  group.ticket = 0;
  x.machine.acquire(x.warp, barrier.released);
  x.machine.syncLanes(x.warp);
  if (i.dst != noReg)
    fillAll(x, i,
            i.imm == 1   ? barrier.lastTrue
            : i.imm == 2 ? barrier.lastTrue == barrier.lastLanes
                         : barrier.lastTrue != 0);
  return Step::Next;
}

Step emu::execSyncWarp(Exec &x, const Instr &i) {
  uint32_t mask = i.a == noReg ? allLanes : x.at<uint32_t>(i.a)[x.firstLane()];
  Step step;
  if (!converge(x, i, mask & (x.warp.live | ~x.warp.lanes), step))
    return step;
  x.machine.syncLanes(x.warp);
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Clusters
//===----------------------------------------------------------------------===//

Step emu::execClusterArrive(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, x.warp.lanes, step))
    return step;
  Cluster &cluster = *x.block.cluster;
  if (x.warp.clusterArrived)
    return x.machine.report(x, i, -1, Kind::Invalid,
                            "second arrive without a wait between");
  x.warp.clusterArrived = true;
  x.warp.clusterTicket = cluster.generation + 1;
  if (!(i.flags & 1))
    x.machine.release(x.warp, cluster.gathering);
  ++cluster.arrivedThreads;
  unsigned live = 0;
  for (auto &block : cluster.blocks)
    live += block->liveWarps;
  if (cluster.arrivedThreads >= live) {
    ++cluster.generation;
    cluster.arrivedThreads = 0;
    cluster.released = cluster.gathering;
    cluster.gathering.clear();
  }
  ++x.machine.effects;
  return Step::Next;
}

Step emu::execClusterWait(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, x.warp.lanes, step))
    return step;
  Cluster &cluster = *x.block.cluster;
  if (!x.warp.clusterArrived)
    return x.machine.report(x, i, -1, Kind::Invalid,
                            "wait without an arrive before");
  if (cluster.generation < x.warp.clusterTicket) {
    if (x.machine.explain)
      x.self().reason = format("%u warps have arrived on the cluster's barrier",
                               cluster.arrivedThreads);
    return Step::Wait;
  }
  x.warp.clusterArrived = false;
  x.machine.acquire(x.warp, cluster.released);
  x.machine.syncLanes(x.warp);
  return Step::Next;
}

Step emu::execMapa(Exec &x, const Instr &i) {
  const uint64_t *a = x.at<uint64_t>(i.a);
  const uint32_t *rank = x.at<uint32_t>(i.b);
  uint64_t *d = x.at<uint64_t>(i.dst);
  bool ok = true;
  x.each([&](unsigned l) {
    ok &= rank[l] < x.block.cluster->blocks.size();
    uint64_t local = a[l] & ((1u << rankShift) - 1);
    d[l] = local | uint64_t(rank[l] + 1) << rankShift;
    if (i.flags & 1)
      d[l] = tagged(sharedTag, d[l]);
  });
  if (!ok)
    return x.machine.report(x, i, -1, Kind::Invalid,
                            format("rank %u in a cluster of %zu blocks",
                                   rank[x.firstLane()],
                                   x.block.cluster->blocks.size()));
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Within a warp
//===----------------------------------------------------------------------===//

/// The lanes of a mask operand, all of them here; otherwise sets `step`.
static bool gather(Exec &x, const Instr &i, Reg reg, uint32_t &mask,
                   Step &step) {
  mask = reg == noReg ? allLanes : x.at<uint32_t>(reg)[x.firstLane()];
  mask &= x.warp.lanes;
  if (x.mask & ~mask) {
    step = x.machine.report(
        x, i, __builtin_ctz(x.mask & ~mask), Kind::Invalid,
        format("is executed by a lane outside its mask 0x%08x", mask));
    return false;
  }
  return converge(x, i, mask, step);
}

Step emu::execElect(Exec &x, const Instr &i) {
  uint32_t mask;
  Step step;
  if (!gather(x, i, i.a, mask, step))
    return step;
  unsigned leader = __builtin_ctz(mask);
  uint32_t *d = x.at<uint32_t>(i.dst);
  x.each([&](unsigned l) { d[l] = l == leader; });
  return Step::Next;
}

Step emu::execShfl(Exec &x, const Instr &i) {
  uint32_t mask;
  Step step;
  if (!gather(x, i, i.a, mask, step))
    return step;
  uint32_t in[lanesPerWarp];
  std::memcpy(in, x.at<uint32_t>(i.b), sizeof(in));
  const uint32_t *offset = x.at<uint32_t>(i.c);
  const uint32_t *clamp = x.at<uint32_t>(x.grid.kernel->extra[i.extra]);
  uint32_t *d = x.at<uint32_t>(i.dst);
  int bad = -1;
  x.each([&](unsigned l) {
    unsigned b = offset[l] & 31, segment = clamp[l] >> 8 & 31;
    unsigned high = (l & segment) | (clamp[l] & 31 & ~segment);
    int j = 0;
    bool valid = false;
    switch (i.imm) {
    case 0:
      j = l ^ b;
      valid = j <= int(high);
      break;
    case 1:
      j = int(l) - int(b);
      valid = j >= int(high);
      break;
    case 2:
      j = l + b;
      valid = j <= int(high);
      break;
    default:
      j = (l & segment) | (b & ~segment);
      valid = j <= int(high);
    }
    if (!valid)
      j = l;
    if (!(mask >> j & 1))
      bad = l;
    d[l] = in[j];
    if (i.flags & 1)
      x.at<uint32_t>(i.dst + 128)[l] = valid;
  });
  if (bad >= 0)
    return x.machine.report(
        x, i, bad, Kind::Invalid,
        format("reads a lane outside its mask 0x%08x", mask));
  return Step::Next;
}

Step emu::execVote(Exec &x, const Instr &i) {
  uint32_t mask;
  Step step;
  if (!gather(x, i, i.a, mask, step))
    return step;
  uint32_t ballot = 0;
  for (unsigned l = 0; l < lanesPerWarp; ++l)
    if (mask >> l & 1 && x.at<uint32_t>(i.b)[l] & 1)
      ballot |= 1u << l;
  fillAll(x, i,
          i.imm == 0   ? ballot != 0
          : i.imm == 1 ? ballot == mask
          : i.imm == 2 ? ballot
                       : ballot == 0 || ballot == mask);
  return Step::Next;
}

Step emu::execMatch(Exec &x, const Instr &i) {
  uint32_t mask;
  Step step;
  if (!gather(x, i, i.a, mask, step))
    return step;
  auto value = [&](unsigned l) -> uint64_t {
    return i.flags & 1 ? x.at<uint64_t>(i.b)[l] : x.at<uint32_t>(i.b)[l];
  };
  uint32_t result[lanesPerWarp];
  bool same = true;
  x.each([&](unsigned l) {
    result[l] = 0;
    for (unsigned o = 0; o < lanesPerWarp; ++o)
      if (mask >> o & 1 && value(o) == value(l))
        result[l] |= 1u << o;
    same &= result[l] == mask;
  });
  x.each([&](unsigned l) {
    x.at<uint32_t>(i.dst)[l] = i.imm == 0 ? result[l] : same ? mask : 0;
    if (i.imm == 1)
      x.at<uint32_t>(i.dst + 128)[l] = same;
  });
  return Step::Next;
}

Step emu::execRedux(Exec &x, const Instr &i) {
  uint32_t mask;
  Step step;
  if (!gather(x, i, i.b, mask, step))
    return step;
  const uint32_t *a = x.at<uint32_t>(i.a);
  uint32_t r = a[__builtin_ctz(mask)];
  for (uint32_t m = mask & (mask - 1); m; m &= m - 1) {
    uint32_t v = a[__builtin_ctz(m)];
    switch (i.imm) {
    case 0:
      r += v;
      break;
    case 1:
      r &= v;
      break;
    case 2:
      r = int32_t(v) > int32_t(r) ? v : r;
      break;
    case 3:
      r = int32_t(v) < int32_t(r) ? v : r;
      break;
    case 4:
      r |= v;
      break;
    case 5:
      r = std::max(r, v);
      break;
    case 6:
      r = std::min(r, v);
      break;
    default:
      r ^= v;
    }
  }
  fillAll(x, i, r);
  return Step::Next;
}

Step emu::execSetMaxRegister(Exec &x, const Instr &i) {
  Step step;
  if (!converge(x, i, x.warp.lanes, step))
    return step;
  unsigned total = 0;
  for (auto &warp : x.block.warps)
    if (warp->live)
      total += warp->registersPerThread * lanesPerWarp;
  unsigned wanted = i.imm;
  if ((i.flags & 1) ? wanted < x.warp.registersPerThread
                    : wanted > x.warp.registersPerThread)
    return x.machine.report(x, i, -1, Kind::Invalid,
                            format("changes %u registers per thread to %u",
                                   x.warp.registersPerThread, wanted));
  unsigned after = total - (x.warp.registersPerThread - wanted) * lanesPerWarp;
  if (after > 65536) {
    if (x.machine.explain)
      x.self().reason = format("registers: %u of 65536 would be in use", after);
    return Step::Wait;
  }
  x.warp.registersPerThread = wanted;
  ++x.machine.effects;
  return Step::Next;
}

//===----------------------------------------------------------------------===//
// Between grids and blocks
//===----------------------------------------------------------------------===//

Step emu::execGridDependency(Exec &x, const Instr &i) {
  if (i.imm == 1) {
    if (!x.block.released) {
      x.block.released = true;
      x.grid.release(x.block);
      ++x.machine.effects;
    }
    return Step::Next;
  }
  if (x.grid.number > 1 && !x.machine.grids[x.grid.number - 2]->done()) {
    if (x.machine.explain)
      x.self().reason = "the launch before to end";
    return Step::Wait;
  }
  x.warp.knows.gridBefore = true;
  x.block.waited = true;
  return Step::Next;
}

Step emu::execSignal(Exec &x, const Instr &i) {
  const uint64_t *address = x.at<uint64_t>(i.a);
  x.each([&](unsigned l) {
    if (x.machine.stopped)
      return;
    Bytes at = x.machine.resolveGlobal(x, i, l, address[l], 4, 4);
    if (!at.host)
      return;
    x.machine.globalAtomic(x.warp, l, i.place, *at.buffer, at.bufferOffset, 4);
    x.machine.publish(x.warp, address[l], /*releases=*/true);
    uint32_t v;
    std::memcpy(&v, at.host, 4);
    v += x.at<uint32_t>(i.b)[l];
    std::memcpy(at.host, &v, 4);
    x.machine.noteSignal(address[l], v);
  });
  return x.machine.stopped ? Step::Stop : Step::Yield;
}

Step emu::execAwait(Exec &x, const Instr &i) {
  const uint64_t *address = x.at<uint64_t>(i.a);
  bool ready = true;
  x.each([&](unsigned l) {
    if (x.machine.stopped || !ready)
      return;
    Bytes at = x.machine.resolveGlobal(x, i, l, address[l], 4, 4);
    if (!at.host)
      return;
    x.machine.globalAtomic(x.warp, l, i.place, *at.buffer, at.bufferOffset, 4);
    uint32_t v, target = x.at<uint32_t>(i.b)[l];
    std::memcpy(&v, at.host, 4);
    if (v < target) {
      ready = false;
      if (x.machine.explain)
        x.self().reason = format(
            "the counter at offset %llu of buffer '%s' to reach %u, it is %u",
            (unsigned long long)at.bufferOffset, at.buffer->name.c_str(),
            target, v);
    }
  });
  if (x.machine.stopped)
    return Step::Stop;
  if (!ready)
    return Step::Wait;
  x.each([&](unsigned l) {
    x.machine.observeCount(x.warp, address[l], x.at<uint32_t>(i.b)[l]);
  });
  return Step::Next;
}

Step emu::execFenceProxy(Exec &x, const Instr &) {
  Warp &w = x.warp;
  w.knows.order.set(w.agent, w.clock++);
  w.knows.proxy.join(w.knows.order);
  for (auto &[offset, barrier] : x.block.mbarriers)
    if (barrier.initAgent == w.agent)
      barrier.fenced = true;
  return Step::Next;
}

Step emu::execFenceMbarrierInit(Exec &x, const Instr &) {
  for (auto &[offset, barrier] : x.block.mbarriers)
    if (barrier.initAgent == x.warp.agent)
      barrier.fenced = true;
  return Step::Next;
}
