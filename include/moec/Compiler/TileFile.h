//===- TileFile.h - Tuned tile sizes of vLLM and SGLang ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_TILEFILE_H
#define MOEC_COMPILER_TILEFILE_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <optional>

namespace mlir::moe {

/// A file of tuned tile sizes of the fused Triton kernel, under the exact names
/// and keys of vLLM and SGLang.
struct TileFile {
  /// Tile sizes for one number of tokens, in the units of the file.
  struct Entry {
    int64_t tokens = 0;
    int64_t blockM = 0, blockN = 0, blockK = 0;
    int64_t groupM = 1, warps = 0, stages = 1, splitK = 1;
    int64_t wavesPerEu = 0, kpack = 1;
  };
  /// File name without its directory.
  std::string name;
  /// What the name says; absent where it has another form.
  std::optional<int64_t> experts, columns;
  std::string dtype;
  SmallVector<int64_t> blockShape;
  /// In the order of the file.
  std::vector<Entry> entries;

  /// The entry whose token count is nearest, the first of two equally near
  /// ones: the rule of both systems.
  const Entry &nearest(int64_t tokens) const;
};

/// Reads a file of this text. The name `E=..,N=..,device_name=..[,dtype=..]
/// [,block_shape=[n,k]][,per_channel_quant=True][_down].json` (both spellings
/// of the block shape) is split on its keys; any other name says nothing.
/// Errors name the file and the key.
llvm::Expected<TileFile> parseTileFile(StringRef path, StringRef text);

/// Path of the file for the down projection that belongs to `path`:
/// `_down` in front of `.json`.
std::string getDownPath(StringRef path);

/// Gives the grouped GEMMs of routed experts the configuration for `tokens`:
/// those that gather tokens from `up`, the others from `down`. Shared experts
/// and GEMMs that have a configuration are left alone. A gated projection
/// computes gate and up columns in one tile, so that its block n is half of the
/// file's; one that quantises its result takes the columns of one scale. A
/// diagnostic if a file's name is about another layer.
LogicalResult applyTileFiles(ModuleOp module, const TileFile &up,
                             const TileFile &down, int64_t tokens);

} // namespace mlir::moe

#endif // MOEC_COMPILER_TILEFILE_H
