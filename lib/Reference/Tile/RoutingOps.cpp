//===- RoutingOps.cpp - Sorting rows by expert ----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"
#include "moec/Routing/Align.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

/// The integer at `position`, or an error at `op` if it is not defined.
static FailureOr<int64_t> readInteger(Operation *op, const MemView &memory,
                                      ArrayRef<int64_t> index, StringRef what) {
  std::optional<int64_t> at = memory.locate(index);
  if (!at)
    return op->emitError("reads ") << what << " out of bounds";
  const HostScalar &cell = memory.buffer->data[*at];
  if (cell.undefined)
    return op->emitError("reads undefined ") << what;
  return cell.i;
}

LogicalResult Runner::runAlign(AlignOp op) {
  FailureOr<int64_t> tokens = getIndex(op, op.getTokens());
  if (failed(tokens))
    return failure();
  int64_t topk = op.getTopk(), experts = op.getExperts();
  int64_t real = *tokens;
  if (op.getDeviceTokens()) {
    FailureOr<int64_t> n =
        readInteger(op, get<MemView>(op.getDeviceTokens()), {0}, "the tokens");
    if (failed(n))
      return failure();
    real = std::clamp<int64_t>(*n, 0, *tokens);
  }
  // Local experts, -1 for everything that takes no row.
  TopkIds local{*tokens, topk, {}};
  for (int64_t t = 0; t < *tokens; ++t)
    for (int64_t j = 0; j < topk; ++j) {
      if (t >= real) {
        local.ids.push_back(-1);
        continue;
      }
      FailureOr<int64_t> id = j;
      if (op.getIds())
        id = readInteger(op, get<MemView>(op.getIds()), {t, j}, "an id");
      if (succeeded(id) && op.getExpertMap()) {
        MemView map = get<MemView>(op.getExpertMap());
        id = *id >= 0 && *id < map.sizes[0]
                 ? readInteger(op, map, {*id}, "the expert map")
                 : FailureOr<int64_t>(-1);
      }
      if (failed(id))
        return failure();
      local.ids.push_back(*id >= 0 && *id < experts ? *id : -1);
    }
  llvm::Expected<AlignedRouting> routing =
      alignRouting(local, experts, op.getPad());
  if (!routing)
    return op.emitError(llvm::toString(routing.takeError()));

  int64_t slots = *tokens * topk;
  std::vector<int64_t> rows(routing->sortedIds.begin(),
                            routing->sortedIds.end());
  std::vector<int64_t> places(slots, -1), valid(slots, -1), table;
  for (auto [row, slot] : llvm::enumerate(rows))
    if (slot < slots) {
      places[slot] = row;
      valid[slot] = slot;
    }
  int64_t blockM = op.getBlockM(), blocks = 0;
  for (int64_t e = 0; e < experts; ++e) {
    int64_t n = routing->offsets[e + 1] - routing->offsets[e];
    int64_t length = (n + blockM - 1) / blockM;
    for (int64_t i = 0; i < length; ++i, ++blocks) {
      // The 32 bits of the pair, which may be a negative number.
      int64_t place =
          length < (1 << 16)
              ? static_cast<int32_t>(static_cast<uint32_t>(i | length << 16))
              : 0;
      table.insert(table.end(), {e, routing->paddedOffsets[e] + i * blockM,
                                 std::min(blockM, n - i * blockM), place});
    }
  }
  auto write = [&](Value memory, std::vector<int64_t> values,
                   ArrayRef<int64_t> filler) -> LogicalResult {
    MemView view = get<MemView>(memory);
    int64_t columns = view.sizes.size() > 1 ? view.sizes[1] : 1;
    int64_t total = view.sizes[0] * columns;
    if (static_cast<int64_t>(values.size()) > total)
      return op.emitError("writes ")
             << values.size() << " numbers into memory of " << total;
    for (int64_t i = values.size(); i < total; ++i)
      values.push_back(filler[i % columns]);
    for (int64_t i = 0; i < total; ++i) {
      SmallVector<int64_t, 2> index{i / columns};
      if (view.sizes.size() > 1)
        index.push_back(i % columns);
      view.buffer->data[*view.locate(index)] = HostScalar::ofInt(values[i]);
    }
    return success();
  };
  if (failed(write(op.getSlots(), rows, {slots})) ||
      failed(write(op.getPlaces(), places, {-1})) ||
      failed(write(op.getValid(), valid, {-1})) ||
      failed(write(op.getTable(), table, {-1, 0, 0, 0})) ||
      failed(write(op.getCount(), {blocks}, {0})))
    return failure();
  return success();
}

//===----------------------------------------------------------------------===//
// Slots that nobody sorts
//===----------------------------------------------------------------------===//

