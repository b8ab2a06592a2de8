//===- Matrix.cpp - Plain and quantised matrices --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Matrix.h"

#include "moec/Reference/Moe/Interpreter.h"
#include "moec/Support/Packing.h"
#include "moec/Support/Parallel.h"
#include <atomic>
#include <limits>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Packings
//===----------------------------------------------------------------------===//

static NibblePacking getNibblePacking(Packing packing) {
  return packing == Packing::Exllama ? NibblePacking::ExLlama
                                     : NibblePacking::LowEven;
}

// Counts are whole stored elements by the verifiers, so packing cannot fail.
void moe::unpackCodes(Packing packing, const uint8_t *bytes, uint8_t *codes,
                      int64_t count) {
  llvm::cantFail(
      unpackNibbles(getNibblePacking(packing),
                    llvm::ArrayRef(bytes, static_cast<size_t>(count / 2)),
                    llvm::MutableArrayRef(codes, static_cast<size_t>(count))));
}

void moe::packCodes(Packing packing, const uint8_t *codes, uint8_t *bytes,
                    int64_t count) {
  llvm::cantFail(packNibbles(
      getNibblePacking(packing),
      llvm::ArrayRef(codes, static_cast<size_t>(count)),
      llvm::MutableArrayRef(bytes, static_cast<size_t>(count / 2))));
}

//===----------------------------------------------------------------------===//
// MatrixView
//===----------------------------------------------------------------------===//

/// Integer codes with a zero point are unsigned, without one two's complement.
static ElementType getCodeType(QuantAttr quant) {
  ElementType type = *getStorageType(quant.getElem());
  if (quant.getZero() == ZeroPoint::None)
    return type;
  return type == ElementType::I4 ? ElementType::U4 : ElementType::U8;
}

llvm::Expected<MatrixView> MatrixView::create(const HostTensor &values,
                                              const HostTensor *scale,
                                              const HostTensor *zero,
                                              QuantAttr quant) {
  MatrixView view;
  view.values = &values;
  view.quant = quant;
  view.rows = values.getShape().end()[-2];
  view.storedCols = view.cols = values.getShape().back();
  for (int64_t extent : values.getShape().drop_back(2))
    view.batch *= extent;
  view.codeType = values.getType();
  if (!quant)
    return view;

  view.cols *= quant.getColsPerStored();
  view.codeType = getCodeType(quant);
  auto granule = [](int64_t size, int64_t extent) {
    return size == QuantAttr::kWhole ? std::max<int64_t>(extent, 1) : size;
  };
  view.granuleRows = granule(quant.getGranuleRows(), view.rows);
  view.granuleCols = granule(quant.getGranuleCols(), view.cols);
  view.scaleRows = quant.getScaleRows(view.rows);
  view.scaleCols = quant.getScaleCols(view.cols);
  bool rowMajor = quant.getLayout() == ScaleLayout::RowMajor;
  view.rowStride = rowMajor ? view.scaleCols : 1;
  view.colStride = rowMajor ? 1 : view.scaleRows;

  SmallVector<int64_t> shape(values.getShape().drop_back(2));
  shape.push_back(rowMajor ? view.scaleRows : view.scaleCols);
  shape.push_back(rowMajor ? view.scaleCols : view.scaleRows);
  for (const HostTensor *extra : {scale, zero})
    if (extra && extra->getShape() != llvm::ArrayRef<int64_t>(shape))
      return llvm::createStringError(
          Twine(extra == scale ? "scale" : "zero point") + " must be " +
          formatShape(shape) + " for values " + formatShape(values.getShape()) +
          ", got " + formatShape(extra->getShape()));
  if (scale)
    view.scales = scale->toFloats();
  if (quant.getZero() == ZeroPoint::Constant) {
    view.zeros.assign(view.batch * view.scaleRows * view.scaleCols,
                      quant.getZeroValue());
  } else if (zero) {
    view.zeros = zero->toFloats();
    // A byte of zero points is unsigned as the codes are.
    if (zero->getType() == ElementType::I8)
      for (float &value : view.zeros)
        value = static_cast<uint8_t>(static_cast<int8_t>(value));
  }
  return view;
}

template <typename T>
void MatrixView::loadValues(int64_t batchIndex, int64_t row, T *target) const {
  int64_t first = (batchIndex * rows + row) * storedCols;
  const uint8_t *source = values->getData() + byteOffset(*values, first);
  if (!quant) {
    loadRow<T>(codeType, source, target, cols);
    return;
  }
  if (quant.getPacking() == Packing::Plain) {
    loadRow<T>(codeType, source, target, cols);
  } else {
    T table[16];
    for (unsigned code = 0; code < 16; ++code)
      table[code] = static_cast<T>(decode(codeType, code));
    constexpr int64_t chunk = 512;
    uint8_t codes[chunk];
    for (int64_t begin = 0; begin < cols; begin += chunk) {
      int64_t n = std::min(chunk, cols - begin);
      unpackCodes(quant.getPacking(), source + begin / 2, codes, n);
      for (int64_t i = 0; i < n; ++i)
        target[begin + i] = table[codes[i]];
    }
  }
  bool subtract = !zeros.empty() && !zeroAside;
  if (scales.empty() && !subtract)
    return;
  for (int64_t group = 0; group < scaleCols; ++group) {
    int64_t at = getScaleIndex(batchIndex, row, group);
    T scale = scales.empty() ? T(1) : T(scales[at]);
    T zero = subtract ? T(zeros[at]) : T(0);
    int64_t end = std::min(cols, (group + 1) * granuleCols);
    for (int64_t c = group * granuleCols; c < end; ++c)
      target[c] = scale * (target[c] - zero);
  }
}

