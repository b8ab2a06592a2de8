//===- Emission.cpp - One module on its way through LLVM ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Emission.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "moec/Compiler/Guard.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using namespace mlir::moe;

/// Hands LLVM's errors to MLIR and the remarks of one pass to who wants them;
/// everything else is dropped.
struct Emission::ForwardDiagnostics final : llvm::DiagnosticHandler {
  explicit ForwardDiagnostics(Location location) : location(location) {}
  bool isAnalysisRemarkEnabled(StringRef pass) const override {
    return onRemark && pass == remarkPass;
  }
  bool isAnyRemarkEnabled() const override { return bool(onRemark); }
  bool handleDiagnostics(const llvm::DiagnosticInfo &info) override {
    if (auto *remark = dyn_cast<llvm::DiagnosticInfoOptimizationBase>(&info)) {
      if (onRemark && remark->getPassName() == remarkPass)
        onRemark(remark->getMsg());
      return true;
    }
    if (info.getSeverity() != llvm::DS_Error)
      return true;
    std::string text;
    llvm::raw_string_ostream stream(text);
    llvm::DiagnosticPrinterRawOStream printer(stream);
    info.print(printer);
    emitError(location) << "LLVM: " << StringRef(text).split('\n').first;
    failed = true;
    return true;
  }
  Location location;
  bool failed = false;
  std::string remarkPass;
  llvm::function_ref<void(StringRef)> onRemark;
};

Emission::Emission(ModuleOp source,
                   std::unique_ptr<llvm::TargetMachine> machine)
    : source(source), machine(std::move(machine)) {
  auto handler = std::make_unique<ForwardDiagnostics>(source.getLoc());
  diagnostics = handler.get();
  context.setDiagnosticHandler(std::move(handler));
}

LogicalResult Emission::translate() {
  module = translateModuleToLLVMIR(source, context, "moec");
  if (!module) // The translation has said why.
    return failure();
  module->setTargetTriple(machine->getTargetTriple());
  module->setDataLayout(machine->createDataLayout());
  return success();
}

LogicalResult Emission::verify() {
  std::string message;
  llvm::raw_string_ostream stream(message);
  if (llvm::verifyModule(*module, &stream))
    return emitError(source.getLoc()) << "invalid LLVM IR: " << message;
  return success(!diagnostics->failed);
}

LogicalResult Emission::optimize(const llvm::PipelineTuningOptions &tuning) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(machine.get(), tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3)
      .run(*module, modules);
  return success(!diagnostics->failed);
}

FailureOr<std::string> Emission::generate(llvm::CodeGenFileType type) {
  SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, stream, nullptr, type))
    return emitError(source.getLoc()) << "LLVM cannot emit this kind of file";
  passes.run(*module);
  if (diagnostics->failed)
    return failure();
  return std::string(bytes.data(), bytes.size());
}

void Emission::observeRemarks(StringRef pass,
                              llvm::function_ref<void(StringRef)> handler) {
  diagnostics->remarkPass = pass.str();
  diagnostics->onRemark = handler;
}

std::string Emission::print() const {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream, nullptr);
  return text;
}

//===----------------------------------------------------------------------===//
// From beginning to end
//===----------------------------------------------------------------------===//

/// Makes internal, so that it vanishes where it is not used, all but kernels.
static LogicalResult hide(llvm::Module &module, Location location,
                          ArrayRef<std::string> kernels) {
  llvm::StringSet<> exported;
  for (const std::string &kernel : kernels) {
    llvm::Function *function = module.getFunction(kernel);
    if (!function || function->isDeclaration())
      return emitError(location)
             << "kernel '" << kernel << "' is launched but not defined";
    exported.insert(kernel);
  }
  for (llvm::GlobalValue &value : module.global_values())
    if (!value.isDeclaration() && !exported.contains(value.getName()) &&
        !value.getName().starts_with("llvm."))
      value.setLinkage(llvm::GlobalValue::InternalLinkage);
  return success();
}

FailureOr<std::string> mlir::moe::emitKernels(ModuleOp module,
                                              const EmissionTarget &target,
                                              ArrayRef<std::string> kernels,
                                              EmissionForm form,
                                              EmitTimes *times) {
  std::string result;
  auto run = [&]() -> LogicalResult {
    std::unique_ptr<llvm::TargetMachine> machine = target.createMachine();
    if (!machine)
      return failure();
    Emission emission(module, std::move(machine));
    {
      PhaseTimer timer(times ? &times->translate : nullptr);
      if (failed(emission.translate()) ||
          failed(hide(emission.getModule(), module.getLoc(), kernels)) ||
          failed(target.adapt(emission.getModule())) ||
          failed(emission.verify()))
        return failure();
    }
    {
      PhaseTimer timer(times ? &times->optimize : nullptr);
      if (failed(emission.optimize(target.tuning)) ||
          failed(target.check(emission.getModule())))
        return failure();
    }
    PhaseTimer timer(times ? &times->generate : nullptr);
    if (target.onRemark)
      emission.observeRemarks(target.remarkPass, target.onRemark);
    if (form == EmissionForm::LLVMText) {
      result = emission.print();
      return success();
    }
    FailureOr<std::string> bytes = emission.generate(
        form == EmissionForm::Object ? llvm::CodeGenFileType::ObjectFile
                                     : llvm::CodeGenFileType::AssemblyFile);
    if (failed(bytes))
      return failure();
    result = std::move(*bytes);
    return success();
  };
  if (failed(runGuarded(module.getLoc(), target.activity, run)))
    return failure();
  return result;
}
