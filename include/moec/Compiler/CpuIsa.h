//===- CpuIsa.h - Instruction sets that kernels are built for ---*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_CPUISA_H
#define MOEC_COMPILER_CPUISA_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

namespace mlir::moe {

/// An instruction set of the manifest ("x86-64", "avx2", "avx512",
/// "avx512bf16") in the words of LLVM. It includes those before it.
struct CpuIsa {
  llvm::StringRef name;
  /// Value of -mcpu and of -mattr.
  llvm::StringRef cpu;
  llvm::StringRef features;
  /// Widest vector register in bits that code may use.
  unsigned vectorBits;
};

/// All instruction sets, ascending.
llvm::ArrayRef<CpuIsa> getCpuIsas();

/// The one of this name, null if there is none.
const CpuIsa *findCpuIsa(llvm::StringRef name);

/// The highest one that this machine and its operating system support; null on
/// a machine that is not an x86-64.
const CpuIsa *getHostCpuIsa();

} // namespace mlir::moe

#endif // MOEC_COMPILER_CPUISA_H
