//===- Quantize.cpp - Quantising matrices on the host ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/Quantize.h"
#include "moec/Support/Parallel.h"
#include <atomic>
#include <cfloat>
#include <cmath>

using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Checks and rounding
//===----------------------------------------------------------------------===//

/// Refuses sizes that do not match and values that are not finite.
static llvm::Error checkSource(llvm::ArrayRef<float> source, int64_t rows,
                               int64_t cols, unsigned threads) {
  int64_t shape[] = {rows, cols};
  llvm::Expected<int64_t> count = checkedNumElements(shape, 32, "quantise");
  if (!count)
    return count.takeError();
  if (static_cast<uint64_t>(*count) != source.size())
    return llvm::createStringError("quantise: shape " + formatShape(shape) +
                                   " has " + llvm::Twine(*count) +
                                   " elements, but " +
                                   llvm::Twine(source.size()) + " are given");
  std::atomic<uint64_t> bad{UINT64_MAX};
  parallelFor(source.size(), 1 << 16, threads,
              [&](uint64_t begin, uint64_t end) {
                for (uint64_t i = begin; i < end; ++i) {
                  uint32_t bits;
                  std::memcpy(&bits, &source[i], 4);
                  if (LLVM_LIKELY((bits & 0x7f800000u) != 0x7f800000u))
                    continue;
                  // The first one in index order, whatever the schedule.
                  uint64_t known = bad.load();
                  while (i < known && !bad.compare_exchange_weak(known, i))
                    ;
                  return;
                }
              });
  if (bad.load() != UINT64_MAX) {
    uint64_t row = bad.load() / cols, col = bad.load() % cols;
    return llvm::createStringError(
        llvm::Twine("quantise: element [") + llvm::Twine(row) + ", " +
        llvm::Twine(col) + "] is " +
        (std::isnan(source[bad.load()]) ? "NaN" : "infinite") +
        "; only finite values have a scale");
  }
  return llvm::Error::success();
}

static llvm::Error checkGroup(int64_t cols, int64_t group) {
  if (group <= 0 || cols % group)
    return llvm::createStringError("quantise: K = " + llvm::Twine(cols) +
                                   " is no multiple of the group of " +
                                   llvm::Twine(group));
  return llvm::Error::success();
}

static float largestMagnitude(const float *values, int64_t count) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i)
    largest = std::max(largest, std::fabs(values[i]));
  return largest;
}

/// Rows per piece of parallel work: about 16 K elements.
static uint64_t rowGrain(int64_t cols) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(cols, 1));
}

static HostTensor take(llvm::Expected<HostTensor> tensor, llvm::Error &error) {
  if (tensor)
    return std::move(*tensor);
  error = llvm::joinErrors(std::move(error), tensor.takeError());
  return HostTensor();
}

/// A matrix with room for its codes and scales.
static llvm::Expected<QuantizedMatrix>
makeMatrix(int64_t rows, int64_t cols, int64_t blockRows, int64_t blockCols,
           ElementType codeType, std::optional<NibblePacking> packing,
           ElementType scaleType) {
  QuantizedMatrix matrix;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.blockRows = blockRows;
  matrix.blockCols = blockCols;
  matrix.codeType = codeType;
  matrix.packing = packing;
  llvm::Error error = llvm::Error::success();
  if (!packing)
    matrix.codes =
        take(HostTensor::createUninitialized(codeType, {rows, cols}), error);
  else if (*packing == NibblePacking::LowEven)
    matrix.codes =
        take(HostTensor::createUninitialized(ElementType::U8, {rows, cols / 2}),
             error);
  else
    matrix.codes = take(
        HostTensor::createUninitialized(ElementType::I32, {rows, cols / 8}),
        error);
  int64_t scaleRows = rows / blockRows + (rows % blockRows != 0);
  int64_t scaleCols = cols / blockCols + (cols % blockCols != 0);
  matrix.scales =
      take(HostTensor::createUninitialized(scaleType, {scaleRows, scaleCols}),
           error);
  if (error)
    return std::move(error);
  return matrix;
}

