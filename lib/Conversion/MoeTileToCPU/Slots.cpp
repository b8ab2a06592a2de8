//===- Slots.cpp - Routings that nobody has sorted ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

Value KernelEmitter::slotExpert(Value ids, Value map, Value deviceTokens,
                                int64_t experts, int64_t topk, Value slot) {
  Value token = arith::DivUIOp::create(b, loc, slot, index(topk));
  Value choice = arith::RemUIOp::create(b, loc, slot, index(topk));
  auto below = [&](Value v, Value bound) -> Value {
    // Unsigned: negative numbers are beyond every bound.
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, v, bound);
  };
  auto load = [&](Value memory, ValueRange at) -> Value {
    return arith::IndexCastOp::create(
        b, loc, b.getIndexType(),
        memref::LoadOp::create(b, loc, scalar(memory), at));
  };
  Value id = load(ids, {token, choice});
  Value exists = below(id, index(experts));
  if (map) {
    Value known =
        below(id, memref::DimOp::create(b, loc, scalar(map), index(0)));
    // What is read for an id outside of the map is forgotten.
    Value at = arith::SelectOp::create(b, loc, known, id, index(0));
    id = load(map, {at});
    exists = arith::AndIOp::create(b, loc, known, below(id, index(experts)));
  }
  if (deviceTokens)
    exists = arith::AndIOp::create(
        b, loc, exists, below(token, load(deviceTokens, {index(0)})));
  return arith::SelectOp::create(b, loc, exists, id, index(-1));
}