template <typename T>
T MatrixView::sumZeros(int64_t batchIndex, int64_t row, const T *sums,
                       int64_t stride) const {
  T total = 0;
  for (int64_t group = 0; group < scaleCols; ++group) {
    int64_t at = getScaleIndex(batchIndex, row, group);
    T scale = scales.empty() ? T(1) : T(scales[at]);
    total += scale * T(zeros[at]) * sums[group * stride];
  }
  return total;
}

template <typename T>
std::vector<T> moe::loadMatrix(const MatrixView &view, unsigned threads) {
  std::vector<T> all(view.getRows() * view.getCols());
  parallelFor(view.getRows(), 8, threads, [&](uint64_t begin, uint64_t end) {
    for (uint64_t row = begin; row < end; ++row)
      view.loadValues<T>(0, row, &all[row * view.getCols()]);
  });
  return all;
}

//===----------------------------------------------------------------------===//
// Fresh tensors
//===----------------------------------------------------------------------===//

llvm::Expected<HostTensor> moe::createPoisoned(ElementType type,
                                               llvm::ArrayRef<int64_t> shape) {
  llvm::Expected<HostTensor> tensor =
      HostTensor::createUninitialized(type, shape);
  if (!tensor)
    return tensor;
  uint8_t *data = tensor->getData();
  uint64_t bytes = tensor->getByteSize();
  if (!isFloatType(type) || isPackedType(type)) {
    std::fill_n(data, bytes, 0xa5);
    return tensor;
  }
  unsigned size = getBitWidth(type) / 8;
  uint64_t code = encode(type, std::numeric_limits<double>::quiet_NaN());
  for (uint64_t i = 0; i < bytes; ++i)
    data[i] = static_cast<uint8_t>(code >> (8 * (i % size)));
  return tensor;
}

llvm::Expected<std::pair<HostTensor, HostTensor>>
moe::createQuantized(QuantAttr quant, int64_t rows, int64_t cols) {
  llvm::Expected<HostTensor> values =
      createPoisoned(*getStorageType(quant.getStorageType()),
                     {rows, cols / quant.getColsPerStored()});
  if (!values)
    return values.takeError();
  int64_t first = quant.getScaleRows(rows), second = quant.getScaleCols(cols);
  if (quant.getLayout() == ScaleLayout::GroupMajor)
    std::swap(first, second);
  llvm::Expected<HostTensor> scales =
      createPoisoned(*getStorageType(quant.getScale()), {first, second});
  if (!scales)
    return scales.takeError();
  return std::make_pair(std::move(*values), std::move(*scales));
}

/// The scale as it is stored: rounded up to a power of two for f8E8M0FNU, else
/// to nearest even; finite stays finite.
static uint64_t encodeScale(ElementType type, float scale) {
  if (type == ElementType::F8E8M0FNU && std::isfinite(scale)) {
    int exponent;
    // frexp gives [0.5, 1), so 0.5 alone is a power of two already.
    float fraction = std::frexp(scale, &exponent);
    exponent -= fraction == 0.5f;
    return std::clamp(exponent, -127, 127) + 127;
  }
  return encode(type, scale,
                std::isfinite(scale) ? Overflow::Saturate : Overflow::Native);
}

void moe::quantizeRow(const float *source, int64_t count, QuantAttr quant,
                      int64_t row, int64_t rows, HostTensor &values,
                      HostTensor &scales) {
  ElementType elem = *getStorageType(quant.getElem());
  ElementType scaleType = scales.getType();
  const float largest = static_cast<float>(getMaxFinite(quant.getElem()));
  int64_t granule = quant.getGranuleCols() == QuantAttr::kWhole
                        ? std::max<int64_t>(count, 1)
                        : quant.getGranuleCols();
  int64_t groups = quant.getScaleCols(count);
  bool rowMajor = quant.getLayout() == ScaleLayout::RowMajor;
  bool packed = quant.getColsPerStored() > 1;
  int64_t first = row * (count / quant.getColsPerStored());
  uint8_t *target = values.getData() + byteOffset(values, first);
  std::vector<float> quotients(count);
  for (int64_t group = 0; group < groups; ++group) {
    int64_t begin = group * granule, end = std::min(count, begin + granule);
    float amax = 0;
    bool hasNan = false;
    for (int64_t c = begin; c < end; ++c) {
      amax = std::max(amax, std::fabs(source[c]));
      hasNan |= std::isnan(source[c]);
    }
    float scale = hasNan ? std::numeric_limits<float>::quiet_NaN()
                         : std::max(amax, 0x1p-100f) / largest;
    uint64_t code = encodeScale(scaleType, scale);
    int64_t at = rowMajor ? row * groups + group : group * rows + row;
    unsigned size = getBitWidth(scaleType) / 8;
    std::memcpy(scales.getData() + at * size, &code, size);
    scale = static_cast<float>(decode(scaleType, code));
    for (int64_t c = begin; c < end; ++c)
      quotients[c] = scale == 0 ? 0.0f : source[c] / scale;
  }
  if (elem == ElementType::I8)
    for (float &q : quotients)
      q = std::isnan(q) ? q : std::clamp(q, -127.0f, 127.0f);
  if (!packed) {
    convertFromFloat(elem, quotients.data(), target, count, Overflow::Saturate);
    return;
  }
  std::vector<uint8_t> codes(count);
  for (int64_t c = 0; c < count; ++c)
    codes[c] = encode(elem, quotients[c], Overflow::Saturate);
  packCodes(quant.getPacking(), codes.data(), target, count);
}

