//===- PlainSum.cpp - The sum over top-k behind a product -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/Moe/Transforms/PlainSum.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::moe;

Value moe::findPlainSum(GroupedGemmOp gemm) {
  if (gemm->getNumResults() != 1 || gemm.getQuantizeAttr())
    return {};
  Value rows = gemm->getResult(0);
  if (gemm.getOut() == RowLayout::Token)
    return rows;
  if (!rows.hasOneUse() ||
      !cast<ShapedType>(rows.getType()).getElementType().isF32() ||
      !gemm.getOuts()[0].getDefiningOp<tensor::EmptyOp>())
    return {};
  auto combine = dyn_cast<CombineOp>(*rows.user_begin());
  if (!combine || combine.getD() != rows || combine.getWeights() ||
      combine.getAdd() || combine.getRouting() != gemm.getRouting() ||
      combine.getLayout() != gemm.getOut() || combine->getNumResults() != 1 ||
      !isa<BlockArgument>(combine.getOuts()[0]))
    return {};
  return combine->getResult(0);
}
