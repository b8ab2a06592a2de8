//===- GpuDriver.h - A GPU's driver, opened at run time ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The few types and entry points of a driver's interface that the run time
// uses, declared here so that building needs no CUDA or ROCm and running on a
// machine without a GPU needs no driver. Names and layouts are those of
// NVIDIA's driver; AMD's HIP, which is made after it, is fitted to them.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_GPUDRIVER_H
#define MOEC_LIB_RUNTIME_GPUDRIVER_H

#include "moec-c/Runtime.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace moec {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = uint64_t;
using CUcontext = struct CUctx_st *;
using CUmodule = struct CUmod_st *;
using CUfunction = struct CUfunc_st *;
using CUstream = struct CUstream_st *;

/// Passed to kernels by value; 64-byte aligned for the driver's encoder.
struct alignas(64) CUtensorMap {
  uint64_t opaque[16];
};

struct CUlaunchAttribute {
  int32_t id;
  int32_t pad;
  union {
    char bytes[64];
    int32_t flag;
    uint32_t dims[3];
  } value;
};
static_assert(sizeof(CUlaunchAttribute) == 72, "the driver's layout");

struct CUlaunchConfig {
  uint32_t gridDim[3];
  uint32_t blockDim[3];
  uint32_t sharedMemBytes;
  CUstream hStream;
  CUlaunchAttribute *attrs;
  uint32_t numAttrs;
};
static_assert(sizeof(CUlaunchConfig) == 56 &&
                  offsetof(CUlaunchConfig, hStream) == 32,
              "the driver's layout");

/// The driver's numbers.
namespace cuda {
enum Result : CUresult { Success = 0, InvalidValue = 1, NoDevice = 100 };
enum DeviceAttribute {
  MultiprocessorCount = 16,
  ComputeCapabilityMajor = 75,
  ComputeCapabilityMinor = 76,
  PageableMemoryAccess = 88,
  MaxSharedMemoryPerBlockOptin = 97
};
enum FunctionAttribute {
  MaxThreadsPerBlock = 0,
  StaticSharedMemory = 1,
  MaxDynamicSharedMemory = 8,
  NonPortableClusterSize = 14
};
enum LaunchAttribute {
  Cooperative = 2,
  ClusterDimension = 4,
  ProgrammaticStreamSerialization = 6
};
enum PointerAttribute { MemoryType = 2 };
enum JitOption { ErrorLogBuffer = 5, ErrorLogBufferSize = 6 };
} // namespace cuda

