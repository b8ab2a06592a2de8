//===- GpuKit.cpp - Candidates for a GPU that is elsewhere ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Progress.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moec/Driver/LayerSpec.h"
#include "moec/Support/FileIO.h"
#include "moec/Tuner/Measure.h"
#include "moec/Tuner/Tune.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <map>

using namespace mlir;
using namespace mlir::moe;
namespace json = llvm::json;
using llvm::Error;
using llvm::Expected;

/// The format of sweep.json and of what is made of it.
static constexpr int64_t format = 1;

static Expected<LayerSpec> describe(ModuleOp module) {
  auto functions = llvm::to_vector(module.getOps<func::FuncOp>());
  if (functions.size() != 1)
    return llvm::createStringError(
        llvm::formatv("a module to tune has one function, this one has {0}",
                      functions.size()));
  return readLayerSpec(functions[0]);
}

/// The name by which the kit knows the layer.
static std::string getModelName(ModuleOp module, const LayerSpec &spec) {
  for (auto function : module.getOps<func::FuncOp>())
    if (auto name = function->getAttrOfType<StringAttr>("moe.model"))
      return name.str();
  return spec.name;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

namespace {
/// One artifact of the folder.
struct KitItem {
  std::string name;
  TunedChoice choice;
  std::vector<int64_t> tokens;
  /// For each of them, what the model says of the whole layer.
  json::Object predicted;
};
} // namespace

static Error compileItem(ModuleOp module, const TuneOptions &options,
                         const LayerSizes &sizes, const KitItem &item) {
  StringRef target = options.layer.options.targets.front();
  CompileOptions compileOptions = options.layer.options;
  compileOptions.tokens = {item.tokens.front()};
  compileOptions.tiles.table =
      makeSingleTable(sizes, target, item.tokens.front(), item.choice);
  std::string reason = "does not compile";
  ScopedDiagnosticHandler handler(
      module.getContext(), [&](Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
          return failure();
        reason = diagnostic.str();
        return success();
      });
  SmallString<256> path(options.kit);
  llvm::sys::path::append(path, item.name);
  FailureOr<CompiledLayer> layer = compileLayer(module, compileOptions);
  if (failed(layer) || failed(writeArtifact(module.getLoc(), *layer, path)))
    return llvm::createStringError(reason);
  return Error::success();
}

Error mlir::moe::writeGpuKit(ModuleOp module, const TuneOptions &options) {
  StringRef target = options.layer.options.targets.front();
  FailureOr<LayerSizes> sizes = readLayerSizes(module);
  if (failed(sizes))
    return llvm::createStringError("the layer cannot be tuned");
  Expected<LayerSpec> spec = describe(module);
  if (!spec)
    return spec.takeError();
  std::vector<KitItem> items;
  std::map<int64_t, std::vector<std::string>> ranks;
  for (int64_t tokens : options.layer.options.tokens) {
    FailureOr<std::vector<TunedChoice>> choices =
        rankChoices(module, target, tokens, options.top);
    if (failed(choices))
      return llvm::createStringError("the selector has no choice for " +
                                     Twine(tokens) + " tokens");
    for (TunedChoice &choice : *choices) {
      double predictedUs = choice.predictedUs;
      auto known = llvm::find_if(items, [&](const KitItem &item) {
        return item.choice.configs == choice.configs;
      });
      if (known == items.end()) {
        items.push_back(
            {llvm::formatv("m{0}-{1,0+3}", choice.blockM, items.size()),
             std::move(choice),
             {},
             {}});
        known = std::prev(items.end());
      }
      known->tokens.push_back(tokens);
      known->predicted[std::to_string(tokens)] =
          json::Object{{"whole", predictedUs}};
      ranks[tokens].push_back(known->name);
    }
  }
  if (std::error_code code = llvm::sys::fs::create_directories(options.kit))
    return llvm::createStringError("cannot make '" + options.kit +
                                   "': " + code.message());
  Progress progress(items.size(), options.quiet);
  json::Array artifacts, refused;
  for (const KitItem &item : items) {
    Error error = compileItem(module, options, *sizes, item);
    json::Object entry{{"name", item.name},
                       {"block_m", item.choice.blockM},
                       {"up", item.choice.configs.front()},
                       {"down", item.choice.configs.back()},
                       {"predicted_us", json::Object(item.predicted)},
                       {"tokens", json::Array(item.tokens)}};
    progress.step(item.name);
    if (error) {
      entry["reason"] = llvm::toString(std::move(error));
      refused.push_back(std::move(entry));
    } else {
      artifacts.push_back(std::move(entry));
    }
  }
  if (artifacts.empty())
    return llvm::createStringError(
        "no candidate compiles: " +
        refused[0].getAsObject()->getString("reason").value_or(""));
  json::Object ranked;
  for (auto &[tokens, names] : ranks)
    ranked[std::to_string(tokens)] = json::Array(names);
  json::Object document{{"format", format},
                        {"model", getModelName(module, *spec)},
                        {"dtype", spec->dtype},
                        {"target", target},
                        {"compiler", moec_version()},
                        {"sizes", json::Object{{"E", sizes->experts},
                                               {"k", sizes->topk},
                                               {"H", sizes->hidden},
                                               {"I", sizes->intermediate}}},
                        {"ranks", std::move(ranked)},
                        {"artifacts", std::move(artifacts)},
                        {"refused", std::move(refused)}};
  SmallString<256> path(options.kit);
  llvm::sys::path::append(path, "sweep.json");
  return writeFile(path, [&](llvm::raw_ostream &os) {
    os << llvm::formatv("{0:2}\n", json::Value(std::move(document)));
  });
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
/// A document that `gpu-kit/run sweep` has written.
class KitDocument {
public:
  KitDocument(StringRef path) : path(path) {}

  Error read(const LayerSizes &sizes, StringRef target);
  Expected<std::vector<TunedCell>> getCells(double margin);
  std::string getDevice() const;

private:
  Error fail(const Twine &why) const {
    return llvm::createStringError(path + ": " + why);
  }
  Expected<TunedCell> getCell(int64_t tokens, const json::Array &names,
                              double margin);

  std::string path;
  std::optional<json::Value> root;
  const json::Object *object = nullptr;
};
} // namespace

Error KitDocument::read(const LayerSizes &sizes, StringRef target) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return llvm::createStringError("cannot read '" + path +
                                   "': " + buffer.getError().message());
  Expected<json::Value> parsed = json::parse((*buffer)->getBuffer());
  if (!parsed)
    return fail(llvm::toString(parsed.takeError()));
  root = std::move(*parsed);
  object = root->getAsObject();
  if (!object || object->getInteger("format") != format ||
      !object->getArray("cells") || !object->getArray("artifacts") ||
      !object->getObject("ranks") || !object->getObject("sizes"))
    return fail("was not measured from a folder that moe-tune --kit wrote");
  StringRef compiler = object->getString("compiler").value_or("");
  if (compiler != moec_version())
    return fail("was measured with kernels of compiler version " + compiler +
                ", this is " + moec_version() + "; write the kit again");
  StringRef had = object->getString("target").value_or("");
  if (had != target)
    return fail("is for target " + had + ", not for " + target);
  std::pair<StringRef, int64_t> wanted[] = {{"E", sizes.experts},
                                            {"k", sizes.topk},
                                            {"H", sizes.hidden},
                                            {"I", sizes.intermediate}};
  for (auto [key, value] : wanted)
    if (int64_t other = object->getObject("sizes")->getInteger(key).value_or(0);
        other != value)
      return fail("is for a layer with " + key + " = " + Twine(other) +
                  ", not " + Twine(value));
  return Error::success();
}

