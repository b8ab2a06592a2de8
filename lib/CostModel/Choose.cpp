//===- Choose.cpp - Configurations of a layer by predicted time -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/CostModel/Choose.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <tuple>

using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// What a user fixes
//===----------------------------------------------------------------------===//

std::string mlir::moe::parseFixedFields(const std::string &text,
                                        FixedFields &fields) {
  std::map<std::string, int64_t *> known = {{"block_m", &fields.blockM},
                                            {"block_n", &fields.blockN},
                                            {"block_k", &fields.blockK},
                                            {"stages", &fields.stages},
                                            {"split_k", &fields.splitK}};
  size_t at = 0;
  while (at < text.size()) {
    size_t end = std::min(text.find(',', at), text.size());
    std::string piece = text.substr(at, end - at);
    at = end + 1;
    size_t sign = piece.find('=');
    if (sign == std::string::npos)
      return "'" + piece + "' is no field=value";
    std::string name = piece.substr(0, sign), value = piece.substr(sign + 1);
    if (name == "align") {
      if (value != "sorted" && value != "direct")
        return "align is '" + value + "', not sorted or direct";
      fields.direct = value == "direct";
      continue;
    }
    if (name == "reduce_by") {
      const char *known[] = {"rows", "last", "panel", "add_f32", "owner"};
      if (std::find(std::begin(known), std::end(known), value) ==
          std::end(known))
        return "reduce_by is '" + value +
               "', not rows, last, panel, add_f32 or owner";
      fields.reduceBy = value;
      continue;
    }
    if (name == "swap") {
      if (value != "true" && value != "false")
        return "swap is '" + value + "', not true or false";
      fields.swap = value == "true";
      continue;
    }
    if (name == "formulation") {
      const char *known[] = {"grouped",   "dense", "dense_rows",
                             "dense_sum", "gemv",  "one_launch"};
      if (std::find(std::begin(known), std::end(known), value) ==
          std::end(known))
        return "formulation is '" + value +
               "', not grouped, dense, dense_rows, dense_sum, gemv or "
               "one_launch";
      fields.formulation = value;
      continue;
    }
    auto field = known.find(name);
    if (field == known.end())
      return "unknown field '" + name +
             "'; known are block_m, block_n, block_k, stages, split_k, swap, "
             "align, reduce_by, formulation";
    bool digits = !value.empty() && value.size() < 7 &&
                  value.find_first_not_of("0123456789") == std::string::npos;
    int64_t number = digits ? std::stoll(value) : 0;
    if (number < 1)
      return name + " is '" + value + "', not a positive number";
    *field->second = number;
  }
  return {};
}

static RuleVerdict checkFixed(const FixedFields &fixed,
                              const RuleConfig &config) {
  const struct {
    const char *name;
    int64_t want, have;
  } fields[] = {{"block_n", fixed.blockN, config.blockN},
                {"block_k", fixed.blockK, config.blockK}};
  for (auto &field : fields)
    if (field.want != 0 && field.want != field.have)
      return {"fixed", std::string(field.name) + " " +
                           std::to_string(field.have) + " where " +
                           std::to_string(field.want) + " is asked for"};
  if (fixed.swap >= 0 && bool(fixed.swap) != config.swap)
    return {"fixed", std::string(config.swap ? "swap" : "no swap") +
                         " where the other is asked for"};
  if (fixed.stages > config.stages)
    return {"fixed", std::to_string(fixed.stages) + " stages where " +
                         std::to_string(config.stages) + " fit"};
  return {};
}

//===----------------------------------------------------------------------===//
// One number of block rows
//===----------------------------------------------------------------------===//

static GemmPrediction predictMean(const Device &device,
                                  const KernelTraits &traits,
                                  const GemmProblem &problem,
                                  const RuleConfig &config,
                                  const Workload &workload) {
  GemmPrediction mean;
  mean.tail = mean.use = 0;
  for (const WorkloadCase &one : workload.cases) {
    // The sum over experts is one product for all tokens.
    const std::vector<int64_t> rows =
        problem.sumsExperts ? std::vector<int64_t>{workload.tokens} : one.rows;
    GemmPrediction p =
        predictGemm(device, traits, problem, config, rows, workload.tokens);
    double GemmPrediction::*const members[] = {
        &GemmPrediction::seconds,     &GemmPrediction::units,
        &GemmPrediction::cache,       &GemmPrediction::memory,
        &GemmPrediction::fill,        &GemmPrediction::matrix,
        &GemmPrediction::shared,      &GemmPrediction::decode,
        &GemmPrediction::load,        &GemmPrediction::epilogue,
        &GemmPrediction::overhead,    &GemmPrediction::tiles,
        &GemmPrediction::tail,        &GemmPrediction::use,
        &GemmPrediction::memoryBytes, &GemmPrediction::cacheBytes};
    for (double GemmPrediction::*member : members)
      mean.*member += one.weight * p.*member;
  }
  return mean;
}

