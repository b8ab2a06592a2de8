//===- PointerUse.h - What a kernel does with its pointers ------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_POINTERUSE_H
#define MOEC_LIB_COMPILER_POINTERUSE_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace mlir::moe {

/// What the address that a kernel gets as argument `number` must be a multiple
/// of, in bytes: the strictest of the accesses through it. Accesses of 16 bytes
/// fault, or read beside what was meant, at any other address.
int64_t getNeededAlignment(LLVM::LLVMFuncOp kernel, unsigned number);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_POINTERUSE_H
