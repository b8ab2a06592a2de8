//===- CubinCache.cpp - Code by the hash of its PTX -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Ptxas.h"

#include "llvm/ADT/StringExtras.h"

#include <chrono>

using namespace mlir::moe;
using llvm::Expected;
using llvm::StringRef;

static constexpr StringRef kind = "cubin";

static std::string getKey(const Ptxas &ptxas, StringRef ptx,
                          const NvidiaChip &chip) {
  return FileCache::hash(
      {ptx, ptxas.getVersion(), llvm::join(Ptxas::getFlags(chip), " ")});
}

std::string CubinCache::getPath(const Ptxas &ptxas, StringRef ptx,
                                const NvidiaChip &chip) const {
  return files.getPath(getKey(ptxas, ptx, chip), kind);
}

/// An entry is the length of ptxas's messages as a line, the messages, the
/// code.
static std::optional<Assembly> parse(StringRef text) {
  auto [length, content] = text.split('\n');
  size_t count = 0;
  if (length.getAsInteger(10, count) || count >= content.size())
    return std::nullopt;
  Assembly result;
  result.messages = content.take_front(count).str();
  result.cubin = content.drop_front(count).str();
  result.report = parsePtxasReport(result.messages);
  result.cached = true;
  return result;
}

Expected<Assembly> CubinCache::assemble(const Ptxas &ptxas, StringRef ptx,
                                        const NvidiaChip &chip,
                                        FileCache::Warn warn) const {
  auto start = std::chrono::steady_clock::now();
  std::string key = getKey(ptxas, ptx, chip);
  if (std::optional<std::string> text = files.load(key, kind, warn))
    if (std::optional<Assembly> known = parse(*text)) {
      known->seconds = std::chrono::duration<double>(
                           std::chrono::steady_clock::now() - start)
                           .count();
      return std::move(*known);
    }
  Expected<Assembly> made = ptxas.assemble(ptx, chip);
  if (made)
    files.store(key, kind,
                std::to_string(made->messages.size()) + "\n" + made->messages +
                    made->cubin,
                warn);
  return made;
}
