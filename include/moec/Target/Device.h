//===- Device.h - What one machine can do -----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The figures of a device that predictions of time are made from. They come
// from data files (lib/Target/devices, or a user's own), never from code.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TARGET_DEVICE_H
#define MOEC_TARGET_DEVICE_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mlir::moe {

/// Figures of one device: bytes, hertz, seconds, operations per second. Rates
/// are what a kernel reaches, not the peak on paper, unless the source says so.
struct DeviceFigures {
  /// Multiprocessors, compute units or cores.
  double computeUnits = 0;
  double clockHz = 0;
  /// Shared memory (LDS) of one block, and of all blocks on a unit; 0 on a CPU.
  double sharedBytes = 0, sharedBytesPerUnit = 0;
  /// 32-bit registers of a unit; 0 on a CPU.
  double registersPerUnit = 0;
  /// 32-bit operations that a unit issues per clock.
  double lanes = 0;
  /// The last cache that all units share.
  double l2Bytes = 0;
  double memoryBytes = 0;
  /// Memory by access pattern: one stream that is read, read and written half
  /// and half, written; rows of a few KiB at random places that are read.
  double readRate = 0, copyRate = 0, writeRate = 0, gatherRate = 0;
  /// What one unit reads from memory while the others rest.
  double unitReadRate = 0;
  /// Reads that hit the last cache, all units together.
  double l2Rate = 0;
  /// Bytes of shared memory per clock and unit.
  double sharedBytesPerClock = 0;
  /// Dense matrix products, operations per second by bits of an operand; 0: no
  /// such instruction.
  double flops32 = 0, flops16 = 0, flops8 = 0, flops4 = 0;
  /// What a launch in a captured graph costs, and one that is launched before
  /// the one before it has ended.
  double launchSeconds = 0, dependentLaunchSeconds = 0;
  /// From a request to the first byte from memory.
  double latencySeconds = 0;
};

/// Block rows that were measured best for tiles with these storages up to so
/// many mean rows per hit expert; 0: without bound.
struct MeasuredBlock {
  int64_t aBits = 0, bBits = 0;
  double maxRows = 0;
  int64_t blockM = 0;
};

/// A device.
struct Device {
  /// As in `--device`: lower case, e.g. "h100-sxm".
  std::string name;
  /// What people call it.
  std::string product;
  /// The target that code for it is compiled for, e.g. "sm_90a".
  std::string arch;
  /// Names by which drivers report it.
  std::vector<std::string> reportedNames;
  /// The one that stands for its architecture if no device is named.
  bool isDefault = false;
  DeviceFigures figures;
  /// Where each figure is from, by its key.
  std::map<std::string, std::string> sources;
  /// Ascending bounds for each pair of storages.
  std::vector<MeasuredBlock> measuredBlocks;
  std::string measuredSource;
  /// What single probes showed on it, by their names (Calibration/Probes.h):
  /// what figures of other devices are compared with.
  std::map<std::string, double> probes;

  /// The block rows measured best, 0 if nobody measured.
  int64_t findMeasuredBlock(int64_t aBits, int64_t bBits,
                            double rowsPerExpert) const;
  /// Matrix operations per second of operands with so many bits: those of the
  /// narrowest instruction that holds them. 0 if there is none.
  double getMatrixRate(int64_t bits) const;
};

/// A figure's key in files, its place, its unit, and the range of sane values.
struct DeviceField {
  const char *key;
  double DeviceFigures::*member;
  const char *unit;
  double least, most;
  /// Whether a CPU has it.
  bool onCpu;
  /// 0 is a value: "has no such thing".
  bool optional;
};

/// All fields, in the order of files.
const std::vector<DeviceField> &getDeviceFields();

} // namespace mlir::moe

#endif // MOEC_TARGET_DEVICE_H
