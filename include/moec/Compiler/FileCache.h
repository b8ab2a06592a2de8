//===- FileCache.h - What was made before, by its hash ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_FILECACHE_H
#define MOEC_COMPILER_FILECACHE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"

#include <cstdint>
#include <optional>
#include <string>

namespace mlir::moe {

/// Texts in a directory, by the hash of what decides them. Several processes
/// may use the directory, and any may delete what is in it at any time.
class FileCache {
public:
  /// Gets what does no harm but should be known.
  using Warn = llvm::function_ref<void(const llvm::Twine &)>;

  /// Entries take `maxBytes` at most, beyond that those whose last use is
  /// longest ago are removed.
  FileCache(std::string directory, uint64_t maxBytes)
      : directory(std::move(directory)), maxBytes(maxBytes) {}

  /// The user's cache: $MOEC_CACHE_DIR, else $XDG_CACHE_HOME/moec, else
  /// ~/.cache/moec, of $MOEC_CACHE_SIZE MiB, else 1024. No value if there is no
  /// home either, or the size is 0. A size that is no number is told, and 1024
  /// taken instead.
  static std::optional<FileCache> getDefault(Warn warn);

  /// A key that differs for different lists of texts.
  static std::string hash(llvm::ArrayRef<llvm::StringRef> pieces);

  /// The file of an entry. `kind` is its extension, a word.
  std::string getPath(llvm::StringRef key, llvm::StringRef kind) const;

  /// The entry's text. No value: there is none, or it is damaged, which is
  /// told.
  std::optional<std::string> load(llvm::StringRef key, llvm::StringRef kind,
                                  Warn warn) const;

  /// Stores a text in one step: a reader sees all of it or nothing. Then
  /// removes what is too much. A directory that cannot be written is told.
  void store(llvm::StringRef key, llvm::StringRef kind, llvm::StringRef text,
             Warn warn) const;

  /// Removes the oldest entries beyond the bound, and what writers that were
  /// killed left.
  void trim() const;

private:
  std::string directory;
  uint64_t maxBytes;
};

} // namespace mlir::moe

#endif // MOEC_COMPILER_FILECACHE_H
