//===- TileFile.cpp - Tuned tile sizes of vLLM and SGLang -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/TileFile.h"

#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace mlir::moe;
namespace json = llvm::json;

const TileFile::Entry &TileFile::nearest(int64_t tokens) const {
  return *std::min_element(
      entries.begin(), entries.end(), [&](const Entry &a, const Entry &b) {
        return std::abs(a.tokens - tokens) < std::abs(b.tokens - tokens);
      });
}

std::string mlir::moe::getDownPath(StringRef path) {
  path.consume_back(".json");
  return (path + "_down.json").str();
}

//===----------------------------------------------------------------------===//
// Name
//===----------------------------------------------------------------------===//

/// The value of `key` in a name: up to the next key that a name can have, since
/// values hold commas of their own.
static std::optional<StringRef> findInName(StringRef name, StringRef key) {
  size_t at = name.find((key + "=").str());
  if (at == StringRef::npos || (at != 0 && name[at - 1] != ','))
    return std::nullopt;
  StringRef rest = name.drop_front(at + key.size() + 1);
  size_t end = rest.size();
  for (StringRef next : {",N=", ",device_name=", ",dtype=", ",block_shape=",
                         ",per_channel_quant="})
    end = std::min(end, rest.find(next));
  return rest.take_front(end);
}

