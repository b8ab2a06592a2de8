//===- Linker.cpp - Shared objects by lld as a library --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Guard.h"
#include "moec/Compiler/ObjectEmitter.h"

#include "TemporaryDirectory.h"
#include "lld/Common/Driver.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

LLD_HAS_DRIVER(elf)

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

/// Runs ld.lld in this process. It has global state: one link at a time.
static LogicalResult runLinker(Location location,
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
  if (std::error_code error = directory.create("moec-link"))
    return emitError(location)
           << "cannot create a temporary directory: " << error.message();
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
        failed(
            runLinker(location, {"-shared", "-melf_x86_64", "--threads=1",
                                 ("-soname=" + name).str(), "--build-id=none",
                                 "-o", library, scriptPath})))
      return failure();
    arguments.push_back(library);
  }
  if (failed(runLinker(location, arguments)))
    return failure();
  auto result = llvm::MemoryBuffer::getFile(output, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!result)
    return emitError(location)
           << "cannot read '" << output << "': " << result.getError().message();
  return (*result)->getBuffer().str();
}