std::string KitDocument::getDevice() const {
  const json::Object *machine = object->getObject("machine");
  return machine ? machine->getString("gpu").value_or("").str() : "";
}

Expected<TunedCell>
KitDocument::getCell(int64_t tokens, const json::Array &names, double margin) {
  TunedCell cell;
  cell.tokens = tokens;
  std::map<StringRef, size_t> places;
  for (const json::Value &name : names) {
    TunedChoice &choice = cell.choices.emplace_back();
    choice.failure = "was not measured";
    places[name.getAsString().value_or("")] = cell.choices.size() - 1;
    for (const json::Value &item : *object->getArray("artifacts")) {
      const json::Object *facts = item.getAsObject();
      if (!facts || facts->getString("name") != name.getAsString())
        continue;
      choice.blockM = facts->getInteger("block_m").value_or(0);
      choice.configs = {facts->getString("up").value_or("").str(),
                        facts->getString("down").value_or("").str()};
      if (const json::Object *all = facts->getObject("predicted_us"))
        if (const json::Object *here = all->getObject(std::to_string(tokens)))
          choice.predictedUs = here->getNumber("whole").value_or(0);
    }
  }
  int64_t routings = 0;
  std::vector<std::vector<double>> times(cell.choices.size());
  for (const json::Value &value : *object->getArray("cells")) {
    const json::Object *one = value.getAsObject();
    if (!one || one->getInteger("tokens") != tokens ||
        !one->getArray("results"))
      continue;
    ++routings;
    cell.routing += (cell.routing.empty() ? "" : ",") +
                    one->getString("routing").value_or("").str();
    int64_t active = one->getInteger("active").value_or(0);
    cell.activeExperts = active;
    if (active)
      cell.tokensPerExpert =
          double(one->getInteger("rows").value_or(0)) / double(active);
    for (const json::Value &result : *one->getArray("results")) {
      const json::Object *facts = result.getAsObject();
      if (!facts)
        continue;
      auto place = places.find(facts->getString("name").value_or(""));
      if (place != places.end())
        times[place->second].push_back(facts->getNumber("whole").value_or(0));
    }
  }
  if (routings == 0)
    return fail("has no cell of " + Twine(tokens) + " tokens");
  for (auto [choice, samples] : llvm::zip_equal(cell.choices, times)) {
    // With all routings, or not at all.
    if (int64_t(samples.size()) != routings ||
        llvm::any_of(samples, [](double us) { return us <= 0; }))
      continue;
    choice.failure = "";
    choice.samples = samples;
    for (double us : samples)
      choice.us += us / double(routings);
  }
  size_t fastest = findFastest(cell);
  if (cell.choices[fastest].us <= 0)
    return fail("has no time for " + Twine(tokens) + " tokens");
  std::vector<double> ratios;
  for (auto [base, own] :
       llvm::zip(cell.choices[0].samples, cell.choices[fastest].samples))
    ratios.push_back(own / base);
  decideCell(cell, margin, ratios);
  return cell;
}