/// The local expert of a slot, -1 if it is absent.
static FailureOr<int64_t> expertOfSlot(Operation *op, const MemView &ids,
                                       const MemView *map,
                                       const MemView *deviceTokens,
                                       int64_t experts, int64_t slot) {
  int64_t topk = ids.sizes[1];
  if (slot < 0 || slot >= ids.sizes[0] * topk)
    return -1;
  if (deviceTokens) {
    FailureOr<int64_t> tokens =
        readInteger(op, *deviceTokens, {0}, "the tokens");
    if (failed(tokens))
      return failure();
    if (slot / topk >= *tokens)
      return -1;
  }
  FailureOr<int64_t> id =
      readInteger(op, ids, {slot / topk, slot % topk}, "an id");
  if (succeeded(id) && map)
    id = *id >= 0 && *id < map->sizes[0]
             ? readInteger(op, *map, {*id}, "the expert map")
             : FailureOr<int64_t>(-1);
  if (failed(id))
    return failure();
  return *id >= 0 && *id < experts ? *id : -1;
}

template <typename SlotOp>
FailureOr<int64_t> Runner::slotExpert(SlotOp op, int64_t slot) {
  MemView map, count;
  if (op.getExpertMap())
    map = get<MemView>(op.getExpertMap());
  if (op.getDeviceTokens())
    count = get<MemView>(op.getDeviceTokens());
  return expertOfSlot(
      op, get<MemView>(op.getIds()), op.getExpertMap() ? &map : nullptr,
      op.getDeviceTokens() ? &count : nullptr, op.getExperts(), slot);
}

LogicalResult Runner::runSlots(Operation &op, bool &known) {
  known = true;
  if (auto list = dyn_cast<SlotListOp>(op)) {
    TileList tiles;
    tiles.columns = list.getColumns();
    tiles.blockN = list.getBlockN();
    tiles.count = get<MemView>(list.getIds()).sizes[0] * list.getTopk();
    auto table = std::make_shared<HostBuffer>();
    table->element = IntegerType::get(op.getContext(), 32);
    table->shape = {tiles.count, 3};
    for (int64_t slot = 0; slot < tiles.count; ++slot) {
      FailureOr<int64_t> expert = slotExpert(list, slot);
      if (failed(expert))
        return failure();
      for (int64_t v : {std::max<int64_t>(*expert, 0), slot,
                        static_cast<int64_t>(*expert >= 0)})
        table->data.push_back(HostScalar::ofInt(v));
    }
    tiles.table = MemView::of(table);
    set(list.getList(), tiles);
    return success();
  }
  if (auto row = dyn_cast<SlotRowOp>(op)) {
    FailureOr<int64_t> slot = getIndex(&op, row.getSlot());
    if (failed(slot))
      return failure();
    FailureOr<int64_t> expert = slotExpert(row, *slot);
    if (failed(expert))
      return failure();
    set(row.getResult(),
        std::make_shared<std::vector<int64_t>>(1, *expert >= 0 ? *slot : -1));
    return success();
  }
  if (auto clear = dyn_cast<ClearOp>(op)) {
    // By the first block; its roles do not run yet.
    if (worker.index == 0)
      for (HostScalar &cell : get<MemView>(clear.getMemory()).buffer->data)
        cell = HostScalar::ofInt(0); // the bits of 0.0, too
    return success();
  }
  if (auto clear = dyn_cast<ClearAbsentOp>(op))
    return runClearAbsent(clear);
  if (auto sum = dyn_cast<SumArrivedOp>(op))
    return runSumArrived(sum);
  if (auto sum = dyn_cast<SumLastOp>(op))
    return runSumLast(sum);
  known = false;
  return success();
}

