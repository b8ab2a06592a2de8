//===- HopperTarget.h - Row kernels in NVVM ---------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETILETONVVM_HOPPERTARGET_H
#define MOEC_LIB_CONVERSION_MOETILETONVVM_HOPPERTARGET_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "moec/Conversion/WaveTarget.h"

namespace mlir::moe::nvvm {

/// NVIDIA GPUs: shuffles and reductions of warps; from Hopper on also clusters
/// and early launches, which only kernels ask for that are made for it.
class HopperTarget final : public rows::WaveTarget {
public:
  /// `clusters`: the chip has them; `sharedBytes`: of one block; `floats8`: it
  /// has instructions that convert 8-bit floats.
  explicit HopperTarget(bool clusters = true, int64_t sharedBytes = 232448,
                        bool floats8 = true);

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
  void clusterArrive(OpBuilder &b, Location loc) const override;
  void clusterWait(OpBuilder &b, Location loc) const override;
  Value inCluster(OpBuilder &b, Location loc, Value pointer,
                  Value rank) const override;
  Value truncateToSmallFloat(OpBuilder &b, Location loc, Value v,
                             Type type) const override;
  Value extendSmallFloat(OpBuilder &b, Location loc, Value v,
                         Type type) const override;
  bool startsEarly() const override { return true; }
  void letNextLaunchBegin(OpBuilder &b, Location loc) const override;
  void awaitEarlierLaunches(OpBuilder &b, Location loc) const override;
  int64_t finish(LLVM::LLVMFuncOp func, int64_t threads, int64_t cluster,
                 int64_t sharedBytes) const override;

private:
  bool floats8;

  static Value word(OpBuilder &b, Location loc, int64_t v) {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(v));
  }
};

} // namespace mlir::moe::nvvm

#endif // MOEC_LIB_CONVERSION_MOETILETONVVM_HOPPERTARGET_H
