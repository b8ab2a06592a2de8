//===- Predict.cpp - The time that a configuration takes ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/Predict.h"
#include "moec/CostModel/Sums.h"

#include <algorithm>
#include <cmath>

using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

// Of products by wgmma: least error over the products of one layer,
// Qwen3-30B-A3B, in all configurations of a grid on an H100, each alone, those
// near the fastest with more weight. Other layers were not used: they show how
// well these numbers predict (docs/cost-model.md). fillLatencies are those that
// the whole layer of one token shows.
static const KernelTraits hopper16 = [] {
  KernelTraits traits;
  traits.name = "wgmma, 16 bits";
  traits.overlap = 4.48;
  traits.matrixShare = 0.992;
  traits.flightLatencies = 0.959;
  traits.heldStages = 0.5;
  traits.epilogueClocks = 0.194;
  traits.swappedEpilogueClocks = 0.846;
  traits.tileClocks = 1795;
  traits.tailShare = 0.82;
  traits.paddedShare = 0.65;
  traits.swappedPaddedShare = 0.2575;
  traits.threadStores = 2.74;
  traits.rowStep = 8;
  traits.fillLatencies = 5.1;
  traits.margin = 0.09;
  return traits;
}();
static const KernelTraits hopper8 = [] {
  KernelTraits traits = hopper16;
  traits.name = "wgmma, 8 bits";
  traits.overlap = 4.38;
  traits.matrixShare = 0.7465;
  traits.flightLatencies = 0.922;
  traits.epilogueClocks = 0.063;
  traits.swappedEpilogueClocks = 0.575;
  traits.tileClocks = 2573;
  traits.tailShare = 0.792;
  traits.paddedShare = 0.59;
  traits.swappedPaddedShare = 0;
  traits.threadStores = 2.563;
  traits.fillLatencies = 6.7;
  traits.margin = 0.08;
  return traits;
}();
// The figure of the matrix rate is that of products that the power limit
// bounds; while decoding bounds them they run faster.
static const KernelTraits hopperPacked = [] {
  KernelTraits traits = hopper16;
  traits.name = "wgmma, packed weights";
  traits.overlap = 4.03;
  traits.matrixShare = 1.2;
  traits.unitShare = 0.59;
  traits.flightLatencies = 0.988;
  traits.swappedEpilogueClocks = 0.8;
  traits.tileClocks = 608;
  traits.stepClocks = 157.5;
  traits.tailShare = 1;
  traits.decodeOps = 3.74;
  traits.decodeOverlap = 1.3;
  traits.swappedPaddedShare = 0.184;
  traits.gathersMissingRows = true;
  traits.fillLatencies = 5.25;
  traits.margin = 0.1;
  return traits;
}();
// These two have no measurements of their own yet: shares below those of
// wgmma, in loops in which the threads that compute also copy.
static const KernelTraits nvidiaMma = [] {
  KernelTraits traits;
  traits.name = "mma";
  traits.overlap = 3.09;
  traits.matrixShare = 0.85;
  traits.sharedShare = 0.786;
  traits.cacheShare = 0.94;
  traits.epilogueClocks = traits.swappedEpilogueClocks = 0.3;
  traits.decodeOps = 3.8;
  traits.loadOps = 4;
  traits.warps = 8;
  traits.paddedShare = traits.swappedPaddedShare = 1;
  traits.rowStep = 16;
  traits.fillLatencies = 4;
  traits.margin = 0.05;
  return traits;
}();
static const KernelTraits amdMatrix = [] {
  KernelTraits traits = nvidiaMma;
  traits.name = "mfma or wmma";
  return traits;
}();
// What the loop consists of: a weight is read, converted and multiplied with
// every row, a packed one decoded by two operations of which the chip has half
// as many lanes; the sum over the lanes is the tile's. fillLatencies are those
// that whole layers of one token show: weights of the second product are under
// way while the first one ends.
static const KernelTraits gpuLanes = [] {
  KernelTraits traits;
  traits.name = "lanes";
  traits.overlap = 4.5;
  traits.laneOps = 1.7;
  traits.decodeOps = 1;
  traits.tileClocks = 600;
  traits.tailShare = 0.8;
  traits.loadsWholeBlocks = false;
  traits.fillLatencies = 3.5;
  traits.margin = 0.09;
  return traits;
}();
static const KernelTraits cpuLoops = [] {
  KernelTraits traits;
  traits.name = "vector loops";
  traits.overlap = 2;
  traits.matrixShare = 0.8;
  traits.sharedShare = 1;
  traits.cacheShare = 0.8;
  traits.decodeOps = 3;
  traits.loadsWholeBlocks = false;
  traits.fillLatencies = 1;
  traits.margin = 0.1;
  return traits;
}();

