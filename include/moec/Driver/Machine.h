//===- Machine.h - What this machine can do -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_MACHINE_H
#define MOEC_DRIVER_MACHINE_H

#include "moec-c/Runtime.h"
#include "moec/Support/Allocate.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>

namespace mlir::moe {

/// The processor's name as the operating system gives it; "unknown" without.
std::string getProcessorName();

/// Bytes of the last-level cache; 0 when the system does not say.
uint64_t getLastLevelCacheBytes();

/// The most memory this process has held so far, in bytes; 0 when unknown.
uint64_t getPeakMemoryBytes();

/// Memory that is large enough to push everything else out of the caches and
/// to measure the memory's read bandwidth with.
class ReadBuffer {
public:
  /// `bytes` bytes, all written to. Fails when they are not to be had.
  static llvm::Expected<ReadBuffer> create(uint64_t bytes);
  /// Bytes that exceed the last-level cache by far on this machine.
  static uint64_t getDefaultBytes();

  /// Reads all of it on every worker of `pool` (null: this thread), each its
  /// own part. Returns seconds.
  double read(moec_pool *pool) const;
  /// The best bytes per second of `passes` reads.
  double measureBandwidth(moec_pool *pool, unsigned passes = 7) const;

private:
  ArrayMemory memory;
  uint64_t bytes = 0;
};

/// Memory between two guard zones, for outputs and workspaces: payload() is
/// aligned to 64 bytes and poisoned with 0xFF (NaN in all float types).
class GuardedBuffer {
public:
  static llvm::Expected<GuardedBuffer> create(uint64_t bytes);
  uint8_t *payload() const { return memory.get() + guardBytes; }
  uint64_t size() const { return bytes; }
  /// Fills the payload with 0xFF again.
  void poison();
  /// Fails when a byte before or behind the payload was written, naming `what`
  /// and the distance of the first such byte.
  llvm::Error check(llvm::StringRef what) const;

private:
  static constexpr uint64_t guardBytes = 4096;
  ArrayMemory memory;
  uint64_t bytes = 0;
};

} // namespace mlir::moe

#endif // MOEC_DRIVER_MACHINE_H
