//===- Allocate.cpp - Memory for large arrays -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/Allocate.h"

#include <algorithm>

#ifdef __linux__
#include <sys/mman.h>
#endif

using namespace mlir::moe;

static constexpr uint64_t lineBytes = 64;
static constexpr uint64_t hugePageBytes = uint64_t(2) << 20;

ArrayMemory mlir::moe::allocateArray(uint64_t bytes) {
  bool large = bytes >= 2 * hugePageBytes;
  uint64_t alignment = large ? hugePageBytes : lineBytes;
  // At least one line, so that the pointer is never null; a whole number of
  // units, as aligned_alloc demands.
  bytes = std::max<uint64_t>(bytes, 1);
  uint64_t size = (bytes + alignment - 1) / alignment * alignment;
  if (size < bytes)
    return nullptr;
  ArrayMemory memory(
      static_cast<uint8_t *>(std::aligned_alloc(alignment, size)));
#ifdef MADV_HUGEPAGE
  // A refusal leaves small pages, which are slower and as good otherwise.
  if (memory && large)
    (void)madvise(memory.get(), size, MADV_HUGEPAGE);
#endif
  return memory;
}
