//===- AmdChipTest.cpp - Facts of AMD GPUs that others rely on ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Target/AmdChip.h"

#include <gtest/gtest.h>

#include <sstream>

using namespace mlir::moe;

static std::vector<const AmdChip *> allChips() {
  std::vector<const AmdChip *> chips;
  std::istringstream names(amdChipNames());
  for (std::string name; names >> name;) {
    if (name.back() == ',')
      name.pop_back();
    chips.push_back(findAmdChip(name));
  }
  return chips;
}

TEST(AmdChipTest, KnowsFiveChipsAndNoOther) {
  EXPECT_EQ(amdChipNames(), "gfx942, gfx950, gfx1100, gfx1151, gfx1201");
  for (const AmdChip *chip : allChips())
    ASSERT_NE(chip, nullptr);
  EXPECT_EQ(findAmdChip("gfx90a"), nullptr);
  EXPECT_EQ(findAmdChip(""), nullptr);
}

// The lanes of a wave hold A once, on gfx11 twice.
TEST(AmdChipTest, LanesHoldWholeOperands) {
  for (const AmdChip *chip : allChips())
    for (const AmdMatrixOp &op : chip->matrixOps) {
      int64_t copies = chip->major == 11 ? 2 : 1;
      EXPECT_EQ(op.valuesPerLane * chip->waveSize, copies * op.m * op.k)
          << chip->name << " " << op.family << " " << op.k;
      EXPECT_EQ(chip->repeatsOperands(), copies > 1) << chip->name;
    }
}

// The shape tells instructions with scales from others.
TEST(AmdChipTest, ScalesByTheirStep) {
  for (const AmdChip *chip : allChips())
    for (const AmdMatrixOp &op : chip->matrixOps)
      EXPECT_EQ(chip->findScaledOp(op.m, op.k) != nullptr, op.scaled)
          << chip->name << " " << op.family << " " << op.k;
  for (auto [m, k] : {std::pair{16, 128}, {32, 64}}) {
    ASSERT_NE(findAmdChip("gfx950")->findScaledOp(m, k), nullptr);
    EXPECT_EQ(findAmdChip("gfx950")->findScaledOp(m, k)->valuesPerLane, 32);
    EXPECT_EQ(findAmdChip("gfx942")->findScaledOp(m, k), nullptr);
  }
  EXPECT_EQ(findAmdChip("gfx950")->findScaledOp(16, 64), nullptr);
  EXPECT_EQ(findAmdChip("gfx950")->findScaledOp(32, 128), nullptr);
}

TEST(AmdChipTest, SixteenBitProductsEverywhere) {
  for (const AmdChip *chip : allChips())
    for (AmdOperand operand : {AmdOperand::BF16, AmdOperand::F16})
      EXPECT_NE(chip->findMatrixOp(operand), nullptr) << chip->name;
}

TEST(AmdChipTest, EightBitProductsWhereThereAreEightBitFloats) {
  for (const AmdChip *chip : allChips())
    for (AmdOperand operand : {AmdOperand::F8, AmdOperand::BF8})
      EXPECT_EQ(chip->findMatrixOp(operand) != nullptr,
                chip->fp8 != AmdFp8::None)
          << chip->name << " " << amdOperandName(operand);
  EXPECT_EQ(findAmdChip("gfx942")->fp8, AmdFp8::Fnuz);
  EXPECT_EQ(findAmdChip("gfx950")->fp8, AmdFp8::Ocp);
}

TEST(AmdChipTest, ScalesInTheInstructionOnlyOnCdna4) {
  for (const AmdChip *chip : allChips())
    EXPECT_EQ(chip->findMatrixOp(AmdOperand::F4, /*scaled=*/true) != nullptr,
              std::string(chip->name) == "gfx950");
  EXPECT_EQ(findAmdChip("gfx950")->findMatrixOp(AmdOperand::F4), nullptr);
}

TEST(AmdChipTest, WavesAndMemories) {
  for (const AmdChip *chip : allChips()) {
    EXPECT_EQ(chip->waveSize, chip->major == 9 ? 64 : 32) << chip->name;
    EXPECT_GE(chip->ldsPerUnit, chip->ldsBytes) << chip->name;
    EXPECT_EQ(chip->directToLdsBytes == 16, chip->ldsBytes > 65536)
        << chip->name;
  }
}

// Dies and waves of a SIMD go with the family.
TEST(AmdChipTest, DiesAndWaves) {
  for (const AmdChip *chip : allChips()) {
    EXPECT_EQ(chip->dies, chip->major == 9 ? 8 : 1) << chip->name;
    EXPECT_EQ(chip->maxWaves, chip->major == 9 ? 8 : 16) << chip->name;
  }
}
