//===- Scheduler.cpp - Blocks, warps and asynchronous work take turns -----===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir::moe::emu;

bool mlir::moe::emu::converge(Exec &x, const Instr &i, LaneMask needed,
                              Step &step) {
  needed &= x.warp.lanes;
  if ((x.mask & needed) == needed)
    return true;
  if (LaneMask gone = needed & ~x.warp.live) {
    step = x.machine.report(x, i, -1, Kind::PartialWarp,
                            format("needs lanes %s, but lanes %s have exited",
                                   maskText(x.lanes, needed).c_str(),
                                   maskText(x.lanes, gone).c_str()));
    return false;
  }
  if (x.machine.explain)
    x.self().reason = format("lanes %s of the warp to get here",
                             maskText(x.lanes, needed & ~x.mask).c_str());
  step = Step::Wait;
  return false;
}

void Machine::submit(AsyncOp op) {
  ++statistics.asyncCopies;
  if (options.async == AsyncMode::Early)
    op.complete(*this);
  else
    pending.push_back(std::move(op));
}

bool Machine::completeSome() {
  if (pending.empty())
    return false;
  size_t pick = options.seed ? random() % pending.size() : 0;
  AsyncOp op = std::move(pending[pick]);
  pending.erase(pending.begin() + pick);
  op.complete(*this);
  ++effects;
  return true;
}

void Machine::completeIf(llvm::function_ref<bool(const AsyncOp &)> match) {
  for (size_t k = 0; k < pending.size();) {
    if (!match(pending[k])) {
      ++k;
      continue;
    }
    AsyncOp op = std::move(pending[k]);
    pending.erase(pending.begin() + k);
    op.complete(*this);
    ++effects;
  }
}

//===----------------------------------------------------------------------===//
// Start and end of blocks
//===----------------------------------------------------------------------===//

static std::unique_ptr<Block> makeBlock(Machine &m, Grid &grid,
                                        Cluster &cluster, uint32_t rank,
                                        std::array<uint32_t, 3> index) {
  const Kernel &kernel = *grid.kernel;
  const Launch &launch = *grid.launch;
  auto block = std::make_unique<Block>();
  block->grid = &grid;
  block->cluster = &cluster;
  block->index = index;
  block->rank = rank;
  block->linear =
      index[0] + launch.grid[0] * (index[1] + launch.grid[1] * index[2]);
  const unsigned lanes = m.program.lanes;
  uint32_t fixed = kernel.staticShared;
  if (launch.smem && fixed % 1024)
    fixed += 1024 - fixed % 1024;
  // Poison: a NaN in every float type.
  block->shared.assign(fixed + launch.smem, 0xFF);
  block->cells.resize((block->shared.size() + 3) / 4);
  uint32_t threads = launch.block[0] * launch.block[1] * launch.block[2];
  unsigned warps = (threads + lanes - 1) / lanes;
  block->warpgroups.resize((warps + 3) / 4);
  block->liveWarps = warps;
  for (unsigned w = 0; w < warps; ++w) {
    auto warp = std::make_unique<Warp>();
    warp->block = block.get();
    warp->id = w;
    warp->isAmd = m.program.amd != nullptr;
    warp->lanes = warp->live = firstLanes(std::min(threads - w * lanes, lanes));
    warp->groups.push_back({0, warp->lanes, false, 0, 0, {}});
    warp->registers.resize(kernel.regBytes);
    warp->local.resize(size_t(kernel.localBytes) * lanes);
    warp->registersPerThread =
        std::min(248u, 65536u / std::max(threads, 1u) / 8 * 8);
    auto fill = [&](Reg reg, bool wide, uint64_t value) {
      for (unsigned l = 0; l < lanes; ++l)
        if (wide)
          reinterpret_cast<uint64_t *>(&warp->registers[reg])[l] = value;
        else
          reinterpret_cast<uint32_t *>(&warp->registers[reg])[l] = value;
    };
    for (const Constant &c : kernel.constants)
      fill(c.reg, c.wide, c.value);
    for (size_t p = 0; p < kernel.parameters.size(); ++p)
      fill(kernel.parameters[p].reg, kernel.parameters[p].wide, grid.values[p]);
    block->warps.push_back(std::move(warp));
  }
  return block;
}

