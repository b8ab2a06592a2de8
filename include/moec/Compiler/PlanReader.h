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
#include "moec/Compiler/GpuChip.h"
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
/// pointer, then one number per dynamic dimension; an index as one number. The
/// argument with `moe.role = "device_tokens"`, memref<1xi32>, is none of the
/// layer's: launches on GPUs get what the caller gives as real token count.
/// Slice sizes may be rounded up; numbers are exact.
///
/// Errors are diagnostics on the op that breaks the rule: an argument that is
/// no memref of a type known to the run time, a dynamic dimension other than
/// the first, an unknown or missing `moe.role`, a size that is not
/// ceil((a*T + b) / d) with a, b >= 0, memory that is neither an argument nor a
/// workspace.
FailureOr<PlanInfo> readPlan(tile::PlanOp plan);

/// Reads a plan whose launches are of GPU kernels: each callee is an
/// `llvm.func` of the plan's module with the dictionary `moe.launch`,
///  * `block`, `cluster` (one block without it): array<i64: x, y, z>;
///  * `smem`: i64, bytes of dynamic shared memory;
///  * `grid`: three of: an i64; {operand = i, dim = d, mul = a, add = b,
///    div = c}, which is ceil((extent d of the launch's operand i * a + b) / c)
///    with defaults 1, 0 and 1; {persistent = n}, n blocks per SM;
///  * `resident`, `early_start`: unit;
///  * `params`: one dictionary per argument of the function: {operand = i}, the
///    pointer of a memref or, with a `type`, the value of an index;
///    {operand = i, dim = d, type = i32}, an extent; {map = i, box =
///    array<i64>, swizzle = 128, l2 = 256, dtype = "u8"}, a tensor map of a
///    memref, box innermost first, only the box is needed; {const = n, type =
///    i32}; {device_tokens = i32}; {zeroed = n}, a slice of n bytes for this
///    launch, zeroed before each run.
///
/// Errors beside those of readPlan are diagnostics on the function or launch: a
/// dictionary of another form, a function whose arguments have other types, and
/// what no GPU of the kind or its copy engine can do.
FailureOr<PlanInfo> readGpuPlan(tile::PlanOp plan, const GpuChip &chip);

/// Adds one per-worker slice, as large as the largest `moec.scratch_bytes`
/// of the launched functions of `module`, and passes it as last argument to
/// those that have this attribute.
LogicalResult addScratch(ModuleOp module, PlanInfo &plan);

} // namespace mlir::moe

#endif // MOEC_COMPILER_PLANREADER_H
