//===- Dtype.h - Element types by number and name ---------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_DTYPE_H
#define MOEC_LIB_RUNTIME_DTYPE_H

#include "moec-c/Runtime.h"

namespace moec {

/// False if no moec_dtype has this name.
bool dtypeFromName(const char *name, moec_dtype &dtype);

/// Whether a tensor of type `a` may be passed for an argument of type `b`:
/// equal, or both packed bytes (i8, u8).
bool sameStorage(int32_t a, int32_t b);

} // namespace moec

#endif // MOEC_LIB_RUNTIME_DTYPE_H
