//===- FileCache.cpp - What was made before, by its hash ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/FileCache.h"

#include "moec/Support/FileIO.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Chrono.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

#include <fcntl.h>
#include <sys/stat.h>

using namespace mlir::moe;
using llvm::StringRef;
namespace fs = llvm::sys::fs;

/// Digits of a key, of which two name the directory.
static constexpr size_t keyDigits = 40, directoryDigits = 2;

std::optional<FileCache> FileCache::getDefault(Warn warn) {
  uint64_t mebibytes = 1024;
  if (auto text = llvm::sys::Process::GetEnv("MOEC_CACHE_SIZE");
      text && !text->empty()) {
    uint64_t read = 0;
    if (StringRef(*text).getAsInteger(10, read) || read > (uint64_t(1) << 40))
      warn("MOEC_CACHE_SIZE: '" + *text +
           "' is no number of MiB, the cache keeps 1024");
    else
      mebibytes = read;
  }
  if (mebibytes == 0)
    return std::nullopt;
  if (auto named = llvm::sys::Process::GetEnv("MOEC_CACHE_DIR");
      named && !named->empty())
    return FileCache(*named, mebibytes << 20);
  // $XDG_CACHE_HOME or ~/.cache.
  llvm::SmallString<128> path;
  if (!llvm::sys::path::cache_directory(path))
    return std::nullopt;
  llvm::sys::path::append(path, "moec");
  return FileCache(std::string(path), mebibytes << 20);
}

std::string FileCache::hash(llvm::ArrayRef<StringRef> pieces) {
  llvm::SHA256 sha;
  for (StringRef piece : pieces) {
    // The length keeps two lists with the same joined text apart.
    sha.update(std::to_string(piece.size()) + ":");
    sha.update(piece);
  }
  return llvm::toHex(sha.final(), /*LowerCase=*/true);
}

std::string FileCache::getPath(StringRef key, StringRef kind) const {
  llvm::SmallString<128> path(directory);
  llvm::sys::path::append(
      path, key.take_front(directoryDigits),
      key.substr(directoryDigits, keyDigits - directoryDigits) + "." + kind);
  return std::string(path);
}

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

/// First line of an entry. The second is the checksum of all that follows.
static std::string magic(StringRef kind) {
  return ("moec-" + kind + " 1").str();
}

std::optional<std::string> FileCache::load(StringRef key, StringRef kind,
                                           Warn warn) const {
  std::string path = getPath(key, kind);
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                          /*RequiresNullTerminator=*/false,
                                          /*IsVolatile=*/true);
  if (!file)
    return std::nullopt;
  auto [first, rest] = (*file)->getBuffer().split('\n');
  auto [checksum, text] = rest.split('\n');
  if (first != magic(kind) || checksum != hash({text})) {
    warn("the cache's entry '" + path + "' is damaged and is made anew");
    return std::nullopt;
  }
  // The time of the last use; a cache that cannot be written has none.
  (void)::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return text.str();
}

void FileCache::store(StringRef key, StringRef kind, StringRef text,
                      Warn warn) const {
  std::string path = getPath(key, kind);
  if (std::error_code error =
          fs::create_directories(llvm::sys::path::parent_path(path))) {
    warn("the cache cannot be written: '" + directory +
         "': " + error.message());
    return;
  }
  if (llvm::Error error = writeFile(path, [&](llvm::raw_ostream &os) {
        os << magic(kind) << "\n" << hash({text}) << "\n" << text;
      })) {
    warn("the cache cannot be written: " + llvm::toString(std::move(error)));
    return;
  }
  trim();
}

//===----------------------------------------------------------------------===//
// The bound
//===----------------------------------------------------------------------===//

namespace {
struct Entry {
  std::string path;
  uint64_t bytes;
  llvm::sys::TimePoint<> used;
};
} // namespace

/// Whether a file's name is one that getPath gives out.
static bool isEntry(StringRef name) {
  auto [stem, kind] = name.split('.');
  return stem.size() == keyDigits - directoryDigits && !kind.empty() &&
         llvm::all_of(stem, llvm::isHexDigit) &&
         llvm::all_of(kind, [](char c) { return llvm::isAlpha(c); });
}

/// Whether a file's name is that of an entry which is being written.
static bool isUnfinished(StringRef name) {
  StringRef entry = name.rsplit(".tmp-").first;
  return isEntry(entry) && isTemporaryNameOf(name, entry);
}

void FileCache::trim() const {
  std::vector<Entry> entries;
  uint64_t total = 0;
  auto now = std::chrono::system_clock::now();
  std::error_code error;
  for (fs::directory_iterator outer(directory, error), end;
       !error && outer != end; outer.increment(error)) {
    StringRef name = llvm::sys::path::filename(outer->path());
    if (name.size() != directoryDigits || !llvm::all_of(name, llvm::isHexDigit))
      continue;
    // What vanishes under the hands of this loop was removed by another one.
    std::error_code inside;
    for (fs::directory_iterator inner(outer->path(), inside);
         !inside && inner != end; inner.increment(inside)) {
      StringRef file = llvm::sys::path::filename(inner->path());
      llvm::ErrorOr<fs::basic_file_status> status = inner->status();
      if (!status || !fs::is_regular_file(*status))
        continue;
      if (isUnfinished(file) &&
          now - status->getLastModificationTime() > std::chrono::hours(1))
        fs::remove(inner->path());
      if (!isEntry(file))
        continue;
      entries.push_back({inner->path(), status->getSize(),
                         status->getLastModificationTime()});
      total += status->getSize();
    }
  }
  if (total <= maxBytes)
    return;
  llvm::sort(entries, [](const Entry &a, const Entry &b) {
    return std::tie(a.used, a.path) < std::tie(b.used, b.path);
  });
  for (const Entry &entry : entries) {
    if (total <= maxBytes)
      break;
    fs::remove(entry.path);
    total -= entry.bytes;
  }
}
