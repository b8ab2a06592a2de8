//===- MoeOps.cpp - Operations of the moe dialect -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "moec/Dialect/Moe/IR/MoeOps.cpp.inc"

void MoeDialect::registerOperations() {
  addOperations<
#define GET_OP_LIST
#include "moec/Dialect/Moe/IR/MoeOps.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Interfaces that every destination-style op shares
//===----------------------------------------------------------------------===//

/// Buffers among the inputs are read, buffers among the inits are written
/// (never read: every op defines its whole result). Tensors have no effects.
static void addDestinationEffects(
    DestinationStyleOpInterface op,
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    if (op.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
    else
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
  }
}

/// The shape of a result is that of the init it replaces.
static LogicalResult reifyFromInits(DestinationStyleOpInterface op,
                                    OpBuilder &b,
                                    ReifiedRankedShapedTypeDims &shapes) {
  for (OpResult result : op->getResults())
    shapes.push_back(tensor::getMixedSizes(b, op.getLoc(),
                                           op.getTiedOpOperand(result)->get()));
  return success();
}

#define MOE_DEST_OP(OP)                                                        \
  void OP::getEffects(                                                         \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>      \
          &effects) {                                                          \
    addDestinationEffects(cast<DestinationStyleOpInterface>(getOperation()),   \
                          effects);                                            \
  }                                                                            \
  LogicalResult OP::reifyResultShapes(OpBuilder &b,                            \
                                      ReifiedRankedShapedTypeDims &shapes) {   \
    return reifyFromInits(cast<DestinationStyleOpInterface>(getOperation()),   \
                          b, shapes);                                          \
  }
MOE_DEST_OP(FusedExpertsOp)
MOE_DEST_OP(TopkOp)
MOE_DEST_OP(DenseWeightsOp)
MOE_DEST_OP(DispatchOp)
MOE_DEST_OP(CombineOp)
MOE_DEST_OP(QuantizeOp)
MOE_DEST_OP(DequantizeOp)
MOE_DEST_OP(GroupSumOp)
MOE_DEST_OP(RepackOp)
MOE_DEST_OP(GroupedGemmOp)
MOE_DEST_OP(ActivateOp)
#undef MOE_DEST_OP

void AlignOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  for (OpOperand &operand : getOperation()->getOpOperands())
    if (isa<MemRefType>(operand.get().getType()))
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
}

//===----------------------------------------------------------------------===//
// GroupedGemmOp
//===----------------------------------------------------------------------===//

int64_t GroupedGemmOp::getReductionSize() {
  return verify_detail::unpackedCols(verify_detail::shaped(getA()),
                                     getAQuantAttr());
}

int64_t GroupedGemmOp::getWeightRows() {
  return verify_detail::shaped(getB()).getDimSize(1);
}

int64_t GroupedGemmOp::getOutCols() {
  return getGateUpAttr() ? getWeightRows() / 2 : getWeightRows();
}

unsigned GroupedGemmOp::getNumColArgs(unsigned i) {
  return getGateUpAttr() &&
                 verify_detail::shaped(getColOperands()[i]).getShape().back() ==
                     getWeightRows()
             ? 2
             : 1;
}

unsigned GroupedGemmOp::getColArg(unsigned i) {
  unsigned arg = getRowArg(getRowOperands().size());
  for (unsigned j = 0; j < i; ++j)
    arg += getNumColArgs(j);
  return arg;
}

ConfigAttr GroupedGemmOp::getChosenConfig() {
  ArrayAttr list = getConfigAttr();
  return list && !list.empty() ? cast<ConfigAttr>(list[0]) : ConfigAttr();
}

//===----------------------------------------------------------------------===//
// RepackOp
//===----------------------------------------------------------------------===//

LogicalResult RepackOp::canonicalize(RepackOp op, PatternRewriter &rewriter) {
  if (op->getNumResults() == 0)
    return rewriter.notifyMatchFailure(op, "repacks buffers, not tensors");
  Value result = op->getResult(0);
  if (op.getFrom() == op.getTo() && op.getW().getType() == result.getType()) {
    rewriter.replaceOp(op, op.getW());
    return success();
  }
  auto producer = op.getW().getDefiningOp<RepackOp>();
  if (!producer)
    return rewriter.notifyMatchFailure(op, "operand is not repacked");
  // Storage changes keep the values except E4M3FN -> FNUZ, which drops the
  // sign of zero; so only a pair that returns to the first form is removed.
  if (producer.getFrom() != op.getTo() || producer.getTo() != op.getFrom() ||
      producer.getFrom().getElem() != producer.getTo().getElem() ||
      producer.getW().getType() != result.getType())
    return rewriter.notifyMatchFailure(op, "does not undo its producer");
  rewriter.replaceOp(op, producer.getW());
  return success();
}
