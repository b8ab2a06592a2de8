//===- TunedFile.h - Text of tuned configuration files ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A file of vLLM or SGLang: a JSON object with a token count as each key and
// the Triton kernel's tile sizes as its value. What is read keeps its text, so
// that a change of one value changes the bytes of that value and no others.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TUNEDCONFIGS_TUNEDFILE_H
#define MOEC_TUNEDCONFIGS_TUNEDFILE_H

#include "moec/TunedConfigs/TunedName.h"

namespace mlir::moe {

/// A value of a file as it is written there.
struct TunedValue {
  enum Kind : uint8_t { Integer, Boolean, String, Other };
  std::string key;
  Kind kind = Other;
  /// Of an integer or a boolean (0 or 1).
  int64_t number = 0;
  /// Where its text begins and ends, and its line, from 1 on.
  size_t begin = 0, end = 0;
  unsigned line = 0;
};

/// One token count of a file.
struct TunedEntry {
  int64_t tokens = 0;
  /// In the order of the file.
  std::vector<TunedValue> values;
  unsigned line = 0;

  const TunedValue *find(llvm::StringRef key) const;
};

/// Tile sizes in the units of the files: of an entry that may be used.
struct TunedTiles {
  int64_t tokens = 0;
  int64_t blockM = 0, blockN = 0, blockK = 0;
  int64_t groupM = 1;
  /// 0: not said.
  int64_t warps = 0, stages = 0, wavesPerEu = 0, matrixInstr = 0;
  int64_t splitK = 1, kpack = 1;
  std::optional<bool> useTma;
};

/// A file.
class TunedFile {
public:
  /// Reads the text of a file called `path`. Errors begin with the file's name
  /// and the line: no JSON, a key or a token count twice, an entry that is no
  /// object. A key that nobody knows is no error here.
  static llvm::Expected<TunedFile> parse(llvm::StringRef path,
                                         llvm::StringRef text);

  /// The bytes, those of `parse` but for changed values.
  llvm::StringRef getText() const { return text; }
  /// The file's name, without its directory.
  llvm::StringRef getFileName() const { return fileName; }
  /// In the order of the file.
  llvm::ArrayRef<TunedEntry> getEntries() const { return entries; }
  /// Top-level values that are no entries, `triton_version` among them.
  llvm::ArrayRef<TunedValue> getOthers() const { return others; }
  const TunedEntry *find(int64_t tokens) const;

  /// The entry whose token count is nearest, the first of two equally near
  /// ones: the rule of both systems, without interpolation. Null if there is
  /// none.
  const TunedEntry *nearest(int64_t tokens) const;

  /// Changes a value that is there. Errors: no such entry or key, another kind
  /// of value.
  llvm::Error setInteger(int64_t tokens, llvm::StringRef key, int64_t value);
  llvm::Error setBoolean(int64_t tokens, llvm::StringRef key, bool value);

  /// The tile sizes of an entry of this file. Errors name line and key: a key
  /// that nobody knows (also at top level, where the systems' readers fail), a
  /// block size that is missing, a value of another kind or out of range.
  llvm::Expected<TunedTiles> getTiles(const TunedEntry &entry) const;

private:
  llvm::Error set(int64_t tokens, llvm::StringRef key, TunedValue::Kind kind,
                  int64_t number, llvm::StringRef spelling);

  std::string fileName, text;
  std::vector<TunedEntry> entries;
  std::vector<TunedValue> others;
};

/// The number of times by which a nearest key is off: max(a/b, b/a); 1 if it is
/// the same.
double getTunedDistance(int64_t key, int64_t tokens);

/// Above this distance a key says little about the token count.
inline constexpr double maxTunedDistance = 4.0;

/// Token counts that the tuners of both systems measure, 1 to 4096.
llvm::ArrayRef<int64_t> getTunedBatchLadder();

/// The text of a file with these entries, as the systems' own tuners write it:
/// four blanks, keys in their order, a final newline. `tritonVersion` is
/// written if it is not empty. What is 0 or absent is left out; GROUP_SIZE_M,
/// num_warps and num_stages are always there.
std::string printTunedFile(llvm::ArrayRef<TunedTiles> entries,
                           llvm::StringRef tritonVersion = {});

} // namespace mlir::moe

#endif // MOEC_TUNEDCONFIGS_TUNEDFILE_H
