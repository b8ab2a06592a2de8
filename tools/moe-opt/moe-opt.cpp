//===- moe-opt.cpp - Run moec passes on MLIR files ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "moec/InitAll.h"
#include "llvm/Support/CommandLine.h"

static llvm::cl::extrahelp examples(R"(
EXAMPLES:
  moe-opt --moe-decompose-layer --moe-fuse-epilogue --moe-fold-scales layer.mlir
  moe-opt --pass-pipeline='builtin.module(moe-to-cpu{isa=avx2 tokens=16})' layer.mlir
  moe-opt --moe-decompose-layer --moe-interpret=tokens=4 layer.mlir
)");

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::moe::registerAllDialects(registry);
  mlir::moe::registerAllPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "moec optimizer driver: moe, moe_tile and their lowerings\n",
      registry));
}
