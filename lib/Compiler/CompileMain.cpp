//===- CompileMain.cpp - moe-compile as a library -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/CompileMain.h"

#include "ProbeCompile.h"
#include "mlir/IR/Remarks.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "moec/Compiler/ObjectEmitter.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/Frontend/LayerDescription.h"
#include "moec/Target/HostDevice.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

/// Prints an error as one line; the exit status of a failure.
static int fail(const Twine &message) {
  llvm::errs() << "moe-compile: error: " << message << "\n";
  return 1;
}

static int fail(Error error) { return fail(llvm::toString(std::move(error))); }

Expected<LayerDescription>
mlir::moe::describeLayer(const CompileCommand &command) {
  std::optional<Dtype> dtype;
  if (command.dtype) {
    Expected<Dtype> parsed = parseDtype(*command.dtype);
    if (!parsed)
      return parsed.takeError();
    dtype = *parsed;
  }
  LayerDescription layer;
  if (!command.model.empty()) {
    Expected<LayerDescription> known = getKnownModel(command.model);
    if (!known)
      return known.takeError();
    layer = *known;
    if (dtype)
      layer.dtype = *dtype;
  } else {
    // A checkpoint's directory holds it under this name.
    SmallString<128> path(command.hfConfig);
    if (llvm::sys::fs::is_directory(path))
      llvm::sys::path::append(path, "config.json");
    auto text = llvm::MemoryBuffer::getFile(path);
    if (!text)
      return llvm::createStringError("cannot read '" + path +
                                     "': " + text.getError().message());
    Expected<LayerDescription> read =
        parseHuggingFaceConfig((*text)->getBuffer(), dtype);
    if (!read)
      return llvm::createStringError(command.hfConfig + ": " +
                                     llvm::toString(read.takeError()));
    layer = *read;
  }
  if (Error error = layer.verify())
    return std::move(error);
  if (command.tensorParallel != 1)
    if (Error error = layer.applyTensorParallel(command.tensorParallel))
      return std::move(error);
  if (command.expertParallel != 1)
    if (Error error = layer.applyExpertParallel(command.expertParallel))
      return std::move(error);
  return layer;
}

static Error resolveIsas(CompileOptions &options) {
  for (std::string &isa : options.isas) {
    if (isa != "native")
      continue;
    const CpuIsa *host = getHostCpuIsa();
    if (!host)
      return llvm::createStringError("option '--isa': this machine is no "
                                     "x86-64, so there is no native one");
    isa = host->name.str();
  }
  return Error::success();
}

static Expected<std::string> readText(StringRef path) {
  auto text = llvm::MemoryBuffer::getFile(path);
  if (!text)
    return llvm::createStringError("cannot read '" + path +
                                   "': " + text.getError().message());
  return (*text)->getBuffer().str();
}

/// Reads a file of vLLM or SGLang; the entries that will be used must be
/// usable.
static Expected<TileFile> readTileFile(StringRef path, StringRef text,
                                       ArrayRef<int64_t> tokens) {
  Expected<TileFile> file = parseTileFile(path, text);
  if (!file)
    return file.takeError();
  for (int64_t count : tokens)
    if (Expected<TunedTiles> tiles = file->getTiles(count); !tiles)
      return tiles.takeError();
  return file;
}

/// Reads the file of --config, and the one beside it for the down projection.
static Error readTiles(StringRef path, CompileOptions &options) {
  if (path.empty())
    return Error::success();
  Expected<std::string> text = readText(path);
  if (!text)
    return text.takeError();
  if (isTunedTable(*text)) {
    Expected<TunedTable> table = parseTunedTable(path, *text, moec_version());
    if (!table)
      return table.takeError();
    options.tiles.table = std::move(*table);
    return Error::success();
  }
  Expected<TileFile> up = readTileFile(path, *text, options.tokens);
  if (!up)
    return up.takeError();
  options.tiles.up = std::move(*up);
  std::string down = getTunedDownPath(path);
  if (!llvm::sys::fs::exists(down))
    return Error::success();
  Expected<std::string> downText = readText(down);
  if (!downText)
    return downText.takeError();
  Expected<TileFile> second = readTileFile(down, *downText, options.tokens);
  if (!second)
    return second.takeError();
  options.tiles.down = std::move(*second);
  return Error::success();
}

/// Sends the decisions of the passes and their reasons to the standard error.
static LogicalResult enableExplanations(MLIRContext &context) {
  remark::RemarkCategories categories;
  // `all` alone enables none of the kinds.
  categories.passed = categories.missed = categories.analysis =
      categories.failed = ".*";
  return remark::enableOptimizationRemarks(
      context, /*streamer=*/nullptr,
      std::make_unique<remark::RemarkEmittingPolicyAll>(), categories,
      /*printAsEmitRemarks=*/true);
}

