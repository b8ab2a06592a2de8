//===- Parallel.cpp - Splitting loops over threads ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/Parallel.h"
#include "llvm/ADT/SmallVector.h"
#include <algorithm>
#include <thread>

using namespace mlir::moe;

unsigned mlir::moe::getDefaultThreadCount() {
  return std::max(1u, std::thread::hardware_concurrency());
}

void mlir::moe::parallelFor(uint64_t count, uint64_t grain, unsigned threads,
                            llvm::function_ref<void(uint64_t, uint64_t)> body) {
  if (count == 0)
    return;
  grain = std::max<uint64_t>(grain, 1);
  uint64_t grains = count / grain + (count % grain != 0);
  uint64_t parts =
      std::min<uint64_t>(threads ? threads : getDefaultThreadCount(), grains);
  uint64_t perPart = grains / parts, extra = grains % parts;
  auto boundary = [&](uint64_t part) {
    uint64_t grainIndex = part * perPart + std::min(part, extra);
    return grainIndex >= grains ? count : grainIndex * grain;
  };
  llvm::SmallVector<std::thread, 8> workers;
  for (uint64_t part = 1; part < parts; ++part)
    workers.emplace_back(
        [&, part] { body(boundary(part), boundary(part + 1)); });
  body(0, boundary(1));
  for (std::thread &worker : workers)
    worker.join();
}
