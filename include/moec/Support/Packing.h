//===- Packing.h - Layouts of 4-bit weights -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_PACKING_H
#define MOEC_SUPPORT_PACKING_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <optional>

namespace mlir::moe {

/// How 4-bit values that are consecutive along K are laid into bytes.
enum class NibblePacking : uint8_t {
  /// One byte: low nibble = even k, high nibble = odd k. Also the layout of
  /// f4E2M1FN weights in the mx formats.
  LowEven,
  /// One little-endian 32-bit word: 8 consecutive k; from bit 0 up the nibbles
  /// hold k = 0, 2, 4, 6, 1, 3, 5, 7.
  ExLlama,
};

/// "low_even" or "exllama".
llvm::StringRef getNibblePackingName(NibblePacking packing);
std::optional<NibblePacking> parseNibblePacking(llvm::StringRef name);

/// Values that one unit of the packing holds: 2 or 8.
inline unsigned getPackingUnit(NibblePacking packing) {
  return packing == NibblePacking::LowEven ? 2 : 8;
}

/// Packs values 0..15, one per byte, into values.size() / 2 bytes. Fails when
/// the count is not a multiple of the packing's unit, `bytes` has another size
/// or a value exceeds 15.
llvm::Error packNibbles(NibblePacking packing, llvm::ArrayRef<uint8_t> values,
                        llvm::MutableArrayRef<uint8_t> bytes);

/// The inverse of packNibbles, with the same conditions on the sizes.
llvm::Error unpackNibbles(NibblePacking packing, llvm::ArrayRef<uint8_t> bytes,
                          llvm::MutableArrayRef<uint8_t> values);

} // namespace mlir::moe

#endif // MOEC_SUPPORT_PACKING_H
