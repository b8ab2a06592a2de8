//===- NvidiaKernels.h - Kernels by ranked configurations -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_NVIDIAKERNELS_H
#define MOEC_LIB_COMPILER_NVIDIAKERNELS_H

#include "moec/Compiler/Compile.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe {

/// Whether the module is a plan whose kernels are `llvm.func` with
/// `moe.launch` already: such a module needs no pipeline.
bool hasNvidiaKernels(ModuleOp module);

/// A module whose grouped GEMMs have ranked lists of configurations. Kernels
/// are made with the first of each list, and the lists get shorter where what
/// came out is no good.
class NvidiaRanking {
public:
  /// Makes all decisions for a copy of `source`.
  LogicalResult decide(ModuleOp source, const NvidiaChip &chip, int64_t tokens);

  /// Makes kernels. Where that fails and there are other configurations, they
  /// are tried; the diagnostics are then reasons of rejection.
  FailureOr<NvidiaKernels> makeKernels();

  /// Gives up the configuration that a kernel of the last makeKernels has.
  /// False if it has no other, or none at all.
  bool reject(StringRef kernel, StringRef reason);

  /// Prints the decided module.
  void print(llvm::raw_ostream &os) const { os << *decided << "\n"; }
  /// Prints explicit tile kernels and their plan.
  LogicalResult printTile(llvm::raw_ostream &os);
  /// Prints kernels in the NVVM dialect and their plan.
  LogicalResult printNvvm(llvm::raw_ostream &os);

  /// Of the last makeKernels.
  ArrayRef<std::string> getConfigs() const { return configs; }
  ArrayRef<ManifestRejection> getRejected() const { return rejected; }

private:
  /// The GEMMs with configurations, in the order of their kernels.
  SmallVector<GroupedGemmOp> getGemms();
  bool reject(GroupedGemmOp gemm, StringRef reason);
  FailureOr<NvidiaKernels> makeOnce();

  const NvidiaChip *chip = nullptr;
  int64_t tokens = 0;
  OwningOpRef<ModuleOp> decided;
  /// Names and configurations of kernels of GEMMs, in order.
  std::vector<std::pair<std::string, Attribute>> gemmKernels;
  std::vector<std::string> configs;
  std::vector<ManifestRejection> rejected;
};

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_NVIDIAKERNELS_H
