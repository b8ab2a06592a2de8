//===- CpuLevel.cpp - Instruction sets of the CPU lowering
//------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Conversion/CpuLevel.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir::moe;

// Register tiles: accumulators plus one vector of each operand must fit the
// 16 (32 with AVX-512) vector registers; a scaled partial sum doubles the
// accumulators.
static const CpuLevel isas[] = {
    {"x86-64", 4, false, false, false, 2, 1},
    {"avx2", 8, true, true, false, 3, 1},
    {"avx512", 16, true, true, false, 6, 3},
    {"avx512bf16", 16, true, true, true, 6, 3},
};

llvm::ArrayRef<CpuLevel> mlir::moe::cpuLevels() { return isas; }

const CpuLevel *mlir::moe::findCpuLevel(llvm::StringRef name) {
  const CpuLevel *it = llvm::find_if(
      isas, [&](const CpuLevel &isa) { return isa.name == name; });
  return it == std::end(isas) ? nullptr : it;
}
