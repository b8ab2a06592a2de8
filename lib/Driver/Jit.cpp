//===- Jit.cpp - From a function to kernels in this process ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Jit.h"

#include "moec/Compiler/CpuIsa.h"
#include "moec/Compiler/Jit.h"

using namespace mlir;
using namespace mlir::moe;

/// The instruction set to compile for: the highest that this machine has, but
/// none above `limit`.
static llvm::Expected<std::string> pickIsa(StringRef limit) {
  const CpuIsa *host = getHostCpuIsa();
  if (!host)
    return llvm::createStringError(
        "compiling in memory needs an x86-64 machine");
  for (const CpuIsa &isa : getCpuIsas())
    if (isa.name == limit || isa.name == host->name)
      return isa.name.str();
  return host->name.str();
}

OwningOpRef<ModuleOp> mlir::moe::isolate(func::FuncOp function) {
  OwningOpRef<ModuleOp> module =
      cast<ModuleOp>(function->getParentOfType<ModuleOp>()->clone());
  for (auto other : llvm::make_early_inc_range(module->getOps<func::FuncOp>()))
    if (other.getName() != function.getName())
      other.erase();
  return module;
}

LayerOpener mlir::moe::openInMemory(Location location, CompiledLayer compiled) {
  auto layer = std::make_shared<CompiledLayer>(std::move(compiled));
  return [=](const char *function) -> llvm::Expected<LayerHandle> {
    moec_open_options open = {};
    open.struct_size = sizeof(open);
    open.function = function;
    FailureOr<std::unique_ptr<JitLayer>> jit =
        openInProcess(location, *layer, &open);
    if (failed(jit))
      return llvm::createStringError("the compiled layer does not open");
    std::shared_ptr<JitLayer> owner = std::move(*jit);
    return LayerHandle(owner, owner->get());
  };
}

llvm::Expected<LayerOpener>
mlir::moe::compileInMemory(func::FuncOp function, std::string isa,
                           ArrayRef<int64_t> tokens) {
  llvm::Expected<std::string> picked = pickIsa(isa);
  if (!picked)
    return picked.takeError();
  CompileOptions options;
  options.isas = {*picked};
  if (!tokens.empty())
    options.tokens.assign(tokens.begin(), tokens.end());
  options.link = false;
  prepareContext(*function.getContext());
  OwningOpRef<ModuleOp> module = isolate(function);
  FailureOr<CompiledLayer> compiled = compileLayer(*module, options);
  if (failed(compiled))
    return llvm::createStringError("'" + function.getName() +
                                   "' does not compile");
  for (const std::string &note : compiled->notes)
    llvm::errs() << "moe-run: " << note << "\n";
  return openInMemory(function.getLoc(), std::move(*compiled));
}
