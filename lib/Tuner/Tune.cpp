//===- Tune.cpp - Measure what the selector ranks first -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/Tune.h"

#include "Progress.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moec/Driver/Jit.h"
#include "moec/Tuner/Measure.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/xxhash.h"

#include <map>

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

//===----------------------------------------------------------------------===//
// Decision
//===----------------------------------------------------------------------===//

size_t mlir::moe::findFastest(const TunedCell &cell) {
  size_t fastest = 0;
  for (auto [i, choice] : llvm::enumerate(cell.choices)) {
    double best = cell.choices[fastest].us;
    if (choice.us > 0 && (best <= 0 || choice.us < best))
      fastest = i;
  }
  return fastest;
}

void mlir::moe::decideCell(TunedCell &cell, double margin,
                           ArrayRef<double> ratios) {
  size_t fastest = findFastest(cell);
  // One that does not run is no rival.
  bool alone = cell.choices[0].us <= 0;
  cell.won = fastest != 0 && !ratios.empty() &&
             llvm::all_of(ratios, [&](double ratio) {
               return ratio > 0 && ratio < 1 - margin;
             });
  cell.best = cell.won || alone ? fastest : 0;
}

//===----------------------------------------------------------------------===//
// Cells
//===----------------------------------------------------------------------===//

/// Routings by token count.
static Expected<std::map<int64_t, std::vector<TuneCase>>>
makeCells(const LayerSpec &spec, const TuneOptions &options) {
  std::map<int64_t, std::vector<TuneCase>> cells;
  for (const std::string &path : options.idsFiles) {
    Expected<TopkIds> ids = readTopkIds(path, spec.globalExperts);
    if (!ids)
      return ids.takeError();
    if (ids->topk != spec.topk)
      return llvm::createStringError(
          llvm::formatv("{0}: has {1} experts per token, the layer {2}", path,
                        ids->topk, spec.topk));
    TuneCase one;
    one.run.tokens = ids->tokens;
    one.run.idsFile = path;
    one.name = path;
    cells[ids->tokens].push_back(std::move(one));
  }
  if (!options.idsFiles.empty())
    return cells;
  for (int64_t tokens : options.layer.options.tokens)
    for (RoutingArchetype routing : options.routings) {
      TuneCase one;
      one.run.tokens = tokens;
      one.archetype = routing;
      one.name = getRoutingArchetypeName(routing).str();
      cells[tokens].push_back(std::move(one));
    }
  return cells;
}

static std::string nameCases(ArrayRef<TuneCase> cases) {
  std::string text;
  for (const TuneCase &one : cases)
    text +=
        (text.empty() ? "" : ",") + llvm::sys::path::filename(one.name).str();
  return text;
}

/// A choice in a few words: "[64, 128, 0] [64, 64, 0]", the blocks.
static std::string shorten(const TunedChoice &choice) {
  std::string text;
  for (StringRef config : choice.configs) {
    StringRef block = config.substr(config.find('['));
    text +=
        (text.empty() ? "" : " ") + block.take_front(block.find(']') + 1).str();
  }
  return text;
}

static Error checkMemory(const LayerSpec &spec, int64_t tokens) {
  auto gigabytes = [](uint64_t bytes) {
    return llvm::formatv("{0:F2} GB", double(bytes) * 1e-9).str();
  };
  MemoryEstimate estimate = estimateMemory(spec, tokens, /*packs=*/true);
  uint64_t available = getAvailableMemoryBytes();
  llvm::errs() << "moe-tune: takes about " << gigabytes(estimate.total())
               << " of memory: weights " << gigabytes(estimate.weights)
               << ", activations " << gigabytes(estimate.activations)
               << ", workspace " << gigabytes(estimate.workspace)
               << ", to flush caches " << gigabytes(estimate.cacheFlush)
               << "\n";
  if (available == 0 || estimate.total() <= available)
    return Error::success();
  return llvm::createStringError("that is more than the " +
                                 gigabytes(available) +
                                 " that are available; fewer experts by --ep, "
                                 "or fewer tokens take less");
}

//===----------------------------------------------------------------------===//
// One machine
//===----------------------------------------------------------------------===//

namespace {
/// Measures cell by cell.
class CpuTuner {
public:
  CpuTuner(ModuleOp module, const TuneOptions &options)
      : module(module), options(options) {}
  Expected<TunedTable> run();

private:
  Error measureCell(int64_t tokens, ArrayRef<TuneCase> cases, TunedCell &cell);
  /// Times of one choice with one routing, from the journal or anew.
  Expected<JournalEntry> measure(const TuneCase &one, int64_t tokens,
                                 const TunedChoice &choice);
  /// Times of `choice` over those of `base`, both anew and in turn.
  Expected<double> compare(ArrayRef<TuneCase> cases, int64_t tokens,
                           const TunedChoice &base, const TunedChoice &choice,
                           int64_t repeat);
  Expected<LayerOpener> compile(int64_t tokens, const TunedChoice &choice);
  std::string makeKey(StringRef kind, ArrayRef<TuneCase> cases,
                      ArrayRef<std::string> configs) const;

