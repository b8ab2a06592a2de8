//===- Tune.h - Measure what the selector ranks first -----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TUNER_TUNE_H
#define MOEC_TUNER_TUNE_H

#include "moec/Tuner/Candidates.h"
#include "moec/Tuner/Journal.h"
#include "moec/Tuner/TuneOptions.h"

namespace mlir::moe {

/// Measures on this machine's CPU. Errors: a layer that no candidate of can be
/// run, memory that is not there, a journal of something else.
llvm::Expected<TunedTable> tuneOnCpu(ModuleOp module,
                                     const TuneOptions &options);

/// Writes a folder for `gpu-kit/run sweep` (test/GpuKit): the candidates of all
/// token counts, compiled, and `sweep.json`.
llvm::Error writeGpuKit(ModuleOp module, const TuneOptions &options);

/// Makes a table of what `gpu-kit/run sweep` has written. Errors name the file:
/// no such document, another layer or target, kernels of another compiler.
llvm::Expected<TunedTable> readGpuTimes(ModuleOp module,
                                        const TuneOptions &options);

/// Chooses the best of a cell: that with the least time, if it is faster than
/// the selector's (number 0) by more than `margin`; `ratios` are its times over
/// the selector's in comparisons of their own, each of which must say so.
void decideCell(TunedCell &cell, double margin, llvm::ArrayRef<double> ratios);

/// The number of the fastest choice; 0 if none was measured.
size_t findFastest(const TunedCell &cell);

/// The entries of a file of vLLM or SGLang for the ladder of batch sizes, for
/// the up- or the down-projection: measured choices where there is a cell, the
/// selector's elsewhere.
FailureOr<std::vector<TunedTiles>>
makeTunedLadder(ModuleOp module, const TunedTable &table, bool down);

/// Writes the files of both systems into the folders of the options; the paths
/// go to `written`.
llvm::Error writeTunedFiles(ModuleOp module, const TunedTable &table,
                            const TuneOptions &options,
                            std::vector<std::string> &written);

} // namespace mlir::moe

#endif // MOEC_TUNER_TUNE_H
