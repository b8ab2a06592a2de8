//===- TunedFile.cpp - Text of tuned configuration files ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/TunedConfigs/TunedFile.h"

#include "TunedText.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Path.h"

using namespace mlir::moe;
using llvm::StringRef;
using llvm::Twine;

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

const TunedValue *TunedEntry::find(StringRef key) const {
  auto at = llvm::find_if(
      values, [&](const TunedValue &value) { return value.key == key; });
  return at == values.end() ? nullptr : &*at;
}

llvm::Expected<TunedFile> TunedFile::parse(StringRef path, StringRef text) {
  TunedFile file;
  file.fileName = llvm::sys::path::filename(path).str();
  file.text = text.str();
  llvm::Expected<std::vector<TunedMember>> members =
      readTunedText(file.fileName, file.text);
  if (!members)
    return members.takeError();
  for (TunedMember &member : *members) {
    StringRef key = member.value.key;
    int64_t tokens = 0;
    bool isCount = !key.getAsInteger(10, tokens) && tokens >= 1;
    if (!isCount) {
      file.others.push_back(std::move(member.value));
      continue;
    }
    auto fail = [&](const Twine &why) {
      return llvm::createStringError(file.fileName + ": line " +
                                     Twine(member.value.line) + ": tokens " +
                                     key + ": " + why);
    };
    if (!member.isObject)
      return fail("must be an object");
    // "64" and "064" are two keys and one count.
    if (file.find(tokens))
      return fail("stands there twice");
    file.entries.push_back(
        {tokens, std::move(member.members), member.value.line});
  }
  return std::move(file);
}

const TunedEntry *TunedFile::find(int64_t tokens) const {
  auto at = llvm::find_if(
      entries, [&](const TunedEntry &entry) { return entry.tokens == tokens; });
  return at == entries.end() ? nullptr : &*at;
}

const TunedEntry *TunedFile::nearest(int64_t tokens) const {
  auto at = std::min_element(entries.begin(), entries.end(),
                             [&](const TunedEntry &a, const TunedEntry &b) {
                               return std::abs(a.tokens - tokens) <
                                      std::abs(b.tokens - tokens);
                             });
  return at == entries.end() ? nullptr : &*at;
}

//===----------------------------------------------------------------------===//
// Changing
//===----------------------------------------------------------------------===//

llvm::Error TunedFile::set(int64_t tokens, StringRef key, TunedValue::Kind kind,
                           int64_t number, StringRef spelling) {
  auto entry = llvm::find_if(
      entries, [&](const TunedEntry &entry) { return entry.tokens == tokens; });
  if (entry == entries.end())
    return llvm::createStringError(fileName + ": has no tokens " +
                                   Twine(tokens));
  auto value = llvm::find_if(
      entry->values, [&](const TunedValue &value) { return value.key == key; });
  if (value == entry->values.end())
    return llvm::createStringError(fileName + ": line " + Twine(entry->line) +
                                   ": tokens " + Twine(tokens) +
                                   ": has no key '" + key + "'");
  if (value->kind != kind)
    return llvm::createStringError(
        fileName + ": line " + Twine(value->line) + ": tokens " +
        Twine(tokens) + ": '" + key + "' is no " +
        (kind == TunedValue::Integer ? "integer" : "boolean"));
  size_t begin = value->begin, end = value->end;
  text.replace(begin, end - begin, spelling.str());
  value->number = number;
  // What stands behind moves; an object that holds the value is no value.
  auto move = [&](TunedValue &other) {
    if (other.begin > begin)
      other.begin += spelling.size() - (end - begin);
    if (other.end >= end)
      other.end += spelling.size() - (end - begin);
  };
  for (TunedEntry &other : entries)
    llvm::for_each(other.values, move);
  llvm::for_each(others, move);
  return llvm::Error::success();
}

llvm::Error TunedFile::setInteger(int64_t tokens, StringRef key,
                                  int64_t value) {
  return set(tokens, key, TunedValue::Integer, value, std::to_string(value));
}

llvm::Error TunedFile::setBoolean(int64_t tokens, StringRef key, bool value) {
  return set(tokens, key, TunedValue::Boolean, value, value ? "true" : "false");
}

//===----------------------------------------------------------------------===//
// Using
//===----------------------------------------------------------------------===//

namespace {
/// An integer key, and where it goes.
struct KnownKey {
  StringRef name;
  int64_t TunedTiles::*field;
  bool isBlock;
};
} // namespace