//===----------------------------------------------------------------------===//
// Quantisers
//===----------------------------------------------------------------------===//

llvm::Expected<QuantizedMatrix>
mlir::moe::quantizeBlocks(llvm::ArrayRef<float> source, int64_t rows,
                          int64_t cols, int64_t blockRows, int64_t blockCols,
                          ElementType type, unsigned threads) {
  if (getBitWidth(type) != 8 || type == ElementType::F8E8M0FNU ||
      type == ElementType::U8)
    return llvm::createStringError(
        "quantise: block scales go with an 8-bit float or i8, not " +
        getElementTypeName(type));
  if (blockRows <= 0 || blockCols <= 0)
    return llvm::createStringError(
        "quantise: block [" + llvm::Twine(blockRows) + ", " +
        llvm::Twine(blockCols) + "] must have positive extents");
  if (llvm::Error error = checkSource(source, rows, cols, threads))
    return std::move(error);
  llvm::Expected<QuantizedMatrix> matrix = makeMatrix(
      rows, cols, blockRows, blockCols, type, std::nullopt, ElementType::F32);
  if (!matrix || source.empty())
    return matrix;

  float largest = static_cast<float>(getLargestValue(type));
  int64_t scaleCols = matrix->scales.getDim(1);
  float *scales = matrix->scales.getAs<float>().data();
  uint8_t *codes = matrix->codes.getData();
  auto quantizeBlockRow = [&](int64_t blockRow, std::vector<float> &line) {
    int64_t rowBegin = blockRow * blockRows;
    int64_t rowEnd = std::min(rows, rowBegin + std::min(blockRows, rows));
    for (int64_t block = 0; block < scaleCols; ++block) {
      int64_t colBegin = block * blockCols;
      int64_t width = std::min(blockCols, cols - colBegin);
      float amax = 0;
      for (int64_t row = rowBegin; row < rowEnd; ++row)
        amax = std::max(
            amax, largestMagnitude(&source[row * cols + colBegin], width));
      float scale = amax / largest;
      if (scale < FLT_MIN)
        scale = 1.0f;
      scales[blockRow * scaleCols + block] = scale;
      for (int64_t row = rowBegin; row < rowEnd; ++row) {
        int64_t offset = row * cols + colBegin;
        for (int64_t c = 0; c < width; ++c)
          line[c] = source[offset + c] / scale;
        convertFromFloat(type, line.data(), codes + offset, width,
                         Overflow::Saturate);
      }
    }
  };
  parallelFor(matrix->scales.getDim(0),
              std::max<uint64_t>(1, rowGrain(cols) / blockRows), threads,
              [&](uint64_t begin, uint64_t end) {
                std::vector<float> line(std::min(blockCols, cols));
                for (uint64_t blockRow = begin; blockRow < end; ++blockRow)
                  quantizeBlockRow(blockRow, line);
              });
  return matrix;
}

