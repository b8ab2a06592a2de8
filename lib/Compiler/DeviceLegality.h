//===- DeviceLegality.h - What a back end without a library takes  -*- C++
//-*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_DEVICELEGALITY_H
#define MOEC_LIB_COMPILER_DEVICELEGALITY_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/IR/Module.h"

namespace mlir::moe {

/// What a GPU's back end can take. It has no library to call: for an intrinsic
/// without an instruction it ends the process.
struct DeviceRules {
  /// "NVVM": the dialect beside LLVM's that it knows.
  StringRef dialectTitle;
  /// "nvvm": that dialect's name, with which its intrinsics begin too.
  StringRef dialect;
  /// How its intrinsics begin, without "llvm.": "nvvm.".
  StringRef intrinsics;
  /// "on NVIDIA GPUs": the end of messages.
  StringRef where;
  /// What it selects beside what is common to all GPUs; `isDouble`: on f64.
  llvm::function_ref<bool(StringRef name, bool isDouble)> isKnown;
  /// Further rules for one operation, with a diagnostic.
  llvm::function_ref<LogicalResult(Operation *)> check;
};

/// Refuses operations of other dialects, intrinsics and functions that there
/// are no instructions for, indirect calls and calls that leave the module. All
/// of them are named, not only the first.
LogicalResult checkDeviceLegal(ModuleOp module, const DeviceRules &rules);

/// The same for LLVM IR: what the translation and the optimiser may have
/// brought in. The diagnostic is at `location`.
LogicalResult checkDeviceLegal(Location location, const llvm::Module &module,
                               const DeviceRules &rules);

/// A diagnostic unless each of the kernels is a defined `llvm.func` with the
/// unit attribute `attribute`.
LogicalResult checkDeviceKernels(ModuleOp module, ArrayRef<std::string> kernels,
                                 StringRef attribute);

/// A kernel stays in the code whoever uses it; one that was hidden, because
/// nobody launches it, becomes a function like any other.
void demoteHiddenKernels(llvm::Module &module);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_DEVICELEGALITY_H
