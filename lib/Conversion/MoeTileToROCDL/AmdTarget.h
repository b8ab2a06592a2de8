//===- AmdTarget.h - Row kernels in ROCDL -----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETOROCDL_AMDTARGET_H
#define MOEC_LIB_CONVERSION_MOETILETOROCDL_AMDTARGET_H

#include "moec/Conversion/WaveTarget.h"
#include "moec/Target/AmdChip.h"

namespace mlir::moe::rocdl {

/// One AMD chip: waves of 32 or 64 lanes, exchanges within rows of 16 lanes by
/// data-parallel primitives (DPP), LDS of a size that is known when compiled.
class AmdTarget final : public rows::WaveTarget {
public:
  explicit AmdTarget(const AmdChip &chip);

  Value thread(OpBuilder &b, Location loc) const override;
  Value block(OpBuilder &b, Location loc) const override;
  Value blocks(OpBuilder &b, Location loc) const override;
  void barrier(OpBuilder &b, Location loc) const override;
  void waveFence(OpBuilder &b, Location loc) const override;
  Value uniform(OpBuilder &b, Location loc, Value v) const override;
  Value broadcast(OpBuilder &b, Location loc, Value v,
                  Value lane) const override;
  Value shuffle(OpBuilder &b, Location loc, Value v, Value lane) const override;
  Value combine(OpBuilder &b, Location loc, Value v, int64_t lanes,
                function_ref<Value(Value, Value)> f) const override;
  Value largest(OpBuilder &b, Location loc, Value v) const override;
  Value smallest(OpBuilder &b, Location loc, Value v) const override;
  Value inclusiveSum(OpBuilder &b, Location loc, Value v,
                     Value lane) const override;
  Value ballot(OpBuilder &b, Location loc, Value condition) const override;
  Value sharedMemory(OpBuilder &b, Location loc,
                     LLVM::LLVMFuncOp func) const override;
  Value truncateToSmallFloat(OpBuilder &b, Location loc, Value v,
                             Type type) const override;
  Value extendSmallFloat(OpBuilder &b, Location loc, Value v,
                         Type type) const override;
  int64_t finish(LLVM::LLVMFuncOp func, int64_t threads, int64_t cluster,
                 int64_t sharedBytes) const override;

private:
  const AmdChip &chip;
};

} // namespace mlir::moe::rocdl

#endif // MOEC_LIB_CONVERSION_MOETILETOROCDL_AMDTARGET_H
