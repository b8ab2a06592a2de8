//===- Scalars.h - Arithmetic on lanes --------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_EMULATOR_SCALARS_H
#define MOEC_LIB_EMULATOR_SCALARS_H

#include "Machine.h"
#include "llvm/ADT/StringRef.h"

namespace mlir::moe::emu {

enum class RmwOp : uint8_t;

/// Type of one lane's element.
struct Scalar {
  enum Class : uint8_t {
    Int,
    BF16,
    F16,
    F32,
    F64,
    F8E4M3,
    F8E5M2,
    TF32,
    F8E4M3Z,
    F8E5M2Z,
    F8E8M0,
    F4E2M1
  } cls;
  uint8_t bits;
  bool wide() const { return bits > 32; }
  /// Bytes of `lanes` lanes in the register file.
  uint32_t regBytes(unsigned lanes) const { return lanes * (wide() ? 8 : 4); }
  /// Bytes in memory.
  uint32_t bytes() const { return bits <= 8 ? 1 : bits / 8; }
  bool isFloat() const { return cls != Int; }
  bool operator==(const Scalar &o) const {
    return cls == o.cls && bits == o.bits;
  }
};

using Fn = Step (*)(Exec &, const Instr &);

/// The implementation of element-wise operation `name` (without its dialect:
/// "add", "fmul", "exp2") on operands of type `in` with results of type `out`;
/// null if there is none. Operands are a, b, c; `count` elements. Comparisons
/// have their predicate in `imm` (LLVM's numbers).
Fn findElementwise(llvm::StringRef name, Scalar in, Scalar out);

/// A conversion between scalars by its name ("sext", "fptrunc", "sitofp", ...).
Fn findConversion(llvm::StringRef name, Scalar in, Scalar out);

/// What operation `op` with `v` makes of `old`.
uint64_t applyRmw(RmwOp op, Scalar s, uint64_t old, uint64_t v);

/// Bits of `value` as type `scalar`, and back.
uint64_t encodeScalar(Scalar scalar, double value);
double decodeScalar(Scalar scalar, uint64_t bits);

float halfToFloat(uint16_t bits);
uint16_t floatToHalf(float value);
float fp8ToFloat(bool e5m2, uint8_t bits);

/// Float to float with finite values beyond the range to the largest one.
Step execSaturate(Exec &, const Instr &);

// Moves.
Step execCopy(Exec &, const Instr &);     ///< flags: extra entries of 3
Step execSelect32(Exec &, const Instr &); ///< dst = a ? b : c, condition 1 lane
Step execSelect64(Exec &, const Instr &);
Step execBitcast(Exec &, const Instr &); ///< element sizes imm>>8 and imm&255
Step execExtractDynamic(Exec &, const Instr &);
Step execInsertDynamic(Exec &, const Instr &);
Step execGep(Exec &, const Instr &);

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_SCALARS_H