/// X(member, symbol, parameters): entry points without which nothing runs.
#define MOEC_CUDA_FUNCTIONS(X)                                                 \
  X(init, "cuInit", (unsigned))                                                \
  X(deviceGetCount, "cuDeviceGetCount", (int *))                               \
  X(deviceGet, "cuDeviceGet", (CUdevice *, int))                               \
  X(deviceGetName, "cuDeviceGetName", (char *, int, CUdevice))                 \
  X(deviceGetAttribute, "cuDeviceGetAttribute", (int *, int, CUdevice))        \
  X(primaryCtxRetain, "cuDevicePrimaryCtxRetain", (CUcontext *, CUdevice))     \
  X(primaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (CUdevice))             \
  X(ctxGetCurrent, "cuCtxGetCurrent", (CUcontext *))                           \
  X(ctxGetDevice, "cuCtxGetDevice", (CUdevice *))                              \
  X(ctxPushCurrent, "cuCtxPushCurrent_v2", (CUcontext))                        \
  X(ctxPopCurrent, "cuCtxPopCurrent_v2", (CUcontext *))                        \
  X(moduleLoadDataEx, "cuModuleLoadDataEx",                                    \
    (CUmodule *, const void *, unsigned, int *, void **))                      \
  X(moduleUnload, "cuModuleUnload", (CUmodule))                                \
  X(moduleGetFunction, "cuModuleGetFunction",                                  \
    (CUfunction *, CUmodule, const char *))                                    \
  X(funcGetAttribute, "cuFuncGetAttribute", (int *, int, CUfunction))          \
  X(funcSetAttribute, "cuFuncSetAttribute", (CUfunction, int, int))            \
  X(maxActiveBlocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor",            \
    (int *, CUfunction, int, size_t))                                          \
  X(maxActiveClusters, "cuOccupancyMaxActiveClusters",                         \
    (int *, CUfunction, const CUlaunchConfig *))                               \
  X(tensorMapEncodeTiled, "cuTensorMapEncodeTiled",                            \
    (CUtensorMap *, int, uint32_t, void *, const uint64_t *, const uint64_t *, \
     const uint32_t *, const uint32_t *, int, int, int, int))                  \
  X(pointerGetAttribute, "cuPointerGetAttribute", (void *, int, CUdeviceptr))  \
  X(memsetD8Async, "cuMemsetD8Async",                                          \
    (CUdeviceptr, unsigned char, size_t, CUstream))                            \
  X(launchKernelEx, "cuLaunchKernelEx",                                        \
    (const CUlaunchConfig *, CUfunction, void **, void **))                    \
  X(getErrorName, "cuGetErrorName", (CUresult, const char **))                 \
  X(getErrorString, "cuGetErrorString", (CUresult, const char **))

/// The same for entry points that older drivers lack; null there.
#define MOEC_CUDA_OPTIONAL_FUNCTIONS(X)                                        \
  X(funcLoad, "cuFuncLoad", (CUfunction))                                      \
  X(funcGetParamInfo, "cuFuncGetParamInfo",                                    \
    (CUfunction, size_t, size_t *, size_t *))

/// An opened driver. Lives until the process ends.
struct GpuDriver {
#define MOEC_MEMBER(member, symbol, parameters) CUresult(*member) parameters;
  MOEC_CUDA_FUNCTIONS(MOEC_MEMBER)
  MOEC_CUDA_OPTIONAL_FUNCTIONS(MOEC_MEMBER)
#undef MOEC_MEMBER

  /// How the interface's functions begin: "cu", "hip".
  const char *prefix = "cu";
  /// In targets: "cuda", "hip".
  const char *name = "cuda";
  const char *vendor = "NVIDIA";
  /// "gfx942:sramecc+:xnack-"; null where chips have capabilities instead.
  CUresult (*deviceGetArch)(char *, int, CUdevice) = nullptr;

  bool isHip() const { return deviceGetArch; }

  /// Sets the message "WHAT: CUDA_ERROR_... (N): text" and returns
  /// MOEC_ERR_DEVICE.
  moec_status error(CUresult result, const char *format, ...) const
      __attribute__((format(printf, 3, 4)));
};

/// Opens the library `name` once per process and initialises it. Null or "":
/// what the environment variable MOEC_CUDA_DRIVER names, else libcuda.so.1.
/// Fails with MOEC_ERR_DEVICE.
moec_status openCudaDriver(const char *name, const GpuDriver *&driver);

/// The same for HIP: MOEC_HIP_DRIVER, else libamdhip64.so of ROCm 7 or 6. A
/// process has one.
moec_status openHipDriver(const char *name, const GpuDriver *&driver);

/// What both need: loads a library and finds symbols in it.
void *openLibrary(const char *name, const char *vendor);
void *findSymbol(void *library, const char *symbol);
void closeLibrary(void *library);

/// Sets a pointer to a function from what findSymbol returned.
template <typename Function>
void assignSymbol(Function &function, void *address) {
  static_assert(sizeof(function) == sizeof(address), "POSIX");
  std::memcpy(&function, &address, sizeof(function));
}

/// Makes a context current during a scope, unless it is so already.
class ContextScope {
public:
  ContextScope(const GpuDriver &driver, CUcontext context);
  ~ContextScope();
  ContextScope(const ContextScope &) = delete;
  ContextScope &operator=(const ContextScope &) = delete;
  /// Of making it current.
  CUresult result = cuda::Success;

private:
  const GpuDriver &driver;
  bool pushed = false;
};

} // namespace moec

#endif // MOEC_LIB_RUNTIME_GPUDRIVER_H
