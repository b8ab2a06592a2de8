//===- TileFile.cpp - Tile sizes that somebody measured -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/TileFile.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Pass/PassManager.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

llvm::Expected<TileFile> mlir::moe::parseTileFile(StringRef path,
                                                  StringRef text) {
  TileFile tiles;
  llvm::Expected<std::optional<TunedName>> name = parseTunedName(path);
  if (!name)
    return name.takeError();
  tiles.name = std::move(*name);
  llvm::Expected<TunedFile> file = TunedFile::parse(path, text);
  if (!file)
    return file.takeError();
  tiles.file = std::move(*file);
  for (const TunedValue &other : tiles.file.getOthers())
    if (other.key != "triton_version")
      return llvm::createStringError(tiles.file.getFileName() + ": line " +
                                     Twine(other.line) + ": key '" + other.key +
                                     "' is no number of tokens");
  if (tiles.file.getEntries().empty())
    return llvm::createStringError(tiles.file.getFileName() +
                                   ": has no tile sizes");
  return std::move(tiles);
}

llvm::Expected<TunedTiles> TileFile::getTiles(int64_t tokens) const {
  return file.getTiles(*file.nearest(tokens));
}

std::string GivenTiles::describe() const {
  std::string text;
  for (const std::optional<TileFile> &file : {up, down})
    text += file
                ? (file->file.getFileName() + "\n" + file->file.getText()).str()
                : std::string("none\n");
  return text + (table ? printTunedTable(*table) : std::string("none\n"));
}

std::vector<std::string>
GivenTiles::getWarnings(ArrayRef<int64_t> tokens) const {
  std::vector<std::string> warnings;
  auto check = [&](StringRef name, int64_t key, int64_t wanted) {
    double distance = getTunedDistance(key, wanted);
    if (distance <= maxTunedDistance)
      return;
    warnings.push_back(llvm::formatv("{0}: the nearest key to {1} tokens is "
                                     "{2}, off by a factor of {3:F1}",
                                     name, wanted, key, distance));
  };
  for (int64_t wanted : tokens) {
    for (const std::optional<TileFile> &file : {up, down})
      if (file)
        check(file->file.getFileName(), file->file.nearest(wanted)->tokens,
              wanted);
    if (table)
      check("the table of " + table->layer, table->nearest(wanted)->tokens,
            wanted);
  }
  return warnings;
}

//===----------------------------------------------------------------------===//
// Whether a file is for a layer
//===----------------------------------------------------------------------===//

/// The name's word for how a GEMM's operands are stored, "" for plain values.
static StringRef dtypeOf(GroupedGemmOp gemm) {
  QuantAttr b = gemm.getBQuantAttr();
  if (!b)
    return cast<ShapedType>(gemm.getB().getType()).getElementType().isF32()
               ? "float32"
               : "";
  bool quantisedA = !!gemm.getAQuantAttr();
  if (isa<FloatType>(b.getElem()))
    return b.getElem().getIntOrFloatBitWidth() == 8 && quantisedA ? "fp8_w8a8"
                                                                  : "other";
  if (b.getElem().isInteger(8))
    return quantisedA ? "int8_w8a8" : "int8_w8a16";
  return "int4_w4a16";
}

/// Columns between the projections.
static int64_t getIntermediate(GroupedGemmOp gemm) {
  return gemm.getRows() == RowSource::Gather ? gemm.getOutCols()
                                             : gemm.getReductionSize();
}

