//===- AmpereRule.cpp - Tile sizes for mma.sync with cp.async -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// sm_80, sm_89 and sm_120: eight warps share a tile, two others copy. Shapes
// follow from counting bytes of shared memory per product; none is measured on
// such a chip.
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/SimpleRule.h"

#include <algorithm>
#include <cmath>
#include <tuple>

using namespace mlir::moe;

/// Barriers of the ring, and what a row of the ring holds.
static const int64_t barrierBytes = 1024, rowBytes = 128;
/// Slots: two let copies and products overlap, three hide the time of a copy,
/// more than eight bring nothing.
static const int64_t minStages = 2, goodStages = 3, maxStages = 8;
/// Accumulators of a thread, of 256 threads; beside 128 of them there is room
/// for the operands.
static const int64_t threads = 256, maxAccumulators = 128;

/// Rows of the weights in a tile, best first: wide tiles read the activations
/// less often.
static const int64_t weightRows[] = {256, 128, 64};

/// Packed weights take the row side of the instruction: 16 rows of each warp.
/// Narrow tiles are for a few tokens, whose few experts have few rows to share.
static const int64_t packedRows[] = {256, 128, 64, 32, 16};
static const int64_t narrowestShared = 128, fewTokens = 16;
/// Tokens of a tile of packed weights: with 128, every width spills.
static const int64_t mostTokens = 64;
/// Columns of a step, bytes of a row of it at most, longest first.
static const int64_t packedSteps[] = {256, 128, 64};
/// Scales and zero points of two tiles stand beside the ring.
static const int64_t factorSlots = 2;
/// Slots start at multiples of it.
static const int64_t slotAlignment = 1024;

static bool isTarget(const RuleTarget &target) {
  std::string name = target.name;
  return name == "sm_80" || name == "sm_89" || name == "sm_120";
}

static bool isPacked(const GemmProblem &problem) {
  return problem.aBits == 16 && problem.bBits <= 8;
}

/// 8-bit floats, with no scales along K or one per run of a row of the ring.
/// sm_80 has no instruction for them, which the lowering says.
static bool isFloats8(const GemmProblem &problem) {
  auto fits = [](int64_t granule) {
    return granule == 0 || granule == rowBytes;
  };
  return problem.aBits == 8 && problem.bBits == 8 && fits(problem.aGranule) &&
         fits(problem.bGranule);
}

bool mlir::moe::usesAmpereRule(const RuleTarget &target,
                               const GemmProblem &problem) {
  bool plain = problem.bBits == 16 && problem.bGranule == 0;
  bool halves = problem.aBits == 16 && problem.aGranule == 0 &&
                problem.outGranule == 0 && (plain || isPacked(problem));
  return isTarget(target) && (halves || isFloats8(problem));
}

static std::string number(int64_t n) { return std::to_string(n); }

/// What both kinds of weights need.
static RuleVerdict checkTile(const RuleTarget &target,
                             const GemmProblem &problem,
                             const RuleConfig &config, int64_t rows) {
  int64_t pitch = problem.k * problem.bBits / 8;
  if (pitch % 16 != 0)
    return {"pitch", "rows of " + number(problem.k) + " values have " +
                         number(pitch) + " bytes, not a multiple of 16"};
  if (config.blockM < 1 || config.blockM % target.minBlockM != 0)
    return {"block", "block m " + number(config.blockM) +
                         " is not a multiple of the instruction's " +
                         number(target.minBlockM)};
  if (config.blockM * rows > threads * maxAccumulators)
    return {"registers",
            "a tile of " + number(config.blockM) + "x" + number(rows) +
                " needs more than " + number(maxAccumulators) +
                " accumulators in each of " + number(threads) + " threads"};
  return {};
}

static RuleConfig startConfig(const GemmProblem &problem, int64_t blockM,
                              int64_t rows, int64_t step) {
  RuleConfig config;
  config.blockM = blockM;
  config.blockN = problem.gateRun ? rows / 2 : rows;
  config.blockK = step;
  config.a = problem.gather ? "gather" : "direct";
  config.b = "vector";
  config.order = "expert_major";
  config.claim = "stride";
  if (problem.sumsRows && problem.roundsRows && blockM >= 32)
    config.partial = "bf16";
  return config;
}

namespace {
/// Sorts candidates: those with enough slots first.
struct Ranking {
  std::vector<RuleConfig> good, others;
  std::vector<RuleVerdict> &rejected;

  void add(RuleConfig config, RuleVerdict verdict, int64_t room, int64_t slot) {
    int64_t fit = room / slot;
    config.stages = std::min(fit, maxStages);
    if (verdict.ok() && fit < minStages)
      verdict = {"shared_memory", "slots of " + number(slot) + " bytes fit " +
                                      number(std::max<int64_t>(fit, 0)) +
                                      " times"};
    if (!verdict.ok())
      rejected.push_back(verdict);
    else
      (config.stages >= goodStages ? good : others).push_back(config);
  }
  std::vector<RuleConfig> take(size_t limit) {
    good.insert(good.end(), others.begin(), others.end());
    if (good.size() > limit)
      good.resize(limit);
    return good;
  }
};
} // namespace

/// Bytes of a weight row's scale and zero point.
static int64_t factorBytes(const GemmProblem &problem) {
  // Scales of groups of 16, and of 32 values of 8 bits, are bytes, without zero
  // points.
  bool bytes =
      problem.bGranule == 16 || (problem.bGranule == 32 && problem.bBits == 8);
  return bytes ? 1 : 3;
}

