//===- Emission.h - One module on its way through LLVM ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_EMISSION_H
#define MOEC_LIB_COMPILER_EMISSION_H

#include "mlir/IR/BuiltinOps.h"
#include "moec/Compiler/ObjectEmitter.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CodeGen.h"
#include "llvm/Target/TargetMachine.h"

#include <chrono>

namespace mlir::moe {

/// One emission: an LLVM module in a context of its own. LLVM's errors become
/// diagnostics at the source's location. What calls it is to be guarded, see
/// runGuarded.
class Emission {
public:
  Emission(ModuleOp source, std::unique_ptr<llvm::TargetMachine> machine);

  /// Makes LLVM IR of the source, for the machine's triple and data layout.
  LogicalResult translate();
  /// A diagnostic unless the LLVM IR is valid.
  LogicalResult verify();
  LogicalResult optimize(const llvm::PipelineTuningOptions &tuning);
  FailureOr<std::string> generate(llvm::CodeGenFileType type);
  /// Gives `handler` the analysis remarks of a pass from now on.
  void observeRemarks(StringRef pass,
                      llvm::function_ref<void(StringRef text)> handler);
  /// The LLVM IR as text.
  std::string print() const;

  llvm::Module &getModule() { return *module; }

private:
  struct ForwardDiagnostics;
  ModuleOp source;
  llvm::LLVMContext context;
  ForwardDiagnostics *diagnostics;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::unique_ptr<llvm::Module> module;
};

/// What a back end adds to an emission.
struct EmissionTarget {
  /// What goes on, for the message of a crash: "code generation".
  StringRef activity;
  /// Makes the machine; null after a diagnostic.
  llvm::function_ref<std::unique_ptr<llvm::TargetMachine>()> createMachine;
  /// Changes LLVM IR that has been translated and hidden.
  llvm::function_ref<LogicalResult(llvm::Module &)> adapt;
  llvm::PipelineTuningOptions tuning;
  /// Looks at LLVM IR that has been optimised.
  llvm::function_ref<LogicalResult(llvm::Module &)> check;
  /// The pass whose analysis remarks are wanted, and what gets their texts.
  StringRef remarkPass = {};
  llvm::function_ref<void(StringRef text)> onRemark = {};
};

enum class EmissionForm { LLVMText, Assembly, Object };

/// Translates the module, hides all that is none of `kernels`, optimises and
/// gives the form that is asked for. A kernel that is not defined is a
/// diagnostic, as is all that LLVM refuses, crashes included.
FailureOr<std::string> emitKernels(ModuleOp module,
                                   const EmissionTarget &target,
                                   ArrayRef<std::string> kernels,
                                   EmissionForm form, EmitTimes *times);

/// Adds the seconds of its life to a counter, if there is one.
class PhaseTimer {
public:
  explicit PhaseTimer(double *seconds) : seconds(seconds) {}
  ~PhaseTimer() {
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

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_EMISSION_H
