//===- ProbeCompile.h - Probes become code ----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_PROBECOMPILE_H
#define MOEC_LIB_COMPILER_PROBECOMPILE_H

#include "ArtifactWriter.h"

namespace mlir::moe {

/// Compiles the probes of a target to the files of a folder: code and
/// manifest.json. Of the options those about ptxas and the cache count. `notes`
/// gets what a user should know. Errors, a target without probes among them,
/// are diagnostics.
FailureOr<std::vector<ArtifactFile>>
makeProbes(MLIRContext *context, StringRef target,
           const CompileOptions &options, std::vector<std::string> &notes);

/// Writes the probes as they are on their way: nvvm or rocdl, llvm, llvm-ir,
/// ptx, cubin, asm or hsaco.
LogicalResult emitProbes(MLIRContext *context, StringRef target,
                         const CompileOptions &options, StringRef form,
                         llvm::raw_ostream &os);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_PROBECOMPILE_H
