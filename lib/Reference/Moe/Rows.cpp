//===- Rows.cpp - Routing and rows ----------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

#include "moec/Support/Parallel.h"
#include <numeric>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Router
//===----------------------------------------------------------------------===//

/// Before the other? NaN stands behind everything, ties go to the lower id.
static bool ranksBefore(double a, int64_t idA, double b, int64_t idB) {
  if (std::isnan(a) || std::isnan(b))
    return std::isnan(a) == std::isnan(b) ? idA < idB : std::isnan(b);
  return a != b ? a > b : idA < idB;
}

/// Indices of the `count` best of `scores`, best first.
static SmallVector<int64_t> selectBest(llvm::ArrayRef<double> scores,
                                       int64_t count) {
  SmallVector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + count, order.end(),
                    [&](int64_t a, int64_t b) {
                      return ranksBefore(scores[a], a, scores[b], b);
                    });
  order.resize(count);
  return order;
}

static void softmax(llvm::MutableArrayRef<double> scores) {
  double top = -HUGE_VAL, sum = 0;
  for (double s : scores)
    top = std::max(top, s);
  for (double &s : scores)
    sum += s = std::exp(s - top);
  for (double &s : scores)
    s /= sum;
}

/// Experts of the best groups, ascending.
static SmallVector<int64_t> getCandidates(TopkOp op,
                                          llvm::ArrayRef<double> biased) {
  int64_t groups = op.getGroups(), size = biased.size() / groups;
  std::vector<double> groupScores(groups);
  for (int64_t g = 0; g < groups; ++g) {
    llvm::ArrayRef<double> members = biased.slice(g * size, size);
    bool sumOfTwo = op.getGroupScore() == GroupScore::Top2Sum;
    SmallVector<int64_t> best = selectBest(members, sumOfTwo ? 2 : 1);
    groupScores[g] = members[best[0]] + (sumOfTwo ? members[best[1]] : 0.0);
  }
  SmallVector<int64_t> chosen = selectBest(groupScores, op.getTopkGroups());
  llvm::sort(chosen);
  SmallVector<int64_t> candidates;
  for (int64_t g : chosen)
    for (int64_t e = g * size; e < (g + 1) * size; ++e)
      candidates.push_back(e);
  return candidates;
}

