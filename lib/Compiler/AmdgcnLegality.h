//===- AmdgcnLegality.h - What the AMDGPU back end can take -----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_AMDGCNLEGALITY_H
#define MOEC_LIB_COMPILER_AMDGCNLEGALITY_H

#include "mlir/IR/Location.h"
#include "moec/Target/AmdChip.h"
#include "llvm/ADT/ArrayRef.h"

namespace llvm {
class Module;
} // namespace llvm

namespace mlir::moe {

/// As checkAmdgcnLegal, but for LLVM IR: what the translation and the optimiser
/// may have brought in, and how much LDS each of the kernels uses. Diagnostics
/// are at `location`.
LogicalResult checkAmdgcnLegal(Location location, const llvm::Module &module,
                               const AmdChip &chip,
                               llvm::ArrayRef<std::string> kernels);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_AMDGCNLEGALITY_H
