//===- Sums.h - Sums over top-k by tiles, and parts of K --------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a configuration becomes whose tiles sum rows themselves or take a part
// of K each, and what that costs. Plain C++, no IR.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COSTMODEL_SUMS_H
#define MOEC_COSTMODEL_SUMS_H

#include "moec/CostModel/SimpleRule.h"
#include "moec/Target/Device.h"

namespace mlir::moe {

/// Lets `config` sum and divide K as the problem asks; call it when order,
/// store and partial are set, before shared memory is shared out.
void applySums(const GemmProblem &problem, RuleConfig &config);

/// Bytes of shared memory that the tiles of `config` need for sums.
int64_t sumBytes(const RuleConfig &config);

/// Whether the tiles can take the parts of K that are asked for.
RuleVerdict checkSplit(const GemmProblem &problem, const RuleConfig &config);

/// What tiles that sum take beside their products.
struct SumCost {
  double tileSeconds = 0; ///< of one tile, which nothing hides
  double cacheBytes = 0, memoryBytes = 0;
};

/// `rows` rows of results of `columns` columns and `resultBytes` each, of
/// `tokens` tokens; the tiles read `aBytes` of A in one pass over it, make
/// `columnTiles` of them, and have `tileRows` rows in the mean.
SumCost predictSums(const DeviceFigures &figures, const RuleConfig &config,
                    double rows, double columns, double resultBytes,
                    double tokens, double aBytes, double tileRows,
                    double columnTiles);

} // namespace mlir::moe

#endif // MOEC_COSTMODEL_SUMS_H
