//===- NvptxEmitter.cpp - LLVM and NVVM dialects to PTX -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/NvptxEmitter.h"

#include "Emission.h"
#include "NvptxLegality.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "moec/Compiler/Guard.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetOptions.h"

#include <mutex>

using namespace mlir;
using namespace mlir::moe;

static std::unique_ptr<llvm::TargetMachine>
createMachine(Location location, const NvidiaChip &chip) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target) {
    emitError(location) << "this LLVM has no NVPTX back end: " << message;
    return nullptr;
  }
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, chip.name, chip.features, llvm::TargetOptions(), std::nullopt,
      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

/// Whether PTX takes the name as it is: the back end writes it unchanged.
static bool isPtxName(StringRef name) {
  auto isWord = [](char c) { return llvm::isAlnum(c) || c == '_' || c == '$'; };
  return !name.empty() && !llvm::isDigit(name.front()) &&
         llvm::all_of(name, isWord);
}

static LogicalResult checkKernels(ModuleOp module,
                                  ArrayRef<std::string> kernels) {
  for (const std::string &name : kernels) {
    auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(name);
    if (!function || function.isExternal())
      return emitError(module.getLoc())
             << "kernel '" << name << "' is launched but not defined";
    if (!function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName()))
      return function.emitOpError()
             << "'" << name << "' is launched but has no nvvm.kernel";
    if (!isPtxName(name))
      return function.emitOpError()
             << "the name '" << name
             << "' is none that PTX takes: letters, digits, '_' and '$'";
  }
  return success();
}

/// Translates, hides what is no kernel, and checks what came out.
static LogicalResult prepare(Emission &emission, Location location,
                             ArrayRef<std::string> kernels) {
  if (failed(emission.translate()))
    return failure();
  llvm::StringSet<> exported;
  for (const std::string &kernel : kernels)
    exported.insert(kernel);
  for (llvm::GlobalValue &value : emission.getModule().global_values())
    if (!value.isDeclaration() && !exported.contains(value.getName()) &&
        !value.getName().starts_with("llvm.")) {
      value.setLinkage(llvm::GlobalValue::InternalLinkage);
      // A kernel stays whoever uses it; one that nobody launches shall not.
      if (auto *function = dyn_cast<llvm::Function>(&value))
        function->setCallingConv(llvm::CallingConv::C);
    }
  return emission.verify();
}

/// Checks, translates and optimises, then calls `finish` with the emission.
static LogicalResult
emit(ModuleOp module, const NvidiaChip &chip, ArrayRef<std::string> kernels,
     EmitTimes *times, llvm::function_ref<LogicalResult(Emission &)> finish) {
  Location location = module.getLoc();
  if (failed(checkKernels(module, kernels)) || failed(checkNvptxLegal(module)))
    return failure();
  return runGuarded(location, "PTX generation", [&]() -> LogicalResult {
    std::unique_ptr<llvm::TargetMachine> machine =
        createMachine(location, chip);
    if (!machine)
      return failure();
    Emission emission(module, std::move(machine));
    {
      PhaseTimer timer(times ? &times->translate : nullptr);
      if (failed(prepare(emission, location, kernels)))
        return failure();
    }
    {
      PhaseTimer timer(times ? &times->optimize : nullptr);
      if (failed(emission.optimize(llvm::PipelineTuningOptions())) ||
          failed(checkNvptxLegal(location, emission.getModule())))
        return failure();
    }
    PhaseTimer timer(times ? &times->generate : nullptr);
    return finish(emission);
  });
}

FailureOr<std::string> mlir::moe::emitPtx(ModuleOp module,
                                          const NvidiaChip &chip,
                                          ArrayRef<std::string> kernels,
                                          EmitTimes *times) {
  std::string result;
  if (failed(emit(module, chip, kernels, times,
                  [&](Emission &emission) -> LogicalResult {
                    FailureOr<std::string> text =
                        emission.generate(llvm::CodeGenFileType::AssemblyFile);
                    if (failed(text))
                      return failure();
                    result = std::move(*text);
                    return success();
                  })))
    return failure();
  return result;
}

FailureOr<std::string>
mlir::moe::emitNvptxLLVMText(ModuleOp module, const NvidiaChip &chip,
                             ArrayRef<std::string> kernels) {
  std::string result;
  if (failed(emit(module, chip, kernels, nullptr, [&](Emission &emission) {
        result = emission.print();
        return success();
      })))
    return failure();
  return result;
}
