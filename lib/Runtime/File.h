//===- File.h - Whole files ---------------------------------------*- C++
//-*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_FILE_H
#define MOEC_LIB_RUNTIME_FILE_H

#include "moec-c/Runtime.h"

#include <string>

namespace moec {

/// Reads a file. Fails with "cannot read WHAT 'PATH': REASON", MOEC_ERR_FILE.
moec_status readFile(const std::string &path, const char *what,
                     std::string &content);

} // namespace moec

#endif // MOEC_LIB_RUNTIME_FILE_H