/// What two products in one kernel can have: stores by threads, behind which
/// they count arrivals, no registers by role, and the same teams, those of the
/// first product's first shape.
static RuleVerdict checkOneLaunch(const LayerCandidate &candidate,
                                  const RuleConfig &config) {
  if (config.store != "vector")
    return {"one_launch_store",
            "store " + config.store + ", arrivals are counted behind vector"};
  if (config.loadRegs || config.computeRegs)
    return {"one_launch_registers",
            "registers by role, of which rows have none of their own"};
  if (candidate.gemms.empty() || candidate.gemms.front().empty())
    return {};
  auto teamsOf = [](const RuleConfig &one) {
    return std::max<int64_t>(one.computeGroups, 1);
  };
  int64_t teams = teamsOf(candidate.gemms.front().front().config);
  if (teamsOf(config) != teams)
    return {"one_launch_teams", std::to_string(teamsOf(config)) +
                                    " teams where the product before has " +
                                    std::to_string(teams)};
  return {};
}

static LayerCandidate rate(const Device &device, const RuleTarget &target,
                           const LayerProblem &layer, const Workload &workload,
                           const ChoiceOptions &options, int64_t blockM) {
  LayerCandidate candidate;
  candidate.blockM = blockM;
  LayerFrame frame = layer.frame;
  for (size_t i = 0; i < layer.gemms.size(); ++i) {
    const GemmProblem &problem = layer.gemms[i];
    const KernelTraits &traits = findKernelTraits(target, problem);
    std::vector<RuleVerdict> rejected;
    std::vector<RatedConfig> rated;
    for (RuleConfig &config :
         rankConfigs(target, problem, blockM, 100, rejected)) {
      RuleVerdict verdict = checkFixed(options.fixed, config);
      if (verdict.ok() && problem.oneLaunch)
        verdict = checkOneLaunch(candidate, config);
      if (!verdict.ok()) {
        rejected.push_back(verdict);
        continue;
      }
      if (options.fixed.stages)
        config.stages = options.fixed.stages;
      rated.push_back(
          {config, predictMean(device, traits, problem, config, workload)});
    }
    if (rated.empty() && candidate.legal())
      candidate.illegalGemm = int64_t(i);
    // The rules' order comes from measurements or from what a shape costs
    // elsewhere. Its first stays first unless another is faster by more than
    // the model's error; the rest keeps the rules' order behind it.
    if (!rated.empty() && target.kind != RuleTarget::Cpu) {
      auto fastest =
          std::min_element(rated.begin(), rated.end(),
                           [](const RatedConfig &a, const RatedConfig &b) {
                             return a.prediction.seconds < b.prediction.seconds;
                           });
      if (fastest->prediction.seconds * (1 + traits.margin) <
          rated.front().prediction.seconds)
        std::rotate(rated.begin(), fastest, fastest + 1);
    }
    if (!rated.empty()) {
      candidate.seconds += rated.front().prediction.seconds;
      const RuleConfig &chosen = rated.front().config;
      if (chosen.partial == "bf16" && frame.combineBytes > 0)
        frame.combineBytes = 2;
      if (chosen.splitK > 1)
        frame.combineRows = chosen.splitK;
    }
    candidate.gemms.push_back(std::move(rated));
    candidate.rejected.push_back(std::move(rejected));
  }
  candidate.frame = predictFrame(device, frame, workload.tokens, workload.topk);
  candidate.seconds += candidate.frame.seconds;
  return candidate;
}

//===----------------------------------------------------------------------===//
// The layer
//===----------------------------------------------------------------------===//

static std::vector<int64_t> listBlockRows(const RuleTarget &target,
                                          const LayerProblem &layer,
                                          const ChoiceOptions &options) {
  int64_t given =
      options.givenBlockM ? options.givenBlockM : options.fixed.blockM;
  if (given)
    return {given};
  // Rows of a CPU's tile are what its cache holds of a row block, whatever the
  // routing.
  if (target.kind == RuleTarget::Cpu)
    return {pickBlockM(target, 0)};
  std::vector<int64_t> all;
  if (!layer.gemms.empty() && layer.gemms.front().vector)
    return {1, 2, 4};
  for (int64_t rows : {8, 16, 32, 64, 128})
    if (rows % target.minBlockM == 0)
      all.push_back(rows);
  return all;
}

static double marginOf(const RuleTarget &target, const LayerProblem &layer) {
  double margin = 0;
  for (const GemmProblem &problem : layer.gemms)
    margin = std::max(margin, findKernelTraits(target, problem).margin);
  return margin;
}

static std::string percent(double ratio) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", (ratio - 1) * 100);
  return text;
}

