//===- DenseForm.h - Every token through every expert -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_TRANSFORMS_DENSEFORM_H
#define MOEC_DIALECT_MOE_TRANSFORMS_DENSEFORM_H

#include "mlir/IR/PatternMatch.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe {

/// Variants of the dense formulation, which are equal but for rounding.
struct DenseForm {
  /// The router weights alpha[t, e] stand on the rows between the two products
  /// instead of behind the second one.
  bool weighFirst = false;
  /// The second product sums over the experts itself (`out = token`): its
  /// reduction runs over (expert, column). Needs `weighFirst`.
  bool sumInProduct = false;
};

/// Why the ops that read the routing of `align` cannot be made dense in this
/// form; empty if they can.
std::string whyNotDense(AlignOp align, const DenseForm &form = {});

/// Replaces the routing of `align` by one of all experts, its router weights by
/// moe.dense_weights, and rebuilds the ops that read it. whyNotDense must give
/// nothing. Returns the new routing.
Value makeDense(AlignOp align, const DenseForm &form, RewriterBase &rewriter);

/// Whether the rows of a routing of all experts can stand without a table, row
/// t of expert e at e T + t: a moe.route_all whose ops read rows by token or
/// sorted by expert and write them sorted or for sums alone, in a function
/// whose number of tokens is an extent.
bool hasStaticRows(Value routing);

/// Whether a product over such rows can be the sum over experts as well: its
/// result has a row per token, and nothing that stands on the sum differs
/// between experts.
bool canSumExperts(GroupedGemmOp gemm);

} // namespace mlir::moe

#endif // MOEC_DIALECT_MOE_TRANSFORMS_DENSEFORM_H
