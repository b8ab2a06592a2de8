//===- NvptxEmitter.cpp - LLVM and NVVM dialects to PTX -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/NvptxEmitter.h"

#include "DeviceLegality.h"
#include "Emission.h"
#include "NvptxLegality.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
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
  if (failed(checkDeviceKernels(module, kernels,
                                NVVM::NVVMDialect::getKernelFuncAttrName())))
    return failure();
  for (const std::string &name : kernels)
    if (!isPtxName(name))
      return module.lookupSymbol<LLVM::LLVMFuncOp>(name).emitOpError()
             << "the name '" << name
             << "' is none that PTX takes: letters, digits, '_' and '$'";
  return success();
}

static FailureOr<std::string> emit(ModuleOp module, const NvidiaChip &chip,
                                   ArrayRef<std::string> kernels,
                                   EmissionForm form, EmitTimes *times) {
  Location location = module.getLoc();
  if (failed(checkKernels(module, kernels)) || failed(checkNvptxLegal(module)))
    return failure();
  auto adapt = [](llvm::Module &module) {
    demoteHiddenKernels(module);
    return success();
  };
  auto check = [&](llvm::Module &module) {
    return checkNvptxLegal(location, module);
  };
  auto create = [&] { return createMachine(location, chip); };
  EmissionTarget target{"PTX generation", create, adapt,
                        llvm::PipelineTuningOptions(), check};
  return emitKernels(module, target, kernels, form, times);
}

FailureOr<std::string> mlir::moe::emitPtx(ModuleOp module,
                                          const NvidiaChip &chip,
                                          ArrayRef<std::string> kernels,
                                          EmitTimes *times) {
  return emit(module, chip, kernels, EmissionForm::Assembly, times);
}

FailureOr<std::string>
mlir::moe::emitNvptxLLVMText(ModuleOp module, const NvidiaChip &chip,
                             ArrayRef<std::string> kernels) {
  return emit(module, chip, kernels, EmissionForm::LLVMText, nullptr);
}
