//===- MoeInterfaces.cpp - Upstream interfaces of moe ops -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/Moe/IR/MoeDialect.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// Bufferisation of a destination-style op: the same op on buffers, writing
/// into the buffers of its inits.
template <typename OpTy>
struct DestModel
    : bufferization::DstBufferizableOpInterfaceExternalModel<DestModel<OpTy>,
                                                             OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const bufferization::AnalysisState &) const {
    // Results are defined whole; inits only lend their memory.
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const bufferization::BufferizationOptions &options,
                          bufferization::BufferizationState &state) const {
    auto dest = cast<DestinationStyleOpInterface>(op);
    if (dest.hasPureBufferSemantics())
      return success();
    rewriter.setInsertionPoint(op);
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      if (!isa<TensorType>(operand.getType())) {
        operands.push_back(operand);
        continue;
      }
      FailureOr<Value> buffer =
          bufferization::getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      operands.push_back(*buffer);
    }
    Operation *clone = cloneWithoutRegions(rewriter, op, TypeRange(), operands);
    for (auto [from, to] : llvm::zip(op->getRegions(), clone->getRegions()))
      rewriter.inlineRegionBefore(from, to, to.begin());
    SmallVector<Value> results;
    for (Value init : cast<DestinationStyleOpInterface>(clone).getDpsInits())
      results.push_back(init);
    bufferization::replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }
};

/// `moe.align` reads its ids and gives a routing value, no buffer.
struct AlignModel
    : bufferization::BufferizableOpInterface::ExternalModel<AlignModel,
                                                            AlignOp> {
  bool bufferizesToMemoryRead(Operation *, OpOperand &,
                              const bufferization::AnalysisState &) const {
    return true;
  }
  bool bufferizesToMemoryWrite(Operation *, OpOperand &,
                               const bufferization::AnalysisState &) const {
    return false;
  }
  bufferization::AliasingValueList
  getAliasingValues(Operation *, OpOperand &,
                    const bufferization::AnalysisState &) const {
    return {};
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const bufferization::BufferizationOptions &options,
                          bufferization::BufferizationState &state) const {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      FailureOr<Value> buffer =
          bufferization::getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      operands.push_back(*buffer);
    }
    rewriter.modifyOpInPlace(op, [&] { op->setOperands(operands); });
    return success();
  }
};
} // namespace

void moe::registerMoeInterfaceModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, MoeDialect *) {
    FusedExpertsOp::attachInterface<DestModel<FusedExpertsOp>>(*context);
    TopkOp::attachInterface<DestModel<TopkOp>>(*context);
    DenseWeightsOp::attachInterface<DestModel<DenseWeightsOp>>(*context);
    DispatchOp::attachInterface<DestModel<DispatchOp>>(*context);
    CombineOp::attachInterface<DestModel<CombineOp>>(*context);
    QuantizeOp::attachInterface<DestModel<QuantizeOp>>(*context);
    DequantizeOp::attachInterface<DestModel<DequantizeOp>>(*context);
    GroupSumOp::attachInterface<DestModel<GroupSumOp>>(*context);
    RepackOp::attachInterface<DestModel<RepackOp>>(*context);
    GroupedGemmOp::attachInterface<DestModel<GroupedGemmOp>>(*context);
    ActivateOp::attachInterface<DestModel<ActivateOp>>(*context);
    AlignOp::attachInterface<AlignModel>(*context);
  });
}
