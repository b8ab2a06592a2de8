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

  bool operator==(const ManifestArgument &other) const {
    return name == other.name && dtype == other.dtype && shape == other.shape &&
           output == other.output && optional == other.optional &&
           packedBy == other.packedBy;
  }
  bool operator!=(const ManifestArgument &other) const {
    return !(*this == other);
  }
};

/// A slice of scratch memory; the largest of several sizes counts.
struct ManifestWorkspace {
  std::string name;
  std::vector<TokenSize> bytes;
  bool perWorker = false;
  bool zero = false;
  int64_t align = 64;
};

/// What the copy engine of an NVIDIA GPU is told of a tensor. All lists begin
/// with the innermost dimension.
struct ManifestTensorMap {
  /// Number of the argument or, if it is one, the slice.
  bool ofWorkspace = false;
  int64_t index = 0;
  std::string dtype;
  std::vector<TokenSize> dims;
  /// In bytes, of all dimensions but the innermost.
  std::vector<TokenSize> strides;
  std::vector<int64_t> box;
  /// Bytes; 0: none.
  int64_t swizzle = 0, l2 = 0;
};

/// An argument of a launch: of the layer, a slice, or a number; on NVIDIA GPUs
/// also a pointer to the real token count or a tensor map.
struct ManifestLaunchArgument {
  enum class Kind { Argument, Workspace, Dim, DeviceTokens, TensorMap } kind;
  /// Number of the argument or slice.
  int64_t index = 0;
  TokenSize dim = {};
  /// "i32" or "i64" of a number on a GPU; "": a CPU kernel's.
  std::string type = {};
  std::optional<ManifestTensorMap> map = {};
  /// What the address of an argument must be a multiple of beyond the size of
  /// its elements; 1: no more.
  int64_t align = 1;
};

/// What is known of kernels for AMD GPUs alone.
struct ManifestAmdResources {
  /// Of the vector registers, those for matrix products.
  int64_t accumulators = 0;
  /// Scalar registers.
  int64_t scalars = 0;
  /// Bytes of memory for each lane, and of a kernel's arguments.
  int64_t scratch = 0, arguments = 0;
  /// Threads of a wave.
  int64_t wave = 0;
  /// Waves that a SIMD has at a time.
  int64_t wavesPerSimd = 0;
};

/// What a kernel or all kernels of a variant take of a GPU.
struct ManifestResources {
  int64_t registers = 0;
  /// Bytes, static and dynamic.
  int64_t sharedMemory = 0;
  /// Bytes stored and loaded.
  int64_t spills = 0;
  std::optional<ManifestAmdResources> amd = {};

  /// Makes these what is needed by a kernel too that takes `other`.
  void include(const ManifestResources &other);
};

/// Blocks in one dimension: a size, or `persistent` per SM if that is not 0.
struct ManifestGrid {
  TokenSize size{0, 1, 1};
  int64_t persistent = 0;
};

/// How a GPU runs a launch.
struct ManifestGpuLaunch {
  ManifestGrid grid[3];
  int64_t block[3] = {1, 1, 1};
  int64_t cluster[3] = {1, 1, 1};
  /// Bytes of dynamic shared memory.
  int64_t sharedMemory = 0;
  bool resident = false;
  bool earlyStart = false;
  std::optional<ManifestResources> resources;
};

struct ManifestLaunch {
  std::string kernel;
  std::vector<ManifestLaunchArgument> args;
  /// Of GPU targets only.
  std::optional<ManifestGpuLaunch> gpu;
};

/// A configuration that was tried and not taken.
struct ManifestRejection {
  std::string config;
  std::string reason;
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
  /// File name of the PTX, "" if there is none.
  std::string ptx;
  std::vector<std::string> configs;
  std::vector<ManifestRejection> rejected;
  std::vector<ManifestWorkspace> workspaces;
  std::vector<ManifestLaunch> launches;
  std::optional<ManifestResources> resources;
};

struct Manifest {
  std::string layer;
  /// E, k, H, I, ...: numbers and texts.
  std::vector<std::pair<std::string, llvm::json::Value>> dims;
  std::vector<ManifestArgument> arguments;
  std::vector<ManifestVariant> variants;
  /// False: kernels that were given add in any order.
  bool ordered = true;
  /// Targets that were asked for and could not be built.
  std::vector<std::string> missingTargets;
};

/// The text of manifest.json, ending in a newline. Equal manifests give equal
/// texts.
std::string printManifest(const Manifest &manifest);

} // namespace mlir::moe

#endif // MOEC_COMPILER_MANIFEST_H
