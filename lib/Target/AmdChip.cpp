//===- AmdChip.cpp - AMD GPUs as data -------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Target/AmdChip.h"

using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Matrix instructions, best first for each operand type
//===----------------------------------------------------------------------===//

static const std::vector<AmdMatrixOp> cdna3 = {
    {"mfma", 16, 16, 16, AmdOperand::BF16, 4},
    {"mfma", 16, 16, 16, AmdOperand::F16, 4},
    {"mfma", 16, 16, 32, AmdOperand::F8, 8},
    {"mfma", 16, 16, 32, AmdOperand::BF8, 8},
    {"mfma", 16, 16, 32, AmdOperand::I8, 8},
    {"mfma", 16, 16, 4, AmdOperand::F32, 1},
};
static const std::vector<AmdMatrixOp> cdna4 = {
    {"mfma", 16, 16, 32, AmdOperand::BF16, 8},
    {"mfma", 16, 16, 32, AmdOperand::F16, 8},
    {"mfma", 16, 16, 32, AmdOperand::F8, 8},
    {"mfma", 16, 16, 32, AmdOperand::BF8, 8},
    {"mfma", 16, 16, 64, AmdOperand::I8, 16},
    {"mfma", 16, 16, 4, AmdOperand::F32, 1},
    {"mfma", 16, 16, 128, AmdOperand::F8, 32, /*scaled=*/true},
    {"mfma", 16, 16, 128, AmdOperand::BF8, 32, /*scaled=*/true},
    {"mfma", 16, 16, 128, AmdOperand::F4, 32, /*scaled=*/true},
    {"mfma", 32, 32, 64, AmdOperand::F8, 32, /*scaled=*/true},
    {"mfma", 32, 32, 64, AmdOperand::BF8, 32, /*scaled=*/true},
    {"mfma", 32, 32, 64, AmdOperand::F4, 32, /*scaled=*/true},
};
static const std::vector<AmdMatrixOp> rdna3 = {
    // Both halves of a wave hold the same rows.
    {"wmma", 16, 16, 16, AmdOperand::BF16, 16},
    {"wmma", 16, 16, 16, AmdOperand::F16, 16},
    {"wmma", 16, 16, 16, AmdOperand::I8, 16},
};
static const std::vector<AmdMatrixOp> rdna4 = {
    {"wmma_gfx12", 16, 16, 16, AmdOperand::BF16, 8},
    {"wmma_gfx12", 16, 16, 16, AmdOperand::F16, 8},
    {"wmma_gfx12", 16, 16, 16, AmdOperand::F8, 8},
    {"wmma_gfx12", 16, 16, 16, AmdOperand::BF8, 8},
    {"wmma_gfx12", 16, 16, 16, AmdOperand::I8, 8},
};

//===----------------------------------------------------------------------===//
// Chips
//===----------------------------------------------------------------------===//

static const AmdChip chips[] = {
    {"gfx942", "CDNA3, MI300X", 9, /*waveSize=*/64, /*dies=*/8,
     /*lds=*/65536, 65536, /*vgprs=*/512, 512, 1024, /*waves=*/8, AmdFp8::Fnuz,
     /*directToLds=*/4, /*bf16=*/false, cdna3},
    {"gfx950", "CDNA4, MI355X", 9, 64, 8, 163840, 163840, 512, 512, 1024, 8,
     AmdFp8::Ocp, 16, true, cdna4},
    {"gfx1100", "RDNA3, RX 7900 XTX", 11, 32, 1, 65536, 131072, 256, 1536, 1024,
     16, AmdFp8::None, 0, false, rdna3},
    {"gfx1151", "RDNA3.5, Radeon 8060S", 11, 32, 1, 65536, 131072, 256, 1536,
     1024, 16, AmdFp8::None, 0, false, rdna3},
    {"gfx1201", "RDNA4, RX 9070 XT", 12, 32, 1, 65536, 131072, 256, 1536, 1024,
     16, AmdFp8::Ocp, 0, false, rdna4},
};

const AmdMatrixOp *AmdChip::findMatrixOp(AmdOperand operand,
                                         bool scaled) const {
  for (const AmdMatrixOp &op : matrixOps)
    if (op.operand == operand && op.scaled == scaled)
      return &op;
  return nullptr;
}

bool AmdChip::repeatsOperands() const {
  for (const AmdMatrixOp &op : matrixOps)
    if (op.valuesPerLane * waveSize > op.m * op.k)
      return true;
  return false;
}

const AmdMatrixOp *AmdChip::findScaledOp(int64_t m, int64_t k) const {
  for (const AmdMatrixOp &op : matrixOps)
    if (op.scaled && op.m == m && op.k == k)
      return &op;
  return nullptr;
}

const AmdChip *mlir::moe::findAmdChip(const std::string &name) {
  for (const AmdChip &chip : chips)
    if (name == chip.name)
      return &chip;
  return nullptr;
}

std::string mlir::moe::amdChipNames() {
  std::string names;
  for (const AmdChip &chip : chips)
    names += (names.empty() ? "" : ", ") + std::string(chip.name);
  return names;
}

const char *mlir::moe::amdOperandName(AmdOperand operand) {
  switch (operand) {
  case AmdOperand::F16:
    return "f16";
  case AmdOperand::BF16:
    return "bf16";
  case AmdOperand::F8:
    return "fp8";
  case AmdOperand::BF8:
    return "bf8";
  case AmdOperand::F4:
    return "fp4";
  case AmdOperand::I8:
    return "i8";
  case AmdOperand::F32:
    return "f32";
  }
  return "";
}
