//===- Projections.cpp - grouped_gemm and activate ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

#include "ScalarProgram.h"
#include "moec/Support/Parallel.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Epilogue operands
//===----------------------------------------------------------------------===//

namespace {
/// One argument of the epilogue region behind the accumulators: a value per
/// column (`stride` 1) or one for all columns.
template <typename T> struct Binding {
  enum Kind { RowSlot, RowToken, Col, Expert, Elt };
  Binding(Kind kind, std::vector<T> values, int64_t width = 1)
      : kind(kind), values(std::move(values)), width(width) {}
  Kind kind;
  std::vector<T> values;
  /// Col: columns of the operand, and the operand's column of every result
  /// column.
  int64_t width;
  std::vector<int64_t> columns;
};
} // namespace

template <typename T> static std::vector<T> loadAll(const HostTensor &tensor) {
  std::vector<T> all(tensor.getNumElements());
  loadRow<T>(tensor.getType(), tensor.getData(), all.data(), all.size());
  return all;
}

template <typename T>
static llvm::Expected<std::vector<Binding<T>>>
bindOperands(GroupedGemmOp op, const Executor &executor,
             const RoutingTable &routing) {
  std::vector<Binding<T>> bindings;
  int64_t outCols = op.getOutCols();
  for (Value operand : op.getRowOperands()) {
    const HostTensor &tensor = *executor.getTensor(operand);
    if (llvm::Error error =
            checkExtent("a row operand", tensor, 0, routing.tokens))
      return std::move(error);
    bindings.push_back(
        {tensor.getRank() == 2 ? Binding<T>::RowSlot : Binding<T>::RowToken,
         loadAll<T>(tensor)});
  }
  for (auto [index, operand] : llvm::enumerate(op.getColOperands())) {
    const HostTensor &tensor = *executor.getTensor(operand);
    Binding<T> binding(Binding<T>::Col, loadAll<T>(tensor), tensor.getDim(1));
    binding.columns.resize(outCols);
    if (op.getNumColArgs(index) == 1) {
      for (int64_t c = 0; c < outCols; ++c)
        binding.columns[c] = c;
      bindings.push_back(std::move(binding));
      continue;
    }
    // One column per weight row: gate and up values stand as the rows do.
    Binding<T> up = binding;
    for (int64_t c = 0; c < outCols; ++c) {
      binding.columns[c] = op.getGateUpAttr().getGateRow(c, outCols);
      up.columns[c] = op.getGateUpAttr().getUpRow(c, outCols);
    }
    bindings.push_back(std::move(binding));
    bindings.push_back(std::move(up));
  }
  for (Value operand : op.getExpertOperands())
    bindings.push_back(
        {Binding<T>::Expert, loadAll<T>(*executor.getTensor(operand))});
  for (Value operand : op.getEltOperands()) {
    const HostTensor &tensor = *executor.getTensor(operand);
    if (llvm::Error error =
            checkExtent("an elt operand", tensor, 0, routing.getNumSlots()))
      return std::move(error);
    bindings.push_back({Binding<T>::Elt, loadAll<T>(tensor)});
  }
  return bindings;
}

/// The values of `binding` for `cols` columns from `col` of one slot.
template <typename T>
static void fetch(const Binding<T> &binding, const RoutingTable &routing,
                  int64_t expert, int64_t slot, int64_t col, int64_t cols,
                  int64_t outCols, T *target) {
  switch (binding.kind) {
  case Binding<T>::RowSlot:
    return (void)std::fill_n(target, cols, binding.values[slot]);
  case Binding<T>::RowToken:
    return (void)std::fill_n(target, cols, binding.values[slot / routing.topk]);
  case Binding<T>::Expert:
    return (void)std::fill_n(target, cols, binding.values[expert]);
  case Binding<T>::Elt:
    return (void)std::copy_n(&binding.values[slot * outCols + col], cols,
                             target);
  case Binding<T>::Col:
    for (int64_t c = 0; c < cols; ++c)
      target[c] =
          binding.values[expert * binding.width + binding.columns[col + c]];
    return;
  }
}

//===----------------------------------------------------------------------===//
// grouped_gemm
//===----------------------------------------------------------------------===//

