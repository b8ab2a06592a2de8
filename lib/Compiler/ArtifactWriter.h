//===- ArtifactWriter.h - Folders appear whole or not at all ----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_ARTIFACTWRITER_H
#define MOEC_LIB_COMPILER_ARTIFACTWRITER_H

#include "moec/Compiler/Compile.h"

namespace mlir::moe {

/// Writes the files, of which one is manifest.json, into a folder that appears
/// in one step and replaces a former one; a folder of something else is left
/// alone. A diagnostic if that does not work.
LogicalResult writeFolder(Location location, ArrayRef<ArtifactFile> files,
                          StringRef directory);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_ARTIFACTWRITER_H
