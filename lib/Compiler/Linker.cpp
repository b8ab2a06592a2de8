//===- Linker.cpp - Shared objects by lld as a library --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Guard.h"
#include "moec/Compiler/ObjectEmitter.h"

#include "ChildProcess.h"
#include "mlir/IR/Diagnostics.h"
#include "moec/Compiler/Hsaco.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#if MOEC_HAVE_LLD
#include "lld/Common/Driver.h"
#include <mutex>

// This driver alone: those of other formats are not linked in.
LLD_HAS_DRIVER(elf)
#endif

using namespace mlir;
using namespace mlir::moe;

static LogicalResult writeFile(Location location, StringRef path,
                               StringRef bytes) {
  std::error_code error;
  llvm::raw_fd_ostream stream(path, error);
  if (!error) {
    stream << bytes;
    stream.close();
    error = stream.error();
    stream.clear_error();
  }
  if (error)
    return emitError(location)
           << "cannot write '" << path << "': " << error.message();
  return success();
}

#if MOEC_HAVE_LLD
/// Runs ld.lld in this process. It has global state: one link at a time.
static LogicalResult runLibrary(Location location,
                                ArrayRef<std::string> arguments) {
  static std::mutex mutex;
  static bool usable = true;
  std::lock_guard<std::mutex> lock(mutex);
  if (!usable)
    return emitError(location) << "the linker crashed before in this process";

  SmallVector<const char *> argv = {"ld.lld"};
  for (const std::string &argument : arguments)
    argv.push_back(argument.c_str());
  std::string text;
  llvm::raw_string_ostream stream(text);
  lld::Result result = {1, false};
  LogicalResult finished = runGuarded(location, "linking", [&] {
    result = lld::lldMain(argv, stream, stream, {{lld::Gnu, &lld::elf::link}});
    return success();
  });
  usable = result.canRunAgain;
  if (failed(finished))
    return failure();
  if (result.retCode != 0)
    return emitError(location)
           << "linking failed: " << StringRef(text).split('\n').first;
  return success();
}
#endif

/// The program to link with: what MOEC_LLD names; where lld is no part of this
/// process, ld.lld of the LLVM that this was built with, or of PATH. "": none.
static std::string findProgram() {
  if (auto named = llvm::sys::Process::GetEnv("MOEC_LLD");
      named && !named->empty()) {
    // A name without a directory is looked for like any command.
    auto found = StringRef(*named).contains('/')
                     ? llvm::ErrorOr<std::string>(*named)
                     : llvm::sys::findProgramByName(*named);
    return found ? *found : *named;
  }
#if !MOEC_HAVE_LLD
  if (auto found = llvm::sys::findProgramByName("ld.lld", {MOEC_LLVM_TOOLS}))
    return *found;
  if (auto found = llvm::sys::findProgramByName("ld.lld"))
    return *found;
#endif
  return "";
}

/// Runs lld, wherever it is.
static LogicalResult runLinker(Location location,
                               ArrayRef<std::string> arguments,
                               const TemporaryDirectory &directory) {
  std::string program = findProgram();
  if (program.empty()) {
#if MOEC_HAVE_LLD
    return runLibrary(location, arguments);
#else
    return emitError(location)
           << "there is no linker: this moec was built without lld, ld.lld is "
              "not on PATH, and MOEC_LLD names none";
#endif
  }
  llvm::Expected<FinishedProcess> finished =
      runProcess(program, arguments, directory, /*timeoutSeconds=*/120);
  if (!finished)
    return emitError(location)
           << "linking failed: " << llvm::toString(finished.takeError());
  if (finished->status != 0)
    return emitError(location) << "linking failed: "
                               << StringRef(finished->output).split('\n').first;
  return success();
}

static FailureOr<std::string> readOutput(Location location, StringRef path) {
  llvm::Expected<std::string> bytes = readWholeFile(path);
  if (!bytes)
    return emitError(location) << llvm::toString(bytes.takeError());
  return std::move(*bytes);
}

static LogicalResult create(Location location, TemporaryDirectory &directory) {
  if (std::error_code error = directory.create("moec-link"))
    return emitError(location)
           << "cannot create a temporary directory: " << error.message();
  return success();
}

FailureOr<std::string> mlir::moe::linkSharedObject(Location location,
                                                   StringRef object) {
  auto file = llvm::object::ObjectFile::createObjectFile(
      llvm::MemoryBufferRef(object, "kernels.o"));
  if (!file)
    return emitError(location)
           << "unreadable object: " << llvm::toString(file.takeError());
  // A linker script that defines the imported names makes a stand-in for the
  // library, so that its name is recorded and no file of this machine is read.
  std::string math, memory;
  for (const llvm::object::SymbolRef &symbol : (*file)->symbols()) {
    llvm::Expected<uint32_t> flags = symbol.getFlags();
    llvm::Expected<StringRef> name = symbol.getName();
    if (!flags || !name) {
      llvm::consumeError(flags.takeError());
      llvm::consumeError(name.takeError());
      continue;
    }
    if ((*flags & llvm::object::SymbolRef::SF_Undefined) && !name->empty())
      (name->starts_with("mem") ? memory : math) += (*name + " = 0;\n").str();
  }

  TemporaryDirectory directory;
  if (failed(create(location, directory)))
    return failure();
  std::string output = directory.file("kernels.so");
  SmallVector<std::string> arguments = {"-shared",
                                        "--no-undefined",
                                        "--strip-all",
                                        "--hash-style=gnu",
                                        "--build-id=none",
                                        "--gc-sections",
                                        "-znow",
                                        "--threads=1",
                                        "-o",
                                        output,
                                        directory.file("kernels.o")};
  if (failed(writeFile(location, arguments.back(), object)))
    return failure();
  for (auto [script, name] :
       {std::pair<StringRef, StringRef>(math, "libm.so.6"),
        {memory, "libc.so.6"}}) {
    if (script.empty())
      continue;
    std::string scriptPath = directory.file((name + ".ld").str());
    std::string library = directory.file(name);
    if (failed(writeFile(location, scriptPath, script)) ||
        failed(runLinker(location,
                         {"-shared", "-melf_x86_64", "--threads=1",
                          ("-soname=" + name).str(), "--build-id=none", "-o",
                          library, scriptPath},
                         directory)))
      return failure();
    arguments.push_back(library);
  }
  if (failed(runLinker(location, arguments, directory)))
    return failure();
  return readOutput(location, output);
}

FailureOr<std::string> mlir::moe::linkHsaco(Location location,
                                            StringRef object) {
  TemporaryDirectory directory;
  if (failed(create(location, directory)))
    return failure();
  std::string input = directory.file("kernels.o");
  std::string output = directory.file("kernels.hsaco");
  if (failed(writeFile(location, input, object)) ||
      failed(runLinker(location,
                       {"-shared", "--no-undefined", "--build-id=none",
                        "--threads=1", "-o", output, input},
                       directory)))
    return failure();
  return readOutput(location, output);
}
