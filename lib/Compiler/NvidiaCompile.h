//===- NvidiaCompile.h - From a layer to kernels for NVIDIA GPUs *- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_NVIDIACOMPILE_H
#define MOEC_LIB_COMPILER_NVIDIACOMPILE_H

#include "moec/Compiler/Compile.h"

#include <chrono>

namespace mlir::moe {

/// A range of token counts and the count it is optimised for.
struct TokenBucket {
  int64_t first;
  /// No value: unbounded.
  std::optional<int64_t> last;
  int64_t tokens;
};

/// What an NVIDIA target adds to an artifact.
struct NvidiaLayer {
  std::string name;
  std::vector<ManifestArgument> arguments;
  std::vector<ManifestVariant> variants;
  std::vector<ArtifactFile> files;
};

/// Compiles the module for a chip, one variant per range; ranges that come out
/// equal are joined. For each variant the ranked configurations are tried until
/// ptxas has no complaint; without ptxas there is PTX only, and `notes` says
/// so. Errors are diagnostics.
FailureOr<NvidiaLayer> compileNvidia(ModuleOp module,
                                     const CompileOptions &options,
                                     const NvidiaChip &chip,
                                     ArrayRef<TokenBucket> buckets,
                                     std::vector<std::string> &notes);

/// As emitForm, for an NVIDIA GPU.
LogicalResult emitNvidiaForm(ModuleOp module, const CompileOptions &options,
                             const NvidiaChip &chip, const TokenBucket &bucket,
                             StringRef form, llvm::raw_ostream &os);

/// Seconds since some moment.
inline double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_NVIDIACOMPILE_H
