//===- RunOptions.h - The command line of moe-run -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_RUNOPTIONS_H
#define MOEC_DRIVER_RUNOPTIONS_H

#include "moec/Driver/Inputs.h"

namespace mlir::moe {

/// Who computes the layer.
enum class RunMode : uint8_t {
  /// Compiled kernels: an artifact's, or just-in-time ones of a .mlir file.
  Kernels,
  /// The reference interpreter.
  Reference,
  /// GPU kernels on the emulated device.
  Emulate,
};

/// What moe-run is asked to do.
struct RunOptions {
  /// An artifact directory or a .mlir file; empty for the space map and for
  /// a batch.
  std::string path;
  RunMode mode = RunMode::Kernels;
  bool help = false, version = false, spaceMap = false;
  /// A file of further command lines, run one after the other; empty: none.
  std::string batch;
  /// The function of a .mlir file; empty: its only one.
  std::string function;
  /// As given; see cases.
  SmallVector<int64_t> tokens;
  SmallVector<std::string> idsFiles;
  /// What is run one after the other on the same weights; makeCases fills it.
  SmallVector<RunCase> cases;
  InputOptions inputs;
  bool check = false, bench = false;
  /// Rows that the reference computes when there are more than 16 tokens.
  int64_t checkRows = 64;
  /// Overrides the dtype's tolerance; negative: that of the dtype.
  double tolerance = -1;
  /// Timed repetitions; 0: by time.
  int64_t repetitions = 0;
  /// Threads of the kernels; 0: one per CPU.
  int workers = 0;
  std::string isa;
  /// Of the emulated device: its architecture (empty: see
  /// chooseEmulatedTarget), its number of multiprocessors, and the seed of its
  /// schedule (0: warps in order, copies as late as possible).
  std::string target;
  int64_t multiprocessors = 8;
  uint64_t scheduleSeed = 0;
  /// How many of the tokens exist, as the emulated device's memory says; the
  /// others are to give zeros. Negative: it does not say.
  int64_t deviceTokens = -1;
  std::string json, output;
  /// A .safetensors file for the arguments of a run; empty: none.
  std::string saveInputs;
};

/// Parses arguments (without the program's name). Errors name the option and
/// the value.
llvm::Expected<RunOptions> parseRunOptions(llvm::ArrayRef<std::string> args);

/// The help text, with examples.
llvm::StringRef getRunHelp();

/// Fills `cases`: one per file of expert ids, whose token count it gives, else
/// one per token count. Where both are given there must be as many of each.
llvm::Error makeCases(RunOptions &options);

} // namespace mlir::moe

#endif // MOEC_DRIVER_RUNOPTIONS_H