LayerChoice mlir::moe::chooseLayer(const Device &device,
                                   const RuleTarget &target,
                                   const LayerProblem &layer,
                                   const Workload &workload,
                                   const ChoiceOptions &options) {
  LayerChoice choice;
  for (int64_t blockM : listBlockRows(target, layer, options))
    choice.candidates.push_back(
        rate(device, target, layer, workload, options, blockM));
  // Smaller tiles first among equals: they leave room for a longer ring.
  std::sort(choice.candidates.begin(), choice.candidates.end(),
            [](const LayerCandidate &a, const LayerCandidate &b) {
              if (a.legal() != b.legal())
                return a.legal();
              return std::tie(a.seconds, a.blockM) <
                     std::tie(b.seconds, b.blockM);
            });
  if (!choice.legal() || layer.gemms.empty())
    return choice;
  choice.reason = choice.candidates.size() == 1 ? "the only block rows"
                                                : "least predicted time";
  if (choice.candidates.size() == 1)
    return choice;
  const GemmProblem &first = layer.gemms.front();
  int64_t measured = device.findMeasuredBlock(first.aBits, first.bBits,
                                              workload.getRowsPerExpert());
  auto at = std::find_if(choice.candidates.begin(), choice.candidates.end(),
                         [&](const LayerCandidate &candidate) {
                           return candidate.blockM == measured;
                         });
  if (at == choice.candidates.end() || !at->legal())
    return choice;
  double ratio = at->seconds / choice.best().seconds;
  if (ratio > 1 + marginOf(target, layer))
    return choice;
  if (at != choice.candidates.begin())
    choice.reason = "measured best on " + device.name + ", predicted " +
                    percent(ratio) + " above block m " +
                    std::to_string(choice.best().blockM) +
                    ", within the model's error";
  std::rotate(choice.candidates.begin(), at, at + 1);
  return choice;
}

GemmPrediction mlir::moe::predictConfig(const Device &device,
                                        const RuleTarget &target,
                                        const GemmProblem &problem,
                                        const RuleConfig &config,
                                        const Workload &workload) {
  return predictMean(device, findKernelTraits(target, problem), problem, config,
                     workload);
}

std::string mlir::moe::describePrediction(const GemmPrediction &prediction) {
  char text[320];
  std::snprintf(
      text, sizeof text,
      "%.1f us (units %.1f: matrix %.1f, shared memory %.1f, decoding %.1f, "
      "loads %.1f, results %.1f, tiles and steps %.1f; cache %.1f; memory "
      "%.1f; latency %.1f), %.0f tiles, tail %.2f, rows used %.0f %%, bound by "
      "%s",
      prediction.seconds * 1e6, prediction.units * 1e6, prediction.matrix * 1e6,
      prediction.shared * 1e6, prediction.decode * 1e6, prediction.load * 1e6,
      prediction.epilogue * 1e6, prediction.overhead * 1e6,
      prediction.cache * 1e6, prediction.memory * 1e6, prediction.fill * 1e6,
      prediction.tiles, prediction.tail, prediction.use * 100,
      prediction.getBound());
  return text;
}

//===----------------------------------------------------------------------===//
// A few variants for many buckets
//===----------------------------------------------------------------------===//

std::vector<size_t>
mlir::moe::capVariants(const std::vector<std::vector<double>> &seconds,
                       size_t cap, size_t baseline) {
  size_t columns = seconds.empty() ? 0 : seconds.front().size();
  std::vector<double> best;
  for (const std::vector<double> &line : seconds)
    best.push_back(*std::min_element(line.begin(), line.end()));
  // Worst ratio, then sum of ratios of a set of columns.
  auto judge = [&](const std::vector<size_t> &kept) {
    double worst = 0, sum = 0;
    for (size_t i = 0; i < seconds.size(); ++i) {
      double least = std::numeric_limits<double>::infinity();
      for (size_t column : kept)
        least = std::min(least, seconds[i][column]);
      worst = std::max(worst, least / best[i]);
      sum += least / best[i];
    }
    return std::make_pair(worst, sum);
  };
  std::vector<size_t> kept;
  if (baseline < columns)
    kept.push_back(baseline);
  // All sets while they are few, else one column after the other.
  auto grow = [&](auto &&self, std::vector<size_t> set,
                  size_t from) -> std::vector<size_t> {
    std::vector<size_t> winner = set;
    if (set.size() >= std::max<size_t>(cap, 1))
      return winner;
    for (size_t column = from; column < columns; ++column) {
      if (std::find(set.begin(), set.end(), column) != set.end())
        continue;
      std::vector<size_t> more = set;
      more.push_back(column);
      more = self(self, more, column + 1);
      if (winner.empty() || judge(more) < judge(winner))
        winner = more;
    }
    return winner;
  };
  if (columns <= 12) {
    kept = grow(grow, kept, 0);
  } else {
    while (kept.size() < std::max<size_t>(cap, 1)) {
      std::vector<size_t> winner;
      for (size_t column = 0; column < columns; ++column) {
        std::vector<size_t> more = kept;
        more.push_back(column);
        if (winner.empty() || judge(more) < judge(winner))
          winner = more;
      }
      if (winner.empty() || (!kept.empty() && judge(winner) >= judge(kept)))
        break;
      kept = winner;
    }
  }
  std::vector<size_t> chosen;
  for (const std::vector<double> &line : seconds) {
    size_t least = kept.front();
    for (size_t column : kept)
      if (line[column] < line[least])
        least = column;
    chosen.push_back(least);
  }
  return chosen;
}
