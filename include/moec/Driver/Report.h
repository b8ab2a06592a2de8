//===- Report.h - What a run tells ----------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DRIVER_REPORT_H
#define MOEC_DRIVER_REPORT_H

#include "moec/Driver/Session.h"
#include "llvm/Support/JSON.h"

namespace mlir::moe {

/// Prints the result of one token count: key=value pairs, a line each for the
/// run, the check and the times.
void printCase(llvm::raw_ostream &os, const LayerSpec &spec,
               const RunOptions &options, const CaseResult &result);

/// Everything of printCase under stable keys; times in seconds, sizes in bytes.
llvm::json::Value caseToJson(const CaseResult &result);

/// The whole report: version, machine, layer, options and cases.
llvm::json::Value reportToJson(const LayerSpec &spec, const RunOptions &options,
                               llvm::ArrayRef<CaseResult> cases);

} // namespace mlir::moe

#endif // MOEC_DRIVER_REPORT_H
