//===- TileFile.h - Tile sizes that somebody measured -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tile sizes from outside: files of vLLM and SGLang, whose fields are mapped
// onto `#moe.config`, and tables of moe-tune, which hold `#moe.config` itself.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_TILEFILE_H
#define MOEC_COMPILER_TILEFILE_H

#include "mlir/IR/BuiltinOps.h"
#include "moec/TunedConfigs/TunedFile.h"
#include "moec/TunedConfigs/TunedTable.h"
#include "llvm/Support/Error.h"

#include <optional>

namespace mlir::moe {

/// A file of tuned tile sizes of the fused Triton kernel, under the exact names
/// and keys of vLLM and SGLang.
struct TileFile {
  TunedFile file;
  /// What the name says; absent where it has another form.
  std::optional<TunedName> name;

  /// The tile sizes for a token count: those of the nearest key. Errors name
  /// the file and the key.
  llvm::Expected<TunedTiles> getTiles(int64_t tokens) const;
};

/// Reads a file of this text. Errors name the file, and line and key of the
/// text or the part of the name.
llvm::Expected<TileFile> parseTileFile(StringRef path, StringRef text);

/// Tile sizes from outside, for both projections.
struct GivenTiles {
  /// Absent: `up` is for both.
  std::optional<TileFile> up, down;
  std::optional<TunedTable> table;

  bool isEmpty() const { return !up && !table; }
  /// All of it as one text, which differs when tile sizes do.
  std::string describe() const;
  /// Sentences on token counts that no key is near to.
  std::vector<std::string> getWarnings(ArrayRef<int64_t> tokens) const;
};

/// Gives the grouped GEMMs of routed experts the configuration for `tokens`:
/// those that gather tokens from `up`, the others from `down`, or both from the
/// table. Shared experts and GEMMs that have a configuration are left alone.
/// What became of each field is a remark, and the field `source` names file and
/// key. To be called when GEMMs are fused and no tile sizes are chosen yet. A
/// diagnostic if the tiles are for another layer, if a key cannot be used, or
/// if a K tile spans scale groups.
///
/// On a CPU the blocks are taken as they are; a gated projection computes gate
/// and up columns in one tile, so that its block n is half of the file's; one
/// that quantises its result takes the columns of one scale. On a GPU the
/// legal candidate of the selector with these block rows whose weight rows are
/// nearest is taken, with as many stages as hold the same columns.
LogicalResult applyGivenTiles(ModuleOp module, const GivenTiles &tiles,
                              StringRef target, int64_t tokens);

} // namespace mlir::moe

#endif // MOEC_COMPILER_TILEFILE_H
