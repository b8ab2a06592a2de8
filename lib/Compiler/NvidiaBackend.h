//===- NvidiaBackend.h - Code for NVIDIA GPUs -------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_NVIDIABACKEND_H
#define MOEC_LIB_COMPILER_NVIDIABACKEND_H

#include "GpuBackend.h"
#include "moec/Compiler/NvidiaChip.h"

namespace mlir::moe {

/// PTX by LLVM, and a cubin by ptxas where there is one.
std::unique_ptr<GpuBackend> createNvidiaBackend(const NvidiaChip &chip);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_NVIDIABACKEND_H