/// Whether the file's name is about this GEMM.
static LogicalResult checkName(GroupedGemmOp gemm, const TileFile &file,
                               bool hasShared) {
  if (!file.name)
    return success();
  const TunedName &name = *file.name;
  int64_t experts = gemm.getNumExperts(), intermediate = getIntermediate(gemm);
  auto refuse = [&] { return gemm.emitError(file.file.getFileName()) << ": "; };
  // SGLang may count a fused shared expert.
  if (name.experts && *name.experts != experts &&
      !(hasShared && *name.experts == experts + 1))
    return refuse() << "is for E = " << *name.experts
                    << " experts, the layer has " << experts;
  // SGLang counts packed columns of 4-bit weights.
  if (name.columns && *name.columns != intermediate &&
      !(name.dtype == "int4_w4a16" && *name.columns * 2 == intermediate))
    return refuse() << "is for N = " << *name.columns
                    << ", the intermediate size of the layer is "
                    << intermediate;
  StringRef dtype = dtypeOf(gemm);
  if (name.experts && name.dtype != dtype &&
      !(name.dtype.empty() && dtype == "float32"))
    return refuse() << "is for dtype '" << name.dtype << "', the layer has '"
                    << dtype << "'";
  QuantAttr quant = gemm.getBQuantAttr();
  if (name.blockShape.size() == 2 && quant &&
      (name.blockShape[0] != quant.getGranuleRows() ||
       name.blockShape[1] != quant.getGranuleCols()))
    return refuse() << "is for scale blocks of " << name.blockShape[0] << " x "
                    << name.blockShape[1] << ", the layer has "
                    << quant.getGranuleRows() << " x "
                    << quant.getGranuleCols();
  return success();
}

