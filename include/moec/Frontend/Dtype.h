//===- Dtype.h - The list of --dtype names ----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A dtype says how weights and activations of a layer are stored. The list is
// frozen: names are added, never changed, as artifacts and scripts carry them.
//
//  name                weights (quant of w1 and w2)          activations
//  f32 bf16 f16        plain                                 the same type
//  fp8-block           f8E4M3FN [128, 128], f32 scales       f8E4M3FN [1, 128]
//  fp8-token           f8E4M3FN [1, *], f32                  f8E4M3FN [1, *]
//  fp8-tensor          f8E4M3FN [*, *], f32                  f8E4M3FN [1, *]
//  w4a16-g128          i4 [1, 128], bf16, zero 8, low_even   bf16
//  w4a16-g64, -g32     i4 [1, 64], [1, 32], else the same    bf16
//  w4a16-g128-exllama  i4 [1, 128], bf16, zero 8, exllama    bf16
//  w4a16-g128-zp       i4 [1, 128], bf16, zero operand (i8)  bf16
//  mxfp4               f4E2M1FN [1, 32], f8E8M0FNU, mx       bf16
//  mxfp8               f8E4M3FN [1, 32], f8E8M0FNU           f8E4M3FN [1, 32]
//  nvfp4               f4E2M1FN [1, 16], f8E4M3FN, mx,       bf16
//                      and an f32 factor per expert
//  w8a8                i8 [1, *], f32                        i8 [1, *]
//  w8a16               i8 [1, *], bf16                       bf16
//
// Quantised activations have scales of the weights' scale type.
//
// x and the result are bf16 where the table does not say otherwise.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_FRONTEND_DTYPE_H
#define MOEC_FRONTEND_DTYPE_H

#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include <optional>

namespace mlir::moe {

enum class Dtype {
  F32,
  BF16,
  F16,
  Fp8Block,
  Fp8Token,
  Fp8Tensor,
  W4A16G128,
  W4A16G128Exllama,
  W4A16G64,
  W4A16G32,
  W4A16G128Zp,
  MxFp4,
  MxFp8,
  NvFp4,
  W8A8,
  W8A16,
};

/// What a dtype name stands for, without an MLIR context.
struct DtypeInfo {
  Dtype dtype;
  /// Name as the command line and the manifest spell it.
  llvm::StringLiteral name;
  /// Rows and columns of w1 and w2 that share a scale; 0 = all, and both 0 for
  /// weights that are not quantised.
  int64_t granuleRows, granuleCols;
  /// Columns of the activations that share a scale; 0 = a whole row or none.
  int64_t actGranule;
};

/// All dtypes in the order of the enumeration.
llvm::ArrayRef<DtypeInfo> allDtypes();

/// The description of `dtype`.
const DtypeInfo &getDtypeInfo(Dtype dtype);

/// The dtype called `name`; an error that lists all names if there is none.
llvm::Expected<Dtype> parseDtype(StringRef name);

/// The dtype of a layer with w1 quantised by `weight`, activations by
/// `activation` (both null for none), x of type `hidden` and, if `factors`, an
/// f32 factor per expert; none if the list has no such layer.
std::optional<Dtype> findDtype(QuantAttr weight, QuantAttr activation,
                               Type hidden, bool factors);

/// Element type of x and of the result.
FloatType getHiddenType(MLIRContext *context, Dtype dtype);

/// `#moe.quant` of w1 and w2, null where they are plain.
QuantAttr getWeightQuant(MLIRContext *context, Dtype dtype);

/// `#moe.quant` of the shared expert's weights, null where they are plain. The
/// op has no zero points and no factors per expert there: w4a16-g128-zp uses
/// the constant zero point, nvfp4 leaves the shared expert in bf16.
QuantAttr getSharedQuant(MLIRContext *context, Dtype dtype);

/// `#moe.quant` by which activations are quantised, null where they are not.
QuantAttr getActivationQuant(MLIRContext *context, Dtype dtype);

/// True if every expert has an f32 factor besides its scales.
bool hasGlobalScale(Dtype dtype);

} // namespace mlir::moe

#endif // MOEC_FRONTEND_DTYPE_H
