//===- Hsaco.h - Code objects of AMD GPUs -----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A HSACO is an ELF shared object. A note in it says what each kernel takes;
// the driver reads it, and so does the compiler, which judges kernels by it.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_HSACO_H
#define MOEC_COMPILER_HSACO_H

#include "mlir/IR/Location.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace mlir::moe {

/// What one kernel takes.
struct HsacoKernel {
  std::string name;
  /// Registers of a lane, accumulators included, and of those the accumulators.
  int64_t vgprs = 0, agprs = 0;
  /// Registers of a wave.
  int64_t sgprs = 0;
  /// Bytes of static LDS of a block, and of memory for each lane.
  int64_t lds = 0, scratch = 0;
  /// Registers that had to leave for memory or for other registers.
  int64_t vgprSpills = 0, sgprSpills = 0;
  /// Bytes of its arguments, the hidden ones included.
  int64_t kernargBytes = 0;
  /// Threads of a wave, and of the largest block.
  int64_t wave = 0, maxThreads = 0;
  /// Scratch is not known until the kernel runs.
  bool dynamicStack = false;
};

/// Links an object of emitAmdgcnObject into a HSACO, by lld as a library or, if
/// the environment's MOEC_LLD names a program or the build had no library, by
/// ld.lld. Equal objects give equal bytes. Errors, undefined symbols among
/// them, are diagnostics. Thread-safe.
FailureOr<std::string> linkHsaco(Location location, llvm::StringRef object);

/// Reads what a HSACO says of its kernels, in its order. Errors: no ELF file
/// for AMD GPUs, no note or a broken one.
llvm::Expected<std::vector<HsacoKernel>> readHsaco(llvm::StringRef bytes);

} // namespace mlir::moe

#endif // MOEC_COMPILER_HSACO_H