llvm::Expected<QuantizedMatrix>
mlir::moe::quantizeInt4(llvm::ArrayRef<float> source, int64_t rows,
                        int64_t cols, int64_t group, bool withZeros,
                        NibblePacking packing, ElementType scaleType,
                        unsigned threads) {
  if (scaleType != ElementType::F32 && scaleType != ElementType::BF16 &&
      scaleType != ElementType::F16)
    return llvm::createStringError(
        "quantise: int4 scales are f32, bf16 or f16, not " +
        getElementTypeName(scaleType));
  if (llvm::Error error = checkGroup(cols, group))
    return std::move(error);
  if (llvm::Error error = checkGroup(cols, getPackingUnit(packing)))
    return std::move(error);
  if (llvm::Error error = checkSource(source, rows, cols, threads))
    return std::move(error);
  llvm::Expected<QuantizedMatrix> matrix =
      makeMatrix(rows, cols, 1, group, ElementType::U4, packing, scaleType);
  if (!matrix)
    return matrix;
  int64_t groups = cols / group;
  if (withZeros) {
    llvm::Expected<HostTensor> zeros =
        HostTensor::create(ElementType::U8, {rows, groups});
    if (!zeros)
      return zeros.takeError();
    matrix->zeros = std::move(*zeros);
  }
  unsigned scaleBytes = getBitWidth(scaleType) / 8;
  float leastNormal = scaleType == ElementType::F16 ? 0x1p-14f : FLT_MIN;

  auto quantizeRow = [&](int64_t row, llvm::MutableArrayRef<uint8_t> values) {
    for (int64_t g = 0; g < groups; ++g) {
      const float *in = &source[row * cols + g * group];
      float low = 0, high = 0;
      for (int64_t i = 0; i < group; ++i) {
        low = std::min(low, in[i]);
        high = std::max(high, in[i]);
      }
      // Halved, so that the difference of two large values stays finite.
      float wanted =
          withZeros ? (high / 2 - low / 2) / 7.5f : std::max(high, -low) / 7.0f;
      uint8_t *slot =
          matrix->scales.getData() + (row * groups + g) * scaleBytes;
      float scale;
      convertFromFloat(scaleType, &wanted, slot, 1, Overflow::Saturate);
      convertToFloat(scaleType, slot, &scale, 1);
      if (scale < leastNormal) {
        scale = 1.0f;
        convertFromFloat(scaleType, &scale, slot, 1);
      }
      float zero = 8.0f;
      if (withZeros) {
        zero = std::clamp(std::nearbyint(-low / scale), 0.0f, 15.0f);
        matrix->zeros->getData()[row * groups + g] = static_cast<uint8_t>(zero);
      }
      for (int64_t i = 0; i < group; ++i)
        values[g * group + i] = static_cast<uint8_t>(
            std::clamp(std::nearbyint(in[i] / scale) + zero, 0.0f, 15.0f));
    }
    // Sizes were checked above, so packing cannot fail.
    llvm::cantFail(packNibbles(packing, values,
                               {matrix->codes.getData() + row * (cols / 2),
                                static_cast<size_t>(cols / 2)}));
  };
  parallelFor(rows, rowGrain(cols), threads, [&](uint64_t begin, uint64_t end) {
    std::vector<uint8_t> values(cols);
    for (uint64_t row = begin; row < end; ++row)
      quantizeRow(row, values);
  });
  return matrix;
}

/// Divides, rounds and stores one group of codes; f4E2M1FN packs two per byte.
static void storeCodes(const float *in, int64_t count, float scale,
                       ElementType type, uint8_t *out) {
  float quotients[32];
  for (int64_t i = 0; i < count; ++i)
    quotients[i] = in[i] / scale;
  convertFromFloat(type, quotients, out, count, Overflow::Saturate);
}

llvm::Expected<QuantizedMatrix>
mlir::moe::quantizeMx(llvm::ArrayRef<float> source, int64_t rows, int64_t cols,
                      ElementType type, unsigned threads) {
  constexpr int64_t group = 32;
  int emax;
  switch (type) {
  case ElementType::F4E2M1FN:
    emax = 2;
    break;
  case ElementType::F8E4M3FN:
    emax = 8;
    break;
  case ElementType::F8E5M2:
    emax = 15;
    break;
  default:
    return llvm::createStringError("quantise: mx elements are f4E2M1FN, "
                                   "f8E4M3FN or f8E5M2, not " +
                                   getElementTypeName(type));
  }
  if (llvm::Error error = checkGroup(cols, group))
    return std::move(error);
  if (llvm::Error error = checkSource(source, rows, cols, threads))
    return std::move(error);
  bool packed = isPackedType(type);
  llvm::Expected<QuantizedMatrix> matrix =
      makeMatrix(rows, cols, 1, group, type,
                 packed ? std::optional(NibblePacking::LowEven) : std::nullopt,
                 ElementType::F8E8M0FNU);
  if (!matrix)
    return matrix;
  uint64_t groups = static_cast<uint64_t>(rows) * (cols / group);
  unsigned groupBytes = getStorageBytes(type, group);
  parallelFor(groups, 512, threads, [&](uint64_t begin, uint64_t end) {
    for (uint64_t g = begin; g < end; ++g) {
      const float *in = &source[g * group];
      float amax = largestMagnitude(in, group);
      // ilogb is floor(log2) also for subnormals.
      int exponent =
          amax == 0 ? 0 : std::clamp(std::ilogb(amax) - emax, -127, 127);
      matrix->scales.getData()[g] = static_cast<uint8_t>(exponent + 127);
      storeCodes(in, group, std::ldexp(1.0f, exponent), type,
                 matrix->codes.getData() + g * groupBytes);
    }
  });
  return matrix;
}

