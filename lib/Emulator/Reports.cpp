//===- Reports.cpp - What the detectors say -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"
#include <cstdarg>

using namespace mlir::moe::emu;

std::string mlir::moe::emu::format(const char *pattern, ...) {
  va_list args;
  va_start(args, pattern);
  char text[1024];
  vsnprintf(text, sizeof(text), pattern, args);
  va_end(args);
  return text;
}

std::string mlir::moe::emu::maskText(unsigned lanes, LaneMask mask) {
  return format("0x%0*llx", int(lanes / 4), (unsigned long long)mask);
}

const char *mlir::moe::emu::nameOf(Kind kind) {
  switch (kind) {
  case Kind::Race:
    return "race";
  case Kind::OutOfBounds:
    return "out of bounds";
  case Kind::Misaligned:
    return "misaligned";
  case Kind::Uninitialised:
    return "uninitialised";
  case Kind::MissingProxyFence:
    return "missing proxy fence";
  case Kind::MissingWait:
    return "missing wait";
  case Kind::PartialWarp:
    return "partial warp";
  case Kind::Deadlock:
    return "deadlock";
  case Kind::PendingAtExit:
    return "pending at exit";
  case Kind::Invalid:
    return "invalid";
  }
  return "invalid";
}

std::string Machine::placeText(uint32_t place) const {
  return program.places[place].where;
}

Step Machine::report(const Warp *warp, int lane, uint32_t place, Kind kind,
                     const std::string &text) {
  // A refused access has no result to go on with.
  Step step = kind == Kind::OutOfBounds || kind == Kind::Invalid ||
                      kind == Kind::Misaligned || kind == Kind::PartialWarp
                  ? Step::Stop
                  : Step::Next;
  if (step == Step::Stop)
    stopped = true;
  if (!reported.insert({kind, place}).second)
    return step;
  Report r;
  r.kind = kind;
  r.where = program.places[place].where;
  r.operation = program.places[place].operation;
  r.lane = lane >= int(program.lanes) ? -1 : lane;
  std::string who;
  if (warp) {
    r.block = warp->block->index;
    r.warp = warp->id;
    who = format(" (%s, block %u,%u,%u, warp %u",
                 warp->block->grid->kernel->name.c_str(), r.block[0],
                 r.block[1], r.block[2], warp->id);
    if (r.lane >= 0)
      who += format(", lane %d", r.lane);
    who += ")";
  }
  r.text =
      r.where + ": " + nameOf(kind) + ": '" + r.operation + "' " + text + who;
  reports.push_back(std::move(r));
  if (reports.size() >= options.maxReports) {
    stopped = true;
    return Step::Stop;
  }
  return step;
}

void Machine::reportDeadlock() {
  // One report for the launch; every blocked group is a line of it.
  std::string lines;
  const Group *first = nullptr;
  const Warp *firstWarp = nullptr;
  unsigned count = 0;
  for (auto &grid : grids)
    for (auto &cluster : grid->clusters)
      for (auto &block : cluster->blocks)
        for (auto &warp : block->warps)
          for (Group &group : warp->groups) {
            if (!first)
              first = &group, firstWarp = warp.get();
            if (++count > 64)
              continue;
            const Instr &i = grid->kernel->code[group.pc];
            lines += format("\n  %s block %u,%u,%u warp %u lanes %s: %s: ",
                            grid->kernel->name.c_str(), block->index[0],
                            block->index[1], block->index[2], warp->id,
                            maskText(program.lanes, group.mask).c_str(),
                            placeText(i.place).c_str()) +
                     group.reason;
          }
  if (!first)
    return;
  const Instr &i = firstWarp->block->grid->kernel->code[first->pc];
  report(firstWarp, -1, i.place, Kind::Deadlock,
         format("and %u more group(s) of lanes wait for ever:", count - 1) +
             lines);
  stopped = true;
}
