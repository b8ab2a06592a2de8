//===- HipDriver.cpp - AMD's HIP, opened at run time ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// HIP has most of the driver's functions by other names, and instead of
// contexts a device that is current in each thread. A context is here the
// number of a device plus one.
//
//===----------------------------------------------------------------------===//

#include "GpuDriver.h"
#include "Status.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

using namespace moec;

//===----------------------------------------------------------------------===//
// HIP's side
//===----------------------------------------------------------------------===//

namespace {
/// HIP's numbers; where none is here, they are the driver's.
enum HipDeviceAttribute {
  HipMultiprocessorCount = 63,
  HipPageableMemoryAccess = 65,
  HipMaxSharedMemoryPerBlock = 74
};
enum { HipErrorInvalidValue = 1, HipErrorNotSupported = 801 };

/// hipDeviceProp_t of ROCm 6 and 7, of which only one member counts.
struct HipProperties {
  char before[1160];
  char gcnArchName[256];
  /// More than there is, so that a newer one fits.
  char after[4096];
};
} // namespace

/// X(member, symbol, result, parameters).
#define MOEC_HIP_FUNCTIONS(X)                                                  \
  X(init, "hipInit", int, (unsigned))                                          \
  X(getDeviceCount, "hipGetDeviceCount", int, (int *))                         \
  X(deviceGet, "hipDeviceGet", int, (int *, int))                              \
  X(deviceGetName, "hipDeviceGetName", int, (char *, int, int))                \
  X(deviceGetAttribute, "hipDeviceGetAttribute", int, (int *, int, int))       \
  X(getDeviceProperties, "hipGetDevicePropertiesR0600", int,                   \
    (HipProperties *, int))                                                    \
  X(getDevice, "hipGetDevice", int, (int *))                                   \
  X(setDevice, "hipSetDevice", int, (int))                                     \
  X(moduleLoadData, "hipModuleLoadData", int, (CUmodule *, const void *))      \
  X(moduleUnload, "hipModuleUnload", int, (CUmodule))                          \
  X(moduleGetFunction, "hipModuleGetFunction", int,                            \
    (CUfunction *, CUmodule, const char *))                                    \
  X(funcGetAttribute, "hipFuncGetAttribute", int, (int *, int, CUfunction))    \
  X(maxActiveBlocks, "hipModuleOccupancyMaxActiveBlocksPerMultiprocessor",     \
    int, (int *, CUfunction, int, size_t))                                     \
  X(pointerGetAttribute, "hipPointerGetAttribute", int,                        \
    (void *, int, CUdeviceptr))                                                \
  X(memsetD8Async, "hipMemsetD8Async", int,                                    \
    (CUdeviceptr, unsigned char, size_t, CUstream))                            \
  X(launchKernel, "hipModuleLaunchKernel", int,                                \
    (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,   \
     unsigned, CUstream, void **, void **))                                    \
  X(launchCooperativeKernel, "hipModuleLaunchCooperativeKernel", int,          \
    (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,   \
     unsigned, CUstream, void **))                                             \
  X(getErrorName, "hipGetErrorName", const char *, (int))                      \
  X(getErrorString, "hipGetErrorString", const char *, (int))

namespace {
struct Hip {
#define MOEC_MEMBER(member, symbol, result, parameters)                        \
  result(*member) parameters;
  MOEC_HIP_FUNCTIONS(MOEC_MEMBER)
#undef MOEC_MEMBER
};
} // namespace

/// The one library of this process; set before any driver is handed out.
static Hip hip = {};

//===----------------------------------------------------------------------===//
// The driver's side
//===----------------------------------------------------------------------===//

/// Devices that were current before those that were pushed: two scopes of the
/// run time at most, one of opening and one of running, lie in each other.
static thread_local int formerDevices[4];
static thread_local int formerCount = 0;

static CUcontext toContext(int device) {
  return reinterpret_cast<CUcontext>(static_cast<uintptr_t>(device) + 1);
}

static int toDevice(CUcontext context) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(context) - 1);
}

