//===- Sums.cpp - Sums over top-k by tiles --------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

/// The rows of a token's slots, negative for absent ones; fails on a number
/// that nobody wrote.
static FailureOr<SmallVector<int64_t>>
placesOf(Operation *op, const MemView &places, int64_t token, int64_t topk) {
  SmallVector<int64_t> rows;
  for (int64_t j = 0; j < topk; ++j) {
    std::optional<int64_t> at = places.locate({token * topk + j});
    if (!at) {
      op->emitError("looks for a place out of bounds");
      return failure();
    }
    const HostScalar &place = places.buffer->data[*at];
    if (place.undefined) {
      op->emitError("reads an undefined place");
      return failure();
    }
    rows.push_back(place.i);
  }
  return rows;
}

LogicalResult Runner::runSumArrived(SumArrivedOp op) {
  FailureOr<int64_t> n0 = getIndex(op, op.getN0());
  if (failed(n0))
    return failure();
  int64_t topk = op.getTopk(), by = op.getBy(), teams = op.getTeams();
  MemView rows = get<MemView>(op.getRows()), out = get<MemView>(op.getOut());
  MemView counters = get<MemView>(op.getCounters());
  MemView places = get<MemView>(op.getPlaces());
  std::optional<ScalarType> f32 =
      ScalarType::of(Float32Type::get(op.getContext()));
  std::optional<ScalarType> element =
      ScalarType::of(cast<MemRefType>(op.getOut().getType()).getElementType());
  bool wide = machine.options.wide;
  for (int64_t slot : *get<RowNumbers>(op.getSlots())) {
    if (slot < 0)
      continue;
    int64_t token = slot / topk;
    FailureOr<SmallVector<int64_t>> from = placesOf(op, places, token, topk);
    if (failed(from))
      return failure();
    std::optional<int64_t> at = counters.locate({token, *n0 / by});
    if (!at)
      return op.emitError("counts arrivals out of bounds");
    HostScalar &count = counters.buffer->data[*at];
    if (count.undefined)
      return op.emitError("counts arrivals from an undefined number");
    // All teams of a role run as one.
    count.i += teams;
    if (count.i !=
        teams * llvm::count_if(*from, [](int64_t row) { return row >= 0; }))
      continue;
    if (op.getAdded())
      from->assign(1, token);
    for (int64_t c = *n0; c < std::min(*n0 + by, rows.sizes[1]); ++c) {
      HostScalar total = HostScalar::ofFloat(0);
      for (int64_t row : *from) {
        if (row < 0)
          continue;
        std::optional<int64_t> place = rows.locate({row, c});
        if (!place)
          return op.emitError("sums rows out of bounds");
        HostScalar term = rows.buffer->data[*place];
        total =
            total.undefined || term.undefined
                ? HostScalar::ofUndefined()
                : HostScalar::ofFloat(roundTo(*f32, total.f + term.f, wide));
      }
      if (!total.undefined)
        total.f = roundTo(*element, total.f, wide);
      if (std::optional<int64_t> to = out.locate({token, c}))
        out.buffer->data[*to] = total;
    }
  }
  return success();
}

LogicalResult Runner::runClearAbsent(ClearAbsentOp op) {
  // By the first block; its roles do not run yet.
  if (worker.index != 0)
    return success();
  MemView out = get<MemView>(op.getOut());
  MemView places = get<MemView>(op.getPlaces());
  for (int64_t token = 0; token < out.sizes[0]; ++token) {
    FailureOr<SmallVector<int64_t>> rows =
        placesOf(op, places, token, op.getTopk());
    if (failed(rows))
      return failure();
    if (llvm::any_of(*rows, [](int64_t row) { return row >= 0; }))
      continue;
    for (int64_t c = 0; c < out.sizes[1]; ++c)
      if (std::optional<int64_t> to = out.locate({token, c}))
        out.buffer->data[*to] = HostScalar::ofFloat(0);
  }
  return success();
}
