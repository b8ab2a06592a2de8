//===- NoPolly.cpp - The extension that LLVM's archives ask for -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Debian configures LLVM with Polly, so that libLLVMLTO.a, which lld needs,
// asks for Polly's passes; libPolly.a is in a package of its own. The linker
// here joins object files and never optimises at link time: this stands in with
// no passes.
//
//===----------------------------------------------------------------------===//

#include "llvm/Plugins/PassPlugin.h"

llvm::PassPluginLibraryInfo getPollyPluginInfo();

llvm::PassPluginLibraryInfo getPollyPluginInfo() {
  return {LLVM_PLUGIN_API_VERSION, "NoPolly", "", [](llvm::PassBuilder &) {}};
}
