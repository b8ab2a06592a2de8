//===- Guard.cpp - LLVM's fatal errors as diagnostics ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Guard.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

using namespace mlir;

/// The first fatal error of the guarded call of this thread.
static thread_local std::string *fatalMessage = nullptr;

static void onFatalError(void *, const char *reason, bool) {
  if (fatalMessage && fatalMessage->empty())
    *fatalMessage = reason;
  if (auto *recovery = llvm::CrashRecoveryContext::GetCurrent())
    recovery->HandleExit(70);
  // Another thread of the process that is not guarded: what LLVM would do.
  llvm::errs() << "LLVM ERROR: " << reason << "\n";
}

namespace {
/// The handlers are process-wide: the first guard installs, the last removes.
class Handlers {
public:
  Handlers() {
    std::lock_guard<std::mutex> lock(mutex);
    if (users++ == 0) {
      llvm::CrashRecoveryContext::Enable();
      llvm::install_fatal_error_handler(onFatalError);
    }
  }
  ~Handlers() {
    std::lock_guard<std::mutex> lock(mutex);
    if (--users == 0) {
      llvm::remove_fatal_error_handler();
      llvm::CrashRecoveryContext::Disable();
    }
  }

private:
  static std::mutex mutex;
  static unsigned users;
};
} // namespace

std::mutex Handlers::mutex;
unsigned Handlers::users = 0;

LogicalResult mlir::moe::runGuarded(Location location, StringRef activity,
                                    llvm::function_ref<LogicalResult()> body) {
  Handlers handlers;
  std::string message;
  std::string *outer = std::exchange(fatalMessage, &message);
  LogicalResult result = failure();
  llvm::CrashRecoveryContext recovery;
  bool finished = recovery.RunSafely([&] { result = body(); });
  fatalMessage = outer;
  if (finished)
    return result;
  if (message.empty())
    message = "crash with code " + std::to_string(recovery.RetCode);
  // The reasons often end in a dump of many lines; the first one names it.
  return emitError(location)
         << activity << " failed: " << StringRef(message).split('\n').first;
}
