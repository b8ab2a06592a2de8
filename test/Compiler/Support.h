//===- Support.h - Kernels for the tests of the compiler --------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_COMPILER_SUPPORT_H
#define MOEC_TEST_COMPILER_SUPPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "gtest/gtest.h"

namespace mlir::moe {

/// A context with all dialects; every diagnostic goes to `messages`.
class CompilerTest : public testing::Test {
protected:
  CompilerTest();
  ~CompilerTest() override;
  /// Parses and verifies; a test failure if that fails.
  OwningOpRef<ModuleOp> parse(StringRef text);
  /// Whether some diagnostic has this text in it.
  bool said(StringRef text) const;

  MLIRContext context;
  std::string messages;
};

/// A directory below the system's temporary one, removed at the end.
class ScratchDirectory {
public:
  ScratchDirectory();
  ~ScratchDirectory();
  std::string file(StringRef name) const { return path + "/" + name.str(); }
  std::string path;
};

/// y[i] = exp(x[i]) * 2 for i < T * 4, dealt to the workers; argv: x, y, T.
extern const char *const expKernel;

} // namespace mlir::moe

#endif // MOEC_TEST_COMPILER_SUPPORT_H
