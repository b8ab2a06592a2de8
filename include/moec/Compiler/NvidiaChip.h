//===- NvidiaChip.h - NVIDIA architectures that are built for ---*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_NVIDIACHIP_H
#define MOEC_COMPILER_NVIDIACHIP_H

#include "moec/Compiler/GpuChip.h"

namespace mlir::moe {

/// An architecture by the name that ptxas takes as -arch. The features are the
/// PTX version, which decides the oldest driver. A further one is a further
/// row.
struct NvidiaChip : GpuChip {};

/// All of them, ascending.
llvm::ArrayRef<NvidiaChip> getNvidiaChips();

/// The one of this name, null if there is none.
const NvidiaChip *findNvidiaChip(llvm::StringRef name);

} // namespace mlir::moe

#endif // MOEC_COMPILER_NVIDIACHIP_H
