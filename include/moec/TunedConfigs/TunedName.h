//===- TunedName.h - Names of tuned configuration files ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// vLLM and SGLang look for tuned tile sizes of their fused Triton kernel under
// a name that is made of the layer's sizes, its storage and the device:
//
//   E=128,N=384,device_name=NVIDIA_B200,dtype=fp8_w8a8,block_shape=[128,128].json
//
// The two systems agree on the keys but not on all values.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TUNEDCONFIGS_TUNEDNAME_H
#define MOEC_TUNEDCONFIGS_TUNEDNAME_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace mlir::moe {

/// Whose rules for names and folders apply.
enum class TunedSystem : uint8_t { Vllm, Sglang };

/// What a name says, value by value.
struct TunedName {
  /// `E` and `N` as they stand in the name; absent where the key is.
  std::optional<int64_t> experts, columns;
  /// As it stands there; may be empty (SGLang has such a file).
  std::string device;
  /// "fp8_w8a8", "int8_w8a8", "int8_w8a16", "int4_w4a16", "float32"; empty: no
  /// such key, 16-bit floats.
  std::string dtype;
  /// Rows and columns of a scale block; empty: no such key.
  llvm::SmallVector<int64_t, 2> blockShape;
  /// `per_channel_quant=True` (SGLang).
  bool perChannel = false;
  /// `_down` before `.json`: for the down projection (SGLang).
  bool down = false;

  bool operator==(const TunedName &other) const {
    return experts == other.experts && columns == other.columns &&
           device == other.device && dtype == other.dtype &&
           blockShape == other.blockShape && perChannel == other.perChannel &&
           down == other.down;
  }
};

/// Reads a name, without or with a directory in front and `.json` behind. It is
/// split on the keys, since values hold commas of their own; both spellings of
/// the block shape are read. Nothing if it does not begin with `E=`: such a
/// name says nothing. Errors name the key and the value.
llvm::Expected<std::optional<TunedName>> parseTunedName(llvm::StringRef path);

/// The name under which a system looks, without a directory. vLLM writes
/// `[128,128]`, SGLang `[128, 128]`; only SGLang has `per_channel_quant` and
/// `_down`, which vLLM's name leaves out.
std::string printTunedName(const TunedName &name, TunedSystem system);

/// A device's name as it stands in a file's name. SGLang: blanks become `_`.
/// vLLM: runs of blanks and `/` become one `_`, and every device of the H200
/// family is `NVIDIA_H200`.
std::string getTunedDeviceName(llvm::StringRef device, TunedSystem system);

/// A layer, in words of ours, whose file is looked for.
struct TunedLayer {
  /// Experts on this rank.
  int64_t experts = 0;
  /// Columns between the projections on this rank, in values, after gate and up
  /// have become one.
  int64_t intermediate = 0;
  /// As in TunedName.
  std::string dtype;
  llvm::SmallVector<int64_t, 2> blockShape;
  bool perChannel = false;
  /// A shared expert is one more expert of the same tensor (SGLang).
  bool fusedShared = false;
  /// The device as its driver calls it.
  std::string device;
};

/// What a system looks for. Of 4-bit weights vLLM doubles the packed columns
/// that it sees, so that N is in values; SGLang does not, N is half of that. A
/// block shape with a zero is left out by both.
TunedName nameTunedLayer(const TunedLayer &layer, TunedSystem system,
                         bool down = false);

/// The folders where a system looks, in order. vLLM: `folder` (of
/// VLLM_TUNED_CONFIG_FOLDER, may be empty), then `bundled`. SGLang:
/// `configs/triton_X_Y_Z` below `folder` (of SGLANG_MOE_CONFIG_DIR) if that is
/// given, else below `bundled`: first the one of `triton` ("3.5.1"), then the
/// others that exist, the newest first (3.10.0 is newer than 3.9.0).
std::vector<std::string> getTunedFolders(TunedSystem system,
                                         llvm::StringRef folder,
                                         llvm::StringRef bundled,
                                         llvm::StringRef triton);

/// The first file of that name in the folders; empty if there is none.
std::string findTunedFile(llvm::ArrayRef<std::string> folders,
                          llvm::StringRef name);

/// Path of the file for the down projection that belongs to `path`: `_down` in
/// front of `.json`.
std::string getTunedDownPath(llvm::StringRef path);

} // namespace mlir::moe

#endif // MOEC_TUNEDCONFIGS_TUNEDNAME_H
