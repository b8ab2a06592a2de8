//===- MoeDialect.cpp - The moe dialect -----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/Moe/IR/MoeDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

#include "moec/Dialect/Moe/IR/MoeDialect.cpp.inc"
#include "moec/Dialect/Moe/IR/MoeEnums.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "moec/Dialect/Moe/IR/MoeTypes.cpp.inc"

void MoeDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "moec/Dialect/Moe/IR/MoeTypes.cpp.inc"
      >();
  registerAttributes();
  registerOperations();
}

LogicalResult RoutingType::verify(function_ref<InFlightDiagnostic()> emitError,
                                  int64_t experts, int64_t topk,
                                  int64_t blockM) {
  if (experts < 1 || topk < 1)
    return emitError() << "routing needs experts >= 1 and topk >= 1, got "
                       << experts << " and " << topk;
  if (blockM < 1)
    return emitError() << "routing needs block_m >= 1, got " << blockM;
  return success();
}
