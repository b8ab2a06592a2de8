//===- Reference.h - What the test kernels should compute -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_EMULATOR_REFERENCE_H
#define MOEC_TEST_EMULATOR_REFERENCE_H

#include "mlir/IR/BuiltinAttributes.h"
#include "moec/Support/ElementType.h"
#include <map>
#include <string>
#include <vector>

struct TestBuffer {
  mlir::moe::ElementType type;
  std::vector<uint8_t> bytes;
  uint64_t elements() const {
    return bytes.size() * 8 / mlir::moe::getBitWidth(type);
  }
  double at(uint64_t i) const;
};

using TestBuffers = std::map<std::string, TestBuffer>;

/// Runs the check that `spec` describes, prints a line, and says whether it
/// passed. Checks: copy {from, to}; fill {buffer, value}; gemm {a, b, c, m, n,
/// k and, optionally, rows: indices of A's rows (negative: a row of zeros),
/// lda, ldc}; sum {a, b, c}.
bool runCheck(mlir::DictionaryAttr spec, const TestBuffers &buffers);

#endif // MOEC_TEST_EMULATOR_REFERENCE_H