static constexpr int64_t largest = 1 << 20;

/// In the order in which the systems' tuners write them.
static const KnownKey keys[] = {
    {"BLOCK_SIZE_M", &TunedTiles::blockM, true},
    {"BLOCK_SIZE_N", &TunedTiles::blockN, true},
    {"BLOCK_SIZE_K", &TunedTiles::blockK, true},
    {"GROUP_SIZE_M", &TunedTiles::groupM, false},
    {"SPLIT_K", &TunedTiles::splitK, false},
    {"num_warps", &TunedTiles::warps, false},
    {"num_stages", &TunedTiles::stages, false},
    {"waves_per_eu", &TunedTiles::wavesPerEu, false},
    {"matrix_instr_nonkdim", &TunedTiles::matrixInstr, false},
    {"kpack", &TunedTiles::kpack, false},
};

llvm::Expected<TunedTiles> TunedFile::getTiles(const TunedEntry &entry) const {
  auto fail = [&](unsigned line, const Twine &why) {
    return llvm::createStringError(fileName + ": line " + Twine(line) +
                                   ": tokens " + Twine(entry.tokens) + ": " +
                                   why);
  };
  for (const TunedValue &other : others)
    if (other.key != "triton_version")
      return llvm::createStringError(fileName + ": line " + Twine(other.line) +
                                     ": key '" + other.key +
                                     "' is no number of tokens");
  TunedTiles tiles;
  tiles.tokens = entry.tokens;
  for (const KnownKey &key : keys)
    if (key.isBlock && !entry.find(key.name))
      return fail(entry.line, "key '" + key.name + "' is missing");
  for (const TunedValue &value : entry.values) {
    if (value.key == "USE_TMA") {
      if (value.kind != TunedValue::Boolean)
        return fail(value.line, "'USE_TMA' must be true or false");
      tiles.useTma = value.number != 0;
      continue;
    }
    // Of Intel's GPUs: how many registers a thread has.
    if (value.key == "grf_mode")
      continue;
    const KnownKey *known = llvm::find_if(
        keys, [&](const KnownKey &key) { return key.name == value.key; });
    if (known == std::end(keys))
      return fail(value.line, "unknown key '" + value.key + "'");
    if (value.kind != TunedValue::Integer ||
        value.number < int64_t(known->isBlock) || value.number > largest)
      return fail(value.line, "'" + known->name + "' must be an integer in [" +
                                  Twine(int64_t(known->isBlock)) + ", " +
                                  Twine(largest) + "]");
    tiles.*known->field = value.number;
  }
  return tiles;
}

double mlir::moe::getTunedDistance(int64_t key, int64_t tokens) {
  double a = double(std::max<int64_t>(key, 1)),
         b = double(std::max<int64_t>(tokens, 1));
  return std::max(a / b, b / a);
}

llvm::ArrayRef<int64_t> mlir::moe::getTunedBatchLadder() {
  static const int64_t ladder[] = {1,   2,    4,    8,    16,   24,
                                   32,  48,   64,   96,   128,  256,
                                   512, 1024, 1536, 2048, 3072, 4096};
  return ladder;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

std::string mlir::moe::printTunedFile(llvm::ArrayRef<TunedTiles> entries,
                                      StringRef tritonVersion) {
  std::string text = "{";
  const char *separator = "\n";
  if (!tritonVersion.empty()) {
    text += "\n    \"triton_version\": \"" + tritonVersion.str() + "\"";
    separator = ",\n";
  }
  for (const TunedTiles &tiles : entries) {
    text += separator;
    separator = ",\n";
    text += "    \"" + std::to_string(tiles.tokens) + "\": {";
    const char *comma = "\n";
    auto add = [&](StringRef key, const std::string &value) {
      text += comma;
      comma = ",\n";
      text += "        \"" + key.str() + "\": " + value;
    };
    for (const KnownKey &key : keys) {
      int64_t value = tiles.*key.field;
      bool always = &key - keys < 4 || key.name == "num_warps" ||
                    key.name == "num_stages";
      bool isDefault = key.name == "SPLIT_K" || key.name == "kpack"
                           ? value <= 1
                           : value == 0;
      if (always || !isDefault)
        add(key.name, std::to_string(value));
    }
    if (tiles.useTma)
      add("USE_TMA", *tiles.useTma ? "true" : "false");
    text += "\n    }";
  }
  return text + (entries.empty() && tritonVersion.empty() ? "}\n" : "\n}\n");
}
