//===- NvidiaChip.h - NVIDIA architectures that are built for ---*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_NVIDIACHIP_H
#define MOEC_COMPILER_NVIDIACHIP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace mlir::moe {

/// What code generation and the assembler need to know of an architecture. A
/// further one is a further row.
struct NvidiaChip {
  /// Target of the manifest, -mcpu of LLVM, -arch of ptxas.
  llvm::StringRef name;
  /// -mattr of LLVM: the PTX version, which decides the oldest driver.
  llvm::StringRef features;
  /// Most shared memory of one block in bytes, static and dynamic together.
  int64_t sharedMemory;
  /// Most blocks of a cluster that every such GPU takes; 1: no clusters.
  int64_t cluster;
  /// Whether there are tensor maps.
  bool tensorMaps;
};

/// All of them, ascending.
llvm::ArrayRef<NvidiaChip> getNvidiaChips();

/// The one of this name, null if there is none.
const NvidiaChip *findNvidiaChip(llvm::StringRef name);

} // namespace mlir::moe

#endif // MOEC_COMPILER_NVIDIACHIP_H
