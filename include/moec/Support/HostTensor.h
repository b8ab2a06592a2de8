//===- HostTensor.h - A tensor in host memory -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_HOSTTENSOR_H
#define MOEC_SUPPORT_HOSTTENSOR_H

#include "moec/Support/Allocate.h"
#include "moec/Support/ElementType.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include <cstdlib>
#include <memory>
#include <vector>

namespace mlir::moe {

/// A dense row-major tensor that owns its bytes, aligned to 64. Movable only;
/// clone() copies. Elements of 4-bit types are packed along the flattened
/// index, two per byte.
class HostTensor {
public:
  /// An empty tensor: shape [0], f32.
  HostTensor() = default;

  /// A zero-filled tensor. Fails when an extent is negative, the size would
  /// exceed 2^59 bytes or the memory is not to be had.
  static llvm::Expected<HostTensor> create(ElementType type,
                                           llvm::ArrayRef<int64_t> shape);

  /// As create, with contents left undefined: for a caller that writes all.
  static llvm::Expected<HostTensor>
  createUninitialized(ElementType type, llvm::ArrayRef<int64_t> shape);

  /// A tensor of `type` holding `values` (converted by encode's rules), whose
  /// count must be the product of `shape`.
  static llvm::Expected<HostTensor> fromFloats(ElementType type,
                                               llvm::ArrayRef<int64_t> shape,
                                               llvm::ArrayRef<float> values);

  ElementType getType() const { return type; }
  llvm::ArrayRef<int64_t> getShape() const { return shape; }
  int64_t getRank() const { return static_cast<int64_t>(shape.size()); }
  int64_t getDim(unsigned i) const { return shape[i]; }
  /// The product of the extents; 1 for rank 0.
  int64_t getNumElements() const { return numElements; }
  /// Bytes held: getStorageBytes(type, number of elements).
  uint64_t getByteSize() const { return getStorageBytes(type, numElements); }

  uint8_t *getData() { return bytes.get(); }
  const uint8_t *getData() const { return bytes.get(); }
  /// The elements as `T`, whose size must be the element's.
  template <typename T> llvm::MutableArrayRef<T> getAs() {
    return {reinterpret_cast<T *>(bytes.get()),
            static_cast<size_t>(getByteSize() / sizeof(T))};
  }
  template <typename T> llvm::ArrayRef<T> getAs() const {
    return {reinterpret_cast<const T *>(bytes.get()),
            static_cast<size_t>(getByteSize() / sizeof(T))};
  }

  /// All elements as f32 (see convertToFloat).
  std::vector<float> toFloats() const;
  /// A deep copy.
  llvm::Expected<HostTensor> clone() const;
  /// Gives the same bytes another type and shape; the sizes in bytes must be
  /// equal (fp8 read from u1, a [1, N] view of [N], ...).
  llvm::Error reinterpret(ElementType newType,
                          llvm::ArrayRef<int64_t> newShape);
  /// "bf16[128, 1536, 2048]": for messages.
  std::string describe() const;

private:
  ElementType type = ElementType::F32;
  llvm::SmallVector<int64_t, 4> shape = {0};
  int64_t numElements = 0;
  ArrayMemory bytes;
};

/// The product of `shape`, or an error that names `what` when an extent is
/// negative or `elementBits` per element exceed 2^59 bytes in total.
llvm::Expected<int64_t> checkedNumElements(llvm::ArrayRef<int64_t> shape,
                                           unsigned elementBits,
                                           const llvm::Twine &what);

/// "[4, 8, 16]".
std::string formatShape(llvm::ArrayRef<int64_t> shape);

} // namespace mlir::moe

#endif // MOEC_SUPPORT_HOSTTENSOR_H
