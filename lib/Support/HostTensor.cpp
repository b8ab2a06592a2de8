//===- HostTensor.cpp - A tensor in host memory ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/HostTensor.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>

using namespace mlir::moe;

std::string mlir::moe::formatShape(llvm::ArrayRef<int64_t> shape) {
  std::string text = "[";
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(shape, os);
  os << "]";
  return text;
}

llvm::Expected<int64_t>
mlir::moe::checkedNumElements(llvm::ArrayRef<int64_t> shape,
                              unsigned elementBits, const llvm::Twine &what) {
  // Zero extents first: [0, 2^62, 2^62] is a legal empty tensor.
  bool empty = false;
  for (int64_t extent : shape) {
    if (extent < 0)
      return llvm::createStringError(what + ": shape " + formatShape(shape) +
                                     " has the negative extent " +
                                     llvm::Twine(extent));
    empty |= extent == 0;
  }
  if (empty)
    return 0;
  constexpr int64_t limitBits = int64_t(1) << 62;
  int64_t count = 1, bits = 0;
  bool overflow = false;
  for (int64_t extent : shape)
    overflow |= llvm::MulOverflow(count, extent, count);
  overflow |=
      llvm::MulOverflow(count, static_cast<int64_t>(elementBits), bits) ||
      bits > limitBits;
  if (overflow)
    return llvm::createStringError(what + ": shape " + formatShape(shape) +
                                   " with " + llvm::Twine(elementBits) +
                                   "-bit elements exceeds 2^59 bytes");
  return count;
}

llvm::Expected<HostTensor>
HostTensor::createUninitialized(ElementType type,
                                llvm::ArrayRef<int64_t> shape) {
  llvm::Expected<int64_t> count =
      checkedNumElements(shape, getBitWidth(type), "tensor");
  if (!count)
    return count.takeError();
  HostTensor tensor;
  tensor.type = type;
  tensor.shape.assign(shape.begin(), shape.end());
  tensor.numElements = *count;
  tensor.bytes = allocateArray(tensor.getByteSize());
  if (!tensor.bytes)
    return llvm::createStringError(
        "tensor " + tensor.describe() + ": no memory for " +
        llvm::Twine(tensor.getByteSize()) + " bytes");
  return tensor;
}

llvm::Expected<HostTensor> HostTensor::create(ElementType type,
                                              llvm::ArrayRef<int64_t> shape) {
  llvm::Expected<HostTensor> tensor = createUninitialized(type, shape);
  if (tensor)
    std::memset(tensor->getData(), 0, tensor->getByteSize());
  return tensor;
}

llvm::Expected<HostTensor>
HostTensor::fromFloats(ElementType type, llvm::ArrayRef<int64_t> shape,
                       llvm::ArrayRef<float> values) {
  llvm::Expected<HostTensor> tensor = createUninitialized(type, shape);
  if (!tensor)
    return tensor;
  if (static_cast<uint64_t>(tensor->getNumElements()) != values.size())
    return llvm::createStringError(
        "tensor " + tensor->describe() + " has " +
        llvm::Twine(tensor->getNumElements()) + " elements, but " +
        llvm::Twine(values.size()) + " values are given");
  convertFromFloat(type, values.data(), tensor->getData(), values.size());
  return tensor;
}

std::vector<float> HostTensor::toFloats() const {
  std::vector<float> values(numElements);
  convertToFloat(type, getData(), values.data(), values.size());
  return values;
}

llvm::Expected<HostTensor> HostTensor::clone() const {
  llvm::Expected<HostTensor> copy = createUninitialized(type, shape);
  if (copy && getByteSize())
    std::memcpy(copy->getData(), getData(), getByteSize());
  return copy;
}

llvm::Error HostTensor::reinterpret(ElementType newType,
                                    llvm::ArrayRef<int64_t> newShape) {
  llvm::Expected<int64_t> count =
      checkedNumElements(newShape, getBitWidth(newType), "tensor");
  if (!count)
    return count.takeError();
  uint64_t newSize = getStorageBytes(newType, *count);
  if (newSize != getByteSize())
    return llvm::createStringError(
        "tensor " + describe() + " of " + llvm::Twine(getByteSize()) +
        " bytes cannot be seen as " + getElementTypeName(newType) +
        formatShape(newShape) + " of " + llvm::Twine(newSize) + " bytes");
  type = newType;
  shape.assign(newShape.begin(), newShape.end());
  numElements = *count;
  return llvm::Error::success();
}

std::string HostTensor::describe() const {
  return getElementTypeName(type).str() + formatShape(shape);
}