llvm::Error Executor::run(TopkOp op) {
  const HostTensor &logits = *getTensor(op.getLogits());
  int64_t tokens = logits.getDim(0), experts = logits.getDim(1);
  std::vector<double> bias(experts, 0.0);
  if (const HostTensor *tensor = getTensor(op.getBias()))
    loadRow<double>(tensor->getType(), tensor->getData(), bias.data(), experts);
  llvm::Expected<HostTensor> ids = createLike(*getTensor(op.getOuts()[0]));
  llvm::Expected<HostTensor> weights = createLike(*getTensor(op.getOuts()[1]));
  if (!ids || !weights)
    return llvm::joinErrors(ids.takeError(), weights.takeError());
  for (const HostTensor *out : {&*ids, &*weights})
    if (llvm::Error error = checkExtent("a result", *out, 0, tokens))
      return error;
  int64_t topk = ids->getDim(1);
  std::vector<double> scores(experts), biased(experts);
  for (int64_t t = 0; t < tokens; ++t) {
    loadRow<double>(logits.getType(),
                    logits.getData() + byteOffset(logits, t * experts),
                    scores.data(), experts);
    if (op.getScoring() == Scoring::Softmax)
      softmax(scores);
    else if (op.getScoring() == Scoring::Sigmoid)
      for (double &s : scores)
        s = 1 / (1 + std::exp(-s));
    for (int64_t e = 0; e < experts; ++e)
      biased[e] = scores[e] + bias[e];
    SmallVector<int64_t> candidates = getCandidates(op, biased);
    SmallVector<double> candidateScores;
    for (int64_t e : candidates)
      candidateScores.push_back(biased[e]);
    SmallVector<double> chosen;
    for (auto [j, place] : llvm::enumerate(selectBest(candidateScores, topk))) {
      ids->getAs<int32_t>()[t * topk + j] = candidates[place];
      chosen.push_back(scores[candidates[place]]);
    }
    if (op.getScoring() == Scoring::SoftmaxSelected)
      softmax(chosen);
    double sum = std::accumulate(chosen.begin(), chosen.end(), 0.0);
    double factor = op.getScale().convertToDouble();
    if (op.getRenormalize() && sum != 0)
      factor /= sum;
    for (auto [j, weight] : llvm::enumerate(chosen))
      weights->getAs<float>()[t * topk + j] =
          static_cast<float>(weight * factor);
  }
  bind(op->getResult(0), RefValue::ofTensor(std::move(*ids)));
  bind(op->getResult(1), RefValue::ofTensor(std::move(*weights)));
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Routing
//===----------------------------------------------------------------------===//

llvm::Error Executor::run(AlignOp op) {
  RoutingType type = op.getRouting().getType();
  llvm::Expected<RoutingTable> table =
      alignSlots(*getTensor(op.getIds()), getTensor(op.getExpertMap()),
                 type.getExperts(), type.getBlockM());
  if (!table)
    return table.takeError();
  bind(op.getRouting(), RefValue::ofRouting(std::move(*table)));
  return llvm::Error::success();
}

llvm::Error Executor::run(RouteAllOp op) {
  RoutingType type = op.getRouting().getType();
  llvm::Expected<RoutingTable> table = routeToAll(
      get(op.getTokens()).integer, type.getExperts(), type.getBlockM());
  if (!table)
    return table.takeError();
  bind(op.getRouting(), RefValue::ofRouting(std::move(*table)));
  return llvm::Error::success();
}

llvm::Error Executor::run(NumSlotsOp op) {
  bind(op.getRows(),
       RefValue::ofInteger(
           get(op.getRouting()).routing->getNumRows(op.getLayout())));
  return llvm::Error::success();
}

llvm::Error Executor::run(DenseWeightsOp op) {
  const HostTensor &weights = *getTensor(op.getTopkWeights());
  llvm::Expected<HostTensor> alpha = createLike(*getTensor(op.getOuts()[0]));
  if (!alpha)
    return alpha.takeError();
  int64_t experts = alpha->getDim(1);
  llvm::Expected<RoutingTable> table = alignSlots(
      *getTensor(op.getTopkIds()), getTensor(op.getExpertMap()), experts, 1);
  if (!table)
    return table.takeError();
  if (llvm::Error error = checkExtent("the result", *alpha, 0, table->tokens))
    return error;
  std::vector<double> sums(table->tokens * experts, 0.0);
  std::vector<double> values(weights.getNumElements());
  loadRow<double>(weights.getType(), weights.getData(), values.data(),
                  values.size());
  for (int64_t slot = 0; slot < table->getNumSlots(); ++slot)
    if (int32_t e = table->slotExpert[slot]; e >= 0)
      sums[slot / table->topk * experts + e] += values[slot];
  if (const HostTensor *factor = getTensor(op.getFactor())) {
    std::vector<float> factors = factor->toFloats();
    for (size_t i = 0; i < sums.size(); ++i)
      sums[i] *= factors[i % experts];
  }
  storeRow<double>(alpha->getType(), sums.data(), alpha->getData(),
                   sums.size());
  bind(op->getResult(0), RefValue::ofTensor(std::move(*alpha)));
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

/// Fails if a slot tensor of `layout` has too few rows.
static llvm::Error checkSlotRows(const llvm::Twine &what,
                                 const HostTensor &tensor,
                                 const RoutingTable &routing,
                                 RowLayout layout) {
  int64_t rows = routing.getNumRows(layout);
  if (tensor.getDim(0) >= rows)
    return llvm::Error::success();
  return llvm::createStringError(what + " has " + Twine(tensor.getDim(0)) +
                                 " rows, layout " + stringifyRowLayout(layout) +
                                 " needs " + Twine(rows));
}

llvm::Error Executor::run(DispatchOp op) {
  const HostTensor &x = *getTensor(op.getX());
  const RoutingTable &routing = *get(op.getRouting()).routing;
  llvm::Expected<HostTensor> out = createLike(*getTensor(op.getOuts()[0]));
  if (!out)
    return out.takeError();
  if (llvm::Error error = checkExtent("the input", x, 0, routing.tokens))
    return error;
  if (llvm::Error error =
          checkSlotRows("the result", *out, routing, op.getLayout()))
    return error;
  uint64_t bytes = byteOffset(x, x.getDim(1));
  for (int64_t slot = 0; slot < routing.getNumSlots(); ++slot)
    if (int64_t row = routing.getRow(op.getLayout(), slot); row >= 0)
      std::memcpy(out->getData() + row * bytes,
                  x.getData() + slot / routing.topk * bytes, bytes);
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}

template <typename T> llvm::Error Executor::runCombine(CombineOp op) {
  const HostTensor &d = *getTensor(op.getD());
  const RoutingTable &routing = *get(op.getRouting()).routing;
  llvm::Expected<HostTensor> out = createLike(*getTensor(op.getOuts()[0]));
  if (!out)
    return out.takeError();
  if (llvm::Error error = checkSlotRows("d", d, routing, op.getLayout()))
    return error;
  const HostTensor *add = getTensor(op.getAdd());
  const HostTensor *weights = getTensor(op.getWeights());
  const HostTensor *gates = getTensor(op.getAddGate());
  const HostTensor *result = &*out;
  for (const HostTensor *tensor : {result, add, weights, gates})
    if (tensor)
      if (llvm::Error error =
              checkExtent(tensor == result ? "the result" : "an operand",
                          *tensor, 0, routing.tokens))
        return error;
  std::vector<float> weightValues, gateValues;
  if (weights)
    weightValues = weights->toFloats();
  if (gates)
    gateValues = gates->toFloats();
  int64_t cols = d.getDim(1);
  parallelFor(
      routing.tokens, 4, options.threads, [&](uint64_t begin, uint64_t end) {
        std::vector<T> sum(cols), row(cols);
        for (uint64_t t = begin; t < end; ++t) {
          std::fill(sum.begin(), sum.end(), T(0));
          for (int64_t j = 0; j < routing.topk; ++j) {
            int64_t slot = t * routing.topk + j;
            int64_t at = routing.getRow(op.getLayout(), slot);
            if (at < 0)
              continue;
            loadRow<T>(d.getType(), d.getData() + byteOffset(d, at * cols),
                       row.data(), cols);
            T weight = weights ? weightValues[slot] : T(1);
            for (int64_t c = 0; c < cols; ++c)
              sum[c] += weight * row[c];
          }
          if (add) {
            loadRow<T>(add->getType(),
                       add->getData() + byteOffset(*add, t * cols), row.data(),
                       cols);
            T gate = gates ? T(1) / (T(1) + std::exp(-T(gateValues[t]))) : T(1);
            for (int64_t c = 0; c < cols; ++c)
              sum[c] += gate * row[c];
          }
          storeRow<T>(out->getType(), sum.data(),
                      out->getData() + byteOffset(*out, t * cols), cols);
        }
      });
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}

llvm::Error Executor::run(CombineOp op) {
  return inDouble() ? runCombine<double>(op) : runCombine<float>(op);
}
