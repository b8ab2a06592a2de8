//===- AmdKernel.h - What makes a function a kernel of AMD ------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TARGET_AMDKERNEL_H
#define MOEC_TARGET_AMDKERNEL_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace mlir::moe {

/// Makes `func` a kernel of workgroups of exactly `threads` lanes, for a chip
/// whose waves have `wave` lanes.
inline void markAmdKernel(LLVM::LLVMFuncOp func, StringRef chip, int64_t wave,
                          int64_t threads) {
  Builder b(func.getContext());
  func->setAttr("rocdl.kernel", b.getUnitAttr());
  func->setAttr("rocdl.reqd_work_group_size",
                b.getDenseI32ArrayAttr({static_cast<int32_t>(threads), 1, 1}));
  std::string size = std::to_string(threads);
  func->setAttr("rocdl.flat_work_group_size",
                b.getStringAttr(size + "," + size));
  func->setAttr("moe.chip", b.getStringAttr(chip));
  func->setAttr("moe.wave", b.getI64IntegerAttr(wave));
}

} // namespace mlir::moe

#endif // MOEC_TARGET_AMDKERNEL_H
