//===- GpuCompile.h - From a layer to kernels for GPUs ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_GPUCOMPILE_H
#define MOEC_LIB_COMPILER_GPUCOMPILE_H

#include "CodeCache.h"
#include "GpuBackend.h"

#include <chrono>

namespace mlir::moe {

/// A range of token counts and the count it is optimised for.
struct TokenBucket {
  int64_t first;
  /// No value: unbounded.
  std::optional<int64_t> last;
  int64_t tokens;
};

/// Compiles the module for a GPU, one variant per range; ranges that come out
/// equal are joined. For each variant the ranked configurations are tried until
/// nobody complains of the code; without an assembler there is text only, and
/// `notes` says so. Errors are diagnostics.
FailureOr<TargetCode> compileGpu(ModuleOp module, const CompileOptions &options,
                                 GpuBackend &backend,
                                 ArrayRef<TokenBucket> buckets,
                                 std::vector<std::string> &notes);

/// The cache of the options, if they want one; what is wrong with it goes to
/// `notes`.
std::optional<FileCache> findCache(const CompileOptions &options,
                                   std::vector<std::string> &notes);

/// Adds a warning to `notes` unless it is there already.
void addWarning(std::vector<std::string> &notes, const Twine &text);

/// As emitForm, for a GPU.
LogicalResult emitGpuForm(ModuleOp module, const CompileOptions &options,
                          GpuBackend &backend, const TokenBucket &bucket,
                          StringRef form, llvm::raw_ostream &os);

/// Seconds since some moment.
inline double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_GPUCOMPILE_H
