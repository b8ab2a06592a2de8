//===- AmdgcnEmitter.cpp - LLVM and ROCDL dialects to objects -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/AmdgcnEmitter.h"

#include "AmdgcnLegality.h"
#include "DeviceLegality.h"
#include "Emission.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/AMDGPUAddrSpace.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetOptions.h"

#include <mutex>

using namespace mlir;
using namespace mlir::moe;

static std::unique_ptr<llvm::TargetMachine> createMachine(Location location,
                                                          const AmdChip &chip) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeAMDGPUTargetInfo();
    LLVMInitializeAMDGPUTarget();
    LLVMInitializeAMDGPUTargetMC();
    LLVMInitializeAMDGPUAsmPrinter();
    LLVMInitializeAMDGPUAsmParser();
  });
  llvm::Triple triple("amdgcn-amd-amdhsa");
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target) {
    emitError(location) << "this LLVM has no AMDGPU back end: " << message;
    return nullptr;
  }
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, chip.name, /*Features=*/"", llvm::TargetOptions(), std::nullopt,
      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

/// Threads of the blocks that a kernel is launched with; no value: any.
static std::optional<int64_t> getThreads(ModuleOp module, StringRef kernel) {
  auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(kernel);
  auto launch = function ? function->getAttrOfType<DictionaryAttr>("moe.launch")
                         : DictionaryAttr();
  auto block =
      launch ? launch.getAs<DenseI64ArrayAttr>("block") : DenseI64ArrayAttr();
  if (!block || block.size() != 3)
    return std::nullopt;
  return block[0] * block[1] * block[2];
}

/// Tells the kernels how they are launched, and the module its form.
static void adapt(ModuleOp source, llvm::Module &module,
                  ArrayRef<std::string> kernels) {
  demoteHiddenKernels(module);
  for (const std::string &name : kernels) {
    llvm::Function *function = module.getFunction(name);
    function->addFnAttr(llvm::Attribute::NoUnwind);
    // Without it the code would be for up to 256 threads, and registers be
    // dealt for 1024.
    if (std::optional<int64_t> threads = getThreads(source, name)) {
      std::string count = std::to_string(*threads);
      function->addFnAttr("amdgpu-flat-work-group-size", count + "," + count);
      function->addFnAttr("uniform-work-group-size", "true");
    }
  }
  // The fifth is the oldest form that LLVM still writes by choice of all that
  // ROCm since 5.x loads.
  constexpr StringRef flag = "amdhsa_code_object_version";
  if (!module.getModuleFlag(flag))
    module.addModuleFlag(llvm::Module::Error, flag, 500);
}

/// "Occupancy [waves/SIMD]: 8" behind "Function Name: k".
static void readRemark(StringRef text, std::string &kernel,
                       WavesPerSimd &waves) {
  text = text.trim();
  int64_t count;
  if (text.consume_front("Function Name: "))
    kernel = text.str();
  else if (text.consume_front("Occupancy [waves/SIMD]: ") &&
           !text.getAsInteger(10, count))
    waves[kernel] = count;
}

static FailureOr<std::string> emit(ModuleOp module, const AmdChip &chip,
                                   ArrayRef<std::string> kernels,
                                   EmissionForm form, EmitTimes *times,
                                   WavesPerSimd *waves) {
  Location location = module.getLoc();
  if (failed(checkDeviceKernels(
          module, kernels, ROCDL::ROCDLDialect::getKernelFuncAttrName())) ||
      failed(checkAmdgcnLegal(module, chip)))
    return failure();
  auto create = [&] { return createMachine(location, chip); };
  auto prepare = [&](llvm::Module &code) {
    adapt(module, code, kernels);
    return success();
  };
  auto check = [&](llvm::Module &code) {
    return checkAmdgcnLegal(location, code, chip, kernels);
  };
  std::string current;
  auto remark = [&](StringRef text) { readRemark(text, current, *waves); };
  // Tile programs have as many products between barriers as they are to have.
  // Of several k steps in one basic block LLVM moves all products behind all
  // loads, and spills the fragments.
  llvm::PipelineTuningOptions tuning;
  tuning.LoopUnrolling = false;
  EmissionTarget target{"code generation", create, prepare, tuning, check};
  if (waves) {
    target.remarkPass = "kernel-resource-usage";
    target.onRemark = remark;
  }
  return emitKernels(module, target, kernels, form, times);
}

FailureOr<std::string>
mlir::moe::emitAmdgcnObject(ModuleOp module, const AmdChip &chip,
                            ArrayRef<std::string> kernels, EmitTimes *times,
                            WavesPerSimd *waves) {
  return emit(module, chip, kernels, EmissionForm::Object, times, waves);
}

FailureOr<std::string>
mlir::moe::emitAmdgcnLLVMText(ModuleOp module, const AmdChip &chip,
                              ArrayRef<std::string> kernels) {
  return emit(module, chip, kernels, EmissionForm::LLVMText, nullptr, nullptr);
}

FailureOr<std::string>
mlir::moe::emitAmdgcnAssembly(ModuleOp module, const AmdChip &chip,
                              ArrayRef<std::string> kernels) {
  return emit(module, chip, kernels, EmissionForm::Assembly, nullptr, nullptr);
}
