//===- NvptxLegality.cpp - What the NVPTX back end can take ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NvptxLegality.h"
#include "DeviceLegality.h"
#include "moec/Compiler/NvptxEmitter.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace mlir::moe;

/// Orders above `monotonic` are dropped by the back end without a word.
static LogicalResult checkOrder(Operation *op) {
  auto atomic = dyn_cast<LLVM::AtomicRMWOp>(op);
  if (!atomic)
    return success();
  LLVM::AtomicOrdering order = atomic.getOrdering();
  if (order == LLVM::AtomicOrdering::not_atomic ||
      order == LLVM::AtomicOrdering::unordered ||
      order == LLVM::AtomicOrdering::monotonic)
    return success();
  return op->emitOpError()
         << "has the order '" << LLVM::stringifyAtomicOrdering(order)
         << "', which the NVPTX back end does not keep; use 'monotonic' "
            "and fences";
}

static bool isKnown(StringRef name, bool isDouble) {
  return name == "exp2" && !isDouble;
}

static const DeviceRules rules = {"NVVM",           "nvvm",  "nvvm.",
                                  "on NVIDIA GPUs", isKnown, checkOrder};

LogicalResult mlir::moe::checkNvptxLegal(ModuleOp module) {
  return checkDeviceLegal(module, rules);
}

LogicalResult mlir::moe::checkNvptxLegal(Location location,
                                         const llvm::Module &module) {
  return checkDeviceLegal(location, module, rules);
}
