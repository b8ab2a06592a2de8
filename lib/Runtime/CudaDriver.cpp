//===- CudaDriver.cpp - NVIDIA's driver, opened at run time ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CudaDriver.h"
#include "Status.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

using namespace moec;

// Never destroyed: layers may be closed by destructors of other statics.
static std::mutex &openMutex = *new std::mutex;
static std::vector<std::pair<std::string, const CudaDriver *>> &opened =
    *new std::vector<std::pair<std::string, const CudaDriver *>>;

static void *lookUp(void *library, const char *symbol) {
  return dlsym(library, symbol);
}

template <typename Function>
static void assign(Function &function, void *address) {
  static_assert(sizeof(function) == sizeof(address), "POSIX");
  std::memcpy(&function, &address, sizeof(function));
}

static moec_status load(const char *name, CudaDriver &driver) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = dlerror();
    return fail(MOEC_ERR_DEVICE, "no NVIDIA driver: cannot load '%s': %s", name,
                reason ? reason : "unknown reason");
  }
  const char *missing = nullptr;
#define MOEC_LOOK_UP(member, symbol, parameters)                               \
  if (void *address = lookUp(library, symbol))                                 \
    assign(driver.member, address);                                            \
  else if (!missing)                                                           \
    missing = symbol;
  MOEC_CUDA_FUNCTIONS(MOEC_LOOK_UP)
#undef MOEC_LOOK_UP
#define MOEC_LOOK_UP(member, symbol, parameters)                               \
  assign(driver.member, lookUp(library, symbol));
  MOEC_CUDA_OPTIONAL_FUNCTIONS(MOEC_LOOK_UP)
#undef MOEC_LOOK_UP
  if (missing) {
    dlclose(library);
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

moec_status CudaDriver::open(const char *name, const CudaDriver *&driver) {
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
  CudaDriver next = {};
  // A failure is not kept: the next call may find a driver.
  if (moec_status status = load(name, next))
    return status;
  driver = opened.emplace_back(name, new CudaDriver(next)).second;
  return MOEC_OK;
}

moec_status CudaDriver::error(CUresult result, const char *format, ...) const {
  char what[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(what, sizeof(what), format, arguments);
  va_end(arguments);
  const char *name = nullptr;
  const char *text = nullptr;
  if (getErrorName(result, &name) != cuda::Success || !name)
    name = "unknown error";
  if (getErrorString(result, &text) != cuda::Success || !text)
    text = "no text";
  return fail(MOEC_ERR_DEVICE, "%s: %s (%d): %s", what, name, result, text);
}

ContextScope::ContextScope(const CudaDriver &driver, CUcontext context)
    : driver(driver) {
  CUcontext current = nullptr;
  result = driver.ctxGetCurrent(&current);
  if (result != cuda::Success || current == context)
    return;
  result = driver.ctxPushCurrent(context);
  pushed = result == cuda::Success;
}

ContextScope::~ContextScope() {
  CUcontext ignored;
  if (pushed)
    driver.ctxPopCurrent(&ignored);
}
