//===- CheckpointMatrix.cpp - One matrix of a checkpoint ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CheckpointMatrix.h"

#include "llvm/Support/Endian.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;
using llvm::support::endian::read32le;

Expected<MatrixFormat> mlir::moe::getMatrixFormat(Dtype dtype, bool shared) {
  const DtypeInfo &info = getDtypeInfo(dtype);
  MatrixFormat format;
  format.dtype = dtype;
  format.granuleRows = info.granuleRows;
  format.granuleCols = info.granuleCols;
  switch (dtype) {
  case Dtype::F32:
  case Dtype::BF16:
  case Dtype::F16:
    format.type = dtype == Dtype::F32   ? ElementType::F32
                  : dtype == Dtype::F16 ? ElementType::F16
                                        : ElementType::BF16;
    return format;
  case Dtype::Fp8Block:
  case Dtype::Fp8Token:
  case Dtype::Fp8Tensor:
    format.kind = MatrixFormat::Fp8;
    format.type = ElementType::F8E4M3FN;
    return format;
  case Dtype::W4A16G128Exllama:
    format.packing = NibblePacking::ExLlama;
    [[fallthrough]];
  case Dtype::W4A16G128Zp:
  case Dtype::W4A16G128:
  case Dtype::W4A16G64:
  case Dtype::W4A16G32:
    format.kind = MatrixFormat::Int4;
    format.perStored = getPackingUnit(format.packing);
    format.type = format.perStored == 2 ? ElementType::I8 : ElementType::I32;
    format.scaleType = ElementType::BF16;
    format.zeroOperand = dtype == Dtype::W4A16G128Zp && !shared;
    return format;
  case Dtype::MxFp4:
    format.kind = MatrixFormat::Fp4;
    format.perStored = 2;
    format.type = ElementType::I8;
    format.scaleType = ElementType::F8E8M0FNU;
    return format;
  case Dtype::MxFp8:
  case Dtype::NvFp4:
  case Dtype::W8A8:
  case Dtype::W8A16:
    break;
  }
  return llvm::createStringError(
      "no layout of checkpoints is known for dtype " + info.name);
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

Error mlir::moe::expectTensor(const CheckpointTensor &tensor, StringRef dtype,
                              ArrayRef<int64_t> shape) {
  if (tensor.entry->dtype == dtype &&
      ArrayRef<int64_t>(tensor.entry->shape) == shape)
    return Error::success();
  return llvm::createStringError(tensor.where + " is " + tensor.describe() +
                                 ", " + dtype + formatShape(shape) +
                                 " is needed");
}

/// The values of a tensor in a float type.
static std::vector<float> toFloats(const CheckpointTensor &tensor) {
  ElementType type = *tensor.entry->type;
  uint64_t count = tensor.bytes.size() * 8 / tensor.entry->bits;
  std::vector<float> values(count);
  // The file promises no alignment.
  std::vector<uint8_t> bytes(tensor.bytes.begin(), tensor.bytes.end());
  convertToFloat(type, bytes.data(), values.data(), count);
  return values;
}

Error mlir::moe::checkScales(const CheckpointTensor &tensor, bool positive) {
  std::vector<float> values = toFloats(tensor);
  for (size_t i = 0; i < values.size(); ++i) {
    float value = values[i];
    if (std::isfinite(value) && value != 0 && (value > 0 || !positive))
      continue;
    SmallVector<int64_t> index(tensor.entry->shape.size());
    size_t rest = i;
    for (size_t d = index.size(); d-- > 0;) {
      index[d] = rest % tensor.entry->shape[d];
      rest /= tensor.entry->shape[d];
    }
    std::string text = std::isnan(value)   ? "NaN"
                       : std::isinf(value) ? "infinite"
                       : value == 0        ? "0"
                                           : "negative";
    return llvm::createStringError(tensor.where + ": the scale at " +
                                   formatShape(index) + " is " + text);
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Plain and fp8
//===----------------------------------------------------------------------===//

/// The name that .safetensors has for a type.
static StringRef getFileType(ElementType type) {
  switch (type) {
  case ElementType::F32:
    return "F32";
  case ElementType::BF16:
    return "BF16";
  case ElementType::F16:
    return "F16";
  default:
    return "F8_E4M3";
  }
}

static Error readValues(Checkpoint &checkpoint, const std::string &base,
                        const MatrixFormat &format,
                        const MatrixTarget &target) {
  Expected<CheckpointTensor> weight = checkpoint.get(base + ".weight");
  if (!weight)
    return weight.takeError();
  if (Error error = expectTensor(*weight, getFileType(format.type),
                                 {target.rows, target.cols}))
    return error;
  std::memcpy(target.values, weight->bytes.data(), weight->bytes.size());
  return Error::success();
}

/// Scales of fp8 weights become f32, exactly.
static Error readFp8Scales(Checkpoint &checkpoint, const std::string &base,
                           const MatrixFormat &format,
                           const MatrixTarget &target) {
  bool block = format.dtype == Dtype::Fp8Block;
  Expected<CheckpointTensor> scale =
      checkpoint.get(base + (block ? ".weight_scale_inv" : ".weight_scale"));
  if (!scale)
    return scale.takeError();
  SmallVector<int64_t> shape = {format.scaleRows(target.rows),
                                format.scaleCols(target.cols)};
  // A scale of a whole matrix may have no dimension, or one.
  ArrayRef<int64_t> given = scale->entry->shape;
  bool single = shape[0] * shape[1] == 1 &&
                llvm::all_of(given, [](int64_t n) { return n == 1; });
  bool flat = shape[1] == 1 && given == ArrayRef<int64_t>{shape[0]};
  StringRef type = scale->entry->dtype;
  if (type != "F32" && type != "BF16" && type != "F16")
    type = "F32";
  if (!(single || flat) || type != scale->entry->dtype)
    if (Error error = expectTensor(*scale, type, shape))
      return error;
  if (Error error = checkScales(*scale, /*positive=*/true))
    return error;
  std::vector<float> values = toFloats(*scale);
  std::memcpy(target.scale, values.data(), values.size() * sizeof(float));
  return Error::success();
}

//===----------------------------------------------------------------------===//
// GPTQ and AWQ
//===----------------------------------------------------------------------===//

/// AWQ's nibble that holds the column of that number among eight.
static constexpr unsigned awqPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};

namespace {
/// The tensors of one matrix. GPTQ packs eight values along K in a word of
/// qweight [K / 8, N], AWQ eight along N in one of qweight [K, N / 8]; zero
/// points [K / group, N / 8] are packed along N by both.
struct Int4Tensors {
  CheckpointTensor weight, zeros, scales;
  bool awq = false;
  int64_t rows, cols, group;

  uint32_t word(const CheckpointTensor &tensor, int64_t index) const {
    return read32le(tensor.bytes.data() + 4 * index);
  }
  unsigned place(int64_t n) const { return awq ? awqPlace[n % 8] : n % 8; }
  /// The zero point of row n and K group g as it is stored.
  unsigned zero(int64_t n, int64_t g) const {
    return word(zeros, g * (rows / 8) + n / 8) >> (4 * place(n)) & 15;
  }
  void unpackRow(int64_t n, MutableArrayRef<uint8_t> codes) const {
    for (int64_t k = 0; k < cols; ++k)
      codes[k] =
          awq ? word(weight, k * (rows / 8) + n / 8) >> (4 * place(n)) & 15
              : word(weight, k / 8 * rows + n) >> (4 * (k % 8)) & 15;
  }
};
} // namespace

static Error checkOrder(Checkpoint &checkpoint, const std::string &name,
                        int64_t cols, int64_t group) {
  if (!checkpoint.has(name))
    return Error::success();
  Expected<CheckpointTensor> order = checkpoint.get(name);
  if (!order)
    return order.takeError();
  if (Error error = expectTensor(*order, "I32", {cols}))
    return error;
  for (int64_t k = 0; k < cols; ++k) {
    auto found = static_cast<int32_t>(read32le(order->bytes.data() + 4 * k));
    if (found != k / group)
      return llvm::createStringError(
          order->where + ": entry " + Twine(k) + " is " + Twine(found) +
          ", groups of " + Twine(group) + " in order need " + Twine(k / group) +
          "; act-order (desc_act) is not supported");
  }
  return Error::success();
}

static Expected<Int4Tensors> findInt4(Checkpoint &checkpoint,
                                      const std::string &base,
                                      const MatrixFormat &format,
                                      const MatrixTarget &target) {
  Int4Tensors found;
  found.rows = target.rows;
  found.cols = target.cols;
  found.group = format.granuleCols;
  for (auto [name, tensor] : {std::pair(".qweight", &found.weight),
                              {".qzeros", &found.zeros},
                              {".scales", &found.scales}}) {
    Expected<CheckpointTensor> got = checkpoint.get(base + name);
    if (!got)
      return got.takeError();
    *tensor = *got;
  }
  if (target.rows % 8 || target.cols % 8)
    return llvm::createStringError(
        found.weight.where + ": a matrix of " + Twine(target.rows) + " x " +
        Twine(target.cols) + " is not packed by eight");
  if (target.cols % found.group)
    return llvm::createStringError(found.scales.where + ": groups of " +
                                   Twine(found.group) +
                                   " do not divide K = " + Twine(target.cols));
  SmallVector<int64_t> gptq = {target.cols / 8, target.rows};
  SmallVector<int64_t> awq = {target.cols, target.rows / 8};
  found.awq =
      ArrayRef<int64_t>(found.weight.entry->shape) == ArrayRef<int64_t>(awq);
  if (found.weight.entry->dtype != "I32" ||
      (!found.awq &&
       ArrayRef<int64_t>(found.weight.entry->shape) != ArrayRef<int64_t>(gptq)))
    return llvm::createStringError(found.weight.where + " is " +
                                   found.weight.describe() + ", I32" +
                                   formatShape(gptq) + " (GPTQ) or I32" +
                                   formatShape(awq) + " (AWQ) is needed");
  int64_t groups = target.cols / found.group;
  if (Error error = expectTensor(found.zeros, "I32", {groups, target.rows / 8}))
    return std::move(error);
  StringRef type = found.scales.entry->dtype == "BF16" ? "BF16" : "F16";
  if (Error error = expectTensor(found.scales, type, {groups, target.rows}))
    return std::move(error);
  if (!found.awq)
    if (Error error =
            checkOrder(checkpoint, base + ".g_idx", target.cols, found.group))
      return std::move(error);
  return found;
}

static Error readInt4(Checkpoint &checkpoint, const std::string &base,
                      const MatrixFormat &format, const MatrixTarget &target,
                      int64_t gptqOffset) {
  Expected<Int4Tensors> found = findInt4(checkpoint, base, format, target);
  if (!found)
    return found.takeError();
  if (Error error = checkScales(found->scales, /*positive=*/false))
    return error;
  int64_t groups = target.cols / found->group;
  int64_t offset = found->awq ? 0 : gptqOffset;
  std::vector<float> scales = toFloats(found->scales);
  std::vector<uint8_t> codes(target.cols);
  size_t rowBytes = target.cols / 2;
  for (int64_t n = 0; n < target.rows; ++n) {
    found->unpackRow(n, codes);
    if (Error error = packNibbles(format.packing, codes,
                                  {target.values + n * rowBytes, rowBytes}))
      return error;
    for (int64_t g = 0; g < groups; ++g) {
      float scale = scales[g * target.rows + n];
      uint16_t rounded = encodeBF16(scale);
      std::memcpy(target.scale + 2 * (n * groups + g), &rounded, 2);
      int64_t zero = found->zero(n, g) + offset;
      if (format.zeroOperand)
        target.zero[n * groups + g] = static_cast<uint8_t>(zero);
      else if (zero != format.zero)
        return llvm::createStringError(
            found->zeros.where + ": the zero point of row " + Twine(n) +
            ", group " + Twine(g) + " is " + Twine(zero) + ", dtype " +
            getDtypeInfo(format.dtype).name + " has " + Twine(format.zero) +
            " everywhere");
    }
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Entry
//===----------------------------------------------------------------------===//

Error mlir::moe::readMatrix(Checkpoint &checkpoint, const std::string &base,
                            const MatrixFormat &format,
                            const MatrixTarget &target, int64_t gptqOffset) {
  switch (format.kind) {
  case MatrixFormat::Plain:
    return readValues(checkpoint, base, format, target);
  case MatrixFormat::Fp8:
    if (Error error = readValues(checkpoint, base, format, target))
      return error;
    return readFp8Scales(checkpoint, base, format, target);
  case MatrixFormat::Int4:
    return readInt4(checkpoint, base, format, target, gptqOffset);
  case MatrixFormat::Fp4:
    break;
  }
  return llvm::createStringError(
      checkpoint.getDirectory() + ": '" + base + "': dtype " +
      getDtypeInfo(format.dtype).name +
      " is read from tensors of all experts (_blocks, _scales) only");
}
