//===- AmdMatrix.h - Matrix operations of AMD chips --------------*- C++
//-*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_EMULATOR_AMDMATRIX_H
#define MOEC_LIB_EMULATOR_AMDMATRIX_H

#include "Amd.h"

namespace mlir::moe::emu {

/// Types of operands and results. Fp8 and Bf8 are those of the chip; the last
/// ones are those of the scaled operations, whatever the chip.
enum class AmdType : uint8_t {
  F32,
  /// f32 with the ten highest bits of the mantissa.
  XF32,
  BF16,
  F16,
  Fp8,
  Bf8,
  I8,
  U8,
  I4,
  U4,
  I32,
  /// Named by the operands: FormatE4M3 + code.
  Format,
  FormatE4M3,
  FormatE5M2,
  FormatE2M3,
  FormatE3M2,
  FormatE2M1,
};

/// Bits of one element.
unsigned bitsOf(AmdType type);

/// Where the elements of a product lie. Lane l of a wave of L lanes belongs to
/// group q = l / N and to row (of A) or column (of B and D) l % N. With P = K N
/// / L, element j of A or B is at k = q P + j.
enum class LaneMap : uint8_t {
  /// Element i of D: row 4 q + i.
  Mfma16,
  /// Element i of D: row 8 (i / 4) + 4 q + i % 4.
  Mfma32,
  /// P = K: both groups hold the same. Element i of D: row 2 i + q; of 16-bit
  /// results it is one half of a register.
  WmmaGfx11,
  /// Element i of D: row 8 q + i.
  WmmaGfx12,
};

/// One operation D = A B + C of one wave, M = N.
struct AmdMatrixRow {
  /// Behind "rocdl.".
  const char *name;
  /// AmdFamily bits.
  uint8_t families;
  LaneMap map;
  uint8_t n, k;
  AmdType a, b, d;
};

/// The operation of that name on that family (any, if no such one is there), or
/// null.
const AmdMatrixRow *findAmdMatrix(llvm::StringRef name, AmdFamily family);
const AmdMatrixRow &getAmdMatrix(unsigned index);
unsigned countAmdMatrices();
unsigned indexOf(const AmdMatrixRow &row);

/// Elements of A or B per lane.
inline unsigned perLane(const AmdMatrixRow &row, unsigned lanes) {
  return row.map == LaneMap::WmmaGfx11 ? row.k : row.k * row.n / lanes;
}

/// Words of Kernel::extra of one operation.
struct AmdMatrixOperands {
  Reg a, b, c;
  /// Bits of the operands' register elements: 16, 32 or 64.
  uint32_t bitsA, bitsB;
  AmdType typeA, typeB;
  /// Of scaled ones: registers of four E8M0 codes (noReg: none), and which.
  Reg scaleA, scaleB;
  uint32_t pickA, pickB;
  /// Upper halves of a WmmaGfx11 result; saturate integer sums.
  uint32_t upper, clamp;
};

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_AMDMATRIX_H
