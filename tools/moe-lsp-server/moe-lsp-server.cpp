//===- moe-lsp-server.cpp - Language server for moec's dialects -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Point an editor's MLIR extension at this binary instead of mlir-lsp-server.
//
//===----------------------------------------------------------------------===//

#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "moec/InitAll.h"
#include "llvm/Support/CommandLine.h"

static llvm::cl::extrahelp examples(R"(
EXAMPLES:
  moe-lsp-server                  talks to an editor on the standard streams
  moe-lsp-server --log=verbose    also tells what was said, on the standard error
In VS Code with the MLIR extension: "mlir.server_path": "build/bin/moe-lsp-server"
)");

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::moe::registerAllDialects(registry);
  return failed(mlir::MlirLspServerMain(argc, argv, registry)) ? 1 : 0;
}
