//===- SelectFormulation.h - Which way to compute a layer -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_DIALECT_MOE_TRANSFORMS_SELECTFORMULATION_H
#define MOEC_LIB_DIALECT_MOE_TRANSFORMS_SELECTFORMULATION_H

#include "DescribeGemm.h"
#include "moec/Dialect/Moe/Transforms/DenseForm.h"

namespace mlir::moe {

/// Compares the formulations of the layer of `align`, whose products are
/// `gemms`, by predicted time. A formulation that is given, in the IR or as a
/// fixed field, decides; without one they compete on targets with predictions
/// for all of them. Products that stay on their routing are given the
/// `formulation`; a dense layer is rebuilt, and the routing of all experts that
/// its products stand on then is returned, else null. Fails with a diagnostic
/// where what is given cannot be built. `category` is that of the remark.
FailureOr<Value> selectFormulation(AlignOp align, ArrayRef<GroupedGemmOp> gemms,
                                   const Workload &workload,
                                   const Device &machine,
                                   const RuleTarget &rules,
                                   const FixedFields &fixed,
                                   StringRef category);

} // namespace mlir::moe

#endif // MOEC_LIB_DIALECT_MOE_TRANSFORMS_SELECTFORMULATION_H
