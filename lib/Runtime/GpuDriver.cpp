//===- GpuDriver.cpp - A GPU's driver, opened at run time -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GpuDriver.h"
#include "Status.h"

#include <cstdarg>
#include <cstdio>
#include <dlfcn.h>

using namespace moec;

void *moec::openLibrary(const char *name, const char *vendor) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = dlerror();
    fail(MOEC_ERR_DEVICE, "no %s driver: cannot load '%s': %s", vendor, name,
         reason ? reason : "unknown reason");
  }
  return library;
}

void *moec::findSymbol(void *library, const char *symbol) {
  return dlsym(library, symbol);
}

void moec::closeLibrary(void *library) { dlclose(library); }

moec_status GpuDriver::error(CUresult result, const char *format, ...) const {
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

ContextScope::ContextScope(const GpuDriver &driver, CUcontext context)
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
