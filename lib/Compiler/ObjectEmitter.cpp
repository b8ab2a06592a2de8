//===- ObjectEmitter.cpp - LLVM dialect to machine code -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/ObjectEmitter.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "moec/Compiler/Guard.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

#include <chrono>
#include <mutex>

using namespace mlir;
using namespace mlir::moe;

void mlir::moe::registerEmission(MLIRContext &context) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  context.appendDialectRegistry(registry);
}

//===----------------------------------------------------------------------===//
// LLVM IR
//===----------------------------------------------------------------------===//

/// Hands LLVM's errors to MLIR; warnings and remarks are dropped.
namespace {
struct ForwardDiagnostics final : llvm::DiagnosticHandler {
  explicit ForwardDiagnostics(Location location) : location(location) {}
  bool handleDiagnostics(const llvm::DiagnosticInfo &info) override {
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
};

/// One emission: a module in a context of its own.
class Emission {
public:
  Emission(ModuleOp source, const CpuIsa &isa)
      : source(source), location(source.getLoc()), isa(isa) {
    auto handler = std::make_unique<ForwardDiagnostics>(location);
    diagnostics = handler.get();
    context.setDiagnosticHandler(std::move(handler));
  }

  LogicalResult translate(ArrayRef<std::string> kernels);
  LogicalResult optimize();
  FailureOr<std::string> generate(llvm::CodeGenFileType type);
  std::string print();

private:
  ModuleOp source;
  Location location;
  const CpuIsa &isa;
  llvm::LLVMContext context;
  ForwardDiagnostics *diagnostics;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::unique_ptr<llvm::Module> module;
};
} // namespace

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

LogicalResult Emission::translate(ArrayRef<std::string> kernels) {
  machine = createMachine(location, isa);
  if (!machine)
    return failure();
  module = translateModuleToLLVMIR(source, context, "moec");
  if (!module) // The translation has said why.
    return failure();
  module->setTargetTriple(machine->getTargetTriple());
  module->setDataLayout(machine->createDataLayout());
  module->setPICLevel(llvm::PICLevel::BigPIC);

  llvm::StringSet<> exported;
  for (const std::string &kernel : kernels) {
    llvm::Function *function = module->getFunction(kernel);
    if (!function || function->isDeclaration())
      return emitError(location)
             << "kernel '" << kernel << "' is launched but not defined";
    exported.insert(kernel);
  }
  for (llvm::GlobalValue &value : module->global_values())
    if (!value.isDeclaration() && !exported.contains(value.getName()) &&
        !value.getName().starts_with("llvm."))
      value.setLinkage(llvm::GlobalValue::InternalLinkage);

  std::string width = std::to_string(isa.vectorBits);
  for (llvm::Function &function : *module) {
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

  std::string message;
  llvm::raw_string_ostream stream(message);
  if (llvm::verifyModule(*module, &stream))
    return emitError(location) << "invalid LLVM IR: " << message;
  return success(!diagnostics->failed);
}

LogicalResult Emission::optimize() {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopUnrolling = true;
  tuning.LoopVectorization = true;
  tuning.SLPVectorization = true;
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
    return emitError(location) << "LLVM cannot emit this kind of file";
  passes.run(*module);
  if (diagnostics->failed)
    return failure();
  return std::string(bytes.data(), bytes.size());
}

std::string Emission::print() {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream, nullptr);
  return text;
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

namespace {
/// Adds the seconds of its life to a counter.
class Stopwatch {
public:
  explicit Stopwatch(double *seconds) : seconds(seconds) {}
  ~Stopwatch() {
    if (seconds)
      *seconds += std::chrono::duration<double>(
                      std::chrono::steady_clock::now() - start)
                      .count();
  }

private:
  double *seconds;
  std::chrono::steady_clock::time_point start =
      std::chrono::steady_clock::now();
};
} // namespace

/// Translates and optimises, then calls `finish` with the emission.
static LogicalResult
emit(ModuleOp module, const CpuIsa &isa, ArrayRef<std::string> kernels,
     EmitTimes *times, llvm::function_ref<LogicalResult(Emission &)> finish) {
  return runGuarded(module.getLoc(), "code generation", [&]() -> LogicalResult {
    Emission emission(module, isa);
    {
      Stopwatch watch(times ? &times->translate : nullptr);
      if (failed(emission.translate(kernels)))
        return failure();
    }
    {
      Stopwatch watch(times ? &times->optimize : nullptr);
      if (failed(emission.optimize()))
        return failure();
    }
    Stopwatch watch(times ? &times->generate : nullptr);
    return finish(emission);
  });
}

FailureOr<std::string> mlir::moe::emitObject(ModuleOp module, const CpuIsa &isa,
                                             ArrayRef<std::string> kernels,
                                             EmitTimes *times) {
  std::string result;
  if (failed(emit(module, isa, kernels, times,
                  [&](Emission &emission) -> LogicalResult {
                    FailureOr<std::string> object =
                        emission.generate(llvm::CodeGenFileType::ObjectFile);
                    if (failed(object))
                      return failure();
                    result = std::move(*object);
                    return success();
                  })) ||
      failed(checkUndefined(module.getLoc(), result)))
    return failure();
  return result;
}

FailureOr<std::string> mlir::moe::emitAssembly(ModuleOp module,
                                               const CpuIsa &isa,
                                               ArrayRef<std::string> kernels) {
  std::string result;
  if (failed(emit(module, isa, kernels, nullptr,
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

FailureOr<std::string> mlir::moe::emitLLVMText(ModuleOp module,
                                               const CpuIsa &isa,
                                               ArrayRef<std::string> kernels) {
  std::string result;
  if (failed(emit(module, isa, kernels, nullptr, [&](Emission &emission) {
        result = emission.print();
        return success();
      })))
    return failure();
  return result;
}
