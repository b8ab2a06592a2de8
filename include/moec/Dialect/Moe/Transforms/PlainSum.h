//===- PlainSum.h - The sum over top-k behind a product ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOE_TRANSFORMS_PLAINSUM_H
#define MOEC_DIALECT_MOE_TRANSFORMS_PLAINSUM_H

#include "moec/Dialect/Moe/IR/MoeDialect.h"

namespace mlir::moe {

/// Where the tokens' sums over the rows of `gemm` can be written by its own
/// tiles (`reduce_by = "last"`): its result if it is by token; else that of the
/// one `moe.combine` that alone reads its rows, of f32, and does nothing but
/// sum them into an argument of the function. Null if there is no such value.
Value findPlainSum(GroupedGemmOp gemm);

} // namespace mlir::moe

#endif // MOEC_DIALECT_MOE_TRANSFORMS_PLAINSUM_H
