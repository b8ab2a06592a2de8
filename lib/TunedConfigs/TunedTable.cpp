//===- TunedTable.cpp - What a tuning run measured ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/TunedConfigs/TunedTable.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>

using namespace mlir::moe;
namespace json = llvm::json;
using llvm::StringRef;
using llvm::Twine;

/// The number of the format.
static constexpr int64_t format = 1;

const TunedCell *TunedTable::nearest(int64_t tokens) const {
  auto at = std::min_element(
      cells.begin(), cells.end(), [&](const TunedCell &a, const TunedCell &b) {
        return std::abs(a.tokens - tokens) < std::abs(b.tokens - tokens);
      });
  return at == cells.end() ? nullptr : &*at;
}

bool mlir::moe::isTunedTable(StringRef text) {
  // The first key of what printTunedTable writes.
  text = text.ltrim();
  return text.consume_front("{") && text.ltrim().starts_with("\"moec_tuned\"");
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static void printChoice(json::OStream &os, const TunedChoice &choice) {
  os.object([&] {
    os.attribute("block_m", choice.blockM);
    os.attributeArray("configs", [&] {
      for (const std::string &config : choice.configs)
        os.value(config);
    });
    os.attribute("us", choice.us);
    os.attribute("predicted_us", choice.predictedUs);
    os.attributeArray("samples", [&] {
      for (double sample : choice.samples)
        os.value(sample);
    });
    if (!choice.failure.empty())
      os.attribute("failure", choice.failure);
  });
}

static void printCell(json::OStream &os, const TunedCell &cell) {
  os.object([&] {
    os.attribute("tokens", cell.tokens);
    os.attribute("routing", cell.routing);
    os.attribute("tokens_per_expert", cell.tokensPerExpert);
    os.attribute("active_experts", cell.activeExperts);
    os.attribute("bytes", cell.bytes);
    os.attribute("flops", cell.flops);
    os.attribute("best", static_cast<int64_t>(cell.best));
    os.attribute("won", cell.won);
    const TunedChoice &best = cell.choices[cell.best];
    os.attribute("tune_best_block_m", best.blockM);
    if (!best.configs.empty()) {
      os.attribute("tune_best_up", best.configs.front());
      os.attribute("tune_best_down", best.configs.back());
    }
    os.attribute("tune_best_us", best.us);
    os.attributeArray("tune_configs", [&] {
      for (const TunedChoice &choice : cell.choices)
        printChoice(os, choice);
    });
  });
}

std::string mlir::moe::printTunedTable(const TunedTable &table) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  json::OStream os(stream, 1);
  os.object([&] {
    os.attribute("moec_tuned", format);
    os.attribute("compiler", table.compiler);
    os.attribute("target", table.target);
    os.attribute("device", table.device);
    os.attributeObject("layer", [&] {
      os.attribute("name", table.layer);
      os.attribute("dtype", table.dtype);
      os.attribute("E", table.experts);
      os.attribute("k", table.topk);
      os.attribute("H", table.hidden);
      os.attribute("I", table.intermediate);
    });
    os.attribute("margin", table.margin);
    os.attributeArray("cells", [&] {
      for (const TunedCell &cell : table.cells)
        printCell(os, cell);
    });
  });
  return text + "\n";
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

static bool fromJSON(const json::Value &value, TunedChoice &choice,
                     json::Path path) {
  json::ObjectMapper map(value, path);
  return map && map.map("block_m", choice.blockM) &&
         map.map("configs", choice.configs) && map.map("us", choice.us) &&
         map.mapOptional("predicted_us", choice.predictedUs) &&
         map.mapOptional("samples", choice.samples) &&
         map.mapOptional("failure", choice.failure);
}

static bool fromJSON(const json::Value &value, TunedCell &cell,
                     json::Path path) {
  json::ObjectMapper map(value, path);
  int64_t best = 0;
  if (!map || !map.map("tokens", cell.tokens) ||
      !map.map("routing", cell.routing) || !map.map("best", best) ||
      !map.mapOptional("won", cell.won) ||
      !map.mapOptional("tokens_per_expert", cell.tokensPerExpert) ||
      !map.mapOptional("active_experts", cell.activeExperts) ||
      !map.mapOptional("bytes", cell.bytes) ||
      !map.mapOptional("flops", cell.flops))
    return false;
  const json::Array *list = value.getAsObject()->getArray("tune_configs");
  if (!list) {
    path.field("tune_configs").report("expected array");
    return false;
  }
  for (auto [i, item] : llvm::enumerate(*list))
    if (!fromJSON(item, cell.choices.emplace_back(),
                  path.field("tune_configs").index(i)))
      return false;
  if (best < 0 || static_cast<size_t>(best) >= cell.choices.size()) {
    path.field("best").report("is the number of no configuration");
    return false;
  }
  cell.best = best;
  if (cell.tokens < 1) {
    path.field("tokens").report("must be positive");
    return false;
  }
  return true;
}

llvm::Expected<TunedTable>
mlir::moe::parseTunedTable(StringRef path, StringRef text, StringRef compiler) {
  std::string name = llvm::sys::path::filename(path).str();
  auto fail = [&](const Twine &why) {
    return llvm::createStringError(name + ": " + why);
  };
  llvm::Expected<json::Value> parsed = json::parse(text);
  if (!parsed)
    return fail(llvm::toString(parsed.takeError()));
  json::Path::Root root(name);
  json::Path at(root);
  // What cannot be read tells its place, not a version.
  auto describe = [&] {
    std::string message = llvm::toString(root.getError());
    return llvm::createStringError(message);
  };
  TunedTable table;
  json::ObjectMapper map(*parsed, at);
  int64_t number = 0;
  if (!map || !map.map("moec_tuned", number) ||
      !map.map("compiler", table.compiler))
    return describe();
  if (number != format)
    return fail("is of format " + Twine(number) + ", this compiler reads " +
                Twine(format));
  if (table.compiler != compiler)
    return fail("was measured with kernels of compiler version " +
                table.compiler + ", this is " + compiler +
                "; tune again with moe-tune");
  const json::Object &object = *parsed->getAsObject();
  const json::Object *layer = object.getObject("layer");
  if (!layer)
    return fail("has no object 'layer'");
  json::Value layerValue(json::Object{*layer});
  json::ObjectMapper sizes(layerValue, at.field("layer"));
  if (!map.map("target", table.target) || !map.map("device", table.device) ||
      !map.mapOptional("margin", table.margin) ||
      !sizes.map("name", table.layer) || !sizes.map("dtype", table.dtype) ||
      !sizes.map("E", table.experts) || !sizes.map("k", table.topk) ||
      !sizes.map("H", table.hidden) || !sizes.map("I", table.intermediate))
    return describe();
  const json::Array *cells = object.getArray("cells");
  if (!cells)
    return fail("has no array 'cells'");
  for (auto [i, cell] : llvm::enumerate(*cells))
    if (!fromJSON(cell, table.cells.emplace_back(), at.field("cells").index(i)))
      return describe();
  if (table.cells.empty())
    return fail("has no cells");
  return std::move(table);
}
