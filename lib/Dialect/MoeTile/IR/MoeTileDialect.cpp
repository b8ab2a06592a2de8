//===- MoeTileDialect.cpp - Registration of moe_tile ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeTile/IR/MoeTile.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe::tile;

#include "moec/Dialect/MoeTile/IR/MoeTileDialect.cpp.inc"
#include "moec/Dialect/MoeTile/IR/MoeTileEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "moec/Dialect/MoeTile/IR/MoeTileAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "moec/Dialect/MoeTile/IR/MoeTileTypes.cpp.inc"

void MoeTileDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "moec/Dialect/MoeTile/IR/MoeTileAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "moec/Dialect/MoeTile/IR/MoeTileTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "moec/Dialect/MoeTile/IR/MoeTileOps.cpp.inc"
      >();
}
