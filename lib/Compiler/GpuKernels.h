//===- GpuKernels.h - Kernels by ranked configurations ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_GPUKERNELS_H
#define MOEC_LIB_COMPILER_GPUKERNELS_H

#include "GpuBackend.h"
#include "moec/Compiler/Compile.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe {

/// Whether the module is a plan whose kernels are `llvm.func` with
/// `moe.launch` already: such a module needs no pipeline.
bool hasGpuKernels(ModuleOp module);

/// A module whose grouped GEMMs have ranked lists of configurations. Kernels
/// are made with the first of each list, and the lists get shorter where what
/// came out is no good.
class GpuRanking {
public:
  /// The decided module; this is then of no use.
  OwningOpRef<ModuleOp> take() { return std::move(decided); }
  /// Makes all decisions for a copy of `source`. `backend` must outlive this.
  LogicalResult decide(ModuleOp source, const GpuBackend &backend,
                       int64_t tokens, const GivenTiles &tiles = {});

  /// Makes kernels. Where that fails and there are other configurations, they
  /// are tried; the diagnostics are then reasons of rejection.
  FailureOr<GpuKernels> makeKernels();

  /// Gives up the configuration that a kernel of the last makeKernels has.
  /// False if it has no other, or none at all.
  bool reject(StringRef kernel, StringRef reason);

  /// Prints the decided module.
  void print(llvm::raw_ostream &os) const { os << *decided << "\n"; }
  /// Prints explicit tile kernels and their plan.
  LogicalResult printTile(llvm::raw_ostream &os);
  /// Prints kernels in the vendor's dialect and their plan.
  LogicalResult printKernels(llvm::raw_ostream &os);

  /// Of the last makeKernels.
  ArrayRef<std::string> getConfigs() const { return configs; }
  ArrayRef<ManifestRejection> getRejected() const { return rejected; }

private:
  /// The GEMMs with configurations, in the order of their kernels.
  SmallVector<GroupedGemmOp> getGemms();
  bool reject(GroupedGemmOp gemm, StringRef reason);
  FailureOr<GpuKernels> makeOnce();

  const GpuBackend *backend = nullptr;
  int64_t tokens = 0;
  OwningOpRef<ModuleOp> decided;
  /// Names and configurations of kernels of GEMMs, in order.
  std::vector<std::pair<std::string, Attribute>> gemmKernels;
  std::vector<std::string> configs;
  std::vector<ManifestRejection> rejected;
};

/// The module after all decisions for a token count. Errors are diagnostics.
FailureOr<OwningOpRef<ModuleOp>> decideGpu(ModuleOp source,
                                           const GpuBackend &backend,
                                           int64_t tokens,
                                           const GivenTiles &tiles);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_GPUKERNELS_H