/// Tells the selector what the command says of the device, the routing and
/// the configurations.
static Error applySelection(ModuleOp module, const CompileCommand &command) {
  Builder b(module.getContext());
  SmallVector<NamedAttribute> asked;
  auto add = [&](StringRef name, StringRef value) {
    if (!value.empty())
      asked.push_back(b.getNamedAttr(name, b.getStringAttr(value)));
  };
  std::string device = command.device;
  if (device == "host") {
    SmallString<128> directory;
    if (auto given = llvm::sys::Process::GetEnv("MOEC_CACHE_DIR"))
      directory = *given;
    else if (llvm::sys::path::cache_directory(directory))
      llvm::sys::path::append(directory, "moec");
    else
      return llvm::createStringError("option '--device': no folder to keep "
                                     "what is measured of the host in");
    (void)getHostDevice(directory);
    llvm::sys::path::append(directory, "host-device.json");
    device = directory.str().str();
  }
  if (!device.empty()) {
    Expected<Device> found = findDevice(device);
    if (!found)
      return llvm::createStringError("option '--device': " +
                                     llvm::toString(found.takeError()));
    if (!llvm::is_contained(command.options.targets, found->arch))
      return llvm::createStringError("option '--device': " + found->name +
                                     " is for the target " + found->arch +
                                     ", which is not asked for");
  }
  add("device", device);
  add("routing", command.routing.empty() ? command.topkIds : command.routing);
  add("fix", command.fix);
  if (command.batchInvariant)
    asked.push_back(b.getNamedAttr("batch_invariant", b.getUnitAttr()));
  if (command.deterministic)
    asked.push_back(b.getNamedAttr("deterministic", b.getUnitAttr()));
  if (!asked.empty())
    module->setAttr(getSelectionAttrName(), b.getDictionaryAttr(asked));
  return Error::success();
}

static int compile(MLIRContext &context, ModuleOp module,
                   const CompileCommand &command) {
  if (Error error = applySelection(module, command))
    return fail(std::move(error));
  if (command.explain && failed(enableExplanations(context)))
    return fail("the remark engine does not start");
  if (!command.emit.empty())
    return succeeded(
               emitForm(module, command.options, command.emit, llvm::outs()))
               ? 0
               : 1;
  CompileOptions options = command.options;
  // What was made before has nothing to explain.
  options.cacheVariants = !command.explain;
  FailureOr<CompiledLayer> layer = compileLayer(module, options);
  if (failed(layer) ||
      failed(writeArtifact(module.getLoc(), *layer, command.output)))
    return 1;
  for (const std::string &note : layer->notes)
    llvm::errs() << "moe-compile: " << note << "\n";
  for (const std::string &target : layer->manifest.missingTargets)
    llvm::errs() << "moe-compile: note: target " << target
                 << " is not built yet, the manifest says so\n";
  return 0;
}

static int compileFile(MLIRContext &context, const CompileCommand &command) {
  std::string message;
  auto file = openInputFile(command.file, &message);
  if (!file)
    return fail(message);
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  SourceMgrDiagnosticHandler diagnostics(sources, &context);
  OwningOpRef<ModuleOp> module =
      parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
  return module ? compile(context, *module, command) : 1;
}

/// What is said of a model has no place in a file.
static LogicalResult printPlainly(Diagnostic &diagnostic) {
  auto print = [](Diagnostic &one) {
    StringRef severity =
        one.getSeverity() == DiagnosticSeverity::Error     ? "error"
        : one.getSeverity() == DiagnosticSeverity::Warning ? "warning"
        : one.getSeverity() == DiagnosticSeverity::Remark  ? "remark"
                                                           : "note";
    llvm::errs() << "moe-compile: " << severity << ": " << one << "\n";
  };
  print(diagnostic);
  for (Diagnostic &note : diagnostic.getNotes())
    print(note);
  return success();
}

static int compileModel(MLIRContext &context, const CompileCommand &command) {
  Expected<LayerDescription> layer = describeLayer(command);
  if (!layer)
    return fail(layer.takeError());
  ScopedDiagnosticHandler diagnostics(&context, printPlainly);
  OwningOpRef<ModuleOp> module = buildLayer(&context, *layer);
  if (!module || failed(verify(*module)))
    return 1;
  return compile(context, *module, command);
}

static int compileProbes(MLIRContext &context, const CompileCommand &command) {
  ScopedDiagnosticHandler diagnostics(&context, printPlainly);
  StringRef target = command.options.targets.front();
  if (!command.emit.empty())
    return failed(emitProbes(&context, target, command.options, command.emit,
                             llvm::outs()));
  std::vector<std::string> notes;
  FailureOr<std::vector<ArtifactFile>> files =
      makeProbes(&context, target, command.options, notes);
  if (failed(files) ||
      failed(writeFolder(UnknownLoc::get(&context), *files, command.output)))
    return 1;
  for (const std::string &note : notes)
    llvm::errs() << "moe-compile: " << note << "\n";
  return 0;
}

int mlir::moe::compileMain(ArrayRef<std::string> args) {
  Expected<CompileCommand> parsed = parseCompileCommand(args);
  if (!parsed)
    return fail(parsed.takeError());
  CompileCommand &command = *parsed;
  if (command.help) {
    llvm::outs() << getCompileHelp();
    return 0;
  }
  if (command.version) {
    llvm::outs() << "moe-compile " << moec_version() << ", LLVM "
                 << LLVM_VERSION_STRING << "\n";
    return 0;
  }
  if (Error error = resolveIsas(command.options))
    return fail(std::move(error));
  if (Error error = readTiles(command.tileFile, command.options))
    return fail(std::move(error));
  if (command.verbose)
    command.options.verbose = &llvm::errs();
  MLIRContext context;
  prepareContext(context);
  // The message names rule and numbers; the operation may fill pages.
  context.printOpOnDiagnostic(false);
  if (command.probes)
    return compileProbes(context, command);
  return command.file.empty() ? compileModel(context, command)
                              : compileFile(context, command);
}
