//===- CheckpointMatrix.h - One matrix of a checkpoint ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_FRONTEND_CHECKPOINTMATRIX_H
#define MOEC_LIB_FRONTEND_CHECKPOINTMATRIX_H

#include "moec/Frontend/Checkpoint.h"
#include "moec/Support/Packing.h"

namespace mlir::moe {

/// How a dtype stores a matrix; what a checkpoint is brought into.
struct MatrixFormat {
  enum Kind { Plain, Fp8, Int4, Fp4 } kind = Plain;
  Dtype dtype = Dtype::BF16;
  /// Of the stored values.
  ElementType type = ElementType::BF16;
  ElementType scaleType = ElementType::F32;
  /// Values per stored element.
  int64_t perStored = 1;
  /// Rows and columns that share a scale; 0: all.
  int64_t granuleRows = 0, granuleCols = 0;
  NibblePacking packing = NibblePacking::LowEven;
  /// Int4: zero points are an operand; otherwise the constant.
  bool zeroOperand = false;
  int64_t zero = 8;

  int64_t scaleRows(int64_t rows) const {
    return granuleRows ? (rows + granuleRows - 1) / granuleRows : 1;
  }
  int64_t scaleCols(int64_t cols) const {
    return granuleCols ? (cols + granuleCols - 1) / granuleCols : 1;
  }
};

/// The format of a dtype's experts, or of its shared expert; an error for one
/// that no checkpoint layout is known for.
llvm::Expected<MatrixFormat> getMatrixFormat(Dtype dtype, bool shared);

/// Where one matrix [rows, cols] of an argument is to stand.
struct MatrixTarget {
  int64_t rows = 0, cols = 0;
  uint8_t *values = nullptr, *scale = nullptr, *zero = nullptr;
};

/// "... is F16[3, 4], BF16[3, 8] is needed" unless type and shape are so.
llvm::Error expectTensor(const CheckpointTensor &tensor, StringRef dtype,
                         ArrayRef<int64_t> shape);

/// Reads the matrix whose tensors' names begin with `base` ("....gate_proj"):
/// `base`.weight and, by the format, `base`.weight_scale_inv, .weight_scale, or
/// .qweight, .qzeros, .scales and .g_idx of GPTQ or AWQ.
llvm::Error readMatrix(Checkpoint &checkpoint, const std::string &base,
                       const MatrixFormat &format, const MatrixTarget &target,
                       int64_t gptqOffset);

/// Refuses scales that are zero, infinite or NaN, naming the first with its
/// index; negative ones if `positive`.
llvm::Error checkScales(const CheckpointTensor &tensor, bool positive);

} // namespace mlir::moe

#endif // MOEC_LIB_FRONTEND_CHECKPOINTMATRIX_H