bool Machine::startBlocks(Grid &grid) {
  const Launch &launch = *grid.launch;
  const auto &shape = grid.clusterShape;
  uint32_t perCluster = shape[0] * shape[1] * shape[2];
  unsigned limit = options.residentBlocks;
  bool all = launch.resident || limit == 0;
  uint32_t resident = 0;
  for (auto &g : grids)
    resident += g->blocksStarted - g->blocksDone;
  bool any = false;
  while (grid.blocksStarted < grid.blocksTotal &&
         (all || resident == 0 || resident + perCluster <= limit)) {
    uint32_t number = grid.blocksStarted / perCluster;
    uint32_t nx = launch.grid[0] / shape[0], ny = launch.grid[1] / shape[1];
    uint32_t cx = number % nx, cy = number / nx % ny, cz = number / nx / ny;
    auto cluster = std::make_unique<Cluster>();
    cluster->grid = &grid;
    cluster->linear = number;
    for (uint32_t r = 0; r < perCluster; ++r)
      cluster->blocks.push_back(
          makeBlock(*this, grid, *cluster, r,
                    {cx * shape[0] + r % shape[0],
                     cy * shape[1] + r / shape[0] % shape[1],
                     cz * shape[2] + r / shape[0] / shape[1]}));
    // Warps are the first agents, block by block; then their streams.
    for (auto &block : cluster->blocks)
      for (auto &warp : block->warps)
        warp->agent = newAgent(*cluster);
    for (auto &block : cluster->blocks)
      for (auto &warp : block->warps) {
        warp->cpAsync.agent = newAgent(*cluster);
        // The four warps of a warpgroup share the stream of their wgmma.
        warp->wgmma.agent = warp->id % 4 == 0
                                ? newAgent(*cluster)
                                : block->warps[warp->id / 4 * 4]->wgmma.agent;
      }
    cluster->liveBlocks = perCluster;
    grid.clusters.push_back(std::move(cluster));
    grid.blocksStarted += perCluster;
    resident += perCluster;
    any = true;
  }
  return any;
}

/// The last lane of `warp` has exited.
void Machine::finishWarp(Warp &warp) {
  Block &block = *warp.block;
  Grid &grid = *block.grid;
  auto left = [&](const AsyncStream &stream, uint32_t waited,
                  const char *what) {
    if (stream.issued > waited)
      report(&warp, -1, stream.lastPlace, Kind::PendingAtExit,
             format("%u %s not waited for when the warp exits",
                    stream.issued - waited, what));
  };
  left(warp.wgmma, warp.wgmma.waited, "wgmma operation(s)");
  left(warp.cpAsync, std::max(warp.cpAsync.waited, warp.cpAsync.waitedRead),
       warp.isAmd ? "copies into LDS" : "cp.async");
  for (auto &[lane, stream] : warp.bulk)
    left(stream, std::max(stream.waited, stream.waitedRead),
         "bulk copies out of shared memory");
  ++effects;
  block.atExit.join(warp.knows);
  if (--block.liveWarps)
    return;
  for (auto [agent, use] : block.remoteUses)
    if (use.first > block.atExit.order[agent]) {
      unsigned perBlock = block.warps.size();
      report(&warp, -1, use.second, Kind::PendingAtExit,
             format("by warp %u of block %u of the cluster uses shared memory "
                    "of this block, which exits without order after it",
                    agent % perBlock, agent / perBlock));
      break;
    }
  for (unsigned g = 0; g < block.warpgroups.size(); ++g)
    for (WgmmaRecord &record : block.warpgroups[g].records)
      if (record.seen < 4) {
        report(&warp, -1, record.place, Kind::PartialWarp,
               format("was executed by %u of the 4 warps of warpgroup %u",
                      record.seen, g));
        break;
      }
  for (const AsyncOp &op : pending)
    if (op.block == &block && !op.stream) {
      report(&warp, -1, op.place, Kind::PendingAtExit,
             "copies into shared memory of a block that has exited");
      break;
    }
  completeIf([&](const AsyncOp &op) { return op.block == &block; });
  if (!block.released)
    grid.release(block);
  ++grid.blocksDone;
  --block.cluster->liveBlocks;
}

