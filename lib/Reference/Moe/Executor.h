//===- Executor.h - State of one execution ----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_REFERENCE_MOE_EXECUTOR_H
#define MOEC_LIB_REFERENCE_MOE_EXECUTOR_H

#include "Matrix.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "moec/Reference/Moe/Interpreter.h"

namespace mlir::moe {

/// What an SSA value holds at run time: a tensor, a scalar or a routing.
struct RefValue {
  std::shared_ptr<const HostTensor> tensor;
  std::shared_ptr<const RoutingTable> routing;
  /// Scalars: index and integers in `integer`, floats in `number`.
  int64_t integer = 0;
  double number = 0;

  static RefValue ofTensor(HostTensor &&tensor) {
    RefValue value;
    value.tensor = std::make_shared<const HostTensor>(std::move(tensor));
    return value;
  }
  static RefValue ofInteger(int64_t integer) {
    RefValue value;
    value.integer = integer;
    return value;
  }
  static RefValue ofNumber(double number) {
    RefValue value;
    value.number = number;
    return value;
  }
  static RefValue ofRouting(RoutingTable &&table) {
    RefValue value;
    value.routing = std::make_shared<const RoutingTable>(std::move(table));
    return value;
  }
};

/// Executes the ops of one function in order. The overloads of `run` execute
/// one op and bind its results; an error does not name the op, the caller does.
class Executor {
public:
  explicit Executor(const ReferenceOptions &options) : options(options) {}

  void bind(Value value, RefValue content) {
    values[value] = std::move(content);
  }
  const RefValue &get(Value value) const { return values.find(value)->second; }
  /// The tensor of `value`, null for a null value.
  const HostTensor *getTensor(Value value) const {
    return value ? get(value).tensor.get() : nullptr;
  }

  /// Executes `op`, whatever it is; errors name the op.
  llvm::Error execute(Operation *op);

private:
  // Upstream ops (Upstream.cpp).
  llvm::Error runUpstream(Operation *op);
  llvm::Error runElementwise(Operation *op);
  llvm::Error runIntegers(Operation *op);
  llvm::Error runConstant(Operation *op, Attribute attribute);
  llvm::Error runTensorOp(Operation *op);
  llvm::Error runGeneric(Operation *op);

  // Loops and their index arithmetic (Loops.cpp).
  llvm::Error run(scf::ForOp op);
  llvm::Error run(affine::AffineApplyOp op);
  llvm::Error run(affine::AffineMinOp op);
  llvm::Error run(affine::AffineMaxOp op);
  llvm::Error runAffine(Operation *op, AffineMap map, bool largest);

  // Routing and rows (Rows.cpp).
  llvm::Error run(TopkOp op);
  llvm::Error run(AlignOp op);
  llvm::Error run(RouteAllOp op);
  llvm::Error run(NumSlotsOp op);
  llvm::Error run(DenseWeightsOp op);
  llvm::Error run(DispatchOp op);
  llvm::Error run(CombineOp op);
  template <typename T> llvm::Error runCombine(CombineOp op);

  // Quantisation (Quantisation.cpp).
  llvm::Error run(QuantizeOp op);
  llvm::Error run(DequantizeOp op);
  llvm::Error run(GroupSumOp op);
  llvm::Error run(RepackOp op);

  // Projections (Projections.cpp, Layer.cpp).
  llvm::Error run(GroupedGemmOp op);
  template <typename T> llvm::Error runGemm(GroupedGemmOp op);
  llvm::Error run(ActivateOp op);
  template <typename T> llvm::Error runActivate(ActivateOp op);
  llvm::Error run(FusedExpertsOp op);
  template <typename T> llvm::Error runLayer(FusedExpertsOp op);

  bool inDouble() const { return options.accumulate == Accumulate::F64; }

  const ReferenceOptions &options;
  llvm::DenseMap<Value, RefValue> values;
};

/// Fails unless `tensor` (named `what`) has `extent` along `dim`.
llvm::Error checkExtent(const llvm::Twine &what, const HostTensor &tensor,
                        unsigned dim, int64_t extent);

/// A poisoned tensor of the type and run-time shape of `init`.
llvm::Expected<HostTensor> createLike(const HostTensor &init);

} // namespace mlir::moe

#endif // MOEC_LIB_REFERENCE_MOE_EXECUTOR_H
