//===- MoePlugin.cpp - moec in a stock mlir-opt ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   mlir-opt --load-dialect-plugin=MoePlugin.so --load-pass-plugin=MoePlugin.so
//            --pass-pipeline='builtin.module(...)' FILE.mlir
//
// The plugin holds moec alone; MLIR and LLVM are the host's.
//
//===----------------------------------------------------------------------===//

#include "PluginVersion.h"
#include "moec/InitAll.h"

#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"
#include "llvm-c/Core.h"
#include "llvm/Config/llvm-config.h"

using namespace mlir;

/// True if the host runs the LLVM that this plugin was built against; says why
/// not on stderr. The loader then refuses the plugin for its missing callback.
static bool hostMatches() {
  moe::LLVMVersion host;
  LLVMGetVersion(&host[0], &host[1], &host[2]);
  std::string complaint = moe::checkPluginVersion(
      {LLVM_VERSION_MAJOR, LLVM_VERSION_MINOR, LLVM_VERSION_PATCH}, host);
  if (complaint.empty())
    return true;
  llvm::errs() << complaint << '\n';
  return false;
}

static void registerDialects(DialectRegistry *registry) {
  moe::registerAllDialects(*registry);
}

extern "C" LLVM_ATTRIBUTE_WEAK DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "moec", LLVM_VERSION_STRING,
          hostMatches() ? &registerDialects : nullptr};
}

extern "C" LLVM_ATTRIBUTE_WEAK PassPluginLibraryInfo mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "moec", LLVM_VERSION_STRING,
          hostMatches() ? &moe::registerAllPasses : nullptr};
}
