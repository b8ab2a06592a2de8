//===- NvptxLegality.h - What the NVPTX back end can take -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_NVPTXLEGALITY_H
#define MOEC_LIB_COMPILER_NVPTXLEGALITY_H

#include "mlir/IR/Location.h"

namespace llvm {
class Module;
} // namespace llvm

namespace mlir::moe {

/// As checkNvptxLegal, but for LLVM IR: what the translation and the optimiser
/// may have brought in. The diagnostic is at `location`.
LogicalResult checkNvptxLegal(Location location, const llvm::Module &module);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_NVPTXLEGALITY_H