static CUresult deviceGetAttribute(int *value, int attribute, CUdevice device) {
  switch (attribute) {
  case cuda::MultiprocessorCount:
    return hip.deviceGetAttribute(value, HipMultiprocessorCount, device);
  case cuda::PageableMemoryAccess:
    return hip.deviceGetAttribute(value, HipPageableMemoryAccess, device);
  case cuda::MaxSharedMemoryPerBlockOptin:
    return hip.deviceGetAttribute(value, HipMaxSharedMemoryPerBlock, device);
  default:
    // Chips are told apart by their names.
    *value = 0;
    return cuda::Success;
  }
}

static CUresult deviceGetArch(char *name, int length, CUdevice device) {
  HipProperties properties = {};
  if (CUresult result = hip.getDeviceProperties(&properties, device))
    return result;
  properties.gcnArchName[sizeof(properties.gcnArchName) - 1] = '\0';
  std::snprintf(name, static_cast<size_t>(length), "%s",
                properties.gcnArchName);
  return cuda::Success;
}

static CUresult contextRetain(CUcontext *context, CUdevice device) {
  *context = toContext(device);
  return cuda::Success;
}

static CUresult contextRelease(CUdevice) { return cuda::Success; }

static CUresult contextGetCurrent(CUcontext *context) {
  int device = 0;
  CUresult result = hip.getDevice(&device);
  *context = result == cuda::Success ? toContext(device) : nullptr;
  return result;
}

static CUresult contextPush(CUcontext context) {
  int former = 0;
  if (formerCount == sizeof(formerDevices) / sizeof(*formerDevices))
    return HipErrorInvalidValue;
  if (CUresult result = hip.getDevice(&former))
    return result;
  if (CUresult result = hip.setDevice(toDevice(context)))
    return result;
  formerDevices[formerCount++] = former;
  return cuda::Success;
}

static CUresult contextPop(CUcontext *context) {
  if (formerCount == 0)
    return HipErrorInvalidValue;
  int former = formerDevices[--formerCount];
  *context = toContext(former);
  return hip.setDevice(former);
}

static CUresult loadData(CUmodule *module, const void *image, unsigned, int *,
                         void **) {
  return hip.moduleLoadData(module, image);
}

/// All LDS is a block's to take: there is nothing to ask for.
static CUresult funcSetAttribute(CUfunction, int attribute, int) {
  return attribute == cuda::MaxDynamicSharedMemory
             ? CUresult(cuda::Success)
             : CUresult(HipErrorNotSupported);
}

static CUresult maxActiveClusters(int *, CUfunction, const CUlaunchConfig *) {
  return HipErrorNotSupported;
}

static CUresult encodeTiled(CUtensorMap *, int, uint32_t, void *,
                            const uint64_t *, const uint64_t *,
                            const uint32_t *, const uint32_t *, int, int, int,
                            int) {
  return HipErrorNotSupported;
}

/// Memory that HIP does not know has a type as well: 0.
static CUresult pointerGetAttribute(void *value, int attribute,
                                    CUdeviceptr address) {
  uint32_t type = 0;
  CUresult result = hip.pointerGetAttribute(&type, attribute, address);
  if (result == cuda::Success && attribute == cuda::MemoryType && type == 0)
    return HipErrorInvalidValue;
  std::memcpy(value, &type, sizeof(type));
  return result;
}

static CUresult launchKernel(const CUlaunchConfig *config, CUfunction function,
                             void **parameters, void **extra) {
  bool cooperative = false;
  for (uint32_t i = 0; i < config->numAttrs; ++i) {
    // A launch that may start early may as well start in order.
    if (config->attrs[i].id == cuda::ClusterDimension)
      return HipErrorNotSupported;
    cooperative |= config->attrs[i].id == cuda::Cooperative;
  }
  const uint32_t *grid = config->gridDim, *block = config->blockDim;
  if (cooperative)
    return hip.launchCooperativeKernel(
        function, grid[0], grid[1], grid[2], block[0], block[1], block[2],
        config->sharedMemBytes, config->hStream, parameters);
  return hip.launchKernel(function, grid[0], grid[1], grid[2], block[0],
                          block[1], block[2], config->sharedMemBytes,
                          config->hStream, parameters, extra);
}

static CUresult getErrorName(CUresult code, const char **name) {
  *name = hip.getErrorName(code);
  return *name ? CUresult(cuda::Success) : CUresult(HipErrorInvalidValue);
}

