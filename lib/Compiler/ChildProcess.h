//===- ChildProcess.h - Programs that are run -------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_CHILDPROCESS_H
#define MOEC_LIB_COMPILER_CHILDPROCESS_H

#include "TemporaryDirectory.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <string>

namespace mlir::moe {

/// A program that has ended by itself.
struct FinishedProcess {
  int status = 0;
  /// What it wrote to its output and error.
  std::string output;
};

/// Runs a program to its end; a file of `directory` gets what it prints. Fails
/// if it does not start, crashes or takes longer than `timeoutSeconds`. May be
/// called by several threads.
llvm::Expected<FinishedProcess>
runProcess(llvm::StringRef program, llvm::ArrayRef<std::string> arguments,
           const TemporaryDirectory &directory, double timeoutSeconds);

/// The content of a file.
llvm::Expected<std::string> readWholeFile(llvm::StringRef path);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_CHILDPROCESS_H
