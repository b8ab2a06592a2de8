//===- Layer.cpp - fused_experts ------------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

#include "moec/Support/Parallel.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

template <typename T> static T sigmoid(T x) {
  return T(1) / (1 + std::exp(-x));
}

template <typename T> static T gelu(T x, bool viaTanh) {
  if (!viaTanh)
    return x / 2 * (1 + std::erf(x * T(0.70710678118654752440)));
  T inner = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
  return x / 2 * (1 + std::tanh(inner));
}

template <typename T>
static T activate(ActivationKind kind, T alpha, T limit, T g, T u) {
  if (limit != 0) {
    // Written so that NaN stays NaN.
    g = g > limit ? limit : g;
    u = u > limit ? limit : (u < -limit ? -limit : u);
  }
  switch (kind) {
  case ActivationKind::Identity:
    return g;
  case ActivationKind::Silu:
    return g * sigmoid(g);
  case ActivationKind::Gelu:
  case ActivationKind::GeluTanh:
    return gelu(g, kind == ActivationKind::GeluTanh);
  case ActivationKind::Relu:
    return g < 0 ? T(0) : g;
  case ActivationKind::Relu2:
    return g < 0 ? T(0) : g * g;
  case ActivationKind::Swiglu:
    return g * sigmoid(g) * u;
  case ActivationKind::Geglu:
  case ActivationKind::GegluTanh:
    return gelu(g, kind == ActivationKind::GegluTanh) * u;
  case ActivationKind::Reglu:
    return (g < 0 ? T(0) : g) * u;
  case ActivationKind::SwigluOai:
    return (u + 1) * g * sigmoid(alpha * g);
  }
  llvm_unreachable("covered switch");
}

//===----------------------------------------------------------------------===//
// One pair of projections
//===----------------------------------------------------------------------===//

namespace {
/// What the routed and the shared part have in common: two projections with
/// an activation and a rounding point between them.
template <typename T> struct ExpertPair {
  MatrixView w1, w2;
  std::vector<T> bias1, bias2, global1, global2;
  const RoutingTable *routing;
  ActivationAttr activation;
  GateUpAttr gateUp;
  /// Quantisation of x and of the intermediate, or null.
  QuantAttr actQuant;
  ElementType xType;
  /// Factor of the first accumulators by slot; empty: 1.
  std::vector<T> inputWeights;
  unsigned threads;
};
} // namespace

/// Rounds `rows` rows of `cols` values as the layer does before a projection:
/// quantised and dequantised by `quant`, else to `type`.
template <typename T>
static llvm::Error roundRows(std::vector<T> &values, int64_t rows, int64_t cols,
                             QuantAttr quant, ElementType type,
                             unsigned threads) {
  if (!quant) {
    parallelFor(rows, 8, threads, [&](uint64_t begin, uint64_t end) {
      std::vector<uint8_t> stored(getStorageBytes(type, cols));
      for (uint64_t row = begin; row < end; ++row) {
        storeRow<T>(type, &values[row * cols], stored.data(), cols);
        loadRow<T>(type, stored.data(), &values[row * cols], cols);
      }
    });
    return llvm::Error::success();
  }
  auto fresh = createQuantized(quant, rows, cols);
  if (!fresh)
    return fresh.takeError();
  parallelFor(rows, 8, threads, [&](uint64_t begin, uint64_t end) {
    std::vector<float> line(cols);
    for (uint64_t row = begin; row < end; ++row) {
      std::copy_n(&values[row * cols], cols, line.begin());
      quantizeRow(line.data(), cols, quant, row, rows, fresh->first,
                  fresh->second);
    }
  });
  llvm::Expected<MatrixView> view =
      MatrixView::create(fresh->first, &fresh->second, nullptr, quant);
  if (!view)
    return view.takeError();
  values = loadMatrix<T>(*view, threads);
  return llvm::Error::success();
}

