//===- Interpreter.h - Execute moe on the host ------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// The meaning of the moe dialect, executed: slow, plain and exact. It runs
// functions of tensors that hold `moe` ops and the upstream ops around them
// (arith, math, tensor.{empty,dim,cast,splat,extract_slice,...}, linalg.fill,
// linalg.generic), and is what every lowering is checked against.
//
// Rounding points are those of the op descriptions and no others. Rows that no
// slot owns are filled with NaN (integers: a fixed pattern), so that an op
// which reads them shows it.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_REFERENCE_MOE_INTERPRETER_H
#define MOEC_REFERENCE_MOE_INTERPRETER_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moec/Support/HostTensor.h"

namespace mlir::moe {

/// Type in which products are accumulated and epilogues computed between two
/// rounding points.
enum class Accumulate : uint8_t { F64, F32 };

struct ReferenceOptions {
  Accumulate accumulate = Accumulate::F64;
  /// Threads; 0 is the number of the hardware.
  unsigned threads = 0;
  /// Token rows to compute, in this order; empty: all. Every argument with a
  /// dynamic first extent is cut to these rows, so results have one row each.
  /// Legal for functions whose dynamic extents are all token counts.
  llvm::ArrayRef<int64_t> rows;
};

/// The storage type of an MLIR element type (`index` is i64, signless integers
/// are signed); nothing for a type without storage.
std::optional<ElementType> getStorageType(Type type);

/// Runs `function` on `inputs`, one per argument (scalars as tensors of rank
/// 0), and returns one tensor per result. A result of type `!moe.routing`
/// becomes six i32 tensors: sorted slots, padded slots, block experts, offsets,
/// padded offsets, slot experts (see RoutingTable). Fails with one message that
/// names the op for wrong shapes, ids out of range and unsupported ops.
llvm::Expected<llvm::SmallVector<HostTensor>>
interpretFunction(func::FuncOp function, llvm::ArrayRef<HostTensor> inputs,
                  const ReferenceOptions &options = {});

} // namespace mlir::moe

#endif // MOEC_REFERENCE_MOE_INTERPRETER_H
