//===- Packing.cpp - Layouts of 4-bit weights -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/Packing.h"

using namespace mlir::moe;

/// The k whose value stands in nibble n of an ExLlama word, counted from bit 0.
static constexpr unsigned exllamaOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};

llvm::StringRef mlir::moe::getNibblePackingName(NibblePacking packing) {
  return packing == NibblePacking::LowEven ? "low_even" : "exllama";
}

std::optional<NibblePacking>
mlir::moe::parseNibblePacking(llvm::StringRef name) {
  if (name == "low_even")
    return NibblePacking::LowEven;
  if (name == "exllama")
    return NibblePacking::ExLlama;
  return std::nullopt;
}

static llvm::Error checkSizes(NibblePacking packing, size_t values,
                              size_t bytes) {
  unsigned unit = getPackingUnit(packing);
  if (values % unit)
    return llvm::createStringError(llvm::Twine(getNibblePackingName(packing)) +
                                   " packing takes a " + "multiple of " +
                                   llvm::Twine(unit) + " values, not " +
                                   llvm::Twine(values));
  if (bytes * 2 != values)
    return llvm::createStringError(llvm::Twine(values) + " 4-bit values take " +
                                   llvm::Twine(values / 2) + " bytes, not " +
                                   llvm::Twine(bytes));
  return llvm::Error::success();
}

llvm::Error mlir::moe::packNibbles(NibblePacking packing,
                                   llvm::ArrayRef<uint8_t> values,
                                   llvm::MutableArrayRef<uint8_t> bytes) {
  if (llvm::Error error = checkSizes(packing, values.size(), bytes.size()))
    return error;
  uint8_t seen = 0;
  for (uint8_t value : values)
    seen |= value;
  if (seen > 15)
    for (size_t i = 0; i < values.size(); ++i)
      if (values[i] > 15)
        return llvm::createStringError(
            "value " + llvm::Twine(unsigned(values[i])) + " at index " +
            llvm::Twine(i) + " does not fit 4 bits");
  if (packing == NibblePacking::LowEven) {
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = values[2 * i] | values[2 * i + 1] << 4;
    return llvm::Error::success();
  }
  for (size_t word = 0; word < values.size(); word += 8)
    for (unsigned n = 0; n < 8; n += 2)
      bytes[word / 2 + n / 2] = values[word + exllamaOrder[n]] |
                                values[word + exllamaOrder[n + 1]] << 4;
  return llvm::Error::success();
}

llvm::Error mlir::moe::unpackNibbles(NibblePacking packing,
                                     llvm::ArrayRef<uint8_t> bytes,
                                     llvm::MutableArrayRef<uint8_t> values) {
  if (llvm::Error error = checkSizes(packing, values.size(), bytes.size()))
    return error;
  if (packing == NibblePacking::LowEven) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      values[2 * i] = bytes[i] & 0xf;
      values[2 * i + 1] = bytes[i] >> 4;
    }
    return llvm::Error::success();
  }
  for (size_t word = 0; word < values.size(); word += 8)
    for (unsigned n = 0; n < 8; n += 2) {
      values[word + exllamaOrder[n]] = bytes[word / 2 + n / 2] & 0xf;
      values[word + exllamaOrder[n + 1]] = bytes[word / 2 + n / 2] >> 4;
    }
  return llvm::Error::success();
}
