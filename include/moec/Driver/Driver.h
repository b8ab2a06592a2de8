//===- Driver.h - moe-run as a library ------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_DRIVER_H
#define MOEC_DRIVER_DRIVER_H

#include "llvm/ADT/ArrayRef.h"
#include <string>

namespace mlir::moe {

/// Does what moe-run does with these arguments (without the program's name).
/// Results go to stdout, one line per error to stderr. Returns the exit status:
/// 0 only if everything ran and every check passed.
int runMain(llvm::ArrayRef<std::string> args);

} // namespace mlir::moe

#endif // MOEC_DRIVER_DRIVER_H