/// A K tile has one scale; only weights without a quantised operand beside them
/// may take several whole ones.
static LogicalResult checkScaleGroups(GroupedGemmOp gemm, const TileFile &file,
                                      const TunedTiles &tiles) {
  for (auto [quant, side] : {std::pair(gemm.getAQuantAttr(), "a"),
                             std::pair(gemm.getBQuantAttr(), "b")}) {
    if (!quant || quant.getScaleCols(gemm.getReductionSize()) == 1)
      continue;
    int64_t group = quant.getGranuleCols();
    bool whole = group % tiles.blockK == 0 ||
                 (!gemm.getAQuantAttr() && tiles.blockK % group == 0);
    if (!whole)
      return gemm.emitError(file.file.getFileName())
             << ": tokens " << tiles.tokens << ": BLOCK_SIZE_K " << tiles.blockK
             << " spans two scale groups of " << group << " columns of "
             << side;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// From fields to configurations
//===----------------------------------------------------------------------===//

namespace {
/// What becomes of an entry's fields, for people.
class Mapping {
public:
  Mapping(GroupedGemmOp gemm, const TileFile &file, const TunedTiles &tiles)
      : gemm(gemm), source(llvm::formatv("{0}[{1}]", file.file.getFileName(),
                                         tiles.tokens)) {}

  void take(const Twine &text) { add(taken, text); }
  /// Fields that have no counterpart, where they are said.
  void ignore(StringRef name, int64_t value, int64_t silent) {
    if (value != silent)
      add(ignored, name + " " + Twine(value));
  }
  const std::string &getSource() const { return source; }
  void remark() {
    std::string text = source + ": " + taken;
    if (!ignored.empty())
      text += "; ignored: " + ignored;
    remark::passed(
        gemm.getLoc(),
        remark::RemarkOpts::name("given-tiles").category("moe-compile"))
        << remark::reason("{0}", text);
  }

private:
  static void add(std::string &list, const Twine &text) {
    list += (list.empty() ? "" : ", ") + text.str();
  }

  GroupedGemmOp gemm;
  std::string source, taken, ignored;
};

/// A GEMM and the entry that is for it.
struct GivenGemm {
  GroupedGemmOp gemm;
  const TileFile *file;
  TunedTiles tiles;
};
} // namespace

/// The configuration with some fields set.
static ConfigAttr setFields(ConfigAttr config,
                            ArrayRef<std::pair<StringRef, Attribute>> changes) {
  NamedAttrList fields(config.getFields());
  for (auto [name, value] : changes)
    fields.set(name, value);
  return ConfigAttr::get(config.getContext(),
                         fields.getDictionary(config.getContext()));
}

static ConfigAttr makeCpuConfig(const GivenGemm &given) {
  GroupedGemmOp gemm = given.gemm;
  const TunedTiles &tiles = given.tiles;
  Builder b(gemm.getContext());
  Mapping mapping(gemm, *given.file, tiles);
  SmallVector<NamedAttribute> fields;
  int64_t n = gemm.getGateUpAttr() ? std::max<int64_t>(1, tiles.blockN / 2)
                                   : tiles.blockN;
  // A tile that quantises its result computes whole groups.
  if (QuantAttr closing = gemm.getQuantizeAttr())
    if (closing.getGranuleCols() != QuantAttr::kWhole)
      n = closing.getGranuleCols();
  int64_t k = tiles.blockK >= gemm.getReductionSize() ? 0 : tiles.blockK;
  mapping.take(llvm::formatv("BLOCK_SIZE_M {0} is block m", tiles.blockM));
  mapping.take(
      llvm::formatv("BLOCK_SIZE_N {0} is block n {1}", tiles.blockN, n));
  mapping.take(llvm::formatv("BLOCK_SIZE_K {0} is k step {1}", tiles.blockK,
                             k ? std::to_string(k) : "all of K"));
  fields.push_back(
      b.getNamedAttr("block", b.getI64ArrayAttr({tiles.blockM, n, k})));
  std::tuple<StringRef, int64_t, int64_t> numbers[] = {
      {"stages", tiles.stages, 1}, {"group_m", tiles.groupM, 1},
      {"warps", tiles.warps, 0},   {"split_k", tiles.splitK, 1},
      {"kpack", tiles.kpack, 1},   {"waves_per_eu", tiles.wavesPerEu, 0}};
  for (auto [name, value, fallback] : numbers)
    if (value != fallback && value != 0)
      fields.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
  mapping.ignore("matrix_instr_nonkdim", tiles.matrixInstr, 0);
  if (tiles.useTma)
    mapping.ignore("USE_TMA", *tiles.useTma, -1);
  fields.push_back(
      b.getNamedAttr("source", b.getStringAttr(mapping.getSource())));
  mapping.remark();
  return ConfigAttr::get(gemm.getContext(), b.getDictionaryAttr(fields));
}

/// Of the selector's candidates the one with the nearest rows of weights.
static ConfigAttr chooseGpuConfig(const GivenGemm &given) {
  GroupedGemmOp gemm = given.gemm;
  const TunedTiles &tiles = given.tiles;
  Builder b(gemm.getContext());
  Mapping mapping(gemm, *given.file, tiles);
  int64_t perColumn = gemm.getGateUpAttr() ? 2 : 1;
  auto distance = [&](Attribute attr) {
    int64_t rows = cast<ConfigAttr>(attr).getBlockN() * perColumn;
    return std::abs(std::log2(double(rows) / double(tiles.blockN)));
  };
  ArrayAttr list = gemm.getConfigAttr();
  auto best = cast<ConfigAttr>(*std::min_element(
      list.begin(), list.end(), [&](Attribute left, Attribute right) {
        return distance(left) < distance(right);
      }));
  mapping.take(llvm::formatv("BLOCK_SIZE_M {0} is block m {1}", tiles.blockM,
                             best.getBlockM()));
  mapping.take(llvm::formatv("BLOCK_SIZE_N {0} is {1} rows of weights",
                             tiles.blockN, best.getBlockN() * perColumn));
  mapping.take(llvm::formatv("BLOCK_SIZE_K {0} is k step {1}", tiles.blockK,
                             best.getBlockK()));
  SmallVector<std::pair<StringRef, Attribute>> changes;
  if (tiles.stages > 0 && best.getBlockK() > 0) {
    // As many columns on their way as theirs; not more than fit.
    int64_t fit = best.getInt("stages");
    int64_t least =
        std::min<int64_t>(fit, best.getString("b_place") == "compute" ? 4 : 2);
    int64_t stages =
        std::clamp(tiles.stages * tiles.blockK / best.getBlockK(), least, fit);
    changes.emplace_back("stages", b.getI64IntegerAttr(stages));
    mapping.take(
        llvm::formatv("num_stages {0} is {1} stages", tiles.stages, stages));
  }
  mapping.ignore("GROUP_SIZE_M", tiles.groupM, 1);
  mapping.ignore("SPLIT_K", tiles.splitK, 1);
  mapping.ignore("num_warps", tiles.warps, 0);
  mapping.ignore("matrix_instr_nonkdim", tiles.matrixInstr, 0);
  mapping.ignore("kpack", tiles.kpack, 1);
  if (tiles.wavesPerEu > 0 && best.getInt("waves_per_eu") != 0) {
    changes.emplace_back("waves_per_eu", b.getI64IntegerAttr(tiles.wavesPerEu));
    mapping.take(llvm::formatv("waves_per_eu {0}", tiles.wavesPerEu));
  } else {
    mapping.ignore("waves_per_eu", tiles.wavesPerEu, 0);
  }
  if (tiles.useTma)
    mapping.ignore("USE_TMA", *tiles.useTma, -1);
  changes.emplace_back("source", b.getStringAttr(mapping.getSource()));
  mapping.remark();
  return setFields(best, changes);
}

//===----------------------------------------------------------------------===//
// Use
//===----------------------------------------------------------------------===//

/// GEMMs of routed experts, and whether there are others.
static SmallVector<GroupedGemmOp> findRouted(ModuleOp module, bool &hasShared) {
  SmallVector<GroupedGemmOp> gemms;
  module.walk([&](GroupedGemmOp gemm) {
    if (gemm.getRouting().getDefiningOp<RouteAllOp>())
      hasShared = true;
    else
      gemms.push_back(gemm);
  });
  return gemms;
}

/// Rows of a tile on a GPU: two teams of 64 are the most, but for packed
/// weights, whose tokens are the instruction's columns.
static int64_t limitBlockM(GroupedGemmOp gemm, int64_t blockM) {
  QuantAttr quant = gemm.getBQuantAttr();
  bool packed = quant && quant.getElem().isInteger(4);
  return std::min<int64_t>(blockM, packed ? 256 : 128);
}

/// Gives all GEMMs of these the candidates of the selector with the block rows
/// of the first.
static LogicalResult makeCandidates(ModuleOp module, ArrayRef<GivenGemm> given,
                                    StringRef target, int64_t tokens) {
  for (const GivenGemm &one : given) {
    GroupedGemmOp gemm = one.gemm;
    Value routing = gemm.getRouting();
    auto type = cast<RoutingType>(routing.getType());
    if (type.getBlockM() != 1)
      continue;
    int64_t blockM = limitBlockM(gemm, given.front().tiles.blockM);
    routing.setType(RoutingType::get(module.getContext(), type.getExperts(),
                                     type.getTopk(), blockM));
  }
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
  MoeSelectConfigOptions options;
  options.target = target.str();
  options.tokens = tokens;
  options.limit = 64;
  passes.addPass(createMoeSelectConfig(options));
  return passes.run(module);
}

static LogicalResult applyFiles(ModuleOp module, const GivenTiles &tiles,
                                StringRef target, int64_t tokens) {
  bool hasShared = false;
  SmallVector<GivenGemm> given;
  for (GroupedGemmOp gemm : findRouted(module, hasShared)) {
    bool isUp = gemm.getRows() == RowSource::Gather;
    const TileFile &file = isUp || !tiles.down ? *tiles.up : *tiles.down;
    if (failed(checkName(gemm, file, hasShared)))
      return failure();
    llvm::Expected<TunedTiles> entry = file.getTiles(tokens);
    if (!entry)
      return gemm.emitError(llvm::toString(entry.takeError()));
    if (failed(checkScaleGroups(gemm, file, *entry)))
      return failure();
    if (!gemm.getChosenConfig())
      given.push_back({gemm, &file, *entry});
  }
  if (given.empty() && !hasShared && findRouted(module, hasShared).empty())
    return module.emitError("--config: the layer has no grouped GEMM");
  if (given.empty())
    return success();
  // One alignment serves both: the systems, too, take the first one's rows.
  int64_t blockM = given.front().tiles.blockM;
  for (GivenGemm &one : given)
    if (blockM % one.tiles.blockM != 0) {
      emitWarning(one.gemm.getLoc())
          << one.file->file.getFileName() << ": tokens " << one.tiles.tokens
          << ": BLOCK_SIZE_M " << one.tiles.blockM << " becomes " << blockM
          << ", as in the file of the up-projection";
      one.tiles.blockM = blockM;
    }
  if (target == "cpu") {
    for (const GivenGemm &one : given)
      GroupedGemmOp(one.gemm).setConfigAttr(
          ArrayAttr::get(module.getContext(), {makeCpuConfig(one)}));
    return success();
  }
  if (failed(makeCandidates(module, given, target, tokens)))
    return failure();
  for (const GivenGemm &one : given) {
    GroupedGemmOp gemm = one.gemm;
    SmallVector<Attribute> list = {chooseGpuConfig(one)};
    // Behind it those with the same block, should it not assemble.
    auto same = [&](Attribute other) {
      return cast<ConfigAttr>(other).getInts("block") ==
             cast<ConfigAttr>(list.front()).getInts("block");
    };
    for (Attribute other : gemm.getConfigAttr())
      if (same(other) && other != list.front())
        list.push_back(other);
    gemm.setConfigAttr(ArrayAttr::get(gemm.getContext(), list));
  }
  return success();
}

static LogicalResult applyTable(ModuleOp module, const TunedTable &table,
                                StringRef target, int64_t tokens) {
  if (table.target != target)
    return module.emitError("--config: the table is for target ")
           << table.target << ", not for " << target;
  bool hasShared = false;
  SmallVector<GroupedGemmOp> gemms = findRouted(module, hasShared);
  const TunedCell &cell = *table.nearest(tokens);
  const TunedChoice &choice = cell.choices[cell.best];
  if (gemms.size() != choice.configs.size())
    return module.emitError("--config: the table has ")
           << choice.configs.size() << " configurations for " << cell.tokens
           << " tokens, the layer " << gemms.size()
           << " products with routed experts";
  for (auto [gemm, text] : llvm::zip_equal(gemms, choice.configs)) {
    if (gemm.getNumExperts() != table.experts ||
        getIntermediate(gemm) != table.intermediate)
      return gemm.emitError("--config: the table is for E = ")
             << table.experts << ", I = " << table.intermediate
             << ", the layer has E = " << gemm.getNumExperts()
             << ", I = " << getIntermediate(gemm);
    if (gemm.getChosenConfig())
      continue;
    ConfigAttr config;
    {
      ScopedDiagnosticHandler quiet(module.getContext(),
                                    [](Diagnostic &) { return success(); });
      config = dyn_cast_or_null<ConfigAttr>(
          parseAttribute(text, module.getContext()));
    }
    if (!config)
      return gemm.emitError("--config: the table's '")
             << text << "' is no configuration";
    Builder b(module.getContext());
    gemm.setConfigAttr(ArrayAttr::get(
        module.getContext(),
        {setFields(config, {{"source", b.getStringAttr("tuner")}})}));
    remark::passed(
        gemm.getLoc(),
        remark::RemarkOpts::name("given-tiles").category("moe-compile"))
        << remark::reason("{0}", llvm::formatv("measured best of {0} for {1} "
                                               "tokens, {2}",
                                               cell.choices.size(), cell.tokens,
                                               cell.routing)
                                     .str());
  }
  return success();
}

LogicalResult mlir::moe::applyGivenTiles(ModuleOp module,
                                         const GivenTiles &tiles,
                                         StringRef target, int64_t tokens) {
  if (tiles.isEmpty())
    return success();
  return tiles.table ? applyTable(module, *tiles.table, target, tokens)
                     : applyFiles(module, tiles, target, tokens);
}