Expected<std::vector<TunedCell>> KitDocument::getCells(double margin) {
  std::map<int64_t, TunedCell> cells;
  for (const auto &[key, value] : *object->getObject("ranks")) {
    int64_t tokens = 0;
    const json::Array *names = value.getAsArray();
    if (StringRef(key).getAsInteger(10, tokens) || !names || names->empty())
      return fail("'" + StringRef(key) +
                  "' of 'ranks' is no list for a token "
                  "count");
    Expected<TunedCell> cell = getCell(tokens, *names, margin);
    if (!cell)
      return cell.takeError();
    cells[tokens] = std::move(*cell);
  }
  std::vector<TunedCell> list;
  for (auto &[tokens, cell] : cells)
    list.push_back(std::move(cell));
  return list;
}

Expected<TunedTable> mlir::moe::readGpuTimes(ModuleOp module,
                                             const TuneOptions &options) {
  FailureOr<LayerSizes> sizes = readLayerSizes(module);
  if (failed(sizes))
    return llvm::createStringError("the layer cannot be tuned");
  Expected<LayerSpec> spec = describe(module);
  if (!spec)
    return spec.takeError();
  StringRef target = options.layer.options.targets.front();
  KitDocument document(options.measured);
  if (Error error = document.read(*sizes, target))
    return std::move(error);
  Expected<std::vector<TunedCell>> cells = document.getCells(options.margin);
  if (!cells)
    return cells.takeError();
  TunedTable table;
  table.compiler = moec_version();
  table.target = target.str();
  table.device = document.getDevice();
  table.dtype = spec->dtype;
  table.layer = getModelName(module, *spec);
  table.experts = sizes->experts;
  table.topk = sizes->topk;
  table.hidden = sizes->hidden;
  table.intermediate = sizes->intermediate;
  table.margin = options.margin;
  table.cells = std::move(*cells);
  return table;
}