static CUresult getErrorString(CUresult code, const char **text) {
  *text = hip.getErrorString(code);
  return *text ? CUresult(cuda::Success) : CUresult(HipErrorInvalidValue);
}

static GpuDriver makeDriver() {
  GpuDriver driver = {};
  driver.prefix = "hip";
  driver.name = "hip";
  driver.vendor = "AMD";
  driver.deviceGetArch = deviceGetArch;
  driver.init = hip.init;
  driver.deviceGetCount = hip.getDeviceCount;
  driver.deviceGet = hip.deviceGet;
  driver.deviceGetName = hip.deviceGetName;
  driver.deviceGetAttribute = deviceGetAttribute;
  driver.primaryCtxRetain = contextRetain;
  driver.primaryCtxRelease = contextRelease;
  driver.ctxGetCurrent = contextGetCurrent;
  driver.ctxGetDevice = hip.getDevice;
  driver.ctxPushCurrent = contextPush;
  driver.ctxPopCurrent = contextPop;
  driver.moduleLoadDataEx = loadData;
  driver.moduleUnload = hip.moduleUnload;
  driver.moduleGetFunction = hip.moduleGetFunction;
  driver.funcGetAttribute = hip.funcGetAttribute;
  driver.funcSetAttribute = funcSetAttribute;
  driver.maxActiveBlocks = hip.maxActiveBlocks;
  driver.maxActiveClusters = maxActiveClusters;
  driver.tensorMapEncodeTiled = encodeTiled;
  driver.pointerGetAttribute = pointerGetAttribute;
  driver.memsetD8Async = hip.memsetD8Async;
  driver.launchKernelEx = launchKernel;
  driver.getErrorName = getErrorName;
  driver.getErrorString = getErrorString;
  return driver;
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

/// Opens the library; if the caller named none, under the names that ROCm gives
/// it with and without its packages for developers. `name` gets the one that
/// counts.
static void *openHip(const char *&name) {
  if (name)
    return openLibrary(name, "AMD");
  for (const char *known :
       {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so"}) {
    name = known;
    if (void *library = openLibrary(name, "AMD"))
      return library;
  }
  return nullptr;
}

static moec_status load(const char *name) {
  void *library = openHip(name);
  if (!library)
    return MOEC_ERR_DEVICE;
  const char *missing = nullptr;
#define MOEC_LOOK_UP(member, symbol, result, parameters)                       \
  if (void *address = findSymbol(library, symbol))                             \
    assignSymbol(hip.member, address);                                         \
  else if (!missing)                                                           \
    missing = symbol;
  MOEC_HIP_FUNCTIONS(MOEC_LOOK_UP)
#undef MOEC_LOOK_UP
  if (missing) {
    closeLibrary(library);
    return fail(MOEC_ERR_DEVICE,
                "the HIP library '%s' has no %s; ROCm 6.0 or newer is needed",
                name, missing);
  }
  CUresult result = hip.init(0);
  if (result == cuda::Success)
    return MOEC_OK;
  return makeDriver().error(result, result == cuda::NoDevice
                                        ? "no AMD GPU: hipInit"
                                        : "HIP does not start: hipInit");
}

moec_status moec::openHipDriver(const char *name, const GpuDriver *&driver) {
  // Never destroyed: layers may be closed by destructors of other statics.
  static std::mutex &mutex = *new std::mutex;
  static std::string &opened = *new std::string;
  static const GpuDriver *known = nullptr;
  if (!name || !*name)
    name = std::getenv("MOEC_HIP_DRIVER");
  if (name && !*name)
    name = nullptr;
  std::string wanted = name ? name : "";
  std::lock_guard<std::mutex> lock(mutex);
  if (known && opened != wanted)
    return fail(MOEC_ERR_DEVICE,
                "cannot use the HIP library '%s': this process uses '%s'",
                name ? name : "of the system",
                opened.empty() ? "of the system" : opened.c_str());
  if (!known) {
    // A failure is not kept: the next call may find a driver.
    if (moec_status status = load(name))
      return status;
    known = new GpuDriver(makeDriver());
    opened = wanted;
  }
  driver = known;
  return MOEC_OK;
}
