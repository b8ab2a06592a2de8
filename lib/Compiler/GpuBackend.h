//===- GpuBackend.h - What a vendor's GPUs need of the compiler -*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_GPUBACKEND_H
#define MOEC_LIB_COMPILER_GPUBACKEND_H

#include "mlir/Pass/PassManager.h"
#include "moec/Compiler/Compile.h"
#include "moec/Compiler/FileCache.h"
#include "moec/Compiler/GpuChip.h"
#include "moec/Compiler/ObjectEmitter.h"

namespace mlir::moe {

/// What is known of one kernel's code.
struct GpuKernelReport {
  std::string kernel;
  /// Shared memory: static only.
  ManifestResources resources;
  /// What the vendor's table says beside that, as wide as its head.
  std::string columns;
};

/// Why the code of one kernel is not to be used.
struct GpuComplaint {
  /// "" if nobody knows which.
  std::string kernel;
  /// One line.
  std::string reason;
};

/// Code of all kernels of a variant.
struct GpuCode {
  /// What a driver can compile, "" if there is no such form.
  std::string text;
  /// What a GPU runs; "" if there is no assembler.
  std::string binary;
  /// Of the binary.
  std::vector<GpuKernelReport> kernels;
  std::vector<GpuComplaint> complaints;
  /// Of the last step, and whether it was only to find the binary in a cache.
  double assembleSeconds = 0;
  bool cached = false;

  const GpuKernelReport *find(StringRef kernel) const;
};

/// One chip of some vendor: pipelines down to the LLVM dialect, and from there
/// to code.
class GpuBackend {
public:
  virtual ~GpuBackend();

  const GpuChip &getChip() const { return chip; }

  // Pipelines, each from where the one before ends.
  /// Token count by which scales of packed weights are placed; 0: always where
  /// the weights are decoded.
  virtual int64_t getPackedTokens(int64_t tokens) const { return 0; }
  /// Decides how to run moe operations.
  virtual void addSelection(OpPassManager &passes, int64_t tokens) const = 0;
  /// To explicit tile kernels and a plan.
  virtual void addTile(OpPassManager &passes, int64_t tokens) const = 0;
  /// To `llvm.func` with `moe.launch`; the plan stays.
  virtual void addKernels(OpPassManager &passes, int64_t tokens) const = 0;
  /// To the LLVM dialect.
  virtual void addLLVM(OpPassManager &passes) const = 0;
  /// What --emit calls the kernels that addKernels makes.
  virtual StringRef getKernelForm() const = 0;

  /// Finds what makeCode needs beside this process.
  virtual LogicalResult prepare(Location location,
                                const CompileOptions &options) = 0;
  /// Makes the code of the kernels. `cache` may be null. May be called by
  /// several threads with different modules.
  virtual FailureOr<GpuCode> makeCode(ModuleOp module,
                                      ArrayRef<std::string> kernels,
                                      const FileCache *cache,
                                      FileCache::Warn warn,
                                      EmitTimes &times) const = 0;
  /// The optimised LLVM IR of the kernels.
  virtual FailureOr<std::string>
  makeLLVMText(ModuleOp module, ArrayRef<std::string> kernels) const = 0;
  /// Assembly text, as --emit asm writes it.
  virtual FailureOr<std::string>
  makeAssembly(ModuleOp module, ArrayRef<std::string> kernels) const = 0;

  /// What decides the code beside module, token count and compiler.
  virtual std::vector<std::string> getDecisive() const = 0;
  /// Who complains of code: "ptxas 13.0.88".
  virtual std::string getJudge() const = 0;
  /// What the last step of makeCode is called: "ptxas".
  virtual StringRef getAssembler() const = 0;
  /// How people call the two forms of GpuCode, and the ends of their files'
  /// names.
  struct FormNames {
    StringRef text, textSuffix, binary, binarySuffix;
  };
  virtual FormNames getForms() const = 0;
  /// The head of the table over GpuKernelReport::columns.
  virtual StringRef getTableHead() const = 0;
  /// What a user should know whose artifact has no binary.
  virtual std::string getNoBinaryNote() const { return ""; }

protected:
  explicit GpuBackend(const GpuChip &chip) : chip(chip) {}
  const GpuChip chip;
};

/// The back end of a target, null if it is no GPU that is known.
std::unique_ptr<GpuBackend> createGpuBackend(StringRef target);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_GPUBACKEND_H
