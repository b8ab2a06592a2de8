//===- AsyncSupport.h - Shared by the asynchronous copies -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_EMULATOR_ASYNCSUPPORT_H
#define MOEC_LIB_EMULATOR_ASYNCSUPPORT_H

#include "Ops.h"
#include "Scalars.h"

namespace mlir::moe::emu {

/// Where a copy into shared memory goes, in one block.
struct Destination {
  Block *block;
  uint32_t offset;
  /// Offset of its mbarrier.
  uint32_t barrier;
  /// The write, in flight until arriveBytes.
  uint32_t event;
};

/// Checks and marks the destinations of a bulk copy of `bytes` bytes, one per
/// bit of the multicast register. False if something was refused.
bool openDestination(Exec &x, const Instr &i, unsigned lane, unsigned space,
                     uint64_t address, Reg barrierReg, uint32_t bytes,
                     unsigned align, Reg multicast,
                     std::vector<Destination> &out);

/// The copy has landed: its bytes count on the mbarrier.
void arriveBytes(Machine &m, const Destination &to, uint64_t bytes);

/// The lane's stream of bulk stores.
AsyncStream &bulkStream(Exec &x, unsigned lane);

/// to += from, element by element.
void addElements(Scalar s, uint8_t *to, const uint8_t *from, uint64_t elements);

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_ASYNCSUPPORT_H
