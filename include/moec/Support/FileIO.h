//===- FileIO.h - Writing files whole or not at all -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_SUPPORT_FILEIO_H
#define MOEC_SUPPORT_FILEIO_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace mlir::moe {

/// Writes what `write` prints to `path`, through a temporary file beside it
/// that is renamed at the end: on an error (no such directory, disk full, ...)
/// no partial file is left and an older one stays. A path that exists and is no
/// regular file (a device, a pipe) is written directly.
llvm::Error writeFile(llvm::StringRef path,
                      llvm::function_ref<void(llvm::raw_ostream &)> write);

/// A random name of eight hexadecimal digits behind `path` and ".tmp-". LLVM's
/// functions for unique names would also replace every '%' of `path`.
std::string temporaryName(llvm::StringRef path);

/// Whether `name` is what `temporaryName(path)` may have been, both without
/// directories.
bool isTemporaryNameOf(llvm::StringRef name, llvm::StringRef path);

} // namespace mlir::moe

#endif // MOEC_SUPPORT_FILEIO_H
