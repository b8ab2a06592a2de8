//===- Journal.h - What an interrupted run goes on from ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TUNER_JOURNAL_H
#define MOEC_TUNER_JOURNAL_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlir::moe {

/// What was measured of one thing.
struct JournalEntry {
  std::vector<double> samples;
  std::string failure;
};

/// A file of JSON lines. The first says what the others were measured with;
/// every other one is written and flushed when its measurement ends. A last
/// line that was cut off is dropped.
class Journal {
public:
  /// Opens or begins the file. Errors: it cannot be written, it is no journal,
  /// or it was begun with another `setup` (compiler, device, layer): the
  /// message names the file, the field and both values. With `restart` it is
  /// begun anew.
  static llvm::Expected<Journal>
  open(llvm::StringRef path,
       const std::vector<std::pair<std::string, std::string>> &setup,
       bool restart);

  /// What is known of `key`; null: nothing.
  const JournalEntry *find(llvm::StringRef key) const;
  /// Adds to the file.
  llvm::Error add(llvm::StringRef key, JournalEntry entry);
  size_t size() const { return entries.size(); }

private:
  std::string path;
  std::map<std::string, JournalEntry> entries;
};

} // namespace mlir::moe

#endif // MOEC_TUNER_JOURNAL_H