  ModuleOp module;
  const TuneOptions &options;
  LayerSizes sizes;
  LayerSpec spec;
  std::unique_ptr<CpuBench> bench;
  std::optional<Journal> journal;
  std::optional<Progress> progress;
  /// Kernels of this run by their configurations.
  std::map<std::string, LayerOpener> opened;
};
} // namespace

std::string CpuTuner::makeKey(StringRef kind, ArrayRef<TuneCase> cases,
                              ArrayRef<std::string> configs) const {
  std::string key =
      llvm::formatv("{0}|{1}|{2}", kind, cases[0].run.tokens, options.seed);
  for (const TuneCase &one : cases)
    key += "|" + one.name;
  for (const std::string &config : configs)
    key += "|" + config;
  return key;
}

Expected<LayerOpener> CpuTuner::compile(int64_t tokens,
                                        const TunedChoice &choice) {
  std::string key = std::to_string(tokens) + llvm::join(choice.configs, "|");
  if (auto known = opened.find(key); known != opened.end())
    return known->second;
  CompileOptions compileOptions = options.layer.options;
  compileOptions.tokens = {tokens};
  compileOptions.link = false;
  compileOptions.tiles.table = makeSingleTable(sizes, "cpu", tokens, choice);
  std::string reason = "does not compile";
  ScopedDiagnosticHandler handler(
      module.getContext(), [&](Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
          return failure();
        reason = diagnostic.str();
        return success();
      });
  FailureOr<CompiledLayer> compiled = compileLayer(module, compileOptions);
  if (failed(compiled))
    return llvm::createStringError(reason);
  return opened[key] = openInMemory(module.getLoc(), std::move(*compiled));
}

Expected<JournalEntry> CpuTuner::measure(const TuneCase &one, int64_t tokens,
                                         const TunedChoice &choice) {
  std::string key = makeKey("time", one, choice.configs);
  if (const JournalEntry *known = journal->find(key))
    return *known;
  JournalEntry entry;
  if (Expected<LayerOpener> opener = compile(tokens, choice); !opener) {
    entry.failure = llvm::toString(opener.takeError());
  } else if (Expected<LayerRunner> runner = bench->open(*opener); !runner) {
    return runner.takeError();
  } else {
    Expected<std::vector<double>> samples = bench->time(*runner, options.runs);
    if (!samples)
      return samples.takeError();
    entry.samples = std::move(*samples);
  }
  if (Error error = journal->add(key, entry))
    return std::move(error);
  return entry;
}

Expected<double> CpuTuner::compare(ArrayRef<TuneCase> cases, int64_t tokens,
                                   const TunedChoice &base,
                                   const TunedChoice &choice, int64_t repeat) {
  std::vector<std::string> configs = base.configs;
  llvm::append_range(configs, choice.configs);
  std::string key = makeKey("compare" + std::to_string(repeat), cases, configs);
  if (const JournalEntry *known = journal->find(key);
      known && known->samples.size() == 1)
    return known->samples[0];
  double times[2] = {0, 0};
  for (const TuneCase &one : cases) {
    if (Error error = bench->setCase(one))
      return std::move(error);
    std::vector<LayerRunner> runners;
    for (const TunedChoice *which : {&base, &choice}) {
      Expected<LayerOpener> opener = compile(tokens, *which);
      if (!opener)
        return opener.takeError();
      Expected<LayerRunner> runner = bench->open(*opener);
      if (!runner)
        return runner.takeError();
      runners.push_back(std::move(*runner));
    }
    // In turn, so that both see the machine as it is; the first one changes.
    std::vector<double> samples[2];
    for (int64_t turn = 0; turn < options.runs; ++turn)
      for (int64_t i : {0, 1}) {
        int64_t which = (i + turn + repeat) % 2;
        Expected<std::vector<double>> some = bench->time(runners[which], 1);
        if (!some)
          return some.takeError();
        llvm::append_range(samples[which], *some);
      }
    for (int64_t which : {0, 1})
      times[which] += getMedian(samples[which]);
  }
  double ratio = times[1] / times[0];
  if (Error error = journal->add(key, {{ratio}, ""}))
    return std::move(error);
  return ratio;
}

