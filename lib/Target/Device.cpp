//===- Device.cpp - What one machine can do -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Target/Device.h"

using namespace mlir::moe;

const std::vector<DeviceField> &mlir::moe::getDeviceFields() {
  using F = DeviceFigures;
  static const std::vector<DeviceField> fields = {
      {"compute_units", &F::computeUnits, "1", 1, 1e5, true, false},
      {"clock_hz", &F::clockHz, "Hz", 1e8, 2e10, true, false},
      {"shared_bytes", &F::sharedBytes, "B", 16384, 1e7, false, false},
      {"shared_bytes_per_unit", &F::sharedBytesPerUnit, "B", 16384, 1e7, false,
       false},
      {"registers_per_unit", &F::registersPerUnit, "1", 1024, 1e7, false,
       false},
      {"lanes", &F::lanes, "1", 1, 4096, true, false},
      {"l2_bytes", &F::l2Bytes, "B", 1e5, 1e10, true, false},
      {"memory_bytes", &F::memoryBytes, "B", 1e8, 1e13, true, false},
      {"read_rate", &F::readRate, "B/s", 1e9, 1e14, true, false},
      {"copy_rate", &F::copyRate, "B/s", 1e9, 1e14, true, false},
      {"write_rate", &F::writeRate, "B/s", 1e9, 1e14, true, false},
      {"gather_rate", &F::gatherRate, "B/s", 1e8, 1e14, true, false},
      {"unit_read_rate", &F::unitReadRate, "B/s", 1e8, 1e13, true, false},
      {"l2_rate", &F::l2Rate, "B/s", 1e9, 1e15, true, false},
      {"shared_bytes_per_clock", &F::sharedBytesPerClock, "B", 16, 4096, false,
       false},
      {"flops32", &F::flops32, "1/s", 1e9, 1e17, true, true},
      {"flops16", &F::flops16, "1/s", 1e9, 1e17, true, true},
      {"flops8", &F::flops8, "1/s", 1e9, 1e17, true, true},
      {"flops4", &F::flops4, "1/s", 1e9, 1e17, true, true},
      {"launch_seconds", &F::launchSeconds, "s", 1e-8, 1e-3, true, false},
      {"dependent_launch_seconds", &F::dependentLaunchSeconds, "s", 1e-8, 1e-3,
       true, false},
      {"latency_seconds", &F::latencySeconds, "s", 1e-9, 1e-4, true, false},
  };
  return fields;
}

int64_t Device::findMeasuredBlock(int64_t aBits, int64_t bBits,
                                  double rowsPerExpert) const {
  for (const MeasuredBlock &block : measuredBlocks)
    if (block.aBits == aBits && block.bBits == bBits &&
        (block.maxRows == 0 || rowsPerExpert <= block.maxRows))
      return block.blockM;
  return 0;
}

double Device::getMatrixRate(int64_t bits) const {
  const std::pair<int64_t, double> rates[] = {{4, figures.flops4},
                                              {8, figures.flops8},
                                              {16, figures.flops16},
                                              {32, figures.flops32}};
  for (auto [width, rate] : rates)
    if (bits <= width && rate > 0)
      return rate;
  return 0;
}
