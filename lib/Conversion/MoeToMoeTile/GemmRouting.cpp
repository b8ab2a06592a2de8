//===- GemmRouting.cpp - Tiles of a grouped GEMM --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmKernel.h"

using namespace mlir;
using namespace mlir::moe;

Value GemmKernel::listTiles(const RoutingBuffers &routing) {
  OpBuilder &kb = kernel->b;
  if (routing.isDirect())
    return tile::SlotListOp::create(
        kb, loc, routing.ids, routing.expertMap, routing.deviceTokens,
        op.getRouting().getType().getExperts(), parts * cols, blockN);
  if (tokens)
    return tile::DenseListOp::create(kb, loc, tokens,
                                     sumsExperts ? 1 : op.getNumExperts(),
                                     blockM, cols, blockN);
  Value count = arith::IndexCastOp::create(
      kb, loc, kb.getIndexType(),
      memref::LoadOp::create(kb, loc, routing.count,
                             ValueRange{kernel->index(0)}));
  return tile::BlockListOp::create(kb, loc, routing.table, count, parts * cols,
                                   blockN);
}