llvm::Expected<QuantizedMatrix>
mlir::moe::quantizeNvfp4(llvm::ArrayRef<float> source, int64_t rows,
                         int64_t cols, unsigned threads) {
  constexpr int64_t group = 16;
  if (llvm::Error error = checkGroup(cols, group))
    return std::move(error);
  if (llvm::Error error = checkSource(source, rows, cols, threads))
    return std::move(error);
  llvm::Expected<QuantizedMatrix> matrix =
      makeMatrix(rows, cols, 1, group, ElementType::F4E2M1FN,
                 NibblePacking::LowEven, ElementType::F8E4M3FN);
  if (!matrix)
    return matrix;
  float global = largestMagnitude(source.data(), source.size()) / (6 * 448.0f);
  if (global < FLT_MIN)
    global = 1.0f;
  matrix->globalScale = global;
  uint64_t groups = static_cast<uint64_t>(rows) * (cols / group);
  parallelFor(groups, 1024, threads, [&](uint64_t begin, uint64_t end) {
    for (uint64_t g = begin; g < end; ++g) {
      const float *in = &source[g * group];
      float amax = largestMagnitude(in, group);
      uint64_t code = encode(ElementType::F8E4M3FN, amax / 6.0f / global,
                             Overflow::Saturate);
      if (code == 0)
        code = amax == 0 ? encode(ElementType::F8E4M3FN, 1.0) : 1;
      matrix->scales.getData()[g] = static_cast<uint8_t>(code);
      float scale =
          static_cast<float>(decode(ElementType::F8E4M3FN, code)) * global;
      storeCodes(in, group, scale, ElementType::F4E2M1FN,
                 matrix->codes.getData() + g * (group / 2));
    }
  });
  return matrix;
}

//===----------------------------------------------------------------------===//
// Inverse
//===----------------------------------------------------------------------===//

std::vector<float> mlir::moe::dequantize(const QuantizedMatrix &matrix) {
  int64_t rows = matrix.rows, cols = matrix.cols;
  std::vector<float> values(static_cast<uint64_t>(rows) * cols);
  std::vector<float> scales = matrix.scales.toFloats();
  int64_t scaleCols = matrix.scales.getDim(1);
  parallelFor(rows, rowGrain(cols), 0, [&](uint64_t begin, uint64_t end) {
    std::vector<uint8_t> nibbles(matrix.packing ? cols : 0);
    std::vector<double> codes(cols);
    for (uint64_t row = begin; row < end; ++row) {
      if (matrix.packing) {
        llvm::cantFail(unpackNibbles(*matrix.packing,
                                     {matrix.codes.getData() + row * (cols / 2),
                                      static_cast<size_t>(cols / 2)},
                                     nibbles));
        for (int64_t c = 0; c < cols; ++c)
          codes[c] = decode(matrix.codeType, nibbles[c]);
      } else {
        convertToDouble(matrix.codeType, matrix.codes.getData() + row * cols,
                        codes.data(), cols);
      }
      for (int64_t c = 0; c < cols; ++c) {
        int64_t block =
            static_cast<int64_t>(row) / matrix.blockRows * scaleCols +
            c / matrix.blockCols;
        double zero = 0;
        if (matrix.codeType == ElementType::U4)
          zero = matrix.zeros ? matrix.zeros->getData()[block] : 8;
        values[row * cols + c] = static_cast<float>(
            (codes[c] - zero) * scales[block] * matrix.globalScale);
      }
    }
  });
  return values;
}
