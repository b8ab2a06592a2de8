//===- TensorMap.h - A tensor map as the emulator reads it ------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The fields that cuTensorMapEncodeTiled takes, in 128 bytes of our own. A
// kernel gets the 128 bytes by value as on the device; the emulator finds these
// fields in them, the device finds the driver's encoding. Free of LLVM.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_EMULATOR_TENSORMAP_H
#define MOEC_EMULATOR_TENSORMAP_H

#include <cstdint>
#include <string>

namespace mlir::moe::emu {

/// Element types of a tensor map.
enum class MapType : uint8_t {
  U8,
  U16,
  U32,
  I32,
  U64,
  I64,
  F16,
  F32,
  F64,
  BF16,
  TF32
};

/// Bytes of one element.
unsigned bytesOf(MapType type);

/// How 16-byte chunks of a box are permuted in shared memory.
enum class MapSwizzle : uint8_t { None, B32, B64, B128 };

/// One tiled tensor map. Dimension 0 is the innermost.
struct alignas(64) TensorMap {
  uint64_t magic = magicValue;
  /// Host address of the tensor, inside a registered buffer; multiple of 16.
  uint64_t address = 0;
  /// Elements of each dimension.
  uint64_t dims[5] = {};
  /// Bytes between neighbours along dimensions 1 and up; multiples of 16.
  uint64_t strides[4] = {};
  /// Elements of the box that one copy moves, each at most 256.
  uint16_t box[5] = {};
  /// Traversal strides; only 1 is executed.
  uint8_t elementStrides[5] = {1, 1, 1, 1, 1};
  uint8_t rank = 0;
  MapType type = MapType::U8;
  MapSwizzle swizzle = MapSwizzle::None;
  /// 0, 16 or 32; only 0 is executed.
  uint8_t interleave = 0;
  /// L2 promotion in bytes / 64: no effect here.
  uint8_t l2 = 0;
  /// Elements outside the tensor read as NaN instead of zero.
  uint8_t fillNan = 0;
  uint8_t reserved[5] = {};

  static constexpr uint64_t magicValue = 0x6d6f65632d746d61ull;
};
static_assert(sizeof(TensorMap) == 128, "a kernel parameter of 128 bytes");

/// The first rule of cuTensorMapEncodeTiled that the map breaks, with the
/// numbers, or an empty string.
std::string checkTensorMap(const TensorMap &map);

} // namespace mlir::moe::emu

#endif // MOEC_EMULATOR_TENSORMAP_H
