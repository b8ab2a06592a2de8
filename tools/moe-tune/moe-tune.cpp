//===- moe-tune.cpp - Measure tile sizes
//-----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/TuneOptions.h"
#include "llvm/Support/InitLLVM.h"
#include <vector>

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  return mlir::moe::tuneMain(std::vector<std::string>(argv + 1, argv + argc));
}
