//===- Formulations.h - Other ways to compute a layer -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Predictions for formulations beside grouped products, whether or not a target
// has code for them: the selector asks isFormulationBuilt. Formulas:
// docs/cost-model.md. Times in seconds.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COSTMODEL_FORMULATIONS_H
#define MOEC_COSTMODEL_FORMULATIONS_H

#include "moec/CostModel/Predict.h"

namespace mlir::moe {

enum class FormulationKind {
  /// One grouped product after the other.
  Grouped,
  /// A vector times a matrix for every pair of a token and an expert, without
  /// matrix instructions and without sorting.
  VectorMatrix,
  /// All experts for all tokens, weights of 0 for those not chosen.
  Dense,
};

/// Whether the compiler has code for it on a kind of target.
bool isFormulationBuilt(RuleTarget::Kind kind, FormulationKind formulation);

/// A program of a vector-matrix product: `blockN` rows of weights in steps of
/// `blockK` columns, `stages` steps in flight, `warps` warps.
struct VectorConfig {
  int64_t blockN = 0, blockK = 0, warps = 0, stages = 0;
};

/// Weights [n, k] of `bits` bits with scales of 16 bits per `granule` columns,
/// for `pairs` pairs that all hit different experts.
struct VectorProblem {
  int64_t n = 0, k = 0, bits = 16, granule = 0, pairs = 1;
};

/// Time of one launch.
double predictVector(const Device &device, const VectorProblem &problem,
                     const VectorConfig &config);

/// All configurations of a grid of sizes, fastest first; ties in the order of
/// bytes per step, then of fields. Blocks of 8 to 256 rows and columns.
std::vector<VectorConfig> rankVector(const Device &device,
                                     const VectorProblem &problem);

/// A SwiGLU layer for the comparison of grouped and dense.
struct DenseProblem {
  int64_t experts = 0, topk = 0, hidden = 0, intermediate = 0, bits = 16;
  /// Columns that share a scale of one byte; 0: none.
  int64_t granule = 0;
};

/// Two dense products over all experts, one along N, one along K, with
/// `tileM` x `tileN` results per unit.
double predictDense(const Device &device, const DenseProblem &problem,
                    int64_t tokens, int64_t tileM, int64_t tileN);

/// The grouped layer beside it, with tiles of the same width and the best of
/// 8 to 128 rows, for a workload.
double predictGrouped(const Device &device, const DenseProblem &problem,
                      const Workload &workload, int64_t tileN);

} // namespace mlir::moe

#endif // MOEC_COSTMODEL_FORMULATIONS_H
