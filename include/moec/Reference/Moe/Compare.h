//===- Compare.h - How far two tensors differ -------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_REFERENCE_MOE_COMPARE_H
#define MOEC_REFERENCE_MOE_COMPARE_H

#include "moec/Support/HostTensor.h"
#include <optional>
#include <string>

namespace mlir::moe {

/// Difference of a tensor from the expected one.
struct Difference {
  /// ||actual - expected|| / ||expected|| (Frobenius, over the elements that
  /// are finite on both sides); 0 for two zero tensors, infinite if only the
  /// expected one is zero or if `special` is not 0.
  double relErr = 0;
  /// Largest absolute difference over the same elements.
  double maxAbs = 0;
  /// Elements that are NaN or infinite on one side only, or infinite with
  /// different signs. NaN on both sides is no difference.
  int64_t special = 0;
  /// Flat index of the first special element, else of the largest difference.
  int64_t worst = 0;

  /// "rel_err=1.2e-07 max_abs=3e-06 at [2, 5]", and the special count if any.
  std::string describe(llvm::ArrayRef<int64_t> shape) const;
};

/// Compares element by element in f64; the element types may differ, the shapes
/// may not (error).
llvm::Expected<Difference> compareTensors(const HostTensor &actual,
                                          const HostTensor &expected);

/// The tolerance on rel_err for a layer of `dtype`: a name of the `--dtype`
/// list or an element type, matched by its longest known prefix ("fp8-block"
/// by "fp8"). Nothing for an unknown name.
std::optional<double> getTolerance(llvm::StringRef dtype);

} // namespace mlir::moe

#endif // MOEC_REFERENCE_MOE_COMPARE_H
