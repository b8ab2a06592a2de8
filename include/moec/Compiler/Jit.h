//===- Jit.h - Kernels in this process --------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_JIT_H
#define MOEC_COMPILER_JIT_H

#include "mlir/IR/Location.h"
#include "moec-c/Runtime.h"

#include <memory>
#include <string>
#include <vector>

namespace llvm::orc {
class LLJIT;
} // namespace llvm::orc

namespace mlir::moe {

/// One object of emitObject and what is to be found in it.
struct JitInput {
  /// Name of the code object in the manifest.
  std::string code;
  StringRef object;
  std::vector<std::string> kernels;
};

/// A layer whose kernels were linked into this process by ORC, run by the same
/// run time as an artifact. The code lives as long as this object.
class JitLayer {
public:
  /// Links the objects and opens the manifest's text with their kernels.
  /// `options` as for moec_open_kernels, may be null. Objects for instruction
  /// sets that this machine lacks are linked as well, and never called. Errors
  /// are diagnostics at `location`.
  static FailureOr<std::unique_ptr<JitLayer>>
  open(Location location, StringRef manifest, ArrayRef<JitInput> inputs,
       const moec_open_options *options = nullptr);
  ~JitLayer();

  /// The opened layer; closed by this object.
  const moec_layer *get() const { return layer; }

private:
  JitLayer();
  std::unique_ptr<llvm::orc::LLJIT> jit;
  moec_layer *layer = nullptr;
};

} // namespace mlir::moe

#endif // MOEC_COMPILER_JIT_H