//===----------------------------------------------------------------------===//
// Grouped product
//===----------------------------------------------------------------------===//

/// Eight partial sums in a fixed order: the compiler vectorises the lanes, and
/// the result does not depend on the machine.
template <typename T> static T dot(const T *a, const T *b, int64_t count) {
  constexpr int lanes = 8;
  T sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (int lane = 0; lane < lanes; ++lane)
      sums[lane] += a[i + lane] * b[i + lane];
  T total = 0;
  for (; i < count; ++i)
    total += a[i] * b[i];
  for (int lane = 0; lane < lanes; ++lane)
    total += sums[lane];
  return total;
}

template <typename T>
std::vector<T> moe::runProjection(const Projection<T> &p, unsigned threads) {
  constexpr int64_t blockCols = 64;
  const RoutingTable &routing = *p.routing;
  int64_t outCols = p.b->getRows() / (p.gateUp ? 2 : 1);
  std::vector<T> result(routing.getNumSlots() * outCols,
                        std::numeric_limits<T>::quiet_NaN());
  struct Item {
    int64_t expert, col;
  };
  std::vector<Item> items;
  for (int64_t e = 0; e < routing.experts; ++e)
    if (!routing.getSlots(e).empty())
      for (int64_t col = 0; col < outCols; col += blockCols)
        items.push_back({e, col});
  if (items.empty())
    return result;

  // Before the threads start: GateUpAttr creates attributes.
  std::vector<int64_t> gateRows(outCols), upRows(p.gateUp ? outCols : 0);
  for (int64_t c = 0; c < outCols; ++c) {
    gateRows[c] = p.gateUp ? p.gateUp.getGateRow(c, outCols) : c;
    if (p.gateUp)
      upRows[c] = p.gateUp.getUpRow(c, outCols);
  }

  std::atomic<size_t> nextItem = 0;
  unsigned workers = threads ? threads : getDefaultThreadCount();
  parallelFor(workers, 1, workers, [&](uint64_t, uint64_t) {
    std::vector<T> weight(p.reduction), gate, up;
    for (size_t index; (index = nextItem++) < items.size();) {
      const int64_t expert = items[index].expert, col = items[index].col;
      int64_t cols = std::min(blockCols, outCols - col);
      llvm::ArrayRef<int32_t> slots = routing.getSlots(expert);
      gate.resize(slots.size() * blockCols);
      up.resize(p.gateUp ? gate.size() : 0);
      // A weight row is decoded once and used for all slots of its expert.
      auto multiply = [&](int64_t weightRow, int64_t c, std::vector<T> &out) {
        p.b->template loadValues<T>(expert, weightRow, weight.data());
        for (auto [i, slot] : llvm::enumerate(slots)) {
          int64_t row = p.rowOfSlot(slot);
          T acc = dot(p.a + row * p.reduction, weight.data(), p.reduction);
          if (p.sums)
            acc -= p.b->template sumZeros<T>(expert, weightRow, p.sums + row,
                                             p.sumRows);
          out[i * blockCols + c] = acc;
        }
      };
      for (int64_t c = 0; c < cols; ++c) {
        multiply(gateRows[col + c], c, gate);
        if (p.gateUp)
          multiply(upRows[col + c], c, up);
      }
      for (auto [i, slot] : llvm::enumerate(slots))
        p.finish(expert, slot, col, cols, &gate[i * blockCols],
                 p.gateUp ? &up[i * blockCols] : nullptr,
                 &result[slot * outCols + col]);
    }
  });
  return result;
}

#define INSTANTIATE(T)                                                         \
  template void MatrixView::loadValues<T>(int64_t, int64_t, T *) const;        \
  template T MatrixView::sumZeros<T>(int64_t, int64_t, const T *, int64_t)     \
      const;                                                                   \
  template std::vector<T> moe::loadMatrix<T>(const MatrixView &, unsigned);    \
  template std::vector<T> moe::runProjection<T>(const Projection<T> &,         \
                                                unsigned);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE
