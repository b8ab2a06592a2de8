//===- GpuLayer.h - A layer on a GPU ----------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_GPULAYER_H
#define MOEC_LIB_RUNTIME_GPULAYER_H

#include "GpuDriver.h"
#include "Layer.h"
#include "TensorMap.h"

#include <atomic>

namespace moec {

/// A launch with everything that does not depend on a run.
struct GpuKernel {
  CUfunction function = nullptr;
  /// Blocks of the launch's persistent dimension.
  uint32_t persistentBlocks = 0;
  /// How many blocks can run at the same time, for `resident` launches; else
  /// no limit.
  uint64_t residentBlocks = UINT64_MAX;
  /// Programmatic serialisation is the last one, so that a launch without it
  /// passes one attribute less.
  CUlaunchAttribute attributes[3];
  uint32_t attributeCount = 0;
};

/// Addresses that the GPU was found to reach. A hint: two addresses of the
/// same slot displace each other.
class ReachableAddresses {
public:
  bool contains(uint64_t address) const {
    return slot(address).load(std::memory_order_relaxed) == address;
  }
  void insert(uint64_t address) {
    const_cast<std::atomic<uint64_t> &>(slot(address))
        .store(address, std::memory_order_relaxed);
  }

private:
  const std::atomic<uint64_t> &slot(uint64_t address) const {
    return slots[(address * 0x9e3779b97f4a7c15) >> 56];
  }
  std::atomic<uint64_t> slots[256] = {};
};

/// What the GPU adds to a layer. Only the two caches change after opening.
struct GpuState {
  const GpuDriver *driver = nullptr;
  CUdevice device = 0;
  CUcontext context = nullptr;
  /// The context is the device's primary one and was retained.
  bool retained = false;
  bool reachesPageableMemory = false;
  int32_t multiprocessors = 0;
  int32_t sharedMemoryLimit = 0;
  /// 90 for 9.0; of NVIDIA's.
  int32_t capability = 0;
  /// "gfx942"; of AMD's.
  std::string arch;
  std::string deviceName;
  /// By the path of the file.
  std::vector<std::pair<std::string, CUmodule>> modules;
  /// One list per variant, empty if it does not run here.
  std::vector<std::vector<GpuKernel>> kernels;
  TensorMapCache tensorMaps;
  ReachableAddresses reachable;

  ~GpuState();
};

/// Opens the layer's variants for `target` ("cuda", "cuda:N", "hip", "hip:N");
/// fills in `loaded`, `target` and `gpu`. `driver`: as in moec_open_options.
moec_status openGpu(const std::string &directory, const char *target,
                    const char *driver, moec_layer &layer);

/// True for KIND and "KIND:N", e.g. "cuda"; `ordinal` is -1 for the former.
bool parseGpuTarget(const char *target, const char *kind, int32_t &ordinal);

/// How code for a target such as "sm_90a" fits a device.
enum class CudaFit { Binary, PtxOnly, DeviceTooOld, OtherDevice, Unknown };
/// capability: 90 for 9.0. Code for "sm_90a" runs on 9.0 alone, for "sm_100f"
/// on 10.x from 10.0 on, for "sm_80" as a binary on 8.x and as PTX on
/// everything from 8.0 on.
CudaFit fitCuda(const std::string &target, int32_t capability);

/// Null if `image` is a whole cubin or HSACO, else what is wrong with it. The
/// driver reads as far as the headers say, whatever the file's size.
const char *checkCubin(const std::string &image);
const char *checkHsaco(const std::string &image);

} // namespace moec

#endif // MOEC_LIB_RUNTIME_GPULAYER_H
