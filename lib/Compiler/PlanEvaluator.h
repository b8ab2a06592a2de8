//===- PlanEvaluator.h - Sizes and memory of a plan -------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_PLANEVALUATOR_H
#define MOEC_LIB_COMPILER_PLANEVALUATOR_H

#include "moec/Compiler/PlanReader.h"

namespace mlir::moe {

/// Arithmetic on sizes; no value if the result is none, for want of linearity
/// or of bits.
std::optional<TokenSize> add(const TokenSize &a, const TokenSize &b);
std::optional<TokenSize> multiply(const TokenSize &a, const TokenSize &b);
std::optional<TokenSize> ceilDivide(const TokenSize &a, const TokenSize &b);

/// The manifest's name of an element type, "" if there is none.
std::string getManifestDtype(Type type);

/// Goes through a plan once: what launches of any target have in common.
class PlanEvaluator {
public:
  explicit PlanEvaluator(tile::PlanOp plan) : plan(plan) {}

  /// Reads the plan; `readLaunch` adds to `info` what a launch becomes.
  FailureOr<PlanInfo>
  read(llvm::function_ref<LogicalResult(tile::LaunchOp)> readLaunch);

  /// The size that an index value stands for; a diagnostic on `user` if none.
  FailureOr<TokenSize> size(Value value, Operation *user);
  /// Extent of a dimension of an argument, workspace or view.
  FailureOr<TokenSize> extent(Value memory, int64_t dim, Operation *user);
  /// The argument or slice, by number, behind views; a diagnostic on `user` if
  /// there is none.
  FailureOr<ManifestLaunchArgument> memory(Value memory, Operation *user);

  PlanInfo info;

private:
  LogicalResult readArgument(BlockArgument argument);
  LogicalResult readWorkspace(tile::WorkspaceOp op);
  LogicalResult readIndex(Operation &op);
  /// Product of the extents of some dimensions.
  FailureOr<TokenSize> product(Value memory, ArrayRef<int64_t> dims,
                               Operation *user);
  /// The argument or workspace behind views; null and a diagnostic if none.
  Value root(Value memory, Operation *user);

  tile::PlanOp plan;
  DenseMap<Value, TokenSize> sizes;
  /// Arguments and slices by number.
  DenseMap<Value, ManifestLaunchArgument> memories;
};

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_PLANEVALUATOR_H
