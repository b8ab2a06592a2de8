//===- Isa.h - Instruction sets of x86-64 machines --------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_ISA_H
#define MOEC_LIB_RUNTIME_ISA_H

#include <cstdint>

namespace moec {

/// Ascending: each one includes those before it.
///   x86-64      the baseline of the architecture
///   avx2        x86-64-v3: AVX2, FMA, F16C, BMI1, BMI2, LZCNT, MOVBE
///   avx512      x86-64-v4: AVX-512 F, BW, CD, DQ, VL
///   avx512bf16  avx512, AVX512-VBMI and AVX512-BF16
enum class Isa { None = -1, X86_64 = 0, Avx2, Avx512, Avx512Bf16 };

/// The manifest's name of an instruction set; "" for None.
const char *isaName(Isa isa);
/// Inverse of isaName; None for every other string.
Isa isaFromName(const char *name);

/// The CPUID words and the XCR0 register that decide the instruction set.
struct CpuidWords {
  uint32_t leaf1Ecx = 0;
  uint32_t leaf7Ebx = 0;
  uint32_t leaf7Ecx = 0;
  uint32_t leaf7Sub1Eax = 0;
  uint32_t extended1Ecx = 0;
  /// Which register state the operating system saves; 0 without OSXSAVE.
  uint64_t xcr0 = 0;
};

/// The highest instruction set of a machine with these words. A CPU feature
/// whose registers the operating system does not save does not count.
Isa classify(const CpuidWords &words);

/// The highest instruction set of this machine; None if it is no x86-64.
Isa hostIsa();

} // namespace moec

#endif // MOEC_LIB_RUNTIME_ISA_H