static llvm::Error parseName(TileFile &file) {
  StringRef stem = file.name;
  stem.consume_back(".json");
  stem.consume_back("_down");
  auto number = [&](StringRef key,
                    std::optional<int64_t> &value) -> llvm::Error {
    std::optional<StringRef> text = findInName(stem, key);
    if (!text)
      return llvm::Error::success();
    int64_t parsed = 0;
    if (text->getAsInteger(10, parsed) || parsed < 1)
      return llvm::createStringError(file.name + ": the name's " + key + " '" +
                                     *text + "' is no positive integer");
    value = parsed;
    return llvm::Error::success();
  };
  // Other names say nothing.
  if (!stem.starts_with("E="))
    return llvm::Error::success();
  if (llvm::Error error = number("E", file.experts))
    return error;
  if (llvm::Error error = number("N", file.columns))
    return error;
  file.dtype = findInName(stem, "dtype").value_or("").str();
  if (std::optional<StringRef> shape = findInName(stem, "block_shape")) {
    StringRef inner = *shape;
    if (!inner.consume_front("[") || !inner.consume_back("]"))
      return llvm::createStringError(file.name + ": the name's block_shape '" +
                                     *shape + "' is no list");
    for (StringRef piece : llvm::split(inner, ',')) {
      file.blockShape.emplace_back();
      if (piece.trim().getAsInteger(10, file.blockShape.back()))
        return llvm::createStringError(file.name +
                                       ": the name's block_shape '" + *shape +
                                       "' is no list of integers");
    }
  }
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Body
//===----------------------------------------------------------------------===//

static llvm::Error parseEntry(const TileFile &file, StringRef key,
                              const json::Value &value,
                              TileFile::Entry &entry) {
  auto fail = [&](const Twine &why) {
    return llvm::createStringError(file.name + ": tokens " + key + ": " + why);
  };
  const json::Object *object = value.getAsObject();
  if (!object)
    return fail("must be an object");
  std::pair<StringRef, int64_t *> numbers[] = {
      {"BLOCK_SIZE_M", &entry.blockM}, {"BLOCK_SIZE_N", &entry.blockN},
      {"BLOCK_SIZE_K", &entry.blockK}, {"GROUP_SIZE_M", &entry.groupM},
      {"num_warps", &entry.warps},     {"num_stages", &entry.stages},
      {"SPLIT_K", &entry.splitK},      {"waves_per_eu", &entry.wavesPerEu},
      {"kpack", &entry.kpack}};
  for (auto [name, target] : ArrayRef(numbers).take_front(3))
    if (!object->get(name))
      return fail("key '" + name + "' is missing");
  for (const auto &field : *object) {
    StringRef name = field.first;
    const json::Value &member = field.second;
    // These choose instructions of a GPU, which the target decides here.
    if (name == "USE_TMA" || name == "grf_mode" ||
        name == "matrix_instr_nonkdim")
      continue;
    auto *known = llvm::find_if(
        numbers, [&](const auto &pair) { return pair.first == name; });
    if (known == std::end(numbers))
      return fail("unknown key '" + name + "'");
    std::optional<int64_t> number = member.getAsInteger();
    bool block = known < numbers + 3;
    if (!number || *number < (block ? 1 : 0) || *number > (1 << 20))
      return fail("'" + known->first + "' must be an integer in [" +
                  Twine(block ? 1 : 0) + ", 1048576]");
    *known->second = *number;
  }
  return llvm::Error::success();
}

llvm::Expected<TileFile> mlir::moe::parseTileFile(StringRef path,
                                                  StringRef text) {
  TileFile file;
  file.name = llvm::sys::path::filename(path).str();
  if (llvm::Error error = parseName(file))
    return std::move(error);
  llvm::Expected<json::Value> root = json::parse(text);
  if (!root)
    return llvm::createStringError(file.name + ": " +
                                   llvm::toString(root.takeError()));
  const json::Object *object = root->getAsObject();
  if (!object)
    return llvm::createStringError(file.name + ": must hold one JSON object");
  for (const auto &[key, value] : *object) {
    StringRef name = key;
    if (name == "triton_version")
      continue;
    TileFile::Entry entry;
    if (name.getAsInteger(10, entry.tokens) || entry.tokens < 1)
      return llvm::createStringError(file.name + ": key '" + name +
                                     "' is no number of tokens");
    if (llvm::Error error = parseEntry(file, name, value, entry))
      return std::move(error);
    file.entries.push_back(entry);
  }
  if (file.entries.empty())
    return llvm::createStringError(file.name + ": has no tile sizes");
  // A JSON object has no order, but the rule for ties has.
  auto place = [&](const TileFile::Entry &entry) {
    return text.find(("\"" + Twine(entry.tokens) + "\"").str());
  };
  llvm::sort(file.entries,
             [&](const TileFile::Entry &a, const TileFile::Entry &b) {
               return place(a) < place(b);
             });
  return file;
}

//===----------------------------------------------------------------------===//
// Use
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

/// Whether the file's name is about this GEMM of `experts` experts and
/// `intermediate` columns between the projections.
static LogicalResult checkName(GroupedGemmOp gemm, const TileFile &file,
                               int64_t experts, int64_t intermediate,
                               bool hasShared) {
  auto refuse = [&] { return gemm.emitError(file.name) << ": "; };
  // SGLang may count a fused shared expert.
  if (file.experts && *file.experts != experts &&
      !(hasShared && *file.experts == experts + 1))
    return refuse() << "is for E = " << *file.experts
                    << " experts, the layer has " << experts;
  // SGLang counts packed columns of 4-bit weights.
  if (file.columns && *file.columns != intermediate &&
      !(file.dtype == "int4_w4a16" && *file.columns * 2 == intermediate))
    return refuse() << "is for N = " << *file.columns
                    << ", the intermediate size of the layer is "
                    << intermediate;
  StringRef dtype = dtypeOf(gemm);
  if (file.experts && file.dtype != dtype &&
      !(file.dtype.empty() && dtype == "float32"))
    return refuse() << "is for dtype '" << file.dtype << "', the layer has '"
                    << dtype << "'";
  QuantAttr quant = gemm.getBQuantAttr();
  if (file.blockShape.size() == 2 && quant &&
      (file.blockShape[0] != quant.getGranuleRows() ||
       file.blockShape[1] != quant.getGranuleCols()))
    return refuse() << "is for scale blocks of " << file.blockShape[0] << " x "
                    << file.blockShape[1] << ", the layer has "
                    << quant.getGranuleRows() << " x "
                    << quant.getGranuleCols();
  return success();
}

static ConfigAttr makeConfig(GroupedGemmOp gemm, const TileFile::Entry &entry) {
  Builder b(gemm.getContext());
  SmallVector<NamedAttribute> fields;
  int64_t n = gemm.getGateUpAttr() ? std::max<int64_t>(1, entry.blockN / 2)
                                   : entry.blockN;
  // A tile that quantises its result computes whole groups.
  if (QuantAttr closing = gemm.getQuantizeAttr())
    if (closing.getGranuleCols() != QuantAttr::kWhole)
      n = closing.getGranuleCols();
  int64_t k = entry.blockK >= gemm.getReductionSize() ? 0 : entry.blockK;
  fields.push_back(
      b.getNamedAttr("block", b.getI64ArrayAttr({entry.blockM, n, k})));
  std::tuple<StringRef, int64_t, int64_t> numbers[] = {
      {"stages", entry.stages, 1}, {"group_m", entry.groupM, 1},
      {"warps", entry.warps, 0},   {"split_k", entry.splitK, 1},
      {"kpack", entry.kpack, 1},   {"waves_per_eu", entry.wavesPerEu, 0}};
  for (auto [name, value, fallback] : numbers)
    if (value != fallback && value != 0)
      fields.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
  fields.push_back(b.getNamedAttr("source", b.getStringAttr("user")));
  return ConfigAttr::get(gemm.getContext(), b.getDictionaryAttr(fields));
}

LogicalResult mlir::moe::applyTileFiles(ModuleOp module, const TileFile &up,
                                        const TileFile &down, int64_t tokens) {
  SmallVector<GroupedGemmOp> gemms;
  bool hasShared = false;
  module.walk([&](GroupedGemmOp gemm) {
    if (gemm.getRouting().getDefiningOp<RouteAllOp>())
      hasShared = true;
    else
      gemms.push_back(gemm);
  });
  if (gemms.empty())
    return module.emitError("--config: the layer has no grouped GEMM");
  for (GroupedGemmOp gemm : gemms) {
    bool isUp = gemm.getRows() == RowSource::Gather;
    const TileFile &file = isUp ? up : down;
    int64_t intermediate = isUp ? gemm.getOutCols() : gemm.getReductionSize();
    if (failed(checkName(gemm, file, gemm.getNumExperts(), intermediate,
                         hasShared)))
      return failure();
    if (!gemm.getChosenConfig())
      gemm.setConfigAttr(ArrayAttr::get(
          gemm.getContext(), {makeConfig(gemm, file.nearest(tokens))}));
  }
  return success();
}
