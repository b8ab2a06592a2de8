//===- MatrixTest.cpp - Products of the probes are products ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emulated.h"
#include "moec/Support/ElementType.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

constexpr int64_t kRowBytes = 128, kTileRows = 64, kGroups = 4;
constexpr int64_t kFirstB = kGroups * kTileRows * kRowBytes;

/// Where byte `at` of a row stands under a swizzle of 128 bytes.
int64_t swizzled(int64_t row, int64_t at) {
  return row * kRowBytes + (at ^ (row % 8 * 16));
}

/// Small whole numbers: products and sums are exact in every type.
struct Operands {
  Operands(StringRef type, uint32_t seed)
      : bytes(kFirstB + 256 * kRowBytes), integers(type == "int8") {
    ElementType element = *parseElementType(type == "bf16"   ? "bf16"
                                            : type == "fp8"  ? "f8E4M3FN"
                                            : type == "int8" ? "i8"
                                                             : "f32");
    width = getBitWidth(element) / 8;
    columns = kRowBytes / width;
    std::mt19937 random(seed);
    for (int64_t row = 0; row < kGroups * kTileRows + 256; ++row)
      for (int64_t k = 0; k < columns; ++k) {
        int value = int(random() % 9) - 4;
        values.push_back(value);
        uint64_t code = encode(element, value);
        std::memcpy(&bytes[swizzled(row, k * width)], &code, width);
      }
  }
  int a(int64_t row, int64_t k) const { return values[row * columns + k]; }
  int b(int64_t row, int64_t k) const {
    return a(kGroups * kTileRows + row, k);
  }

  std::vector<uint8_t> bytes;
  bool integers;
  int64_t width = 0, columns = 0;
  std::vector<int> values;
};

/// A kernel's product of so many warpgroups and rounds.
void check(StringRef type, int64_t n, bool registers, int64_t groups,
           int32_t rounds) {
  Emulated &device = Emulated::of("sm_90a");
  Operands operands(type, uint32_t(n + groups));
  std::string kernel = ("probe_wgmma_" + type + "_n" + Twine(n) + "_" +
                        (registers ? "registers" : "shared"))
                           .str();
  int64_t threads = 128 * groups;
  std::vector<uint32_t> out(threads * n / 2, 0xffffffff);
  // The second block computes and stores nothing.
  device.launch(kernel, 2, uint32_t(threads), 65536,
                {device.memory(operands.bytes, "operands"), word(rounds),
                 device.memory(out, "out", false)});
  for (int64_t thread = 0; thread < threads; ++thread)
    for (int64_t i = 0; i < n / 2; ++i) {
      int64_t lane = thread % 32, warp = thread / 32;
      int64_t row = 16 * warp + lane / 4 + i / 2 % 2 * 8;
      int64_t column = i / 4 * 8 + lane % 4 * 2 + i % 2;
      int sum = 0;
      for (int64_t k = 0; k < operands.columns; ++k)
        sum += operands.a(row, k) * operands.b(column, k);
      sum *= rounds;
      uint32_t bits = out[thread * (n / 2) + i];
      float value;
      std::memcpy(&value, &bits, 4);
      ASSERT_EQ(operands.integers ? double(int32_t(bits)) : double(value), sum)
          << kernel << " row " << row << " column " << column;
    }
}

TEST(MatrixProbes, everyWidthFromSharedMemory) {
  for (const char *type : {"bf16", "fp8", "int8", "tf32"})
    for (int64_t n : {8, 16, 32, 64, 128, 256})
      check(type, n, /*registers=*/false, /*groups=*/1, /*rounds=*/1);
}

TEST(MatrixProbes, everyWidthFromRegisters) {
  for (int64_t n : {8, 16, 32, 64, 128, 256})
    check("bf16", n, /*registers=*/true, /*groups=*/1, /*rounds=*/1);
}

TEST(MatrixProbes, roundsAddUp) {
  for (const char *type : {"bf16", "int8"})
    check(type, 16, /*registers=*/false, /*groups=*/1, /*rounds=*/3);
  check("bf16", 32, /*registers=*/true, /*groups=*/1, /*rounds=*/3);
}

TEST(MatrixProbes, warpgroupsHaveRowsOfTheirOwn) {
  check("fp8", 8, /*registers=*/false, /*groups=*/4, /*rounds=*/2);
  check("bf16", 8, /*registers=*/true, /*groups=*/4, /*rounds=*/2);
  check("tf32", 256, /*registers=*/false, /*groups=*/2, /*rounds=*/1);
}

TEST(MatrixProbes, onlyWhereTheInstructionIs) {
  for (const char *target : {"sm_80", "sm_100a", "gfx942"})
    for (const std::string &kernel : Emulated::of(target).probes.kernels)
      EXPECT_FALSE(StringRef(kernel).starts_with("probe_wgmma")) << target;
}

} // namespace
