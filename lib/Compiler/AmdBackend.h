//===- AmdBackend.h - Code for AMD GPUs -------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_AMDBACKEND_H
#define MOEC_LIB_COMPILER_AMDBACKEND_H

#include "GpuBackend.h"
#include "moec/Target/AmdChip.h"

namespace mlir::moe {

/// A HSACO by LLVM and lld, both in this process. `chip` must live on.
std::unique_ptr<GpuBackend> createAmdBackend(const AmdChip &chip);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_AMDBACKEND_H