/// What decoding takes if the experts' rows are shared in tiles of `rows`:
/// eight warps decode 16 rows each at a time, of narrower tiles fewer warps.
/// Without a device all tiles run at once.
static int64_t decodingRounds(const GemmProblem &problem, int64_t rows) {
  double tiles =
      std::ceil(problem.hitExperts) * std::ceil(double(problem.n) / rows);
  double units = problem.units > 0 ? double(problem.units) : tiles;
  int64_t waves = int64_t(std::ceil(tiles / std::max(units, 1.0)));
  return waves * std::max<int64_t>(1, rows / narrowestShared);
}

/// Weights of 4 or 8 bits, decoded in registers.
static void rankPacked(const RuleTarget &target, const GemmProblem &problem,
                       int64_t blockM, Ranking &ranking) {
  bool few = blockM <= fewTokens;
  std::vector<std::pair<int64_t, int64_t>> shapes;
  for (int64_t step : packedSteps)
    for (int64_t rows : packedRows)
      // The longest step leaves room for slots beside few tokens alone.
      if (step * problem.bBits <= rowBytes * 8 &&
          (few || (rows >= narrowestShared && step <= rowBytes)))
        shapes.push_back({rows, step});
  // Beside many tokens the rows count more than the step.
  auto order = [&](std::pair<int64_t, int64_t> shape) {
    auto [rows, step] = shape;
    return few ? std::tuple(-step, decodingRounds(problem, rows), -rows)
               : std::tuple(-rows, -step, int64_t(0));
  };
  std::sort(shapes.begin(), shapes.end(),
            [&](auto a, auto b) { return order(a) < order(b); });
  for (auto [rows, step] : shapes) {
    RuleConfig config = startConfig(problem, blockM, rows, step);
    config.swap = true;
    config.bPlace = "compute";
    // Rows of few tokens would show each rounding of the weights, and their
    // sums are fewer.
    if (few && problem.bRounds)
      config.bScale = "sums";
    RuleVerdict verdict = checkTile(target, problem, config, rows);
    int64_t factors = 0;
    if (problem.bGranule)
      // For all of K.
      factors = factorSlots * rows *
                ((problem.k + problem.bGranule - 1) / problem.bGranule) *
                factorBytes(problem);
    bool straddles =
        problem.bGranule != 0 &&
        (problem.bGranule % 16 != 0 ||
         (problem.bGranule % step != 0 && step % problem.bGranule != 0));
    if (verdict.ok() && problem.gateRun > 1 && !problem.gateHalves)
      verdict = {"packed_split",
                 "gate and up rows of packed weights must be halves of the "
                 "weights or alternate, they alternate every " +
                     number(problem.gateRun)};
    else if (verdict.ok() && rows > 128 && problem.n <= rows / 2)
      verdict = {"width", number(rows) + " weight rows per tile for " +
                              number(problem.n) + " of them"};
    else if (verdict.ok() && step > std::max<int64_t>(problem.k, 64))
      verdict = {"k_step", "k step " + number(step) + " is longer than K of " +
                               number(problem.k)};
    else if (verdict.ok() && straddles)
      verdict = {"scale_group", "k step " + number(step) +
                                    " straddles scale groups of " +
                                    number(problem.bGranule)};
    if (verdict.ok() && blockM > mostTokens)
      verdict = {"registers",
                 "the fragments of " + number(blockM) +
                     " tokens beside decoded weights need more than the 168 "
                     "registers of a thread; at most " +
                     number(mostTokens) + " tokens"};
    int64_t slot = (blockM * problem.aBits + rows * problem.bBits) * step / 8;
    ranking.add(config, verdict,
                target.sharedBytes - barrierBytes - factors -
                    2 * factorSlots * 1024,
                slot);
  }
}

std::vector<RuleConfig>
mlir::moe::rankAmpereConfigs(const RuleTarget &target,
                             const GemmProblem &problem, int64_t blockM,
                             size_t limit, std::vector<RuleVerdict> &rejected) {
  Ranking ranking{{}, {}, rejected};
  if (isPacked(problem)) {
    rankPacked(target, problem, blockM, ranking);
    return ranking.take(limit);
  }
  for (int64_t rows : weightRows) {
    RuleConfig config =
        startConfig(problem, blockM, rows, rowBytes * 8 / problem.aBits);
    RuleVerdict verdict = checkTile(target, problem, config, rows);
    // Eight warps side by side have eight gate and eight up columns each.
    int64_t narrowest = problem.gateRun > 1 ? 128 : 64;
    if (verdict.ok() && rows < narrowest)
      verdict = {"split", number(rows) +
                              " weight rows leave a warp less than 8 "
                              "gate and 8 up columns"};
    if (verdict.ok() && rows > narrowest && problem.n <= rows / 2)
      verdict = {"width", number(rows) + " weight rows per tile for " +
                              number(problem.n) + " of them"};
    if (verdict.ok() && problem.outGranule != 0 &&
        config.blockN != problem.outGranule)
      verdict = {"closing_granule",
                 "block n " + number(config.blockN) +
                     " is not the granule of the closing quantisation, " +
                     number(problem.outGranule) + " columns"};
    int64_t room = target.sharedBytes - barrierBytes;
    // What warps tell each other of a row that they share.
    if (problem.outGranule != 0)
      room -= threads / 32 * blockM * 4;
    int64_t slot = (blockM + rows) * rowBytes;
    // Scales stand behind the operands.
    if (problem.aGranule || problem.bGranule)
      slot += slotAlignment;
    ranking.add(config, verdict, room, slot);
  }
  return ranking.take(limit);
}
