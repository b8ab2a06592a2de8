//===- Allocate.h - Memory for large arrays ---------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_ALLOCATE_H
#define MOEC_SUPPORT_ALLOCATE_H

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace mlir::moe {

struct FreeArray {
  void operator()(uint8_t *pointer) const { std::free(pointer); }
};
using ArrayMemory = std::unique_ptr<uint8_t, FreeArray>;

/// Uninitialised memory for `bytes` bytes, aligned to cache lines; of 4 MiB and
/// more to huge pages, which the operating system is asked for: with 4 KiB
/// pages a third of the read bandwidth goes into page walks. Null if there is
/// not enough.
ArrayMemory allocateArray(uint64_t bytes);

} // namespace mlir::moe

#endif // MOEC_SUPPORT_ALLOCATE_H
