//===- ObjectEmitter.cpp - LLVM dialect to machine code -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/ObjectEmitter.h"

#include "Emission.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/ROCDL/ROCDLToLLVMIRTranslation.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetOptions.h"

#include <mutex>

using namespace mlir;
using namespace mlir::moe;

void mlir::moe::registerEmission(MLIRContext &context) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  registerROCDLDialectTranslation(registry);
  context.appendDialectRegistry(registry);
}

//===----------------------------------------------------------------------===//
// LLVM IR
//===----------------------------------------------------------------------===//

static std::unique_ptr<llvm::TargetMachine> createMachine(Location location,
                                                          const CpuIsa &isa) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
  });
  llvm::Triple triple("x86_64-unknown-linux-gnu");
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target) {
    emitError(location) << "this LLVM has no x86-64 back end: " << message;
    return nullptr;
  }
  llvm::TargetOptions options;
  options.FunctionSections = true;
  options.DataSections = true;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, isa.cpu, isa.features, options, llvm::Reloc::PIC_,
      llvm::CodeModel::Small, llvm::CodeGenOptLevel::Aggressive));
}

/// Tells every function its target.
static LogicalResult adapt(llvm::Module &module, const CpuIsa &isa) {
  module.setPICLevel(llvm::PICLevel::BigPIC);
  std::string width = std::to_string(isa.vectorBits);
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", isa.cpu);
    if (!isa.features.empty())
      function.addFnAttr("target-features", isa.features);
    // LLVM shuns 512-bit registers by default, and splits vectors that stand
    // in a function without the second attribute.
    function.addFnAttr("prefer-vector-width", width);
    function.addFnAttr("min-legal-vector-width", width);
    function.addFnAttr(llvm::Attribute::NoUnwind);
    function.setUWTableKind(llvm::UWTableKind::None);
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Undefined symbols
//===----------------------------------------------------------------------===//

bool mlir::moe::isRuntimeSymbol(StringRef name) {
  static const llvm::StringSet<> memory = {"memcpy", "memmove", "memset",
                                           "memcmp"};
  static const llvm::StringSet<> math = {
      "acos",   "acosh",     "asin",   "asinh",   "atan",      "atan2",
      "atanh",  "cbrt",      "ceil",   "cos",     "cosh",      "erf",
      "erfc",   "exp",       "exp10",  "exp2",    "expm1",     "fabs",
      "floor",  "fma",       "fmax",   "fmin",    "fmod",      "frexp",
      "hypot",  "ldexp",     "log",    "log10",   "log1p",     "log2",
      "lrint",  "llrint",    "lround", "llround", "modf",      "nearbyint",
      "pow",    "remainder", "rint",   "round",   "roundeven", "sin",
      "sincos", "sinh",      "sqrt",   "tan",     "tanh",      "tgamma",
      "trunc"};
  if (memory.contains(name) || math.contains(name))
    return true;
  return name.consume_back("f") && math.contains(name);
}

/// Names of the undefined symbols of an object, in its order.
static FailureOr<SmallVector<std::string>> getUndefined(Location location,
                                                        StringRef object) {
  auto file = llvm::object::ObjectFile::createObjectFile(
      llvm::MemoryBufferRef(object, "kernels.o"));
  if (!file)
    return emitError(location)
           << "unreadable object: " << llvm::toString(file.takeError());
  SmallVector<std::string> names;
  for (const llvm::object::SymbolRef &symbol : (*file)->symbols()) {
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    if (!flags || !name) {
      llvm::Error error =
          llvm::joinErrors(flags ? llvm::Error::success() : flags.takeError(),
                           name ? llvm::Error::success() : name.takeError());
      return emitError(location)
             << "unreadable object: " << llvm::toString(std::move(error));
    }
    if ((*flags & llvm::object::SymbolRef::SF_Undefined) && !name->empty())
      names.push_back(name->str());
  }
  return names;
}

static LogicalResult checkUndefined(Location location, StringRef object) {
  FailureOr<SmallVector<std::string>> undefined =
      getUndefined(location, object);
  if (failed(undefined))
    return failure();
  llvm::erase_if(*undefined, isRuntimeSymbol);
  if (undefined->empty())
    return success();
  return emitError(location)
         << "kernels may call libm and memcpy, memmove, memset, memcmp only, "
            "but need "
         << llvm::join(*undefined, ", ");
}

//===----------------------------------------------------------------------===//
// Entry points
//===----------------------------------------------------------------------===//

static FailureOr<std::string> emit(ModuleOp module, const CpuIsa &isa,
                                   ArrayRef<std::string> kernels,
                                   EmissionForm form, EmitTimes *times) {
  auto create = [&] { return createMachine(module.getLoc(), isa); };
  auto prepare = [&](llvm::Module &module) { return adapt(module, isa); };
  auto check = [](llvm::Module &) { return success(); };
  llvm::PipelineTuningOptions tuning;
  tuning.LoopUnrolling = true;
  tuning.LoopVectorization = true;
  tuning.SLPVectorization = true;
  EmissionTarget target{"code generation", create, prepare, tuning, check};
  return emitKernels(module, target, kernels, form, times);
}

FailureOr<std::string> mlir::moe::emitObject(ModuleOp module, const CpuIsa &isa,
                                             ArrayRef<std::string> kernels,
                                             EmitTimes *times) {
  FailureOr<std::string> object =
      emit(module, isa, kernels, EmissionForm::Object, times);
  if (failed(object) || failed(checkUndefined(module.getLoc(), *object)))
    return failure();
  return object;
}

FailureOr<std::string> mlir::moe::emitAssembly(ModuleOp module,
                                               const CpuIsa &isa,
                                               ArrayRef<std::string> kernels) {
  return emit(module, isa, kernels, EmissionForm::Assembly, nullptr);
}

FailureOr<std::string> mlir::moe::emitLLVMText(ModuleOp module,
                                               const CpuIsa &isa,
                                               ArrayRef<std::string> kernels) {
  return emit(module, isa, kernels, EmissionForm::LLVMText, nullptr);
}
