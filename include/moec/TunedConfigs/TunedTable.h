//===- TunedTable.h - What a tuning run measured ----------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Our own table: the configurations of both projections by token count, with
// everything that was measured on the way to them. A JSON file.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TUNEDCONFIGS_TUNEDTABLE_H
#define MOEC_TUNEDCONFIGS_TUNEDTABLE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace mlir::moe {

/// One choice of configurations, and its times.
struct TunedChoice {
  /// `#moe.config<...>` of each product with routed experts, in the order of
  /// the program: the up-projection, then the down-projection.
  std::vector<std::string> configs;
  /// Rows of a tile, which both share.
  int64_t blockM = 0;
  /// Microseconds, the mean over the recorded routings of their medians; 0: not
  /// measured, `failure` says why if that was tried.
  double us = 0;
  /// All samples, in the order in which they were taken.
  std::vector<double> samples;
  /// What the model said beforehand; 0: nothing.
  double predictedUs = 0;
  std::string failure;
};

/// One token count with one kind of routing.
struct TunedCell {
  int64_t tokens = 0;
  /// An archetype, or the files of recorded ids.
  std::string routing;
  /// Mean rows of an expert that is hit, and how many are.
  double tokensPerExpert = 0;
  int64_t activeExperts = 0;
  /// The number of the choice to use, and whether it beat the selector's own
  /// (number 0) by more than the margin, again and again.
  size_t best = 0;
  bool won = false;
  std::vector<TunedChoice> choices;
  /// Traffic and arithmetic, for pictures: bytes of weights that are read and
  /// operations.
  double bytes = 0, flops = 0;
};

/// A table: one layer on one device.
struct TunedTable {
  /// The version of the compiler that made the kernels.
  std::string compiler;
  std::string target, device, dtype, layer;
  int64_t experts = 0, topk = 0, hidden = 0, intermediate = 0;
  /// By which a choice must be faster, as a share.
  double margin = 0;
  std::vector<TunedCell> cells;

  /// The cell whose token count is nearest, the first of two. Null: none.
  const TunedCell *nearest(int64_t tokens) const;
};

/// Whether the text is such a table and no file of vLLM or SGLang.
bool isTunedTable(llvm::StringRef text);

/// Reads a table. Errors begin with the file's name: no JSON, a field that is
/// missing or of another kind, a table that a compiler of another version than
/// `compiler` made.
llvm::Expected<TunedTable> parseTunedTable(llvm::StringRef path,
                                           llvm::StringRef text,
                                           llvm::StringRef compiler);

/// The table as JSON. Every cell has `tune_best_block_m`, `tune_best_up`,
/// `tune_best_down`, `tune_best_us` and, for all choices, `tune_configs`.
std::string printTunedTable(const TunedTable &table);

} // namespace mlir::moe

#endif // MOEC_TUNEDCONFIGS_TUNEDTABLE_H
