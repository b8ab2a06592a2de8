//===- Isa.cpp - Instruction sets of x86-64 machines ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Isa.h"

#include <cstring>
#include <initializer_list>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

using namespace moec;

static constexpr const char *names[] = {"x86-64", "avx2", "avx512",
                                        "avx512bf16"};

const char *moec::isaName(Isa isa) {
  return isa == Isa::None ? "" : names[static_cast<int>(isa)];
}

Isa moec::isaFromName(const char *name) {
  for (int i = 0; i < 4; ++i)
    if (std::strcmp(name, names[i]) == 0)
      return static_cast<Isa>(i);
  return Isa::None;
}

static bool hasBits(uint64_t word, std::initializer_list<int> bits) {
  for (int bit : bits)
    if (!(word >> bit & 1))
      return false;
  return true;
}

Isa moec::classify(const CpuidWords &words) {
  // Leaf 1 ECX: FMA 12, MOVBE 22, OSXSAVE 27, AVX 28, F16C 29. Leaf 7 EBX:
  // BMI1 3, AVX2 5, BMI2 8. Extended leaf 1 ECX: LZCNT 5. XCR0: XMM 1, YMM 2.
  if (!hasBits(words.leaf1Ecx, {12, 22, 27, 28, 29}) ||
      !hasBits(words.leaf7Ebx, {3, 5, 8}) ||
      !hasBits(words.extended1Ecx, {5}) || !hasBits(words.xcr0, {1, 2}))
    return Isa::X86_64;
  // Leaf 7 EBX: F 16, DQ 17, CD 28, BW 30, VL 31. XCR0: opmask 5, upper halves
  // of ZMM0-15 6, ZMM16-31 7.
  if (!hasBits(words.leaf7Ebx, {16, 17, 28, 30, 31}) ||
      !hasBits(words.xcr0, {5, 6, 7}))
    return Isa::Avx2;
  // Leaf 7 ECX: VBMI 1. Its sub-leaf 1 EAX: AVX512_BF16 5.
  return hasBits(words.leaf7Ecx, {1}) && hasBits(words.leaf7Sub1Eax, {5})
             ? Isa::Avx512Bf16
             : Isa::Avx512;
}

#if defined(__x86_64__)
static CpuidWords readCpuid() {
  CpuidWords words;
  unsigned eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
    words.leaf1Ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    words.leaf7Ebx = ebx;
    words.leaf7Ecx = ecx;
    // EAX of sub-leaf 0 is the number of the last sub-leaf.
    if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
      words.leaf7Sub1Eax = eax;
  }
  if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx))
    words.extended1Ecx = ecx;
  // XGETBV exists only if the operating system has enabled XSAVE.
  if (words.leaf1Ecx >> 27 & 1) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    words.xcr0 = uint64_t(high) << 32 | low;
  }
  return words;
}

Isa moec::hostIsa() {
  static const Isa isa = classify(readCpuid());
  return isa;
}
#else
Isa moec::hostIsa() { return Isa::None; }
#endif