template <typename T>
static void sumSlots(const std::vector<T> &values, const RoutingTable &routing,
                     int64_t cols, HostTensor &out) {
  std::vector<T> sum(cols);
  for (int64_t t = 0; t < routing.tokens; ++t) {
    std::fill(sum.begin(), sum.end(), T(0));
    for (int64_t slot = t * routing.topk; slot < (t + 1) * routing.topk; ++slot)
      if (routing.slotExpert[slot] >= 0)
        for (int64_t c = 0; c < cols; ++c)
          sum[c] += values[slot * cols + c];
    storeRow<T>(out.getType(), sum.data(),
                out.getData() + byteOffset(out, t * cols), cols);
  }
}

template <typename T> llvm::Error Executor::runGemm(GroupedGemmOp op) {
  const RoutingTable &routing = *get(op.getRouting()).routing;
  llvm::Expected<MatrixView> a =
      MatrixView::create(*getTensor(op.getA()), getTensor(op.getAScale()),
                         nullptr, op.getAQuantAttr());
  if (!a)
    return a.takeError();
  llvm::Expected<MatrixView> b =
      MatrixView::create(*getTensor(op.getB()), getTensor(op.getBScale()),
                         getTensor(op.getBZero()), op.getBQuantAttr());
  if (!b)
    return b.takeError();
  if (a->getCols() != b->getCols())
    return llvm::createStringError("a has " + Twine(a->getCols()) +
                                   " columns, b " + Twine(b->getCols()));
  RowLayout layout = op.getALayout();
  if (a->getRows() < routing.getNumRows(layout))
    return llvm::createStringError("a has " + Twine(a->getRows()) +
                                   " rows, layout " +
                                   stringifyRowLayout(layout) + " needs " +
                                   Twine(routing.getNumRows(layout)));
  llvm::Expected<ScalarProgram> program =
      ScalarProgram::compile(op.getEpilogue().front());
  if (!program)
    return program.takeError();
  auto bindings = bindOperands<T>(op, *this, routing);
  if (!bindings)
    return bindings.takeError();

  int64_t outCols = op.getOutCols();
  std::vector<T> rows = loadMatrix<T>(*a, options.threads);
  Projection<T> projection;
  projection.a = rows.data();
  projection.reduction = a->getCols();
  projection.rowOfSlot = [&](int64_t slot) {
    return routing.getRow(layout, slot);
  };
  projection.b = &*b;
  projection.routing = &routing;
  projection.gateUp = op.getGateUpAttr();
  std::vector<T> sums;
  ScalePlanAttr plan = op.getScalesAttr();
  if (plan && plan.getZero() == ZeroPlace::RowSum) {
    const HostTensor &tensor = *getTensor(op.getASums());
    if (llvm::Error error = checkExtent("sums", tensor, 1, a->getRows()))
      return error;
    if (llvm::Error error = checkExtent("sums", tensor, 0, b->getScaleCols()))
      return error;
    sums = loadAll<T>(tensor);
    projection.sums = sums.data();
    projection.sumRows = a->getRows();
    b->setZeroAside();
  }
  projection.finish = [&](int64_t expert, int64_t slot, int64_t col,
                          int64_t cols, const T *gate, const T *up, T *out) {
    constexpr int64_t width = ScalarProgram::kMaxElements;
    thread_local std::vector<T> fetched, scratch;
    fetched.resize(bindings->size() * width);
    SmallVector<const T *> args = {gate};
    if (up)
      args.push_back(up);
    for (auto [i, binding] : llvm::enumerate(*bindings)) {
      fetch(binding, routing, expert, slot, col, cols, outCols,
            &fetched[i * width]);
      args.push_back(&fetched[i * width]);
    }
    program->run<T>(args, out, cols, scratch);
  };
  std::vector<T> values = runProjection(projection, options.threads);

  // Closing rule.
  llvm::Expected<HostTensor> out = createLike(*getTensor(op.getOuts()[0]));
  if (!out)
    return out.takeError();
  if (out->getDim(0) < routing.getNumRows(op.getOut()))
    return llvm::createStringError("the result has " + Twine(out->getDim(0)) +
                                   " rows, layout " +
                                   stringifyRowLayout(op.getOut()) + " needs " +
                                   Twine(routing.getNumRows(op.getOut())));
  if (op.getOut() == RowLayout::Token) {
    sumSlots(values, routing, outCols, *out);
    bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
    return llvm::Error::success();
  }
  std::optional<HostTensor> scales;
  QuantAttr quant = op.getQuantizeAttr();
  if (quant) {
    if (quant.getGranuleRows() != 1 || quant.getZero() != ZeroPoint::None)
      return llvm::createStringError(
          "quantize must be symmetric with granules of one row");
    llvm::Expected<HostTensor> made = createLike(*getTensor(op.getOuts()[1]));
    if (!made)
      return made.takeError();
    scales = std::move(*made);
    if (llvm::Error error = checkExtent(
            "the scale result", *scales,
            quant.getLayout() == ScaleLayout::GroupMajor, out->getDim(0)))
      return error;
  }
  std::vector<float> line(outCols);
  for (int64_t slot = 0; slot < routing.getNumSlots(); ++slot) {
    int64_t row = routing.getRow(op.getOut(), slot);
    if (row < 0)
      continue;
    const T *source = &values[slot * outCols];
    if (!quant) {
      storeRow<T>(out->getType(), source,
                  out->getData() + byteOffset(*out, row * outCols), outCols);
      continue;
    }
    std::copy_n(source, outCols, line.begin());
    quantizeRow(line.data(), outCols, quant, row, out->getDim(0), *out,
                *scales);
  }
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  if (quant)
    bind(op->getResult(1), RefValue::ofTensor(std::move(*scales)));
  return llvm::Error::success();
}