const KernelTraits &mlir::moe::findKernelTraits(const RuleTarget &target,
                                                const GemmProblem &problem) {
  if (target.kind == RuleTarget::Cpu)
    return cpuLoops;
  if (problem.vector)
    return gpuLanes;
  if (usesHopperPackedRule(target, problem))
    return hopperPacked;
  if (usesHopperRule(target, problem))
    return problem.aBits == 8 ? hopper8 : hopper16;
  return target.kind == RuleTarget::Amd ? amdMatrix : nvidiaMma;
}

//===----------------------------------------------------------------------===//
// One product
//===----------------------------------------------------------------------===//

/// Rows of a histogram as tiles see them.
namespace {
struct TileRows {
  double blocks = 0, hit = 0, rows = 0, computed = 0;
};
} // namespace

static int64_t roundUp(int64_t value, int64_t step) {
  return (value + step - 1) / step * step;
}

static TileRows countTiles(const std::vector<int64_t> &rows, int64_t blockM,
                           int64_t step, double paddedShare) {
  TileRows tiles;
  for (int64_t count : rows) {
    if (count <= 0)
      continue;
    int64_t blocks = (count + blockM - 1) / blockM;
    double last =
        double(std::min(roundUp(count - (blocks - 1) * blockM, step), blockM));
    last += paddedShare * (double(blockM) - last);
    tiles.hit += 1;
    tiles.rows += double(count);
    tiles.blocks += double(blocks);
    tiles.computed += double((blocks - 1) * blockM) + last;
  }
  return tiles;
}

/// Two rates of which each bounds the other, softly where they are near.
static double boundRate(double a, double b) {
  return std::pow(std::pow(a, -3) + std::pow(b, -3), -1.0 / 3);
}

/// The `exponent`-norm.
static double overlapTimes(double a, double b, double exponent) {
  return std::pow(std::pow(a, exponent) + std::pow(b, exponent), 1 / exponent);
}

/// Bytes of a stored weight with its part of a scale.
static double weightBytes(const GemmProblem &problem) {
  double bytes = double(problem.bBits) / 8;
  if (problem.bGranule > 0 && problem.bBits < 8)
    bytes += 2.0 / double(problem.bGranule);
  return bytes;
}

/// Weight rows that one warp decodes: the rows of its instruction.
static const double warpRows = 16;

/// How much longer decoding takes where a tile has too few weight rows for all
/// warps: those without rows leave their lanes idle.
static double idleDecoders(const KernelTraits &traits, double weightRows) {
  double warps = double(traits.warps);
  return warps / std::clamp(std::floor(weightRows / warpRows), 1.0, warps);
}

static double resultBytes(const GemmProblem &problem,
                          const RuleConfig &config) {
  if (problem.outGranule)
    return 1;
  if (problem.aBits == 32 || (problem.sumsRows && config.partial != "bf16"))
    return 4;
  return 2;
}

/// Bytes that the warps of a tile read from shared memory for one column of k,
/// and those that are written there.
static double sharedBytesPerColumn(const KernelTraits &traits,
                                   const GemmProblem &problem,
                                   const RuleConfig &config, double tileRows,
                                   double weightRows) {
  double a = double(problem.aBits) / 8, b = double(problem.bBits) / 8;
  if (traits.warps) {
    // The arrangement of warps with the shortest sides.
    double least = 1e30;
    for (int64_t down = 1; down <= traits.warps; down *= 2)
      least = std::min(least, double(traits.warps / down) * tileRows * a +
                                  double(down) * weightRows * b);
    return least + tileRows * a + weightRows * b;
  }
  // 64 rows of the instruction's row side share one reading of the other side.
  double reads;
  if (config.swap)
    reads = weightRows * b + weightRows / 64 * tileRows * a;
  else
    reads = double(config.blockM) * a +
            std::max(1.0, double(config.blockM) / 64) * weightRows * b;
  return reads + tileRows * a + weightRows * b;
}

