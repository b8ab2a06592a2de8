//===- ChildProcess.cpp - Programs that are run ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ChildProcess.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"

#include <chrono>
#include <csignal>
#include <thread>

using namespace mlir::moe;
using llvm::Expected;
using llvm::StringRef;

static double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Expected<std::string> mlir::moe::readWholeFile(StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return llvm::createStringError("cannot read '" + path +
                                   "': " + buffer.getError().message());
  return (*buffer)->getBuffer().str();
}

// It is waited for by asking again and again: llvm::sys::ExecuteAndWait limits
// the time by SIGALRM, of which a process has one for all its threads.
Expected<FinishedProcess>
mlir::moe::runProcess(StringRef program, llvm::ArrayRef<std::string> arguments,
                      const TemporaryDirectory &directory,
                      double timeoutSeconds) {
  llvm::SmallVector<StringRef> argv = {program};
  llvm::append_range(argv, arguments);
  std::string output = directory.file("messages.txt");
  std::optional<StringRef> redirects[] = {StringRef(""), output, output};
  std::string message;
  bool failed = false;
  double start = now();
  llvm::sys::ProcessInfo process =
      llvm::sys::ExecuteNoWait(program, argv, /*Env=*/std::nullopt, redirects,
                               /*MemoryLimit=*/0, &message, &failed);
  if (failed || process.Pid == llvm::sys::ProcessInfo::InvalidPid)
    return llvm::createStringError("cannot run '" + program + "': " + message);
  for (auto pause = std::chrono::microseconds(200);;
       pause = std::min(pause * 2, std::chrono::microseconds(4000))) {
    llvm::sys::ProcessInfo state =
        llvm::sys::Wait(process, /*SecondsToWait=*/0u, &message);
    if (state.Pid != 0) {
      process = state;
      break;
    }
    if (now() - start > timeoutSeconds) {
      ::kill(process.Pid, SIGKILL);
      llvm::sys::Wait(process, std::nullopt, &message);
      return llvm::createStringError(
          llvm::formatv("'{0}' took longer than {1} s and was ended", program,
                        timeoutSeconds));
    }
    std::this_thread::sleep_for(pause);
  }
  Expected<std::string> text = readWholeFile(output);
  if (!text)
    return text.takeError();
  if (process.ReturnCode < 0)
    return llvm::createStringError("'" + program + "' crashed: " + message);
  return FinishedProcess{process.ReturnCode, std::move(*text)};
}
