//===- CpuIsa.cpp - Instruction sets that kernels are built for -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/CpuIsa.h"

#include "moec-c/Runtime.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir::moe;

llvm::ArrayRef<CpuIsa> mlir::moe::getCpuIsas() {
  static constexpr CpuIsa isas[] = {
      {"x86-64", "x86-64", "", 128},
      {"avx2", "x86-64-v3", "", 256},
      {"avx512", "x86-64-v4", "", 512},
      {"avx512bf16", "x86-64-v4", "+avx512bf16,+avx512vbmi", 512},
  };
  return isas;
}

const CpuIsa *mlir::moe::findCpuIsa(llvm::StringRef name) {
  const CpuIsa *isa = llvm::find_if(
      getCpuIsas(), [&](const CpuIsa &isa) { return isa.name == name; });
  return isa == getCpuIsas().end() ? nullptr : isa;
}

const CpuIsa *mlir::moe::getHostCpuIsa() { return findCpuIsa(moec_cpu_isa()); }
