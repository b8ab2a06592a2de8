//===- TuneMain.cpp - moe-tune as a library -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "moec/Compiler/CpuIsa.h"
#include "moec/Support/FileIO.h"
#include "moec/Tuner/Tune.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

/// Prints an error as one line; the exit status of a failure.
static int fail(const Twine &message) {
  llvm::errs() << "moe-tune: error: " << message << "\n";
  return 1;
}

static int fail(Error error) { return fail(llvm::toString(std::move(error))); }

static Expected<OwningOpRef<ModuleOp>> openLayer(MLIRContext &context,
                                                 const CompileCommand &layer) {
  OwningOpRef<ModuleOp> module;
  if (!layer.file.empty()) {
    module = parseSourceFile<ModuleOp>(layer.file, ParserConfig(&context));
    if (!module)
      return llvm::createStringError(layer.file + ": no valid module");
  } else {
    Expected<LayerDescription> description = describeLayer(layer);
    if (!description)
      return description.takeError();
    module = buildLayer(&context, *description);
  }
  // How many tokens exist is no matter of tile sizes.
  if (!module || failed(verify(*module)) || failed(takeDeviceTokens(*module)))
    return llvm::createStringError("no valid module");
  return std::move(module);
}

static void printCell(const TunedCell &cell) {
  const TunedChoice &best = cell.choices[cell.best];
  llvm::outs() << llvm::formatv(
      "T={0} {1}: {2:F1} us, block m {3}, {4} of {5} measured", cell.tokens,
      cell.routing, best.us, best.blockM,
      llvm::count_if(cell.choices,
                     [](const TunedChoice &choice) { return choice.us > 0; }),
      cell.choices.size());
  if (cell.won)
    llvm::outs() << llvm::formatv("; the selector's own takes x{0:F3}",
                                  cell.choices[0].us / best.us);
  else if (cell.best == 0)
    llvm::outs() << "; the selector's own";
  llvm::outs() << "\n";
  for (const std::string &config : best.configs)
    llvm::outs() << "  " << config << "\n";
}

static Error resolveNative(CompileOptions &options) {
  // In this process only this machine's instructions run.
  const CpuIsa *host = getHostCpuIsa();
  if (options.targets.front() != "cpu")
    return Error::success();
  if (!host)
    return llvm::createStringError("measuring needs an x86-64 machine");
  if (options.isas.empty() ||
      options.isas == std::vector<std::string>{"native"})
    options.isas = {host->name.str()};
  if (options.isas.size() != 1)
    return llvm::createStringError("option '--isa': one at a time");
  return Error::success();
}

int mlir::moe::tuneMain(ArrayRef<std::string> args) {
  Expected<TuneOptions> parsed = parseTuneOptions(args);
  if (!parsed)
    return fail(parsed.takeError());
  TuneOptions &options = *parsed;
  if (options.help) {
    llvm::outs() << getTuneHelp();
    return 0;
  }
  if (options.version) {
    llvm::outs() << "moe-tune " << moec_version() << ", LLVM "
                 << LLVM_VERSION_STRING << "\n";
    return 0;
  }
  if (Error error = resolveNative(options.layer.options))
    return fail(std::move(error));
  MLIRContext context;
  prepareContext(context);
  context.printOpOnDiagnostic(false);
  Expected<OwningOpRef<ModuleOp>> module = openLayer(context, options.layer);
  if (!module)
    return fail(module.takeError());
  if (!options.kit.empty()) {
    if (Error error = writeGpuKit(**module, options))
      return fail(std::move(error));
    llvm::outs() << options.kit << ": for gpu-kit/run sweep\n";
    return 0;
  }
  Expected<TunedTable> table = options.measured.empty()
                                   ? tuneOnCpu(**module, options)
                                   : readGpuTimes(**module, options);
  if (!table)
    return fail(table.takeError());
  std::string text = printTunedTable(*table);
  if (Error error =
          writeFile(options.output, [&](llvm::raw_ostream &os) { os << text; }))
    return fail(std::move(error));
  std::vector<std::string> written = {options.output};
  if (Error error = writeTunedFiles(**module, *table, options, written))
    return fail(std::move(error));
  for (const TunedCell &cell : table->cells)
    printCell(cell);
  for (const std::string &path : written)
    llvm::outs() << "wrote " << path << "\n";
  return 0;
}
