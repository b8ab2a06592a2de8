//===- CodeCache.h - Whole variants by what decides them --------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_CODECACHE_H
#define MOEC_LIB_COMPILER_CODECACHE_H

#include "moec/Compiler/CompileMain.h"
#include "moec/Compiler/FileCache.h"

#include "mlir/IR/Diagnostics.h"

namespace mlir::moe {

/// What a target adds to an artifact.
struct TargetCode {
  /// The layer's name.
  std::string layer;
  std::vector<ManifestArgument> arguments;
  std::vector<ManifestVariant> variants;
  /// For CPUs.
  std::vector<CodeObject> objects;
  /// For GPUs.
  std::vector<ArtifactFile> files;
  /// What is told of the kernels with -v, lines.
  std::string table;
};

/// All of it as one text.
std::string printCode(const TargetCode &code);

/// The opposite; no value if the text is none of printCode.
std::optional<TargetCode> parseCode(StringRef text);

/// Code of one module. What decides it beside the module is given as a list of
/// texts for every look-up: target, token counts, assembler, ...
class CodeCache {
public:
  /// `files` has no value: nothing is found or kept.
  CodeCache(ModuleOp module, std::optional<FileCache> files);

  std::optional<TargetCode> load(ArrayRef<StringRef> what,
                                 FileCache::Warn warn) const;
  void store(ArrayRef<StringRef> what, const TargetCode &code,
             FileCache::Warn warn) const;

private:
  std::string getKey(ArrayRef<StringRef> what) const;

  std::optional<FileCache> files;
  std::string moduleHash;
};

/// Sees whether passes said anything while it lives: what was said once is to
/// be said again, so that the code is not kept.
class SilenceObserver {
public:
  explicit SilenceObserver(MLIRContext *context)
      : handler(context, [this](Diagnostic &) {
          silent = false;
          return failure();
        }) {}
  bool isSilent() const { return silent; }

private:
  bool silent = true;
  ScopedDiagnosticHandler handler;
};

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_CODECACHE_H
