//===- ExecControl.cpp - Branches -----------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Ops.h"

using namespace mlir::moe;
using namespace mlir::moe::emu;

/// Sends `lanes` to `target`; the rest of the group goes on at `other`.
static Step part(Exec &x, LaneMask lanes, uint32_t target, uint32_t other) {
  if (lanes == x.mask || lanes == 0) {
    x.self().pc = lanes ? target : other;
    return Step::Jump;
  }
  Group split;
  split.pc = target;
  split.mask = lanes;
  x.self().mask = x.mask & ~lanes;
  x.self().pc = other;
  x.warp.groups.push_back(split);
  return Step::Split;
}

Step emu::execJump(Exec &x, const Instr &i) {
  x.self().pc = i.imm;
  return Step::Jump;
}

Step emu::execBrFalse(Exec &x, const Instr &i) {
  const uint32_t *cond = x.at<uint32_t>(i.a);
  LaneMask lanes = 0;
  x.each([&](unsigned l) { lanes |= LaneMask(!(cond[l] & 1)) << l; });
  return part(x, lanes, i.imm, x.self().pc + 1);
}

Step emu::execSwitch(Exec &x, const Instr &i) {
  const uint32_t *entry = x.grid.kernel->extra.data() + i.extra;
  auto value = [&](unsigned l) -> uint64_t {
    return i.flags ? x.at<uint64_t>(i.a)[l] : x.at<uint32_t>(i.a)[l];
  };
  auto target = [&](unsigned l) -> uint32_t {
    uint64_t v = value(l);
    for (unsigned c = 0; c < i.count; ++c)
      if (v == (uint64_t(entry[c * 3 + 1]) << 32 | entry[c * 3]))
        return entry[c * 3 + 2];
    return i.imm;
  };
  // The first lane's target goes on; others become groups of their own.
  uint32_t mine = target(x.firstLane());
  std::map<uint32_t, LaneMask> others;
  LaneMask keep = 0;
  x.each([&](unsigned l) {
    uint32_t t = target(l);
    if (t == mine)
      keep |= LaneMask(1) << l;
    else
      others[t] |= LaneMask(1) << l;
  });
  x.self().pc = mine;
  if (others.empty())
    return Step::Jump;
  x.self().mask = keep;
  for (auto [pc, mask] : others) {
    Group split;
    split.pc = pc;
    split.mask = mask;
    x.warp.groups.push_back(split);
  }
  return Step::Split;
}

Step emu::execExit(Exec &, const Instr &) { return Step::Exit; }
Step emu::execTrap(Exec &x, const Instr &i) {
  return x.machine.report(x, i, x.firstLane(), Kind::Invalid, "is reached");
}
Step emu::execNop(Exec &, const Instr &) { return Step::Next; }
Step emu::execYield(Exec &, const Instr &) { return Step::Yield; }
