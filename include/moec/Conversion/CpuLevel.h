//===- CpuLevel.h - Instruction sets of the CPU lowering ----------*- C++
//-*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_CONVERSION_MOETILETOCPU_CPULEVEL_H
#define MOEC_CONVERSION_MOETILETOCPU_CPULEVEL_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>

namespace mlir::moe {

/// What the CPU lowering needs to know of an instruction set. One row per
/// level; adding a level is adding a row.
struct CpuLevel {
  /// Name in manifests and options: x86-64, avx2, avx512, avx512bf16.
  llvm::StringRef name;
  /// f32 values per vector register.
  int64_t lanes;
  /// Fused multiply-add, f16 conversions, bf16 dot products.
  bool fma, f16c, bf16Dot;
  /// Register tile without and with a scaled partial sum: rows of A; columns
  /// are always `microCols`.
  int64_t microRows, promoteRows;
};

/// Columns of a register tile (rows of B); a power of two.
inline constexpr int64_t microCols = 4;

/// All levels, lowest first.
llvm::ArrayRef<CpuLevel> cpuLevels();

/// The level of this name, or null.
const CpuLevel *findCpuLevel(llvm::StringRef name);

} // namespace mlir::moe

#endif // MOEC_CONVERSION_MOETILETOCPU_CPULEVEL_H