LogicalResult Runner::runSumLast(SumLastOp op) {
  FailureOr<int64_t> row = getIndex(op, op.getRow());
  FailureOr<int64_t> n0 = getIndex(op, op.getN0());
  if (failed(row) || failed(n0))
    return failure();
  int64_t topk = op.getTopk(), by = op.getBy(), teams = op.getTeams();
  int64_t token = *row / topk;
  MemView rows = get<MemView>(op.getRows()), out = get<MemView>(op.getOut());
  MemView counters = get<MemView>(op.getCounters());
  std::optional<int64_t> at = counters.locate({token, *n0 / by});
  if (!at)
    return op.emitError("counts arrivals out of bounds");
  HostScalar &count = counters.buffer->data[*at];
  if (count.undefined)
    return op.emitError("counts arrivals from an undefined number");
  // All teams of a role run as one.
  count.i += teams;
  if (count.i != topk * teams)
    return success();
  std::vector<bool> present;
  for (int64_t j = 0; j < topk; ++j) {
    FailureOr<int64_t> expert = slotExpert(op, token * topk + j);
    if (failed(expert))
      return failure();
    present.push_back(*expert >= 0);
  }
  std::optional<ScalarType> f32 =
      ScalarType::of(Float32Type::get(op.getContext()));
  std::optional<ScalarType> element =
      ScalarType::of(cast<MemRefType>(op.getOut().getType()).getElementType());
  bool wide = machine.options.wide;
  for (int64_t c = *n0; c < std::min(*n0 + by, rows.sizes[1]); ++c) {
    HostScalar total = HostScalar::ofFloat(0);
    for (int64_t j = 0; j < topk; ++j) {
      if (!present[j])
        continue;
      std::optional<int64_t> from = rows.locate({token * topk + j, c});
      if (!from)
        return op.emitError("sums rows out of bounds");
      HostScalar term = rows.buffer->data[*from];
      total = total.undefined || term.undefined
                  ? HostScalar::ofUndefined()
                  : HostScalar::ofFloat(roundTo(*f32, total.f + term.f, wide));
    }
    if (!total.undefined)
      total.f = roundTo(*element, total.f, wide);
    if (std::optional<int64_t> to = out.locate({token, c}))
      out.buffer->data[*to] = total;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// topk
//===----------------------------------------------------------------------===//

/// Whether a score is chosen before another one.
static bool beats(float x, float y) {
  return x > y || (std::isnan(y) && !std::isnan(x));
}

/// Index of the best score that is open, and closes it.
static size_t takeBest(ArrayRef<float> scores, std::vector<bool> &open,
                       size_t from, size_t to) {
  size_t best = to;
  for (size_t i = from; i < to; ++i)
    if (open[i] && (best == to || beats(scores[i], scores[best])))
      best = i;
  open[best] = false;
  return best;
}

static void softmax(MutableArrayRef<float> values) {
  float top = -INFINITY, sum = 0;
  for (float v : values)
    top = std::fmax(top, v);
  for (float &v : values)
    sum += v = static_cast<float>(std::exp(static_cast<double>(v - top)));
  for (float &v : values)
    v /= sum;
}

LogicalResult Runner::runTopk(TopkOp op) {
  MemView logits = get<MemView>(op.getLogits()),
          ids = get<MemView>(op.getIds());
  MemView weights = get<MemView>(op.getWeights());
  size_t experts = op.getExperts(), k = op.getK();
  size_t groups = op.getGroups(), size = experts / groups;
  auto read = [&](MemView &memory, ArrayRef<int64_t> index,
                  float &v) -> LogicalResult {
    const HostScalar &cell = memory.buffer->data[*memory.locate(index)];
    if (cell.undefined)
      return op.emitError("reads an undefined logit or bias");
    v = static_cast<float>(cell.f);
    return success();
  };
  for (int64_t t = 0; t < logits.sizes[0]; ++t) {
    if (t >= ids.sizes[0] || t >= weights.sizes[0])
      return op.emitError("token ") << t << " has no row in the results";
    std::vector<float> scores(experts), choice, chosen;
    for (size_t e = 0; e < experts; ++e)
      if (failed(read(logits, {t, static_cast<int64_t>(e)}, scores[e])))
        return failure();
    if (op.getScoring() == Scoring::Softmax)
      softmax(scores);
    if (op.getScoring() == Scoring::Sigmoid)
      for (float &s : scores)
        s = 1 / (1 + static_cast<float>(std::exp(-static_cast<double>(s))));
    choice = scores;
    if (op.getBias()) {
      MemView bias = get<MemView>(op.getBias());
      for (size_t e = 0; e < experts; ++e) {
        float v;
        if (failed(read(bias, {static_cast<int64_t>(e)}, v)))
          return failure();
        choice[e] += v;
      }
    }
    std::vector<bool> open(experts, true);
    if (groups > 1) {
      std::vector<float> groupScores;
      std::vector<bool> groupOpen(groups, true);
      for (size_t g = 0; g < groups; ++g) {
        float score = choice[takeBest(choice, open, g * size, (g + 1) * size)];
        if (op.getTop2Sum())
          score += choice[takeBest(choice, open, g * size, (g + 1) * size)];
        groupScores.push_back(score);
      }
      open.assign(experts, false);
      for (uint64_t i = 0; i < op.getTopkGroups(); ++i) {
        size_t g = takeBest(groupScores, groupOpen, 0, groups);
        std::fill_n(open.begin() + g * size, size, true);
      }
    }
    float sum = 0;
    for (size_t j = 0; j < k; ++j) {
      size_t e = takeBest(choice, open, 0, experts);
      ids.buffer->data[*ids.locate({t, static_cast<int64_t>(j)})] =
          HostScalar::ofInt(e);
      chosen.push_back(scores[e]);
    }
    if (op.getScoring() == Scoring::SoftmaxSelected)
      softmax(chosen);
    for (float w : chosen)
      sum += w;
    float factor = static_cast<float>(op.getScale().convertToDouble());
    if (op.getRenormalize() && sum != 0)
      factor /= sum;
    for (size_t j = 0; j < k; ++j)
      weights.buffer->data[*weights.locate({t, static_cast<int64_t>(j)})] =
          HostScalar::ofFloat(chosen[j] * factor);
  }
  return success();
}
