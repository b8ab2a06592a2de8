//===- Manifest.h - The content of manifest.json ----------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_MANIFEST_H
#define MOEC_LIB_RUNTIME_MANIFEST_H

#include "moec-c/Runtime.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace moec {

// Upper bounds that let moec_run keep everything on the stack.
constexpr int32_t maxArguments = 256;
constexpr int32_t maxWorkspaces = 64;
/// Of all launches of a variant together.
constexpr int32_t maxLaunchArguments = 1024;
/// Of all launches of a variant together.
constexpr int32_t maxTensorMaps = 64;
/// A power of two, in bytes.
constexpr int64_t maxAlign = 4096;

/// ceil((perToken * T + constant) / divisor); all numbers are >= 0, the
/// divisor is > 0.
struct Affine {
  int64_t perToken = 0;
  int64_t constant = 0;
  int64_t divisor = 1;

  /// False if the value does not fit an int64_t.
  bool evaluate(int64_t tokens, int64_t &value) const;
  /// "8*T + 16", "ceil((T + 3) / 16)", ...
  std::string str() const;
  /// Reads a sum of terms `7`, `T`, `8*T` or `T*8`. False on anything else.
  static bool parse(const std::string &text, Affine &result);
};

struct Argument {
  std::string name;
  moec_dtype dtype = MOEC_F32;
  moec_role role = MOEC_INPUT;
  bool optional = false;
  int64_t align = 1;
  std::vector<Affine> shape;
};

/// A slice of the workspace. Its size is the largest of the terms.
struct Workspace {
  std::string name;
  std::vector<Affine> bytes;
  /// The terms are bytes for each worker; worker i owns the i-th piece.
  bool perWorker = false;
  /// Filled with zeros before the first launch of every run.
  bool zero = false;
  int64_t align = MOEC_WORKSPACE_ALIGN;
};

struct LaunchArgument {
  enum Kind {
    Tensor,
    WorkspaceSlice,
    Dimension,
    // Of GPU kernels only.
    DeviceTokens,
    Map
  } kind = Tensor;
  /// Of the argument, the workspace or the variant's tensor map.
  int32_t index = 0;
  Affine dimension;
  /// A GPU kernel takes the dimension as 32 bits.
  bool narrow = false;
  /// What a GPU kernel needs the tensor's address to be a multiple of.
  int64_t align = 1;
};

/// What the copy engine of an NVIDIA GPU knows of a tensor. All lists have
/// `rank` entries, innermost first, but the innermost has no stride.
struct TensorMap {
  bool ofWorkspace = false;
  /// Of the argument or the workspace slice.
  int32_t index = 0;
  moec_dtype dtype = MOEC_U8;
  int32_t rank = 0;
  std::vector<Affine> dims;
  /// In bytes.
  std::vector<Affine> strides;
  uint32_t box[5] = {1, 1, 1, 1, 1};
  uint32_t elementStrides[5] = {1, 1, 1, 1, 1};
  /// Bytes; 0: none.
  int32_t interleave = 0;
  int32_t swizzle = 0;
  int32_t l2 = 0;
  bool fillNan = false;
  /// A dimension or a stride is not the same for every token count.
  bool perToken = false;

  /// What the tensor's address and strides must be a multiple of.
  int64_t align() const { return interleave == 32 ? 32 : 16; }
};

struct Launch {
  std::string kernel;
  std::vector<LaunchArgument> arguments;

  // Of GPU kernels only.
  /// Blocks, unless `persistent` is the same dimension.
  Affine grid[3];
  /// The dimension of `persistentBlocks` blocks per SM; -1: none.
  int32_t persistent = -1;
  int64_t persistentBlocks = 0;
  uint32_t block[3] = {1, 1, 1};
  uint32_t cluster[3] = {1, 1, 1};
  uint32_t sharedMemory = 0;
  bool resident = false;
  bool earlyStart = false;
};

struct Variant {
  std::string target;
  std::string isa;
  std::string code;
  /// For NVIDIA GPUs; "": none.
  std::string ptx;
  int64_t tokensLow = 0;
  /// -1: unbounded.
  int64_t tokensHigh = -1;
  std::vector<std::string> config;
  std::vector<Workspace> workspaces;
  /// Read for CPUs and known GPUs; launchCount is set for all.
  std::vector<Launch> launches;
  std::vector<TensorMap> tensorMaps;
  /// Bytes of the real token count that kernels read from the device; 0: none
  /// does.
  int32_t deviceTokenBytes = 0;
  int32_t launchCount = 0;
  // -1: unknown.
  int64_t registers = -1;
  int64_t sharedMemory = -1;
  int64_t spills = -1;

  bool isCpu() const { return target == "cpu"; }
  bool isNvidia() const { return target.compare(0, 3, "sm_") == 0; }
  bool isAmd() const { return target.compare(0, 3, "gfx") == 0; }
  bool isGpu() const { return isNvidia() || isAmd(); }
  bool covers(int64_t tokens) const {
    return tokens >= tokensLow && (tokensHigh < 0 || tokens <= tokensHigh);
  }
};

/// The layer itself or one of the manifest's "functions".
struct Manifest {
  std::string text;
  std::string name;
  /// The integers among the layer's "dims".
  std::vector<std::pair<std::string, int64_t>> dims;
  std::vector<Argument> arguments;
  std::vector<Variant> variants;
};

/// Reads a manifest. `origin` begins every message ("DIR/manifest.json").
/// `function`: an entry of "functions", null for the layer.
moec_status readManifest(const std::string &origin, const char *text,
                         size_t length, const char *function, Manifest &result);

} // namespace moec

#endif // MOEC_LIB_RUNTIME_MANIFEST_H
