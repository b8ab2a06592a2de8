//===- Parallel.h - Splitting loops over threads --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_PARALLEL_H
#define MOEC_SUPPORT_PARALLEL_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include <cstdint>

namespace mlir::moe {

/// Threads used when a caller asks for 0: the hardware's count, at least 1.
unsigned getDefaultThreadCount();

/// Calls body(begin, end) on disjoint ranges that cover [0, count), each but
/// the last a multiple of `grain` (at least 1) long, on up to `threads` threads
/// (0: the default). Returns when all are done. Which thread gets which range
/// is fixed by the arguments.
void parallelFor(uint64_t count, uint64_t grain, unsigned threads,
                 llvm::function_ref<void(uint64_t begin, uint64_t end)> body);

} // namespace mlir::moe

#endif // MOEC_SUPPORT_PARALLEL_H
