//===- IsaTest.cpp - Instruction sets -------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Isa.h"

#include "gtest/gtest.h"

#include <fstream>
#include <string>

using namespace moec;

/// A machine with everything.
static CpuidWords full() {
  CpuidWords words;
  words.leaf1Ecx = ~0u;
  words.leaf7Ebx = ~0u;
  words.leaf7Ecx = ~0u;
  words.leaf7Sub1Eax = ~0u;
  words.extended1Ecx = ~0u;
  words.xcr0 = 0xe7;
  return words;
}

TEST(Isa, Names) {
  for (Isa isa : {Isa::X86_64, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16})
    EXPECT_EQ(isaFromName(isaName(isa)), isa);
  EXPECT_STREQ(isaName(Isa::None), "");
  for (const char *name : {"", "avx", "AVX2", "avx512 ", "x86"})
    EXPECT_EQ(isaFromName(name), Isa::None) << name;
}

TEST(Isa, EverythingAndNothing) {
  EXPECT_EQ(classify(full()), Isa::Avx512Bf16);
  EXPECT_EQ(classify(CpuidWords()), Isa::X86_64);
}

TEST(Isa, EveryBitCounts) {
  struct {
    uint32_t CpuidWords::*word;
    int bit;
    Isa without;
  } cases[] = {{&CpuidWords::leaf1Ecx, 12, Isa::X86_64},     // FMA
               {&CpuidWords::leaf1Ecx, 22, Isa::X86_64},     // MOVBE
               {&CpuidWords::leaf1Ecx, 27, Isa::X86_64},     // OSXSAVE
               {&CpuidWords::leaf1Ecx, 28, Isa::X86_64},     // AVX
               {&CpuidWords::leaf1Ecx, 29, Isa::X86_64},     // F16C
               {&CpuidWords::leaf7Ebx, 3, Isa::X86_64},      // BMI1
               {&CpuidWords::leaf7Ebx, 5, Isa::X86_64},      // AVX2
               {&CpuidWords::leaf7Ebx, 8, Isa::X86_64},      // BMI2
               {&CpuidWords::extended1Ecx, 5, Isa::X86_64},  // LZCNT
               {&CpuidWords::leaf7Ebx, 16, Isa::Avx2},       // AVX512F
               {&CpuidWords::leaf7Ebx, 17, Isa::Avx2},       // AVX512DQ
               {&CpuidWords::leaf7Ebx, 28, Isa::Avx2},       // AVX512CD
               {&CpuidWords::leaf7Ebx, 30, Isa::Avx2},       // AVX512BW
               {&CpuidWords::leaf7Ebx, 31, Isa::Avx2},       // AVX512VL
               {&CpuidWords::leaf7Ecx, 1, Isa::Avx512},      // AVX512_VBMI
               {&CpuidWords::leaf7Sub1Eax, 5, Isa::Avx512}}; // AVX512_BF16
  for (const auto &test : cases) {
    CpuidWords words = full();
    words.*test.word &= ~(1u << test.bit);
    EXPECT_EQ(classify(words), test.without) << test.bit;
  }
}

TEST(Isa, RegistersMustBeSavedByTheSystem) {
  CpuidWords words = full();
  for (auto [bit, without] :
       {std::pair(1, Isa::X86_64), std::pair(2, Isa::X86_64),
        std::pair(5, Isa::Avx2), std::pair(6, Isa::Avx2),
        std::pair(7, Isa::Avx2)}) {
    words.xcr0 = 0xe7 & ~(1u << bit);
    EXPECT_EQ(classify(words), without) << bit;
  }
}

/// The kernel's own list of this machine's features.
TEST(Isa, AgreesWithTheKernel) {
  std::ifstream file("/proc/cpuinfo");
  std::string line, flags;
  while (flags.empty() && std::getline(file, line))
    if (line.rfind("flags", 0) == 0)
      flags = line + " ";
  if (flags.empty())
    GTEST_SKIP() << "no /proc/cpuinfo";
  auto all = [&](std::initializer_list<const char *> names) {
    for (const char *name : names)
      if (flags.find(std::string(" ") + name + " ") == std::string::npos)
        return false;
    return true;
  };
  Isa expected = Isa::X86_64;
  if (all({"avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "movbe"})) {
    expected = Isa::Avx2;
    if (all({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}))
      expected = all({"avx512_bf16"}) ? Isa::Avx512Bf16 : Isa::Avx512;
  }
  EXPECT_EQ(hostIsa(), expected);
}
