//===- Export.cpp - Tables as files of vLLM and SGLang --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/AsmParser/AsmParser.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Support/FileIO.h"
#include "moec/TunedConfigs/TunedFile.h"
#include "moec/Tuner/Tune.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;

/// Their kernel multiplies at least this many rows.
static constexpr int64_t leastBlockM = 16;
/// Warps of one team.
static constexpr int64_t teamWarps = 4;

static TunedTiles makeTiles(ConfigAttr config, const LayerSizes &sizes,
                            int64_t tokens, bool down) {
  TunedTiles tiles;
  tiles.tokens = tokens;
  tiles.blockM = std::max(config.getBlockM(), leastBlockM);
  // They compute all rows of the weights, and activate afterwards.
  tiles.blockN = config.getBlockN() * (sizes.gated && !down ? 2 : 1);
  int64_t all = down ? sizes.intermediate : sizes.hidden;
  tiles.blockK = config.getBlockK() ? config.getBlockK() : all;
  tiles.groupM = config.getInt("group_m");
  tiles.warps = config.getInt("warps");
  if (tiles.warps == 0)
    tiles.warps = teamWarps * config.getInt("compute_groups");
  tiles.stages = config.getInt("stages");
  tiles.splitK = config.getInt("split_k");
  tiles.wavesPerEu = config.getInt("waves_per_eu");
  tiles.kpack = config.getInt("kpack");
  if (down)
    tiles.useTma = config.getString("a") == "desc";
  return tiles;
}

FailureOr<std::vector<TunedTiles>>
mlir::moe::makeTunedLadder(ModuleOp module, const TunedTable &table,
                           bool down) {
  FailureOr<LayerSizes> sizes = readLayerSizes(module);
  if (failed(sizes))
    return failure();
  std::vector<TunedTiles> entries;
  for (int64_t tokens : getTunedBatchLadder()) {
    TunedChoice choice;
    if (const TunedCell *cell = table.nearest(tokens);
        cell && cell->tokens == tokens) {
      choice = cell->choices[cell->best];
    } else {
      FailureOr<std::vector<TunedChoice>> ranked =
          rankChoices(module, table.target, tokens, 1);
      if (failed(ranked) || ranked->empty())
        return failure();
      choice = ranked->front();
    }
    auto config = dyn_cast_or_null<ConfigAttr>(
        parseAttribute(down ? choice.configs.back() : choice.configs.front(),
                       module.getContext()));
    if (!config)
      return module.emitError("moe-tune: a choice for ")
             << tokens << " tokens is no configuration";
    entries.push_back(makeTiles(config, *sizes, tokens, down));
  }
  return entries;
}

Error mlir::moe::writeTunedFiles(ModuleOp module, const TunedTable &table,
                                 const TuneOptions &options,
                                 std::vector<std::string> &written) {
  FailureOr<LayerSizes> sizes = readLayerSizes(module);
  if (failed(sizes))
    return llvm::createStringError("the layer cannot be tuned");
  TunedLayer layer;
  layer.experts = sizes->experts;
  layer.intermediate = sizes->intermediate;
  layer.dtype = sizes->dtype;
  layer.blockShape = sizes->blockShape;
  layer.device = options.device.empty() ? table.device : options.device;
  std::tuple<StringRef, TunedSystem, bool> files[] = {
      {options.vllm, TunedSystem::Vllm, false},
      {options.sglang, TunedSystem::Sglang, false},
      {options.sglang, TunedSystem::Sglang, true}};
  for (auto [folder, system, down] : files) {
    if (folder.empty())
      continue;
    FailureOr<std::vector<TunedTiles>> entries =
        makeTunedLadder(module, table, down);
    if (failed(entries))
      return llvm::createStringError("the selector has no choice for a batch "
                                     "size of the ladder");
    if (std::error_code code = llvm::sys::fs::create_directories(folder))
      return llvm::createStringError("cannot make '" + folder +
                                     "': " + code.message());
    SmallString<256> path(folder);
    llvm::sys::path::append(
        path, printTunedName(nameTunedLayer(layer, system, down), system));
    std::string text = printTunedFile(*entries);
    if (Error error =
            writeFile(path, [&](llvm::raw_ostream &os) { os << text; }))
      return error;
    written.push_back(path.str().str());
  }
  return Error::success();
}
