//===- Manifest.h - The manifest of an artifact -----------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The manifest as data, and as JSON. docs/artifact.md says what each member
// means.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_MANIFEST_H
#define MOEC_COMPILER_MANIFEST_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/JSON.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mlir::moe {

/// ceil((tokens * T + constant) / divisor) for a run with T tokens.
struct TokenSize {
  int64_t tokens = 0;
  int64_t constant = 0;
  int64_t divisor = 1;

  bool isConstant() const { return tokens == 0; }
  int64_t at(int64_t count) const;
  bool operator==(const TokenSize &other) const {
    return tokens == other.tokens && constant == other.constant &&
           divisor == other.divisor;
  }
};

/// A tensor that the caller passes.
struct ManifestArgument {
  std::string name;
  std::string dtype;
  std::vector<TokenSize> shape;
  bool output = false;
  bool optional = false;
  /// Function whose output this argument is, "" for none.
  std::string packedBy;
};

/// A slice of scratch memory; the largest of several sizes counts.
struct ManifestWorkspace {
  std::string name;
  std::vector<TokenSize> bytes;
  bool perWorker = false;
  bool zero = false;
  int64_t align = 64;
};

/// An argument of a launch: of the layer, a slice, or a number.
struct ManifestLaunchArgument {
  enum class Kind { Argument, Workspace, Dim } kind;
  /// Number of the argument or slice.
  int64_t index = 0;
  TokenSize dim;
};

struct ManifestLaunch {
  std::string kernel;
  std::vector<ManifestLaunchArgument> args;
};

/// One way to run the layer.
struct ManifestVariant {
  std::string target;
  std::string isa;
  int64_t firstTokens = 0;
  /// No value: unbounded.
  std::optional<int64_t> lastTokens;
  /// File name of the code object, "" if there is none.
  std::string code;
  std::vector<std::string> configs;
  std::vector<ManifestWorkspace> workspaces;
  std::vector<ManifestLaunch> launches;
};

struct Manifest {
  std::string layer;
  /// E, k, H, I, ...: numbers and texts.
  std::vector<std::pair<std::string, llvm::json::Value>> dims;
  std::vector<ManifestArgument> arguments;
  std::vector<ManifestVariant> variants;
  /// Targets that were asked for and could not be built.
  std::vector<std::string> missingTargets;
};

/// The text of manifest.json, ending in a newline. Equal manifests give equal
/// texts.
std::string printManifest(const Manifest &manifest);

} // namespace mlir::moe

#endif // MOEC_COMPILER_MANIFEST_H
