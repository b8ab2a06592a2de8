//===- CompileMain.h - moe-compile as a library -----------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_COMPILEMAIN_H
#define MOEC_COMPILER_COMPILEMAIN_H

#include "moec/Compiler/Compile.h"
#include "moec/Frontend/LayerDescription.h"
#include "llvm/Support/Error.h"

#include <optional>

namespace mlir::moe {

/// What moe-compile is asked to do.
struct CompileCommand {
  /// Exactly one of the four says what to compile.
  std::string file;
  std::string hfConfig;
  std::string model;
  /// The kernels that measure a device, instead of a layer.
  bool probes = false;
  /// Of --hf-config and --model only.
  std::optional<std::string> dtype;
  int64_t tensorParallel = 1, expertParallel = 1;
  /// The routing that tile sizes are chosen for: an archetype or recorded ids.
  std::string routing, topkIds;
  /// The device that times are predicted for, fields that configurations must
  /// have; as of moe-select-config.
  std::string device, fix;
  bool batchInvariant = false, deterministic = false;
  /// A vLLM or SGLang file of tile sizes, "" for none.
  std::string tileFile;
  CompileOptions options;
  std::string output;
  /// "" or what to write to the standard output instead of an artifact: "moe",
  /// "tile", "llvm" (dialect), "llvm-ir", "asm", "nvvm", "ptx", "cubin",
  /// "prediction".
  std::string emit;
  bool explain = false, verbose = false, noCache = false;
  bool help = false, version = false;
};

/// Parses arguments (without the program's name). Errors name the option and
/// the value.
llvm::Expected<CompileCommand> parseCompileCommand(ArrayRef<std::string> args);

/// The layer that --hf-config or --model describes, split over the ranks.
llvm::Expected<LayerDescription> describeLayer(const CompileCommand &command);

/// A text that is another one whenever this compiler or the LLVM it uses was
/// built from something else: the build ids of both; empty if there are none.
const std::string &getCompilerId();

/// The help text, with examples.
StringRef getCompileHelp();

/// Runs moe-compile; returns its exit status. Errors are MLIR diagnostics or
/// one line on the standard error.
int compileMain(ArrayRef<std::string> args);

} // namespace mlir::moe

#endif // MOEC_COMPILER_COMPILEMAIN_H