llvm::Error Executor::run(GroupedGemmOp op) {
  return inDouble() ? runGemm<double>(op) : runGemm<float>(op);
}

//===----------------------------------------------------------------------===//
// activate
//===----------------------------------------------------------------------===//

template <typename T> llvm::Error Executor::runActivate(ActivateOp op) {
  const HostTensor &x = *getTensor(op.getX());
  llvm::Expected<HostTensor> out = createLike(*getTensor(op.getOuts()[0]));
  if (!out)
    return out.takeError();
  llvm::Expected<ScalarProgram> program =
      ScalarProgram::compile(op.getBody().front());
  if (!program)
    return program.takeError();
  GateUpAttr gateUp = op.getGateUpAttr();
  int64_t rows = x.getDim(0), inCols = x.getDim(1), outCols = out->getDim(1);
  if (llvm::Error error = checkExtent("the result", *out, 0, rows))
    return error;
  if (llvm::Error error =
          checkExtent("the input", x, 1, outCols * (gateUp ? 2 : 1)))
    return error;
  SmallVector<int64_t> gateCols(outCols), upCols(outCols);
  for (int64_t c = 0; c < outCols; ++c) {
    gateCols[c] = gateUp ? gateUp.getGateRow(c, outCols) : c;
    upCols[c] = gateUp ? gateUp.getUpRow(c, outCols) : c;
  }
  parallelFor(rows, 4, options.threads, [&](uint64_t begin, uint64_t end) {
    constexpr int64_t width = ScalarProgram::kMaxElements;
    std::vector<T> line(inCols), result(outCols), scratch;
    T gate[width], up[width];
    for (uint64_t row = begin; row < end; ++row) {
      loadRow<T>(x.getType(), x.getData() + byteOffset(x, row * inCols),
                 line.data(), inCols);
      for (int64_t col = 0; col < outCols; col += width) {
        int64_t n = std::min(width, outCols - col);
        for (int64_t c = 0; c < n; ++c) {
          gate[c] = line[gateCols[col + c]];
          up[c] = line[upCols[col + c]];
        }
        SmallVector<const T *> args = {gate};
        if (gateUp)
          args.push_back(up);
        program->run<T>(args, &result[col], n, scratch);
      }
      storeRow<T>(out->getType(), result.data(),
                  out->getData() + byteOffset(*out, row * outCols), outCols);
    }
  });
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}

llvm::Error Executor::run(ActivateOp op) {
  return inDouble() ? runActivate<double>(op) : runActivate<float>(op);
}
