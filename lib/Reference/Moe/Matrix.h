//===- Matrix.h - Plain and quantised matrices ------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Reading rows of possibly quantised matrices, quantising fresh rows, and the
// product of gathered rows with per-expert weights.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_REFERENCE_MOE_MATRIX_H
#define MOEC_LIB_REFERENCE_MOE_MATRIX_H

#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Reference/Moe/Routing.h"
#include "moec/Support/HostTensor.h"
#include <cmath>
#include <functional>

namespace mlir::moe {

/// Element types of a tensor and rounding of computed values to them.
template <typename T>
void loadRow(ElementType type, const void *source, T *target, uint64_t count) {
  if constexpr (std::is_same_v<T, double>)
    convertToDouble(type, source, target, count);
  else
    convertToFloat(type, source, target, count);
}
template <typename T>
void storeRow(ElementType type, const T *source, void *target, uint64_t count) {
  if constexpr (std::is_same_v<T, double>)
    convertFromDouble(type, source, target, count);
  else
    convertFromFloat(type, source, target, count);
}

/// Byte at which element `index` starts; `index` must be even for packed types.
inline uint64_t byteOffset(const HostTensor &tensor, int64_t index) {
  return static_cast<uint64_t>(index) * getBitWidth(tensor.getType()) / 8;
}

/// A tensor `[batch..., rows, stored columns]` with its scale and zero point,
/// read row by row as values.
class MatrixView {
public:
  /// `scale`, `zero` and `quant` may be null; a missing scale is 1. Fails when
  /// extents disagree with `quant` (they are dynamic in the IR).
  static llvm::Expected<MatrixView> create(const HostTensor &values,
                                           const HostTensor *scale,
                                           const HostTensor *zero,
                                           QuantAttr quant);

  int64_t getBatch() const { return batch; }
  int64_t getRows() const { return rows; }
  int64_t getCols() const { return cols; }

  /// scale * (stored - zero) of one row into getCols() elements. In f64 the
  /// values are exact; in f32 they are rounded once.
  template <typename T>
  void loadValues(int64_t batchIndex, int64_t row, T *target) const;

  /// Scale times zero point of column group `group` of one row; 0 without zero
  /// points.
  double getZeroTerm(int64_t batchIndex, int64_t row, int64_t group) const;

  /// Number of column groups, each with one scale; 0 for a plain matrix.
  int64_t getNumGroups() const { return quant ? scaleCols : 0; }

  /// From now on values are scale * stored; the zero points are left to
  /// sumZeros, as a plan with `zero = row_sum` wants it.
  void setZeroAside() { zeroAside = true; }
  int64_t getScaleCols() const { return scaleCols; }
  /// Sum over the groups of a row of scale * zero * sums[group * stride].
  template <typename T>
  T sumZeros(int64_t batchIndex, int64_t row, const T *sums,
             int64_t stride) const;

private:
  int64_t getScaleIndex(int64_t batchIndex, int64_t row, int64_t group) const {
    return batchIndex * scaleRows * scaleCols + row / granuleRows * rowStride +
           group * colStride;
  }

  const HostTensor *values = nullptr;
  QuantAttr quant;
  ElementType codeType = ElementType::F32;
  int64_t batch = 1, rows = 0, cols = 0, storedCols = 0;
  int64_t granuleRows = 1, granuleCols = 1, scaleRows = 1, scaleCols = 1;
  int64_t rowStride = 0, colStride = 0;
  /// All scales and zero points as f32; empty if there are none.
  std::vector<float> scales, zeros;
  bool zeroAside = false;
};

/// Splits stored columns into codes, one per byte, and back (4-bit packings).
void unpackCodes(Packing packing, const uint8_t *bytes, uint8_t *codes,
                 int64_t count);
void packCodes(Packing packing, const uint8_t *codes, uint8_t *bytes,
               int64_t count);

/// The meaning of `moe.quantize` for `count` values that become row `row` of
/// `values` and `scales` (shapes as `quant` says for `rows` rows).
void quantizeRow(const float *source, int64_t count, QuantAttr quant,
                 int64_t row, int64_t rows, HostTensor &values,
                 HostTensor &scales);

/// Tensors that `quantizeRow` fills: values and scales for `[rows, cols]`,
/// poisoned.
llvm::Expected<std::pair<HostTensor, HostTensor>>
createQuantized(QuantAttr quant, int64_t rows, int64_t cols);

/// A tensor whose elements are NaN, or 0xA5 bytes for integers.
llvm::Expected<HostTensor> createPoisoned(ElementType type,
                                          llvm::ArrayRef<int64_t> shape);

/// All values of a matrix view of batch 1 as T: [rows, cols].
template <typename T>
std::vector<T> loadMatrix(const MatrixView &view, unsigned threads);

/// One grouped product. `finish(expert, slot, first column, columns, gate, up,
/// out)` maps the accumulators of one slot to results, for at most 64 columns
/// at a time; `up` is null without gate_up. It is called from several threads.
template <typename T> struct Projection {
  using Finish =
      std::function<void(int64_t expert, int64_t slot, int64_t col,
                         int64_t cols, const T *gate, const T *up, T *out)>;
  /// Values of A, `reduction` per row, and the row that a slot reads.
  const T *a = nullptr;
  int64_t reduction = 0;
  std::function<int64_t(int64_t slot)> rowOfSlot;
  const MatrixView *b = nullptr;
  const RoutingTable *routing = nullptr;
  /// Sums of the rows of A per K granule of B, [groups, sumRows], by which the
  /// zero points of B are corrected; null: B subtracts them itself.
  const T *sums = nullptr;
  int64_t sumRows = 0;
  GateUpAttr gateUp;
  Finish finish;
};

/// Results of all valid slots in flat order, [T * k, N]; rows of dropped slots
/// are NaN. N is the number of rows of B, halved with gate_up.
template <typename T>
std::vector<T> runProjection(const Projection<T> &projection, unsigned threads);

} // namespace mlir::moe

#endif // MOEC_LIB_REFERENCE_MOE_MATRIX_H
