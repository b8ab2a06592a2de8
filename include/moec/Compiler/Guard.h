//===- Guard.h - LLVM's fatal errors as diagnostics -------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_GUARD_H
#define MOEC_COMPILER_GUARD_H

#include "mlir/IR/Location.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/LogicalResult.h"

namespace mlir::moe {

/// Runs `body`, which calls into LLVM's code generator or linker. A fatal error
/// there (report_fatal_error, "cannot select", a crash) becomes a diagnostic at
/// `location` that begins with `activity`, and failure; without one the result
/// of `body` is returned. What `body` had allocated before a fatal error leaks.
///
/// While any thread is inside, LLVM's fatal error handler and the handlers of
/// SIGABRT, SIGSEGV and the like are those of this function. Calls may nest and
/// may run on several threads at once.
LogicalResult runGuarded(Location location, StringRef activity,
                         llvm::function_ref<LogicalResult()> body);

} // namespace mlir::moe

#endif // MOEC_COMPILER_GUARD_H
