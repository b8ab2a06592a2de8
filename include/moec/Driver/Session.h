//===- Session.h - One layer, ready to be run, checked and timed ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_SESSION_H
#define MOEC_DRIVER_SESSION_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "moec/Driver/RunOptions.h"
#include "moec/Driver/Runner.h"

namespace mlir::moe {

/// Comparison of a run with the reference.
struct CheckResult {
  double relErr = 0, tolerance = 0;
  int64_t rows = 0;
  double seconds = 0;
  bool passed = false;
  /// Where and what, for a person.
  std::string detail;
};

/// Times of a run; all in seconds, bytes or operations.
struct BenchResult {
  /// Medians with caches flushed before each run, and run back to back.
  double cold = 0, warm = 0;
  /// The shortest with caches flushed: what a busy machine took least from.
  double best = 0;
  int64_t repetitions = 0;
  /// Bytes of the weights of all experts that are hit, and the best rate at
  /// which all workers together read memory.
  uint64_t weightBytes = 0;
  double readBandwidth = 0;
  double flops = 0;
};

/// Everything that one token count gave.
struct CaseResult {
  int64_t tokens = 0;
  /// The archetype's name or the file of the expert ids.
  std::string routing;
  /// "reference", or the variant: "cpu avx2".
  std::string variant;
  int workers = 1;
  int64_t activeExperts = 0;
  /// Of the one run whose results are checked.
  double seconds = 0;
  uint64_t workspaceBytes = 0, peakMemoryBytes = 0;
  std::optional<CheckResult> check;
  std::optional<BenchResult> bench;
};

/// An opened layer with its tensors. The weights are made once and shared by
/// all runs.
class Session {
public:
  /// Reads the artifact or the .mlir file of `options`, which must outlive the
  /// session, and makes the tensors that do not depend on the token count.
  static llvm::Expected<std::unique_ptr<Session>>
  open(const RunOptions &options);
  ~Session();

  /// Runs, checks and times as the options say.
  llvm::Expected<CaseResult> run(const RunCase &run);
  const LayerSpec &getSpec() const { return spec; }

private:
  static llvm::Expected<std::unique_ptr<Session>>
  openOnce(const RunOptions &options);
  explicit Session(const RunOptions &options);
  llvm::Error readFunction();
  llvm::Error openKernels();
  llvm::Error makeInputs(const RunCase &run);
  llvm::Error saveInputs() const;
  llvm::Expected<SmallVector<HostTensor>> runKernels(CaseResult &result);
  llvm::Expected<SmallVector<HostTensor>> runEmulated(CaseResult &result);
  /// Fails if an input has another hash than before.
  llvm::Error checkUnchanged(llvm::ArrayRef<uint64_t> before) const;
  llvm::Expected<SmallVector<HostTensor>>
  interpret(llvm::ArrayRef<int64_t> rows, bool wide);
  llvm::Expected<CheckResult> check(const SmallVector<HostTensor> &outputs,
                                    int64_t tokens);
  llvm::Expected<BenchResult> measure();

  const RunOptions &options;
  /// Of the emulated device, if there is one.
  std::string target;
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  /// Null for an artifact that comes without its source.
  func::FuncOp function;
  LayerSpec spec;
  PoolHandle pool;
  std::optional<LayerRunner> runner;
  std::optional<ReadBuffer> readBuffer;
  double readBandwidth = 0;
  bool hasStaticInputs = false;
  /// One per argument of `spec`.
  SmallVector<HostTensor> inputs;
};

} // namespace mlir::moe

#endif // MOEC_DRIVER_SESSION_H
