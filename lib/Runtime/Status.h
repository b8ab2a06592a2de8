//===- Status.h - The message behind moec_last_error ------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_STATUS_H
#define MOEC_LIB_RUNTIME_STATUS_H

#include "moec-c/Runtime.h"

namespace moec {

/// Sets this thread's message (printf rules, cut off at 1023 bytes) and returns
/// `status`. Allocates nothing.
__attribute__((format(printf, 2, 3))) moec_status fail(moec_status status,
                                                       const char *format, ...);

} // namespace moec

#endif // MOEC_LIB_RUNTIME_STATUS_H
