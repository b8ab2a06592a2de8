//===- CudaDriver.cpp - NVIDIA's driver, opened at run time ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GpuDriver.h"
#include "Status.h"

#include <cstdlib>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

using namespace moec;

// Never destroyed: layers may be closed by destructors of other statics.
static std::mutex &openMutex = *new std::mutex;
static std::vector<std::pair<std::string, const GpuDriver *>> &opened =
    *new std::vector<std::pair<std::string, const GpuDriver *>>;

static moec_status load(const char *name, GpuDriver &driver) {
  void *library = openLibrary(name, "NVIDIA");
  if (!library)
    return MOEC_ERR_DEVICE;
  const char *missing = nullptr;
#define MOEC_LOOK_UP(member, symbol, parameters)                               \
  if (void *address = findSymbol(library, symbol))                             \
    assignSymbol(driver.member, address);                                      \
  else if (!missing)                                                           \
    missing = symbol;
  MOEC_CUDA_FUNCTIONS(MOEC_LOOK_UP)
#undef MOEC_LOOK_UP
#define MOEC_LOOK_UP(member, symbol, parameters)                               \
  assignSymbol(driver.member, findSymbol(library, symbol));
  MOEC_CUDA_OPTIONAL_FUNCTIONS(MOEC_LOOK_UP)
#undef MOEC_LOOK_UP
  if (missing) {
    closeLibrary(library);
    return fail(MOEC_ERR_DEVICE,
                "the NVIDIA driver '%s' has no %s; CUDA 12.0 or newer is "
                "needed",
                name, missing);
  }
  CUresult result = driver.init(0);
  if (result == cuda::NoDevice)
    return driver.error(result, "no NVIDIA GPU: cuInit");
  if (result != cuda::Success)
    return driver.error(result, "the NVIDIA driver does not start: cuInit");
  return MOEC_OK;
}

moec_status moec::openCudaDriver(const char *name, const GpuDriver *&driver) {
  if (!name || !*name)
    name = std::getenv("MOEC_CUDA_DRIVER");
  if (!name || !*name)
    name = "libcuda.so.1";
  std::lock_guard<std::mutex> lock(openMutex);
  for (const auto &[known, candidate] : opened)
    if (known == name) {
      driver = candidate;
      return MOEC_OK;
    }
  GpuDriver next = {};
  // A failure is not kept: the next call may find a driver.
  if (moec_status status = load(name, next))
    return status;
  driver = opened.emplace_back(name, new GpuDriver(next)).second;
  return MOEC_OK;
}
