//===- Status.cpp - The message behind moec_last_error --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Status.h"

#include <cstdarg>
#include <cstdio>

static thread_local char lastError[1024];

moec_status moec::fail(moec_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(lastError, sizeof(lastError), format, arguments);
  va_end(arguments);
  return status;
}

extern "C" const char *moec_last_error(void) { return lastError; }

extern "C" const char *moec_status_name(int32_t status) {
  switch (status) {
  case MOEC_OK:
    return "MOEC_OK";
  case MOEC_ERR_INVALID_ARGUMENT:
    return "MOEC_ERR_INVALID_ARGUMENT";
  case MOEC_ERR_FILE:
    return "MOEC_ERR_FILE";
  case MOEC_ERR_MANIFEST:
    return "MOEC_ERR_MANIFEST";
  case MOEC_ERR_FORMAT:
    return "MOEC_ERR_FORMAT";
  case MOEC_ERR_CODE:
    return "MOEC_ERR_CODE";
  case MOEC_ERR_UNSUPPORTED:
    return "MOEC_ERR_UNSUPPORTED";
  case MOEC_ERR_NO_VARIANT:
    return "MOEC_ERR_NO_VARIANT";
  case MOEC_ERR_SHAPE:
    return "MOEC_ERR_SHAPE";
  case MOEC_ERR_DTYPE:
    return "MOEC_ERR_DTYPE";
  case MOEC_ERR_ALIGNMENT:
    return "MOEC_ERR_ALIGNMENT";
  case MOEC_ERR_WORKSPACE:
    return "MOEC_ERR_WORKSPACE";
  case MOEC_ERR_RESOURCES:
    return "MOEC_ERR_RESOURCES";
  case MOEC_ERR_DEVICE:
    return "MOEC_ERR_DEVICE";
  default:
    return "unknown status";
  }
}
