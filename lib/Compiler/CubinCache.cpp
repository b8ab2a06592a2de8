//===- CubinCache.cpp - Code by the hash of its PTX -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Ptxas.h"

#include "moec/Support/FileIO.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>

using namespace mlir::moe;
using llvm::Expected;
using llvm::StringRef;

/// First line of an entry. The second is the checksum of all that follows: the
/// length of ptxas's messages as a line, the messages, the code.
static constexpr StringRef magic = "moec-cubin 1";

static std::string hash(llvm::ArrayRef<StringRef> pieces) {
  llvm::SHA256 sha;
  for (StringRef piece : pieces) {
    // The length keeps two lists with the same joined text apart.
    sha.update(std::to_string(piece.size()) + ":");
    sha.update(piece);
  }
  return llvm::toHex(sha.final(), /*LowerCase=*/true);
}

std::string CubinCache::getDefaultDirectory() {
  if (auto named = llvm::sys::Process::GetEnv("MOEC_CACHE_DIR");
      named && !named->empty())
    return *named;
  // $XDG_CACHE_HOME or ~/.cache.
  llvm::SmallString<128> path;
  if (!llvm::sys::path::cache_directory(path))
    return "";
  llvm::sys::path::append(path, "moec");
  return std::string(path);
}

std::string CubinCache::getPath(const Ptxas &ptxas, StringRef ptx,
                                const NvidiaChip &chip) const {
  std::vector<std::string> flags = Ptxas::getFlags(chip);
  std::string key =
      hash({ptx, ptxas.getVersion(), llvm::join(flags, " ")}).substr(0, 40);
  llvm::SmallString<128> path(directory);
  llvm::sys::path::append(path, key.substr(0, 2), key.substr(2) + ".cubin");
  return std::string(path);
}

/// The entry's content, or no value if it is damaged.
static std::optional<Assembly> parse(StringRef text) {
  auto [first, rest] = text.split('\n');
  auto [checksum, body] = rest.split('\n');
  if (first != magic || checksum != hash({body}))
    return std::nullopt;
  auto [length, content] = body.split('\n');
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

Expected<Assembly>
CubinCache::assemble(const Ptxas &ptxas, StringRef ptx, const NvidiaChip &chip,
                     llvm::function_ref<void(const llvm::Twine &)> warn) const {
  auto start = std::chrono::steady_clock::now();
  std::string path = getPath(ptxas, ptx, chip);
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                          /*RequiresNullTerminator=*/false,
                                          /*IsVolatile=*/true);
  if (file) {
    if (std::optional<Assembly> known = parse((*file)->getBuffer())) {
      known->seconds = std::chrono::duration<double>(
                           std::chrono::steady_clock::now() - start)
                           .count();
      return std::move(*known);
    }
    warn("the cache's entry '" + path + "' is damaged and is made anew");
  }
  Expected<Assembly> made = ptxas.assemble(ptx, chip);
  if (!made)
    return made;
  // The temporary file is renamed at the end: a reader sees all or nothing.
  std::string body = std::to_string(made->messages.size()) + "\n" +
                     made->messages + made->cubin;
  std::error_code error =
      llvm::sys::fs::create_directories(llvm::sys::path::parent_path(path));
  if (error)
    warn("the cache cannot be written: '" + directory +
         "': " + error.message());
  else if (llvm::Error failed = writeFile(path, [&](llvm::raw_ostream &os) {
             os << magic << "\n" << hash({body}) << "\n" << body;
           }))
    warn("the cache cannot be written: " + llvm::toString(std::move(failed)));
  return made;
}