Error CpuTuner::measureCell(int64_t tokens, ArrayRef<TuneCase> cases,
                            TunedCell &cell) {
  cell.tokens = tokens;
  cell.routing = nameCases(cases);
  FailureOr<std::vector<TunedChoice>> choices =
      rankChoices(module, "cpu", tokens, options.top);
  if (failed(choices))
    return llvm::createStringError("the selector has no choice for " +
                                   Twine(tokens) + " tokens");
  cell.choices = std::move(*choices);
  std::vector<double> sums(cell.choices.size());
  for (const TuneCase &one : cases) {
    if (Error error = bench->setCase(one))
      return error;
    TuneLoad load = bench->getLoad();
    double share = 1.0 / double(cases.size());
    cell.tokensPerExpert += load.tokensPerExpert * share;
    cell.activeExperts += int64_t(load.activeExperts * share + 0.5);
    cell.bytes += load.bytes * share;
    cell.flops += load.flops * share;
    for (auto [choice, sum] : llvm::zip_equal(cell.choices, sums)) {
      Expected<JournalEntry> entry = measure(one, tokens, choice);
      if (!entry)
        return entry.takeError();
      choice.failure = entry->failure;
      llvm::append_range(choice.samples, entry->samples);
      sum += getMedian(entry->samples);
      progress->step(llvm::formatv(
          "T={0} {1} {2}: {3}", tokens, llvm::sys::path::filename(one.name),
          shorten(choice),
          entry->failure.empty()
              ? llvm::formatv("{0:F1} us", getMedian(entry->samples)).str()
              : entry->failure));
    }
  }
  for (auto [choice, sum] : llvm::zip_equal(cell.choices, sums))
    choice.us = choice.failure.empty() ? sum / double(cases.size()) : 0;
  size_t fastest = findFastest(cell);
  if (cell.choices[fastest].us <= 0)
    return llvm::createStringError(
        llvm::formatv("no candidate for {0} tokens runs: {1}", tokens,
                      cell.choices.front().failure));
  std::vector<double> ratios;
  if (fastest != 0 && cell.choices[0].us > 0 &&
      cell.choices[fastest].us < cell.choices[0].us * (1 - options.margin))
    for (int64_t repeat = 0; repeat < options.repeats; ++repeat) {
      Expected<double> ratio = compare(cases, tokens, cell.choices[0],
                                       cell.choices[fastest], repeat);
      if (!ratio)
        return ratio.takeError();
      ratios.push_back(*ratio);
      progress->note(llvm::formatv("T={0}: against the selector's, x{1:F3}",
                                   tokens, *ratio));
      if (*ratio >= 1 - options.margin)
        break;
    }
  decideCell(cell, options.margin, ratios);
  opened.clear();
  return Error::success();
}

Expected<TunedTable> CpuTuner::run() {
  FailureOr<LayerSizes> read = readLayerSizes(module);
  if (failed(read))
    return llvm::createStringError("the layer cannot be tuned");
  sizes = std::move(*read);
  auto functions = llvm::to_vector(module.getOps<func::FuncOp>());
  if (functions.size() != 1)
    return llvm::createStringError(
        llvm::formatv("a module to tune has one function, this one has {0}",
                      functions.size()));
  Expected<LayerSpec> described = readLayerSpec(functions[0]);
  if (!described)
    return described.takeError();
  spec = std::move(*described);
  Expected<std::map<int64_t, std::vector<TuneCase>>> cells =
      makeCells(spec, options);
  if (!cells)
    return cells.takeError();
  if (Error error = checkMemory(spec, cells->rbegin()->first))
    return std::move(error);

  std::string text;
  llvm::raw_string_ostream(text) << module;
  Expected<Journal> opening = Journal::open(
      options.journal,
      {{"compiler",
        llvm::formatv("{0} of build {1}", moec_version(),
                      llvm::utohexstr(llvm::xxh3_64bits(getCompilerId())))},
       {"device", getProcessorName()},
       {"workers", std::to_string(options.workers)},
       {"isa", llvm::join(options.layer.options.isas, ",")},
       {"layer", llvm::utohexstr(llvm::xxh3_64bits(text))}},
      options.restart);
  if (!opening)
    return opening.takeError();
  journal = std::move(*opening);
  if (journal->size() && !options.quiet)
    llvm::errs() << "moe-tune: goes on with " << journal->size()
                 << " measurements of " << options.journal << "\n";

  Expected<std::unique_ptr<CpuBench>> made =
      CpuBench::create(spec, options.seed, options.workers);
  if (!made)
    return made.takeError();
  bench = std::move(*made);
  size_t total = 0;
  for (auto &[tokens, cases] : *cells)
    total += cases.size() * options.top;
  progress.emplace(total, options.quiet);

  TunedTable table;
  table.compiler = moec_version();
  table.target = "cpu";
  table.device = getProcessorName();
  table.dtype = spec.dtype;
  table.layer = spec.name;
  table.experts = sizes.experts;
  table.topk = sizes.topk;
  table.hidden = sizes.hidden;
  table.intermediate = sizes.intermediate;
  table.margin = options.margin;
  size_t done = 0;
  for (auto &[tokens, cases] : *cells) {
    if (Error error = measureCell(tokens, cases, table.cells.emplace_back()))
      return std::move(error);
    // Where there were fewer candidates than places.
    progress->setDone(done += cases.size() * options.top);
  }
  return table;
}

Expected<TunedTable> mlir::moe::tuneOnCpu(ModuleOp module,
                                          const TuneOptions &options) {
  return CpuTuner(module, options).run();
}
