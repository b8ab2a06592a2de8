//===- UnitKernels.cpp - Shared memory of a unit, and launches ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::calibration;

/// probe_shared(rounds, out): every thread reads 16 bytes, four times a round,
/// beside what its neighbours read.
static void addShared(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext());
  KernelBuilder k(module, target, "probe_shared", {t.getI32Type(), p},
                  kStreamThreads);
  constexpr int64_t pieces = kSharedProbeBytes / 16;
  Value base = k.shared(kSharedProbeBytes), thread = k.thread();
  auto place = [&](Value number) {
    return k.at(base, k.shl(k.bitAnd(number, k.c32(pieces - 1)), k.c32(4)));
  };
  k.loop(thread, k.c32(pieces), k.c32(kStreamThreads), {},
         [&](Value i, ValueRange) {
           k.store(k.pack(k.noise(i)), place(i), 16);
           return SmallVector<Value>();
         });
  k.barrier();
  Type vector = VectorType::get({4}, t.getI32Type());
  Value zero = k.pack({k.c32(0), k.c32(0), k.c32(0), k.c32(0)});
  Value sum = k.loop(
      k.c32(0), k.arg(0), k.c32(1), zero, [&](Value round, ValueRange carried) {
        Value sum = carried[0];
        for (int64_t j = 0; j < kSharedProbeReads; ++j) {
          Value number = k.add(k.add(thread, round), k.c32(j * kStreamThreads));
          sum = k.bitXor(sum, k.load(vector, place(number), 16));
        }
        return SmallVector<Value>{sum};
      })[0];
  k.store(k.fold(sum), k.at(k.arg(1), k.shl(k.global(), k.c64(2))), 4);
}

/// probe_empty(): a launch and nothing else.
static void addEmpty(ModuleOp module, const ProbeTarget &target) {
  KernelBuilder k(module, target, "probe_empty", {}, kEmptyThreads);
}

/// probe_dependent(early): waits for the launch before, as all our kernels do,
/// and if `early` lets the next one begin first.
static void addDependent(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  KernelBuilder k(module, target, "probe_dependent", {t.getI32Type()},
                  kEmptyThreads);
  k.when(k.less(k.c32(0), k.arg(0)), [&] {
    NVVM::GriddepcontrolOp::create(k.b, k.loc,
                                   NVVM::GridDepActionKind::launch_dependents);
  });
  NVVM::GriddepcontrolOp::create(k.b, k.loc, NVVM::GridDepActionKind::wait);
}

void calibration::addUnitKernels(ModuleOp module, const ProbeTarget &target) {
  addShared(module, target);
  addEmpty(module, target);
  if (target.bulk)
    addDependent(module, target);
}
