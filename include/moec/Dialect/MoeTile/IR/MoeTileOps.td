//===- MoeTileOps.td - All of moe_tile, for TableGen ---------- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOETILE_IR_MOETILEOPS_TD
#define MOEC_DIALECT_MOETILE_IR_MOETILEOPS_TD

include "moec/Dialect/MoeTile/IR/MoeTileComputeOps.td"
include "moec/Dialect/MoeTile/IR/MoeTileExplicitOps.td"
include "moec/Dialect/MoeTile/IR/MoeTileMemoryOps.td"
include "moec/Dialect/MoeTile/IR/MoeTileRoutingOps.td"
include "moec/Dialect/MoeTile/IR/MoeTileStructureOps.td"
include "moec/Dialect/MoeTile/IR/MoeTileSumOps.td"

#endif // MOEC_DIALECT_MOETILE_IR_MOETILEOPS_TD
