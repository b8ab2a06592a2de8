//===- AmdChip.h - AMD GPUs as data -----------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What passes and the emulator know of a chip. Plain C++, no IR.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TARGET_AMDCHIP_H
#define MOEC_TARGET_AMDCHIP_H

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::moe {

/// Types of operands of matrix instructions. F8 and BF8 are e4m3 and e5m2 in
/// the flavour of the chip, F4 is e2m1, I8 two's complement.
enum class AmdOperand { F16, BF16, F8, BF8, F4, I8, F32 };

/// One matrix instruction with accumulators of f32, or of i32 for integers.
struct AmdMatrixOp {
  /// Family of `#moe_tile.atom`: mfma, wmma, wmma_gfx12.
  const char *family;
  int64_t m, n, k;
  AmdOperand operand;
  /// Values of A (and of B) that one lane holds.
  int64_t valuesPerLane;
  /// Operands carry a scale (e8m0) for each run of 32 values of k.
  bool scaled = false;
};

/// Which 8-bit floats the chip computes with.
enum class AmdFp8 {
  None,
  Fnuz, ///< e4m3fnuz, e5m2fnuz: bias one more than OCP, 0x80 is NaN
  Ocp,  ///< e4m3fn, e5m2
};

/// One chip: what is fixed by its instruction set. Sizes in bytes. Rates are in
/// the device files.
struct AmdChip {
  const char *name;
  /// What it stands for in messages and tables, e.g. "CDNA3, MI300X".
  const char *family;
  /// Major part of the ISA version: 9, 11, 12.
  int64_t major;
  int64_t waveSize;
  /// Dies whose blocks are dealt out in turn, each with a cache of its own.
  int64_t dies;
  /// LDS of one workgroup, and of what shares it.
  int64_t ldsBytes, ldsPerUnit;
  /// VGPRs (with AGPRs) that a lane can have, and of one SIMD's lane.
  int64_t maxVgprs, simdVgprs;
  int64_t maxThreads;
  /// Waves that a SIMD can have at a time.
  int64_t maxWaves;
  AmdFp8 fp8;
  /// Bytes that one lane can bring from global memory straight to LDS, the
  /// most; 0 = cannot.
  int64_t directToLdsBytes;
  /// An instruction rounds f32 to bf16.
  bool convertsBf16;
  std::vector<AmdMatrixOp> matrixOps;

  /// The instruction for `operand`, the first of those listed; null if the chip
  /// has none. `scaled`: one that takes scales.
  const AmdMatrixOp *findMatrixOp(AmdOperand operand,
                                  bool scaled = false) const;

  /// Whether the lanes of a wave hold every value of an operand more than once.
  bool repeatsOperands() const;
  /// An instruction that takes scales, `m` rows and `k` values of each; null if
  /// the chip has none, or that shape stands for one without scales.
  const AmdMatrixOp *findScaledOp(int64_t m, int64_t k) const;
};

/// The chip called `name`, or null.
const AmdChip *findAmdChip(const std::string &name);

/// All names, separated by ", ".
std::string amdChipNames();

/// Spelling of an operand type in messages: f16, bf16, fp8, bf8, fp4.
const char *amdOperandName(AmdOperand operand);

} // namespace mlir::moe

#endif // MOEC_TARGET_AMDCHIP_H
