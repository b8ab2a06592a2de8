//===- CapVariants.h - Few variants for many token counts -------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_COMPILER_CAPVARIANTS_H
#define MOEC_LIB_COMPILER_CAPVARIANTS_H

#include "GpuCompile.h"

namespace mlir::moe {

/// What is predicted of a module whose grouped GEMMs have configurations.
struct LayerTimes {
  /// Microseconds of the whole layer, of what stands around the products, of
  /// each product by its first configuration.
  double us = 0, frameUs = 0;
  SmallVector<double> productUs;
  SmallVector<std::string> configs;
};

/// Predicts a decided module for a token count. `selection`: the attribute
/// getSelectionAttrName of the module before decisions, may be null. Errors are
/// diagnostics.
FailureOr<LayerTimes> predictLayer(ModuleOp decided, Attribute selection,
                                   StringRef target, int64_t tokens);

/// Makes all decisions for a token count.
using DecideLayer = llvm::function_ref<FailureOr<OwningOpRef<ModuleOp>>(
    const TokenBucket &bucket)>;

/// Writes what is predicted for each bucket with its own decisions: a JSON
/// array of objects with `tokens`, `us`, `frame_us` and `products`, each with
/// `us` and `config`. Errors are diagnostics.
LogicalResult printPredictions(ModuleOp source, StringRef target,
                               ArrayRef<TokenBucket> buckets,
                               DecideLayer decide, llvm::raw_ostream &os);

/// Gives up decisions until at most `cap` different ones are left: so that the
/// largest predicted loss of any bucket is least. Those of the last bucket,
/// which serves all larger counts, are always kept. Returns the buckets with
/// `tokens` of the decisions that they are to take; neighbours with the same
/// ones are joined. `cap` 0: no limit. What was dropped and what that costs is
/// a remark at `source`. Errors are diagnostics.
FailureOr<std::vector<TokenBucket>> capBuckets(ModuleOp source,
                                               StringRef target,
                                               ArrayRef<TokenBucket> buckets,
                                               int64_t cap, DecideLayer decide);

} // namespace mlir::moe

#endif // MOEC_LIB_COMPILER_CAPVARIANTS_H