//===----------------------------------------------------------------------===//
// Turns
//===----------------------------------------------------------------------===//

/// Joins the group with another at the same place, or switches to one that is
/// behind. Returns the index of the group to go on with, or -1.
static int mergeGroups(Warp &warp, unsigned index) {
  for (unsigned other = 0; other < warp.groups.size(); ++other) {
    if (other == index || warp.groups[other].pc != warp.groups[index].pc ||
        warp.groups[other].ticket || warp.groups[index].ticket)
      continue;
    unsigned keep = std::min(index, other), drop = std::max(index, other);
    warp.groups[keep].mask |= warp.groups[drop].mask;
    warp.groups[keep].blocked = false;
    warp.groups.erase(warp.groups.begin() + drop);
    return mergeGroups(warp, keep);
  }
  for (const Group &other : warp.groups)
    if (!other.blocked && other.pc < warp.groups[index].pc)
      return -1;
  return index;
}

bool Machine::runWarp(Warp &warp) {
  bool progress = false;
  Block &block = *warp.block;
  Grid &grid = *block.grid;
  const Instr *code = grid.kernel->code.data();
  for (Group &group : warp.groups)
    group.blocked = false;
  budget = options.seed ? 1 + random() % 400 : 1 << 20;
  while (!stopped && budget > 0) {
    for (unsigned g = 0; g < warp.groups.size(); ++g)
      mergeGroups(warp, g);
    // The group that is furthest behind, so that lanes meet again.
    int pick = -1;
    for (unsigned g = 0; g < warp.groups.size(); ++g)
      if (!warp.groups[g].blocked &&
          (pick < 0 || warp.groups[g].pc < warp.groups[pick].pc))
        pick = g;
    if (pick < 0)
      return progress;
    Exec x{*this,
           warp,
           block,
           grid,
           warp.registers.data(),
           warp.groups[pick].mask,
           unsigned(pick),
           program.lanes};
    uint32_t pc = warp.groups[pick].pc;
    bool turn = true;
    while (turn) {
      const Instr &i = code[pc];
      Step step = i.fn(x, i);
      if (step == Step::Wait) {
        // Not progress: the same instruction runs again.
        warp.groups[x.group].blocked = true;
        break;
      }
      ++statistics.instructions;
      --budget;
      progress = true;
      switch (step) {
      case Step::Next:
      case Step::Yield:
        warp.groups[x.group].pc = ++pc;
        turn = step == Step::Next;
        break;
      case Step::Jump:
        pc = warp.groups[x.group].pc;
        turn = budget > 0;
        break;
      case Step::Split:
        turn = false;
        break;
      case Step::Exit:
        warp.live &= ~x.mask;
        warp.groups.erase(warp.groups.begin() + x.group);
        if (!warp.live)
          finishWarp(warp);
        turn = false;
        break;
      default:
        return progress;
      }
      if (step == Step::Yield)
        return progress;
      if (turn && warp.groups.size() > 1) {
        int next = mergeGroups(warp, x.group);
        if (next < 0)
          break;
        x.group = next;
        x.mask = warp.groups[next].mask;
      }
      if (stopped)
        return progress;
    }
  }
  return progress;
}

