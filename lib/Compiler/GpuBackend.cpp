//===- GpuBackend.cpp - What a vendor's GPUs need of the compiler ---------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GpuBackend.h"

#include "AmdBackend.h"
#include "NvidiaBackend.h"

using namespace mlir;
using namespace mlir::moe;

GpuBackend::~GpuBackend() = default;

const GpuKernelReport *GpuCode::find(StringRef kernel) const {
  auto it = llvm::find_if(kernels, [&](const GpuKernelReport &report) {
    return report.kernel == kernel;
  });
  return it == kernels.end() ? nullptr : &*it;
}

std::unique_ptr<GpuBackend> mlir::moe::createGpuBackend(StringRef target) {
  if (const NvidiaChip *chip = findNvidiaChip(target))
    return createNvidiaBackend(*chip);
  if (const AmdChip *chip = findAmdChip(target.str()))
    return createAmdBackend(*chip);
  return nullptr;
}
