//===- Jit.cpp - From a function to kernels in this process ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Jit.h"

using namespace mlir;
using namespace mlir::moe;

llvm::Expected<LayerOpener> mlir::moe::compileInMemory(func::FuncOp function,
                                                       std::string isa,
                                                       ArrayRef<int64_t>) {
  return llvm::createStringError(
      "compiling in memory is not built yet; --reference interprets '" +
      function.getName() + "'");
}
