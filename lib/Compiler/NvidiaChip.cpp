//===- NvidiaChip.cpp - NVIDIA architectures that are built for -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/NvidiaChip.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir::moe;

llvm::ArrayRef<NvidiaChip> mlir::moe::getNvidiaChips() {
  // PTX 8.4 is the first with products of 8-bit floats on sm_89; 8.6 for TMA
  // into the CTA's own memory and relaxed arrivals on barriers; 8.7 is the
  // first that knows sm_120.
  static constexpr NvidiaChip chips[] = {
      {{"sm_80", "+ptx80", 166912, 1, false}},
      {{"sm_89", "+ptx84", 101376, 1, false}},
      {{"sm_90a", "+ptx86", 232448, 8, true}},
      {{"sm_100a", "+ptx86", 232448, 8, true}},
      {{"sm_120", "+ptx87", 101376, 8, true}},
  };
  return chips;
}

const NvidiaChip *mlir::moe::findNvidiaChip(llvm::StringRef name) {
  const NvidiaChip *chip =
      llvm::find_if(getNvidiaChips(),
                    [&](const NvidiaChip &chip) { return chip.name == name; });
  return chip == getNvidiaChips().end() ? nullptr : chip;
}
