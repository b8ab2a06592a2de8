//===- ExplicitTarget.h - Chips with an explicit form -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the passes to the explicit form, and the lowering of that form to NVVM,
// know of a chip. A further chip is a further row of the table.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_TRANSFORMS_EXPLICITTARGET_H
#define MOEC_DIALECT_MOETILE_TRANSFORMS_EXPLICITTARGET_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace mlir::moe::tile {

/// Limits of a target that has an explicit form. Sizes in bytes.
struct ExplicitTarget {
  llvm::StringRef name;
  /// Largest on-chip memory of one block.
  int64_t smemLimit;
  /// Kept free for the barriers of rings.
  int64_t barrierBytes;
  /// Registers of a block and the most that one thread may have.
  int64_t registers, threadRegisters;
  /// Family of the matrix instruction: wgmma or mma_sync.
  llvm::StringRef atom;
  /// Threads of a compute team and of the load role if the configuration says
  /// nothing.
  int64_t computeThreads, loadThreads;
  /// The matrix instruction multiplies 8-bit floats.
  bool floats8;
  /// What came with sm_90: the copy engine (descriptors, bulk copies and
  /// stores), clusters, dependent launches, waits for a barrier in hardware,
  /// stmatrix, registers by role.
  bool hopper;
};

/// The target called `name`, or null.
const ExplicitTarget *findExplicitTarget(llvm::StringRef name);

} // namespace mlir::moe::tile

#endif // MOEC_DIALECT_MOETILE_TRANSFORMS_EXPLICITTARGET_H