GemmPrediction
mlir::moe::predictGemm(const Device &device, const KernelTraits &traits,
                       const GemmProblem &problem, const RuleConfig &config,
                       const std::vector<int64_t> &rows, int64_t tokens) {
  const DeviceFigures &f = device.figures;
  GemmPrediction p;
  bool wholeRows = traits.rowStep == 8 && !config.swap;
  int64_t step = wholeRows ? 64 : traits.rowStep;
  TileRows tiles =
      countTiles(rows, config.blockM, std::min<int64_t>(step, config.blockM),
                 config.swap ? traits.swappedPaddedShare : traits.paddedShare);
  if (tiles.blocks == 0)
    return p;
  double k = double(problem.k), n = double(problem.n);
  double weightRows = double(config.blockN) * (problem.gateRun ? 2 : 1);
  weightRows = std::min(weightRows, std::max(n, 1.0));
  double columnTiles = std::ceil(n / weightRows);
  double parts = double(std::max<int64_t>(config.splitK, 1));
  p.tiles = tiles.blocks * columnTiles * parts;
  p.use = tiles.rows / tiles.computed;
  double tileRows = tiles.computed / tiles.blocks;

  // Of one tile, on one unit.
  double unitFlops =
      device.getMatrixRate(std::max(problem.aBits, problem.bBits)) /
      f.computeUnits * traits.matrixShare;
  double kTile = k / parts;
  double matrix = 2 * tileRows * weightRows * kTile / unitFlops;
  // All rows of a block are computed.
  if (traits.laneOps > 0)
    matrix = (1 + double(config.blockM)) * traits.laneOps * weightRows * kTile /
             (f.lanes * f.clockHz);
  double shared = 0;
  if (f.sharedBytesPerClock > 0 && traits.laneOps == 0)
    shared =
        kTile *
        sharedBytesPerColumn(traits, problem, config, tileRows, weightRows) /
        (f.sharedBytesPerClock * f.clockHz * traits.sharedShare);
  double lanes = f.lanes * f.clockHz;
  bool packed = problem.bBits < problem.aBits;
  double decode = packed ? weightRows * kTile * traits.decodeOps / lanes : 0;
  if (packed && traits.warps)
    decode *= idleDecoders(traits, weightRows);
  double load = 0;
  if (traits.loadOps > 0) {
    double bytes = 0;
    if (config.a != "desc")
      bytes += tileRows * double(problem.aBits) / 8;
    if (config.b != "desc")
      bytes += weightRows * double(problem.bBits) / 8;
    load = bytes * kTile / 16 * traits.loadOps / lanes;
  }
  double epilogue =
      tileRows * weightRows / f.clockHz *
      (config.swap ? traits.swappedEpilogueClocks : traits.epilogueClocks);
  double overhead =
      (traits.tileClocks +
       std::ceil(kTile / double(std::max<int64_t>(config.blockK, 1))) *
           traits.stepClocks) /
      f.clockHz;

  // Of the fullest unit.
  double mean = p.tiles / f.computeUnits;
  double most = mean + traits.tailShare * (std::ceil(mean) - mean);
  p.tail = most / mean;
  p.matrix = matrix * most;
  p.shared = shared * most;
  p.decode = decode * most;
  p.load = load * most;
  p.epilogue = epilogue * most;
  p.overhead = overhead * most;
  p.units = overlapTimes(std::max(p.matrix, p.shared), p.decode,
                         traits.decodeOverlap) +
            p.load + p.epilogue + p.overhead;

  double a = double(problem.aBits) / 8;
  double distinct = problem.gather || problem.sharesRows
                        ? std::min(double(tokens), tiles.rows)
                        : tiles.rows;
  double outColumns = problem.gateRun ? n / 2 : n;
  double results =
      tiles.rows * outColumns * resultBytes(problem, config) * parts;
  SumCost sums = predictSums(
      f, config, tiles.rows, outColumns, resultBytes(problem, config),
      double(tokens), distinct * k * a, tiles.rows / tiles.blocks, columnTiles);
  p.overhead += sums.tileSeconds * most;
  p.units += sums.tileSeconds * most;
  // Rows that tiles add to leave no other trace.
  if (config.reduceBy == "add_f32")
    results = 0;
  if (!config.swap && config.store == "vector")
    results *= traits.threadStores;
  double weights = n * k * weightBytes(problem);
  bool wholeBlocks =
      problem.gather ? traits.gathersMissingRows : traits.loadsWholeBlocks;
  double loadedRows =
      wholeBlocks ? tiles.blocks * double(config.blockM) : tiles.computed;
  // Tiles of one block of rows after another: the next block of the expert
  // finds its weights in the last cache, or reads them again.
  double readings = tiles.hit;
  if (config.order == "block_major" && weights > f.l2Bytes / 2)
    readings = tiles.hit +
               (tiles.blocks - tiles.hit) *
                   std::min(1.0, columnTiles / std::max(1.0, f.computeUnits));
  p.memoryBytes =
      readings * weights + distinct * k * a + results + sums.memoryBytes;
  p.cacheBytes = columnTiles * loadedRows * k * a + tiles.blocks * weights +
                 results + sums.cacheBytes;

  // What all units ask for: one unit has so many bytes under way.
  double unitRate = f.unitReadRate * traits.unitShare;
  if (traits.flightLatencies > 0) {
    double slot = double(config.blockK) * (double(config.blockM) * a +
                                           weightRows * weightBytes(problem));
    double flying = std::max(double(config.stages) - traits.heldStages, 0.2);
    unitRate = boundRate(
        unitRate, slot * flying / (traits.flightLatencies * f.latencySeconds));
  }
  double active = std::min(p.tiles, f.computeUnits);
  p.cache =
      p.cacheBytes / boundRate(f.l2Rate * traits.cacheShare, active * unitRate);
  p.memory = p.memoryBytes /
             boundRate((f.readRate + f.copyRate) / 2, active * unitRate);

  p.fill = traits.fillLatencies * f.latencySeconds;
  p.seconds = overlapTimes(overlapTimes(p.units, p.cache, traits.overlap),
                           p.memory, traits.overlap) +
              p.fill;
  return p;
}

