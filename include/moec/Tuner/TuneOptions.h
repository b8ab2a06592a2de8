//===- TuneOptions.h - The command line of moe-tune -------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TUNER_TUNEOPTIONS_H
#define MOEC_TUNER_TUNEOPTIONS_H

#include "moec/Compiler/CompileMain.h"
#include "moec/Routing/Routing.h"

namespace mlir::moe {

/// What moe-tune is asked to do.
struct TuneOptions {
  /// The layer, its target and its token counts, as moe-compile takes them.
  CompileCommand layer;
  /// Archetypes to measure with; empty if there are files of recorded ids.
  std::vector<RoutingArchetype> routings;
  /// .npy files, e.g. one per layer of a model. Files with as many tokens make
  /// one cell together.
  std::vector<std::string> idsFiles;
  uint64_t seed = 0;
  /// How many of the selector's candidates are measured per token count.
  int64_t top = 12;
  /// Timed runs of a candidate and a routing.
  int64_t runs = 5;
  /// Threads of the kernels; 0: one per CPU.
  int workers = 0;
  /// A win is faster by this share, in each of `repeats` comparisons.
  double margin = 0.02;
  int64_t repeats = 3;
  /// Where the table goes.
  std::string output;
  /// Where measurements are kept that an interrupted run goes on from; default:
  /// the output's name and ".journal".
  std::string journal;
  /// Begin anew.
  bool restart = false;
  /// Folders for the files of the two systems, "" for none, and the device's
  /// name in theirs; empty: that of this machine.
  std::string vllm, sglang, device;
  /// For GPUs: where to write what `gpu-kit/run sweep` measures, or what that
  /// has measured.
  std::string kit, measured;
  bool quiet = false, help = false, version = false;
};

/// Parses arguments (without the program's name). Errors name the option and
/// the value.
llvm::Expected<TuneOptions> parseTuneOptions(llvm::ArrayRef<std::string> args);

/// The help text, with examples.
llvm::StringRef getTuneHelp();

/// Does what moe-tune does with these arguments. Results go to stdout, progress
/// and errors to stderr. Returns the exit status.
int tuneMain(llvm::ArrayRef<std::string> args);

} // namespace mlir::moe

#endif // MOEC_TUNER_TUNEOPTIONS_H
