//===- TunedName.cpp - Names of tuned configuration files -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/TunedConfigs/TunedName.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <array>

using namespace mlir::moe;
using llvm::StringRef;

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// The value of `key` in a name: up to the next key that a name can have, since
/// values hold commas of their own.
static std::optional<StringRef> findInName(StringRef name, StringRef key) {
  size_t at = name.starts_with((key + "=").str())
                  ? 0
                  : name.find(("," + key + "=").str());
  if (at == StringRef::npos)
    return std::nullopt;
  StringRef rest = name.drop_front(at + (at != 0) + key.size() + 1);
  size_t end = rest.size();
  for (StringRef next : {",N=", ",device_name=", ",dtype=", ",block_shape=",
                         ",per_channel_quant="})
    end = std::min(end, rest.find(next));
  return rest.take_front(end);
}

llvm::Expected<std::optional<TunedName>>
mlir::moe::parseTunedName(StringRef path) {
  StringRef stem = llvm::sys::path::filename(path);
  std::string shown = stem.str();
  stem.consume_back(".json");
  if (!stem.starts_with("E="))
    return std::optional<TunedName>();
  TunedName name;
  name.down = stem.consume_back("_down");
  auto fail = [&](StringRef key, StringRef value, const llvm::Twine &why) {
    return llvm::createStringError(shown + ": the name's " + key + " '" +
                                   value + "' is no " + why);
  };
  for (auto [key, target] :
       {std::pair("E", &name.experts), std::pair("N", &name.columns)}) {
    std::optional<StringRef> text = findInName(stem, key);
    if (!text)
      continue;
    int64_t parsed = 0;
    if (text->getAsInteger(10, parsed) || parsed < 1)
      return fail(key, *text, "positive integer");
    *target = parsed;
  }
  name.device = findInName(stem, "device_name").value_or("").str();
  name.dtype = findInName(stem, "dtype").value_or("").str();
  if (std::optional<StringRef> text = findInName(stem, "per_channel_quant")) {
    if (*text != "True" && *text != "False")
      return fail("per_channel_quant", *text, "True or False");
    name.perChannel = *text == "True";
  }
  if (std::optional<StringRef> shape = findInName(stem, "block_shape")) {
    StringRef inner = *shape;
    if (!inner.consume_front("[") || !inner.consume_back("]"))
      return fail("block_shape", *shape, "list");
    for (StringRef piece : llvm::split(inner, ',')) {
      name.blockShape.emplace_back();
      if (piece.trim().getAsInteger(10, name.blockShape.back()))
        return fail("block_shape", *shape, "list of integers");
    }
  }
  return std::optional(std::move(name));
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

std::string mlir::moe::printTunedName(const TunedName &name,
                                      TunedSystem system) {
  bool vllm = system == TunedSystem::Vllm;
  std::string text = "E=" + std::to_string(name.experts.value_or(0)) +
                     ",N=" + std::to_string(name.columns.value_or(0)) +
                     ",device_name=" + name.device;
  if (!name.dtype.empty())
    text += ",dtype=" + name.dtype;
  if (!name.blockShape.empty()) {
    text += ",block_shape=[";
    for (auto [i, extent] : llvm::enumerate(name.blockShape))
      text += (i == 0 ? "" : vllm ? "," : ", ") + std::to_string(extent);
    text += "]";
  }
  if (name.perChannel && !vllm)
    text += ",per_channel_quant=True";
  if (name.down && !vllm)
    text += "_down";
  return text + ".json";
}

std::string mlir::moe::getTunedDeviceName(StringRef device,
                                          TunedSystem system) {
  std::string name;
  if (system == TunedSystem::Sglang) {
    for (char c : device)
      name += c == ' ' ? '_' : c;
    return name;
  }
  bool gap = false;
  for (char c : device) {
    bool separates = llvm::isSpace(c) || c == '/';
    if (separates && !gap)
      name += '_';
    else if (!separates)
      name += c;
    gap = separates;
  }
  llvm::SmallVector<StringRef> tokens;
  StringRef(name).split(tokens, '_');
  return llvm::is_contained(tokens, "H200") ? "NVIDIA_H200" : name;
}

TunedName mlir::moe::nameTunedLayer(const TunedLayer &layer, TunedSystem system,
                                    bool down) {
  bool vllm = system == TunedSystem::Vllm;
  TunedName name;
  name.experts = layer.experts + (layer.fusedShared && !vllm);
  name.columns = layer.dtype == "int4_w4a16" && !vllm ? layer.intermediate / 2
                                                      : layer.intermediate;
  name.device = getTunedDeviceName(layer.device, system);
  name.dtype = layer.dtype;
  if (!llvm::is_contained(layer.blockShape, 0))
    name.blockShape = layer.blockShape;
  name.perChannel = layer.perChannel && !vllm;
  name.down = down && !vllm;
  return name;
}

//===----------------------------------------------------------------------===//
// Folders
//===----------------------------------------------------------------------===//

/// The numbers of `triton_X_Y_Z`; nothing for another name.
static std::optional<std::array<unsigned, 3>> parseVersion(StringRef folder) {
  std::array<unsigned, 3> version = {0, 0, 0};
  if (!folder.consume_front("triton_"))
    return std::nullopt;
  llvm::SmallVector<StringRef> pieces;
  folder.split(pieces, '_');
  if (pieces.size() != version.size())
    return std::nullopt;
  for (auto [piece, number] : llvm::zip_equal(pieces, version))
    if (piece.getAsInteger(10, number))
      return std::nullopt;
  return version;
}

std::vector<std::string> mlir::moe::getTunedFolders(TunedSystem system,
                                                    StringRef folder,
                                                    StringRef bundled,
                                                    StringRef triton) {
  std::vector<std::string> folders;
  if (system == TunedSystem::Vllm) {
    for (StringRef path : {folder, bundled})
      if (!path.empty())
        folders.push_back(path.str());
    return folders;
  }
  llvm::SmallString<256> base(folder.empty() ? bundled : folder);
  if (base.empty())
    return folders;
  llvm::sys::path::append(base, "configs");
  std::string own = "triton_" + triton.str();
  std::replace(own.begin(), own.end(), '.', '_');
  std::vector<std::pair<std::array<unsigned, 3>, std::string>> others;
  std::error_code error;
  for (llvm::sys::fs::directory_iterator entry(base, error), end;
       entry != end && !error; entry.increment(error)) {
    StringRef name = llvm::sys::path::filename(entry->path());
    if (auto version = parseVersion(name); version && name != own)
      others.emplace_back(*version, entry->path());
  }
  llvm::sort(others, std::greater<>());
  if (!triton.empty()) {
    llvm::SmallString<256> path(base);
    llvm::sys::path::append(path, own);
    folders.push_back(path.str().str());
  }
  for (auto &[version, path] : others)
    folders.push_back(std::move(path));
  return folders;
}

std::string mlir::moe::findTunedFile(llvm::ArrayRef<std::string> folders,
                                     StringRef name) {
  for (const std::string &folder : folders) {
    llvm::SmallString<256> path(folder);
    llvm::sys::path::append(path, name);
    if (llvm::sys::fs::is_regular_file(path))
      return path.str().str();
  }
  return "";
}

std::string mlir::moe::getTunedDownPath(StringRef path) {
  path.consume_back(".json");
  return (path + "_down.json").str();
}