const char *GemmPrediction::getBound() const {
  double most = std::max({units, cache, memory});
  if (fill > most)
    return "latency";
  if (memory == most)
    return "memory";
  if (cache == most)
    return "cache";
  double products = std::max(matrix, shared);
  double part = std::max({products, decode, load, epilogue, overhead});
  if (part == epilogue)
    return "results";
  if (part == decode)
    return "decoding";
  if (part == load)
    return "loads";
  if (part == overhead)
    return "tiles and steps";
  return matrix >= shared ? "matrix" : "shared memory";
}

//===----------------------------------------------------------------------===//
// What stands around the products
//===----------------------------------------------------------------------===//

/// Latencies of memory one after the other: in the sort, in spreading router
/// weights over all experts, in the sum over top-k, in the same by the last
/// tile (an arrival, reads), in quantising, between two products of one launch
/// (stores, an arrival, a look at the counter, rows; and what one grid for both
/// has less under way than two that overlap).
static const double sortLatencies = 1.2, spreadLatencies = 1.2,
                    combineLatencies = 2.1, lastLatencies = 2,
                    quantiseLatencies = 0.13, handOverLatencies = 3.2;
/// Of the sort, per slot (ncu on an H100: 8 slots 4.6 us, 131072 slots 25.5).
static const double sortClocks = 0.3;

FramePrediction mlir::moe::predictFrame(const Device &device,
                                        const LayerFrame &frame, int64_t tokens,
                                        int64_t topk) {
  const DeviceFigures &f = device.figures;
  double rate = (f.readRate + f.copyRate) / 2;
  double slots = double(tokens * topk), hidden = double(frame.hidden);
  FramePrediction p;
  // The products, or what clears counters and both products in one; the first
  // launch is none that waits for another.
  int dependent = frame.direct ? 1 : 2;
  if (frame.direct)
    p.sort = 0;
  else if (frame.sorts)
    p.sort = sortLatencies * f.latencySeconds + slots * sortClocks / f.clockHz;
  else
    p.sort = spreadLatencies * f.latencySeconds + slots * 4 / rate;
  if (frame.sumsLast) {
    p.combine = lastLatencies * f.latencySeconds;
  } else if (frame.combineBytes > 0) {
    ++dependent;
    p.combine = combineLatencies * f.latencySeconds +
                (slots * hidden * double(frame.combineBytes) *
                     double(frame.combineRows) +
                 double(tokens) * hidden * 2) /
                    rate;
  }
  if (frame.quantises) {
    ++dependent;
    p.quantise = quantiseLatencies * f.latencySeconds +
                 double(tokens) * hidden * 3 / rate;
  }
  if (frame.oneLaunch)
    p.handOver = handOverLatencies * f.latencySeconds;
  p.launches = f.launchSeconds + dependent * f.dependentLaunchSeconds;
  p.seconds = p.launches + p.sort + p.combine + p.quantise + p.handOver;
  return p;
}
