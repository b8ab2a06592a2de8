//===- Loops.cpp - Counted loops around moe ops ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

using namespace mlir;
using namespace mlir::moe;

llvm::Error Executor::run(scf::ForOp loop) {
  if (!loop.getInductionVar().getType().isIndex())
    return llvm::createStringError("its induction variable must be an index");
  int64_t lower = get(loop.getLowerBound()).integer,
          upper = get(loop.getUpperBound()).integer,
          step = get(loop.getStep()).integer;
  if (step < 1)
    return llvm::createStringError("its step must be positive, got " +
                                   llvm::Twine(step));
  SmallVector<RefValue> carried;
  for (Value init : loop.getInitArgs())
    carried.push_back(get(init));
  Block &body = *loop.getBody();
  for (int64_t i = lower; i < upper; i += step) {
    bind(loop.getInductionVar(), RefValue::ofInteger(i));
    for (auto [arg, value] : llvm::zip(loop.getRegionIterArgs(), carried))
      bind(arg, value);
    for (Operation &op : body.without_terminator())
      if (llvm::Error error = execute(&op))
        return error;
    // The terminator reads all of its operands before any of them is bound.
    SmallVector<RefValue> next;
    for (Value value : body.getTerminator()->getOperands())
      next.push_back(get(value));
    carried = std::move(next);
  }
  for (auto [result, value] : llvm::zip(loop.getResults(), carried))
    bind(result, value);
  return llvm::Error::success();
}

llvm::Error Executor::runAffine(Operation *op, AffineMap map, bool largest) {
  SmallVector<int64_t> inputs;
  for (Value operand : op->getOperands())
    inputs.push_back(get(operand).integer);
  // Operands of symbols stand behind those of dimensions.
  SmallVector<AffineExpr> symbols;
  for (unsigned i = 0; i < map.getNumSymbols(); ++i)
    symbols.push_back(getAffineDimExpr(map.getNumDims() + i, op->getContext()));
  map = map.replaceDimsAndSymbols({}, symbols, inputs.size(), 0);
  SmallVector<int64_t, 4> values = map.compose(inputs);
  int64_t result = values[0];
  for (int64_t value : values)
    result = largest ? std::max(result, value) : std::min(result, value);
  bind(op->getResult(0), RefValue::ofInteger(result));
  return llvm::Error::success();
}

llvm::Error Executor::run(affine::AffineApplyOp op) {
  return runAffine(op, op.getAffineMap(), false);
}
llvm::Error Executor::run(affine::AffineMinOp op) {
  return runAffine(op, op.getAffineMap(), false);
}
llvm::Error Executor::run(affine::AffineMaxOp op) {
  return runAffine(op, op.getAffineMap(), true);
}
