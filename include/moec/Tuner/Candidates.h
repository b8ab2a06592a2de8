//===- Candidates.h - What the selector would choose from -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TUNER_CANDIDATES_H
#define MOEC_TUNER_CANDIDATES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LLVM.h"
#include "moec/TunedConfigs/TunedTable.h"

namespace mlir::moe {

/// Sizes of a layer that a table names.
struct LayerSizes {
  int64_t experts = 0, topk = 0, hidden = 0, intermediate = 0;
  /// Gate and up share a tile: a column of it takes two rows of weights.
  bool gated = false;
  /// The word of vLLM and SGLang for how weights are stored, and the blocks
  /// that share a scale.
  std::string dtype;
  SmallVector<int64_t, 2> blockShape;
};

/// At most `limit` choices for the products with routed experts of the module's
/// layer: the selector's own first, then what it ranks behind that, with the
/// same and with half and twice as many block rows. Fails with a diagnostic if
/// the layer has not two such products or the selector refuses it.
FailureOr<std::vector<TunedChoice>>
rankChoices(ModuleOp module, StringRef target, int64_t tokens, size_t limit);

/// The sizes; a diagnostic if the layer has not two products with routed
/// experts.
FailureOr<LayerSizes> readLayerSizes(ModuleOp module);

/// A table with one cell and one choice, by which the compiler makes it.
TunedTable makeSingleTable(const LayerSizes &sizes, StringRef target,
                           int64_t tokens, const TunedChoice &choice);

} // namespace mlir::moe

#endif // MOEC_TUNER_CANDIDATES_H
