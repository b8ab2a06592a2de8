//===- compiles.cpp - Use the installed libraries -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Another compiler: registers moec's dialects and asks for one of its types.

#include <moec/Dialect/Moe/IR/MoeDialect.h>
#include <moec/InitAll.h>

#include <mlir/IR/DialectRegistry.h>
#include <mlir/IR/MLIRContext.h>

int main() {
  mlir::DialectRegistry registry;
  mlir::moe::registerAllDialects(registry);
  mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
  mlir::Dialect *dialect = context.getOrLoadDialect("moe");
  if (!dialect)
    return 1;
  llvm::outs() << "loaded " << dialect->getNamespace() << "\n";
  return 0;
}
