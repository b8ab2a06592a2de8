//===- RandomInputs.h - Sensible arguments ----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Seeded arguments for a function of moe ops. What an argument holds follows
// from the op that uses it (ids, router weights, codes, scales, ...) or from
// its attribute `moe.init`; the same seed gives the same values on every
// machine, and values of argument i do not depend on the other arguments.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_REFERENCE_MOE_RANDOMINPUTS_H
#define MOEC_REFERENCE_MOE_RANDOMINPUTS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "moec/Support/HostTensor.h"

namespace mlir::moe {

/// How expert ids are drawn.
enum class IdStyle : uint8_t {
  /// Uniform in [0, E), 1 of 16 is -1, duplicates occur.
  Mixed,
  /// Distinct in a row where k <= E, never -1.
  Unique,
  /// 3 of 4 go to the lowest quarter of the experts; some experts are empty.
  Skewed,
  /// All to expert E - 1.
  One,
  /// All -1.
  None,
};

std::optional<IdStyle> parseIdStyle(llvm::StringRef name);

struct RandomOptions {
  uint64_t seed = 0;
  /// Extent of every dynamic dimension.
  int64_t tokens = 4;
  IdStyle ids = IdStyle::Mixed;
};

/// Makes one tensor per argument of `function`. The attribute `moe.init` of an
/// argument names its contents: "ids", "map", "weights" (positive, rows sum to
/// 1), "normal", "matrix" (normal / sqrt(columns)), "scale" (positive), "codes"
/// (any finite code), "zero_point", "poison", "zero", "one", "iota", "tokens"
/// (the token count). `moe.experts` gives the number of experts where the uses
/// do not tell (ids, map).
llvm::Expected<llvm::SmallVector<HostTensor>>
makeRandomInputs(func::FuncOp function, const RandomOptions &options);

} // namespace mlir::moe

#endif // MOEC_REFERENCE_MOE_RANDOMINPUTS_H
