//===- ExplicitTarget.cpp - Chips with an explicit form -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/Transforms/ExplicitTarget.h"

using namespace mlir::moe::tile;

static const ExplicitTarget explicitTargets[] = {
    // One warpgroup loads for each, and is a team.
    {"sm_90a", 232448, 1024, 65536, 255, "wgmma", 128, 128, true, true},
    // Four warps copy for eight that multiply: with one less on a quarter of
    // the
    // multiprocessor the others would have no more registers.
    {"sm_80", 166912, 1024, 65536, 255, "mma_sync", 256, 128, false, false},
    {"sm_89", 101376, 1024, 65536, 255, "mma_sync", 256, 128, true, false},
    // What it has beyond sm_89 is not used.
    {"sm_120", 101376, 1024, 65536, 255, "mma_sync", 256, 128, true, false},
};

const ExplicitTarget *
mlir::moe::tile::findExplicitTarget(llvm::StringRef name) {
  for (const ExplicitTarget &target : explicitTargets)
    if (target.name == name)
      return &target;
  return nullptr;
}
