//===- Predict.h - The time that a configuration takes ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Formulas and their sources: docs/cost-model.md. Plain C++, no IR. All times
// in seconds, sizes in bytes.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COSTMODEL_PREDICT_H
#define MOEC_COSTMODEL_PREDICT_H

#include "moec/CostModel/SimpleRule.h"
#include "moec/CostModel/Workload.h"
#include "moec/Target/Device.h"

namespace mlir::moe {

/// How well a way of generating code uses a device: properties of kernels, not
/// of machines. The defaults take nothing for what a kernel has not.
struct KernelTraits {
  const char *name = "";
  /// Memory, cache and units work at the same time; the time of a product is
  /// the `overlap`-norm of theirs: infinity would be their maximum, 1 the sum.
  double overlap = 3;
  /// Share of the device's matrix rate, of its shared-memory rate, of its
  /// cache's rate that loops of products reach. The matrix share contains what
  /// adding a partial sum of scaled products to the accumulators takes.
  double matrixShare = 1, sharedShare = 1, cacheShare = 1;
  /// Share of `unitReadRate` that one block of threads reaches.
  double unitShare = 1;
  /// From the request for a slot of the ring until it can be used, in latencies
  /// of memory; of the slots, `heldStages` are being read by products. 0:
  /// slots do not bound the rate.
  double flightLatencies = 0, heldStages = 0;
  /// Clocks of a unit per value of a result that nothing hides, for tokens on
  /// the row side and on the column side.
  double epilogueClocks = 0, swappedEpilogueClocks = 0;
  /// Clocks of a unit for a tile (its entry in the list, filling the ring
  /// again) and for a k step that nothing hides.
  double tileClocks = 0, stepClocks = 0;
  /// Share of the last wave's missing tiles that costs time: units that end
  /// early leave memory and power to the others.
  double tailShare = 1;
  /// Lane operations to decode one packed weight, for every tile that reads it.
  /// Decoding and products overlap by a norm as above; 1: they do not.
  double decodeOps = 0, decodeOverlap = 1;
  /// Lane operations to copy 16 bytes of rows into shared memory by threads
  /// that compute; 0: others do, or the copy engine.
  double loadOps = 0;
  /// Lane operations per weight, and per weight and row, of products without
  /// matrix units; 0: they have them.
  double laneOps = 0;
  /// Warps that share a tile, each a rectangle whose sides it reads from shared
  /// memory; 0: the instruction reads it for 64 rows at once.
  int64_t warps = 0;
  /// Share of a tile's missing rows that is computed nevertheless, for tokens
  /// on the row side and on the column side.
  double paddedShare = 0, swappedPaddedShare = 0;
  /// Rows without a token are loaded as well: by the copy engine, which takes
  /// whole blocks, and where rows are gathered one by one (copies of no bytes,
  /// which cost what others cost where the threads that start them are the
  /// bound).
  bool loadsWholeBlocks = true, gathersMissingRows = false;
  /// Bytes of memory per byte of a result of tokens on the row side that
  /// threads store by themselves: parts of lines.
  double threadStores = 1;
  /// Rows are counted by so many in a product.
  int64_t rowStep = 1;
  /// Latencies of memory from the launch to the first product and from the last
  /// one to the end.
  double fillLatencies = 0;
  /// A choice that was measured is left only for more than this predicted gain:
  /// the 90th percentile of the model's error for these kernels.
  double margin = 0;
};

/// Traits of the kernels that `target` gets for a problem.
const KernelTraits &findKernelTraits(const RuleTarget &target,
                                     const GemmProblem &problem);

/// Predicted time of one grouped product with its terms.
struct GemmPrediction {
  double seconds = 0;
  /// What the units, the last cache and memory take by themselves, and what
  /// stands before and after.
  double units = 0, cache = 0, memory = 0, fill = 0;
  /// Parts of `units`, all tiles of one unit together.
  double matrix = 0, shared = 0, decode = 0, load = 0, epilogue = 0,
         overhead = 0;
  /// Tiles, tiles of the fullest unit per mean tiles of a unit, rows that hold
  /// a token per row that is computed.
  double tiles = 0, tail = 1, use = 1;
  double memoryBytes = 0, cacheBytes = 0;

  /// The largest of the three: "matrix", "shared memory", "decoding",
  /// "loads", "results", "tiles and steps", "cache" or "memory"; "latency" if
  /// the fill is larger.
  const char *getBound() const;
};

/// Predicts one product for one histogram. The configuration must be legal.
GemmPrediction predictGemm(const Device &device, const KernelTraits &traits,
                           const GemmProblem &problem, const RuleConfig &config,
                           const std::vector<int64_t> &rows, int64_t tokens);

/// What a layer does beside its products.
struct LayerFrame {
  int64_t hidden = 0;
  /// Activations are quantised in a launch of their own.
  bool quantises = false;
  /// Tokens are sorted by expert; otherwise all experts get all of them, and a
  /// launch spreads the router weights.
  bool sorts = true;
  /// Rows are summed by a launch of its own, from values of so many bytes.
  int64_t combineBytes = 4;
  /// Nobody sorts the slots: kernels look up their experts themselves.
  bool direct = false;
  /// The last of a token's tiles sums its rows.
  bool sumsLast = false;
  /// Rows of a slot that are summed: parts of K.
  int64_t combineRows = 1;
  /// All products are one launch behind one that clears counters.
  bool oneLaunch = false;
};

/// Launches, sorting, quantising, combining, and what the second of two
/// products in one launch waits for the first.
struct FramePrediction {
  double seconds = 0, launches = 0, sort = 0, quantise = 0, combine = 0,
         handOver = 0;
};
FramePrediction predictFrame(const Device &device, const LayerFrame &frame,
                             int64_t tokens, int64_t topk);

} // namespace mlir::moe

#endif // MOEC_COSTMODEL_PREDICT_H