/// Second projection with bias for every valid slot, [T * k, H]; `x` holds the
/// token rows, rounded already.
template <typename T>
static llvm::Expected<std::vector<T>> runPair(const ExpertPair<T> &pair,
                                              const std::vector<T> &x) {
  const RoutingTable &routing = *pair.routing;
  int64_t hidden = pair.w1.getCols(), inter = pair.w2.getCols();
  T alpha = pair.activation.getAlpha(), limit = pair.activation.getLimit();
  ActivationKind kind = pair.activation.getKind();
  // Rows of w1 that hold gate and up, for the bias.
  std::vector<int64_t> gateRows(inter), upRows(inter);
  for (int64_t c = 0; c < inter; ++c) {
    gateRows[c] = pair.gateUp ? pair.gateUp.getGateRow(c, inter) : c;
    upRows[c] = pair.gateUp ? pair.gateUp.getUpRow(c, inter) : c;
  }
  Projection<T> first;
  first.a = x.data();
  first.reduction = hidden;
  first.rowOfSlot = [&](int64_t slot) { return slot / routing.topk; };
  first.b = &pair.w1;
  first.routing = &routing;
  first.gateUp = pair.gateUp;
  first.finish = [&](int64_t expert, int64_t slot, int64_t col, int64_t cols,
                     const T *gate, const T *up, T *out) {
    T factor = pair.global1.empty() ? T(1) : pair.global1[expert];
    if (!pair.inputWeights.empty())
      factor *= pair.inputWeights[slot];
    auto finish = [&](T value, int64_t row) {
      value *= factor;
      return pair.bias1.empty()
                 ? value
                 : value + pair.bias1[expert * pair.w1.getRows() + row];
    };
    for (int64_t c = 0; c < cols; ++c)
      out[c] = activate(kind, alpha, limit, finish(gate[c], gateRows[col + c]),
                        up ? finish(up[c], upRows[col + c]) : T(0));
  };
  std::vector<T> middle = runProjection(first, pair.threads);
  if (llvm::Error error = roundRows(middle, routing.getNumSlots(), inter,
                                    pair.actQuant, pair.xType, pair.threads))
    return std::move(error);

  Projection<T> second;
  second.a = middle.data();
  second.reduction = inter;
  second.rowOfSlot = [](int64_t slot) { return slot; };
  second.b = &pair.w2;
  second.routing = &routing;
  int64_t rows = pair.w2.getRows();
  second.finish = [&](int64_t expert, int64_t, int64_t col, int64_t cols,
                      const T *acc, const T *, T *out) {
    T factor = pair.global2.empty() ? T(1) : pair.global2[expert];
    for (int64_t c = 0; c < cols; ++c) {
      out[c] = acc[c] * factor;
      if (!pair.bias2.empty())
        out[c] += pair.bias2[expert * rows + col + c];
    }
  };
  return runProjection(second, pair.threads);
}

//===----------------------------------------------------------------------===//
// The layer
//===----------------------------------------------------------------------===//

template <typename T>
static std::vector<T> loadOptional(const HostTensor *tensor) {
  std::vector<T> all(tensor ? tensor->getNumElements() : 0);
  if (tensor)
    loadRow<T>(tensor->getType(), tensor->getData(), all.data(), all.size());
  return all;
}

