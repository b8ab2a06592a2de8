//===- PlanReader.h - From a plan to launches -------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_PLANREADER_H
#define MOEC_COMPILER_PLANREADER_H

#include "mlir/IR/BuiltinOps.h"
#include "moec/Compiler/Manifest.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"

namespace mlir::moe {

/// What a plan says of a layer.
struct PlanInfo {
  std::vector<ManifestArgument> arguments;
  std::vector<ManifestWorkspace> workspaces;
  std::vector<ManifestLaunch> launches;

  /// Names of the launched kernels, each once, in order of their first launch.
  std::vector<std::string> kernels() const;
};

/// Reads a plan by evaluating its index arithmetic with T, the common extent of
/// the dynamic dimension 0 of its arguments, as the only unknown.
///
/// A launch passes, for each of its arguments in order: a memref as one
/// pointer, then one number per dynamic dimension; an index as one number.
/// Slice sizes may be rounded up; numbers are exact.
///
/// Errors are diagnostics on the op that breaks the rule: an argument that is
/// no memref of a type known to the run time, a dynamic dimension other than
/// the first, an unknown or missing `moe.role`, a size that is not
/// ceil((a*T + b) / d) with a, b >= 0, memory that is neither an argument nor a
/// workspace.
FailureOr<PlanInfo> readPlan(tile::PlanOp plan);

/// Adds one per-worker slice, as large as the largest `moec.scratch_bytes`
/// of the launched functions of `module`, and passes it as last argument to
/// those that have this attribute.
LogicalResult addScratch(ModuleOp module, PlanInfo &plan);

} // namespace mlir::moe

#endif // MOEC_COMPILER_PLANREADER_H
