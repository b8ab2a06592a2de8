//===- TensorMap.h - Encoded tensor maps and their cache --------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_TENSORMAP_H
#define MOEC_LIB_RUNTIME_TENSORMAP_H

#include "GpuDriver.h"
#include "Manifest.h"

#include <memory>
#include <mutex>

namespace moec {

/// What a tensor map is encoded from.
struct TensorMapRequest {
  const TensorMap *map;
  /// Begins messages: "LAYER: kernel argument ...".
  const char *layer;
  /// Of the tensor; null for an optional one that is absent.
  uint64_t base;
  /// That the tensor has from `base` on.
  int64_t bytes;
  int64_t tokens;
};

/// Encodes one map. Fails, with the rule, if the tensor is one that the copy
/// engine cannot take or if the map leaves the tensor. A map of an absent
/// tensor or of one without elements is 128 zero bytes.
moec_status encodeTensorMap(const GpuDriver &driver,
                            const TensorMapRequest &request,
                            CUtensorMap &result);

/// Maps by tensor and token count. Its memory is allocated once; a full set
/// forgets its oldest entry. Safe to be called from several threads.
class TensorMapCache {
public:
  TensorMapCache() : sets(new Set[setCount]) {}

  moec_status get(const GpuDriver &driver, const TensorMapRequest &request,
                  CUtensorMap &result);

private:
  static constexpr uint32_t setCount = 128, ways = 4;
  struct Entry {
    const TensorMap *map = nullptr;
    uint64_t base = 0;
    int64_t bytes = 0;
    int64_t tokens = 0;
    CUtensorMap value;
  };
  struct Set {
    Entry entries[ways];
    uint32_t next = 0;
  };
  std::mutex mutex;
  std::unique_ptr<Set[]> sets;
};

} // namespace moec

#endif // MOEC_LIB_RUNTIME_TENSORMAP_H
