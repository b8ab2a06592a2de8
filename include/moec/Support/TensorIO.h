//===- TensorIO.h - Reading and writing tensor files ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// .npy (versions 1 to 3) and .safetensors. Every malformed file gives an error
// that begins with the file's name and states the numbers that disagree.
// Writers go through a temporary file, so no partial file is left behind.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_TENSORIO_H
#define MOEC_SUPPORT_TENSORIO_H

#include "moec/Support/HostTensor.h"
#include "llvm/Support/MemoryBuffer.h"
#include <map>
#include <optional>
#include <string>

namespace mlir::moe {

/// Reads a .npy file. The type follows from the file (`<f8 <f4 <f2 |i1 |u1 <i4
/// <i8`), unless `as` is given: it must equal that type or reinterpret raw
/// bytes (`|u1 |i1 |V1 <u2 <i2 |V2 <u4 |V4`) of the same width, which is how
/// bf16 and fp8 are stored, NumPy having no such types. A 4-bit `as` doubles
/// the last extent of a byte array. Fortran order is converted; big endian,
/// structured and object arrays are refused.
llvm::Expected<HostTensor> readNpy(llvm::StringRef path,
                                   std::optional<ElementType> as = {});

/// As readNpy, from the whole contents of a file; `name` begins the errors.
llvm::Expected<HostTensor> parseNpy(llvm::StringRef contents,
                                    llvm::StringRef name,
                                    std::optional<ElementType> as = {});

/// Writes version 1.0 in C order. Types that NumPy lacks become `<u2` or `|u1`;
/// 4-bit types `|u1` with the last extent, which must be even, halved.
llvm::Error writeNpy(llvm::StringRef path, const HostTensor &tensor);

/// One tensor of a .safetensors file.
struct SafetensorsEntry {
  std::string name;
  /// The type as the file writes it, "BF16".
  std::string dtype;
  /// Its meaning here; absent for one that moec has no type for (U16, BOOL).
  std::optional<ElementType> type;
  unsigned bits = 0;
  llvm::SmallVector<int64_t, 4> shape;
  /// Bytes [begin, end) of the data section.
  uint64_t begin = 0, end = 0;
};

/// An open .safetensors file, mapped rather than read: a tensor's bytes are
/// touched when asked for. Opening checks the whole header: sizes against
/// shapes, offsets against the file, no overlap and no gap.
class SafetensorsFile {
public:
  static llvm::Expected<SafetensorsFile> open(llvm::StringRef path);
  static llvm::Expected<SafetensorsFile>
  parse(std::unique_ptr<llvm::MemoryBuffer> buffer);

  /// In the order of the data.
  llvm::ArrayRef<SafetensorsEntry> getEntries() const { return entries; }
  const SafetensorsEntry *find(llvm::StringRef name) const;
  /// The strings of `__metadata__`.
  const std::map<std::string, std::string> &getMetadata() const {
    return metadata;
  }
  /// The mapped bytes of an entry, valid as long as this object. The format
  /// promises no alignment.
  llvm::ArrayRef<uint8_t> getBytes(const SafetensorsEntry &entry) const;
  /// Copies a tensor out. `as` as in readNpy, for entries whose dtype is raw
  /// bits of the same width (U8, I8, U16, I16, U32).
  llvm::Expected<HostTensor> read(llvm::StringRef name,
                                  std::optional<ElementType> as = {}) const;

private:
  std::string path;
  std::unique_ptr<llvm::MemoryBuffer> buffer;
  uint64_t dataStart = 0;
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// A tensor to write, under a name.
struct NamedTensor {
  std::string name;
  const HostTensor *tensor;
};

/// Writes tensors in the given order, the data section aligned to 64 bytes.
/// i4 and u4 become U8 with the last extent, which must be even, halved.
/// Fails on a duplicate or reserved name.
llvm::Error
writeSafetensors(llvm::StringRef path, llvm::ArrayRef<NamedTensor> tensors,
                 const std::map<std::string, std::string> &metadata = {});

} // namespace mlir::moe

#endif // MOEC_SUPPORT_TENSORIO_H
