//===- Quantize.h - Quantising matrices on the host -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Quantisers that make weights and activations for tests and benchmarks, and
// their inverse. A matrix is row-major [rows, cols]; K runs along the columns.
// All refuse NaN and infinity by position: a scale made of them would poison a
// whole group silently. Rows are spread over `threads` threads (0: default).
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_QUANTIZE_H
#define MOEC_SUPPORT_QUANTIZE_H

#include "moec/Support/HostTensor.h"
#include "moec/Support/Packing.h"
#include <optional>

namespace mlir::moe {

/// A quantised matrix. value[r, c] = code[r, c] x scale[r / blockRows,
/// c / blockCols] x globalScale, with (code - zero) for 4-bit integers.
struct QuantizedMatrix {
  int64_t rows = 0, cols = 0;
  /// The meaning of a code: a float8, f4E2M1FN, i8, or u4 with a zero point.
  ElementType codeType = ElementType::F8E4M3FN;
  /// How two codes share a byte; set for 4-bit codes only.
  std::optional<NibblePacking> packing;
  /// Codes. 8-bit: codeType [rows, cols]. low_even and mx: u8 [rows, cols/2].
  /// exllama: i32 [rows, cols/8].
  HostTensor codes;
  int64_t blockRows = 1, blockCols = 1;
  /// [ceil(rows / blockRows), ceil(cols / blockCols)]; f32, bf16, f16,
  /// f8E8M0FNU or f8E4M3FN.
  HostTensor scales;
  /// u8, the shape of `scales`, one zero point per byte; absent: zero = 8.
  std::optional<HostTensor> zeros;
  /// The second-level scale of nvfp4; 1 elsewhere.
  float globalScale = 1.0f;
};

/// Dynamic quantisation to an 8-bit float or i8 with one f32 scale per block:
/// [1, 128] for activations, [128, 128] for weights, [1, cols] per row (token,
/// channel), [rows, cols] per tensor. Edge blocks may be partial.
/// scale = max|x| / largest value of `type` (448 for f8E4M3FN, 127 for i8);
/// code = round to nearest even of x / scale in f32, saturating. A block whose
/// quotient is no normal f32 (all zero, or max|x| < 5.3e-36) gets scale 1 and
/// codes of zero.
llvm::Expected<QuantizedMatrix>
quantizeBlocks(llvm::ArrayRef<float> source, int64_t rows, int64_t cols,
               int64_t blockRows, int64_t blockCols, ElementType type,
               unsigned threads = 0);

/// 4-bit integers with groups of `group` along K, which must divide cols.
/// Symmetric (zero = 8): scale = max|x| / 7. With zero points: the range is
/// widened to hold 0, scale = (max - min) / 15, zero = round(-min / scale).
/// The scale is rounded to `scaleType` (f32, bf16, f16) first, then
/// code = clamp(round(x / scale) + zero, 0, 15). A scale that is zero or
/// subnormal after rounding becomes 1.
llvm::Expected<QuantizedMatrix>
quantizeInt4(llvm::ArrayRef<float> source, int64_t rows, int64_t cols,
             int64_t group, bool withZeros, NibblePacking packing,
             ElementType scaleType, unsigned threads = 0);

/// OCP microscaling: blocks of 32 along K, f8E8M0FNU scale
/// 2^(floor(log2(max|x|)) - emax) with emax 2, 8, 15 for `type` f4E2M1FN,
/// f8E4M3FN, f8E5M2; codes saturate. An all-zero block has scale 1; exponents
/// below -127 become -127. cols must be a multiple of 32.
llvm::Expected<QuantizedMatrix> quantizeMx(llvm::ArrayRef<float> source,
                                           int64_t rows, int64_t cols,
                                           ElementType type,
                                           unsigned threads = 0);

/// nvfp4: f4E2M1FN codes, blocks of 16 along K with an f8E4M3FN scale, and one
/// f32 scale g = max|tensor| / (6 x 448), 1 if that is no normal f32.
/// block scale = round(max|x| / 6 / g), at least the least f8E4M3FN; 1 for an
/// all-zero block. cols must be a multiple of 16.
llvm::Expected<QuantizedMatrix> quantizeNvfp4(llvm::ArrayRef<float> source,
                                              int64_t rows, int64_t cols,
                                              unsigned threads = 0);

/// The values of a quantised matrix, each product rounded to f32 once from
/// f64.
std::vector<float> dequantize(const QuantizedMatrix &matrix);

} // namespace mlir::moe

#endif // MOEC_SUPPORT_QUANTIZE_H
