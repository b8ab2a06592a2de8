//===- Probes.h - Kernels that measure a device -----------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Small kernels that each load one part of a GPU: its memory by access pattern,
// its last cache, its matrix units, its launches; and the list of runs of them
// from whose times a device file (Device.h) is made. The kernels go the way of
// all others through the compiler, so that nobody needs a vendor's.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_CALIBRATION_PROBES_H
#define MOEC_CALIBRATION_PROBES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "moec/Target/Device.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::moe {

/// Memory that probes share.
struct ProbeBuffer {
  std::string name;
  uint64_t bytes = 0;
};

/// One argument of a kernel.
struct ProbeArgument {
  enum class Kind {
    /// The address of the buffer of this name.
    Buffer,
    /// `value`, as wide as `bits`.
    Value,
    /// Threads or blocks of the launch, as wide as `bits`.
    Threads,
    Blocks,
  };
  Kind kind = Kind::Value;
  std::string buffer;
  int64_t value = 0;
  unsigned bits = 32;

  static ProbeArgument of(std::string buffer);
  static ProbeArgument i32(int64_t value);
  static ProbeArgument i64(int64_t value);
  static ProbeArgument threads();
  static ProbeArgument blocks();
};

/// How a run of a probe becomes a number.
enum class ProbeMeasure {
  /// Work divided by seconds.
  Rate,
  /// Seconds divided by work (a number of steps).
  Time,
  /// Seconds of one more launch in a captured graph.
  Chain,
  /// The same where each launch may start before the one before has ended.
  DependentChain,
  /// Seconds between two events with nothing between them; no kernel.
  Empty,
};

/// A run of a kernel that is timed, or that fills a buffer before.
struct Probe {
  /// Dotted, e.g. "memory.read": as in results.
  std::string name;
  std::string kernel;
  /// Blocks: a number, or so many for each unit of the device if `perUnit`. A
  /// run of more blocks than the device has units, where that is a number, is
  /// left out.
  int64_t blocks = 1;
  bool perUnit = false;
  int64_t threads = 0;
  /// Dynamic.
  int64_t sharedBytes = 0;
  std::vector<ProbeArgument> arguments;
  ProbeMeasure measure = ProbeMeasure::Rate;
  /// Bytes, operations or steps, of all blocks or of each.
  double work = 0;
  bool workPerBlock = false;
  /// Of the number: "B/s", "1/s" or "s".
  std::string unit;
};

/// Where a figure of the device file comes from.
struct ProbeFigure {
  enum class Kind {
    /// An attribute of the driver, by name: see the manifest's documentation.
    Driver,
    /// Mean or largest of the probes.
    Mean,
    Max,
    /// The largest of the probes per unit of the device and clock.
    PerUnitAndClock,
    /// The figure of the device that stands for the target, times what the
    /// probe shows here over what it showed there; that figure itself where
    /// nobody knows the latter.
    Relative,
    /// The figure of the device that stands for the target.
    Like,
  };
  std::string key;
  Kind kind = Kind::Like;
  /// Names of probes or one of an attribute.
  std::vector<std::string> from;
};

/// All probes of a target.
struct ProbeSet {
  std::string target;
  /// `llvm.func` kernels of the vendor's dialect, as buildNvvmToLLVMPipeline or
  /// buildRocdlToLLVMPipeline take them.
  OwningOpRef<ModuleOp> module;
  /// Of the module, in its order.
  std::vector<std::string> kernels;
  std::vector<ProbeBuffer> buffers;
  /// Runs that fill buffers, then those that are timed.
  std::vector<Probe> setup, probes;
  /// One for every field of a device.
  std::vector<ProbeFigure> figures;
};

/// Whether there are probes for a target; `why` is a sentence if not.
bool hasProbes(StringRef target, std::string &why);

/// Builds the probes of a target. All: reads, copies and writes of memory, rows
/// at random places, latency, cost of a launch. With sm_90: bulk copies by
/// number of busy units and bytes under way, dependent launches. sm_90a:
/// matrix products of warpgroups by type, width, number of warpgroups and place
/// of the first operand. The context gets the dialects that they are made of. A
/// diagnostic for a target without probes.
FailureOr<ProbeSet> buildProbes(MLIRContext *context, StringRef target);

/// The manifest of a folder of probes: JSON with everything but the module, and
/// the device files of the target. `text` and `code` are names of files, ""
/// where there is none.
std::string printProbeManifest(const ProbeSet &probes, StringRef text,
                               StringRef code, ArrayRef<Device> devices);

} // namespace mlir::moe

#endif // MOEC_CALIBRATION_PROBES_H