void Machine::run(std::vector<std::unique_ptr<Grid>> queue) {
  grids = std::move(queue);
  size_t first = 0;
  uint64_t lastEffects = 0;
  unsigned idle = 0;
  std::vector<Warp *> warps;
  uint64_t sweeps = 0, favour = 0;
  auto priority = [&](const Warp &warp) {
    // The same on every machine.
    uint64_t h = favour + warp.block->linear * 0x9E3779B97F4A7C15ull +
                 warp.id * 0xC2B2AE3D27D4EB4Full + warp.block->grid->number;
    return (h ^ h >> 29) * 0xBF58476D1CE4E5B9ull >> 62;
  };
  while (!stopped && first < grids.size()) {
    bool progress = false;
    warps.clear();
    for (size_t g = first; g < grids.size(); ++g) {
      if (g > first &&
          !(grids[g]->launch->earlyStart &&
            grids[g - 1]->blocksStarted == grids[g - 1]->blocksTotal &&
            grids[g - 1]->released()))
        break;
      // Even if the launch before happens to have ended already.
      if (!grids[g]->blocksStarted)
        grids[g]->endedAtStart = g > 0 && grids[g]->launch->earlyStart
                                     ? grids[g - 1]->endedForNext
                                     : grids[g]->number - 1;
      progress |= startBlocks(*grids[g]);
      for (auto &cluster : grids[g]->clusters)
        for (auto &block : cluster->blocks)
          for (auto &warp : block->warps)
            if (warp->live)
              warps.push_back(warp.get());
    }
    if (options.seed)
      std::shuffle(warps.begin(), warps.end(), random);
    // Odd seeds: some warps run only while all others wait. The favourites
    // change now and then.
    bool starve = options.seed % 2;
    if (starve && sweeps++ % 512 == 0)
      favour = random();
    if (starve) {
      std::vector<Warp *> classes[4];
      for (Warp *warp : warps)
        classes[priority(*warp)].push_back(warp);
      warps.clear();
      for (auto &members : classes)
        warps.insert(warps.end(), members.begin(), members.end());
    }
    uint64_t lastClass = 0;
    for (Warp *warp : warps) {
      if (stopped)
        return;
      // A class of warps only runs while the ones before it all wait.
      if (starve && priority(*warp) != lastClass) {
        if (progress)
          break;
        lastClass = priority(*warp);
      }
      progress |= runWarp(*warp);
    }
    progress |= retry;
    retry = false;
    if (options.async == AsyncMode::Random)
      while (!pending.empty() && random() % 2)
        progress |= completeSome();
    for (size_t g = first; g < grids.size(); ++g) {
      auto &clusters = grids[g]->clusters;
      clusters.erase(std::remove_if(clusters.begin(), clusters.end(),
                                    [](auto &c) { return c->done(); }),
                     clusters.end());
      // Long kernels leave sets of readers behind.
      for (auto &cluster : clusters)
        if (cluster->readSets.size() > cluster->readSetLimit) {
          cluster->readSets.compact([&](auto rename) {
            for (auto &block : cluster->blocks)
              for (Cell &cell : block->cells)
                rename(cell.reads);
          });
          cluster->readSetLimit =
              std::max(cluster->readSetLimit, 2 * cluster->readSets.size());
        }
    }
    while (first < grids.size() && grids[first]->done()) {
      ++first;
      ++effects;
      progress = true;
    }
    // Warps that only poll run, but nothing can change any more.
    idle = effects == lastEffects ? idle + 1 : 0;
    lastEffects = effects;
    // Copies that come late come when warps poll for them.
    unsigned patience = pending.empty() ? 20000 : 16;
    if (progress && idle < patience)
      continue;
    if (first == grids.size() || completeSome())
      continue;
    // Once more, this time with reasons.
    explain = true;
    for (Warp *warp : warps)
      if (warp->live)
        runWarp(*warp);
    reportDeadlock();
    return;
  }
}
