//===- GpuChip.h - What code for a GPU keeps within ----------- -*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_GPUCHIP_H
#define MOEC_COMPILER_GPUCHIP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace mlir::moe {

/// What code generation and launches need to know of any GPU architecture.
struct GpuChip {
  /// Target of the manifest, -mcpu of LLVM.
  llvm::StringRef name;
  /// -mattr of LLVM.
  llvm::StringRef features;
  /// Most shared memory of one block in bytes, static and dynamic together.
  int64_t sharedMemory;
  /// Most blocks of a cluster that every such GPU takes; 1: no clusters.
  int64_t cluster;
  /// Whether there are tensor maps.
  bool tensorMaps;
};

} // namespace mlir::moe

#endif // MOEC_COMPILER_GPUCHIP_H