template <typename T> llvm::Error Executor::runLayer(FusedExpertsOp op) {
  const HostTensor &x = *getTensor(op.getX());
  int64_t tokens = x.getDim(0), hidden = x.getDim(1);
  llvm::Expected<RoutingTable> routing =
      alignSlots(*getTensor(op.getTopkIds()), getTensor(op.getExpertMap()),
                 getTensor(op.getW1())->getDim(0), 1);
  if (!routing)
    return routing.takeError();
  llvm::Expected<HostTensor> out = createLike(*getTensor(op.getOuts()[0]));
  if (!out)
    return out.takeError();
  if (llvm::Error error =
          checkExtent("topk ids", *getTensor(op.getTopkIds()), 0, tokens))
    return error;
  if (llvm::Error error = checkExtent(
          "topk weights", *getTensor(op.getTopkWeights()), 0, tokens))
    return error;
  if (llvm::Error error = checkExtent("the result", *out, 0, tokens))
    return error;

  std::vector<T> plain = loadOptional<T>(&x), rounded = plain;
  if (op.getActQuantAttr())
    if (llvm::Error error =
            roundRows(rounded, tokens, hidden, op.getActQuantAttr(),
                      x.getType(), options.threads))
      return error;
  std::vector<T> weights = loadOptional<T>(getTensor(op.getTopkWeights()));

  auto w1 =
      MatrixView::create(*getTensor(op.getW1()), getTensor(op.getW1Scale()),
                         getTensor(op.getW1Zero()), op.getW1QuantAttr());
  if (!w1)
    return w1.takeError();
  auto w2 =
      MatrixView::create(*getTensor(op.getW2()), getTensor(op.getW2Scale()),
                         getTensor(op.getW2Zero()), op.getW2QuantAttr());
  if (!w2)
    return w2.takeError();
  ExpertPair<T> routed = {std::move(*w1),
                          std::move(*w2),
                          loadOptional<T>(getTensor(op.getB1())),
                          loadOptional<T>(getTensor(op.getB2())),
                          loadOptional<T>(getTensor(op.getW1Global())),
                          loadOptional<T>(getTensor(op.getW2Global())),
                          &*routing,
                          op.getActivation(),
                          op.getGateUpAttr(),
                          op.getActQuantAttr(),
                          x.getType(),
                          {},
                          options.threads};
  WeightPlace place = op.getWeightPlace();
  if (place == WeightPlace::Input)
    routed.inputWeights = weights;
  llvm::Expected<std::vector<T>> rows = runPair(routed, rounded);
  if (!rows)
    return rows.takeError();

  std::vector<T> shared, gate(tokens, T(1));
  if (op.getSharedW1()) {
    auto s1 = MatrixView::create(*getTensor(op.getSharedW1()),
                                 getTensor(op.getSharedW1Scale()), nullptr,
                                 op.getSharedQuantAttr());
    if (!s1)
      return s1.takeError();
    auto s2 = MatrixView::create(*getTensor(op.getSharedW2()),
                                 getTensor(op.getSharedW2Scale()), nullptr,
                                 op.getSharedQuantAttr());
    if (!s2)
      return s2.takeError();
    llvm::Expected<RoutingTable> all = routeToAll(tokens, 1, 1);
    if (!all)
      return all.takeError();
    ExpertPair<T> pair = {std::move(*s1),
                          std::move(*s2),
                          {},
                          {},
                          {},
                          {},
                          &*all,
                          op.getActivation(),
                          op.getGateUpAttr(),
                          op.getActQuantAttr(),
                          x.getType(),
                          {},
                          options.threads};
    llvm::Expected<std::vector<T>> sum = runPair(pair, rounded);
    if (!sum)
      return sum.takeError();
    shared = std::move(*sum);
    if (const HostTensor *gateVector = getTensor(op.getSharedGate())) {
      std::vector<T> values = loadOptional<T>(gateVector);
      for (int64_t t = 0; t < tokens; ++t) {
        T dot = 0;
        for (int64_t c = 0; c < hidden; ++c)
          dot += plain[t * hidden + c] * values[c];
        gate[t] = sigmoid(dot);
      }
    }
  }

  bool weighted =
      place == WeightPlace::Epilogue || place == WeightPlace::Combine;
  std::vector<T> sum(hidden);
  for (int64_t t = 0; t < tokens; ++t) {
    std::fill(sum.begin(), sum.end(), T(0));
    for (int64_t j = 0; j < routing->topk; ++j) {
      int64_t slot = t * routing->topk + j;
      if (routing->slotExpert[slot] < 0)
        continue;
      T weight = weighted ? weights[slot] : T(1);
      for (int64_t c = 0; c < hidden; ++c)
        sum[c] += weight * (*rows)[slot * hidden + c];
    }
    if (!shared.empty())
      for (int64_t c = 0; c < hidden; ++c)
        sum[c] += gate[t] * shared[t * hidden + c];
    storeRow<T>(out->getType(), sum.data(),
                out->getData() + byteOffset(*out, t * hidden), hidden);
  }
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}

llvm::Error Executor::run(FusedExpertsOp op) {
  return inDouble() ? runLayer<double>(op) : runLayer<float>(op);
}
