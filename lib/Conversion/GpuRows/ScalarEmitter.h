//===- ScalarEmitter.h - Scalar code of a thread ----------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_GPUROWS_SCALAREMITTER_H
#define MOEC_LIB_CONVERSION_GPUROWS_SCALAREMITTER_H

#include "PlainKernel.h"

namespace mlir::moe::rows {

/// Emits scalar code (arith, scf.for, scf.if, loads and stores of memref
/// elements) for one thread. Index is i32, offsets in memory are i64.
class ScalarEmitter {
public:
  explicit ScalarEmitter(PlainKernel &k) : k(k), b(k.b) {}
  /// All ops of a block but its terminator.
  LogicalResult emitBlock(Block &block);
  LogicalResult emitOp(Operation *op);

protected:
  LogicalResult emitFor(scf::ForOp op);
  LogicalResult emitIf(scf::IfOp op);
  Type typeOf(Type type) { return type.isIndex() ? b.getI32Type() : type; }
  SmallVector<Value> valuesOf(ValueRange operands) {
    return llvm::map_to_vector(operands,
                               [&](Value v) { return values.lookup(v); });
  }
  /// Address of an element.
  Value address(Value memory, ValueRange indices);
  /// Bytes of an element, to which it is aligned.
  static unsigned sizeOf(Value memory) {
    Type element = cast<MemRefType>(memory.getType()).getElementType();
    return element.getIntOrFloatBitWidth() / 8;
  }

  PlainKernel &k;
  OpBuilder &b;
  DenseMap<Value, Value> values; ///< tile program to this thread
};

} // namespace mlir::moe::rows

#endif // MOEC_LIB_CONVERSION_GPUROWS_SCALAREMITTER_H
