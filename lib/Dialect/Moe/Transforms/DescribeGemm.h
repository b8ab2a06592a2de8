//===- DescribeGemm.h - Products as the cost model sees them -- -*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_DIALECT_MOE_TRANSFORMS_DESCRIBEGEMM_H
#define MOEC_LIB_DIALECT_MOE_TRANSFORMS_DESCRIBEGEMM_H

#include "moec/CostModel/Choose.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe {

/// A product for the rules and predictions on `machine`.
GemmProblem describeGemm(GroupedGemmOp gemm, const Workload &workload,
                         const Device &machine);

/// What stands around the products that `problems` describe.
LayerFrame describeFrame(ArrayRef<GroupedGemmOp> gemms,
                         ArrayRef<GemmProblem> problems);

/// Whether tile lists of all rows for every expert have code for a device.
bool placesAllRows(const Device &machine);

/// Turns a routed product into one of all tokens by all experts: the rows of a
/// tile lie side by side, and those of the first product are the same for every
/// expert. `sums`: the product is the sum over experts as well.
void describeDense(GemmProblem &problem, bool first, bool sums, int64_t experts,
                   const Workload &workload);

/// What changes in a problem whose product shares its kernel with the others.
void describeOneLaunch(GemmProblem &problem);

/// Every expert gets every token.
Workload workloadOfAll(int64_t tokens, int64_t experts);

} // namespace mlir::moe

#endif // MOEC_LIB_DIALECT_MOE_TRANSFORMS_DESCRIBEGEMM_H
