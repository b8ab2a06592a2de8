//===- Quantisation.cpp - quantize, dequantize, group_sum, repack ---------===//
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

llvm::Error Executor::run(QuantizeOp op) {
  const HostTensor &x = *getTensor(op.getX());
  QuantAttr quant = op.getQuant();
  int64_t rows = x.getDim(0), cols = x.getDim(1);
  auto fresh = createQuantized(quant, rows, cols);
  if (!fresh)
    return fresh.takeError();
  for (auto [index, out] : llvm::enumerate(op.getOuts())) {
    const HostTensor &made = index ? fresh->second : fresh->first;
    if (getTensor(out)->getShape() != made.getShape())
      return llvm::createStringError("result " + Twine(index) + " is " +
                                     getTensor(out)->describe() + ", must be " +
                                     made.describe());
  }
  parallelFor(rows, 8, options.threads, [&](uint64_t begin, uint64_t end) {
    std::vector<float> line(cols);
    for (uint64_t row = begin; row < end; ++row) {
      convertToFloat(x.getType(), x.getData() + byteOffset(x, row * cols),
                     line.data(), cols);
      quantizeRow(line.data(), cols, quant, row, rows, fresh->first,
                  fresh->second);
    }
  });
  bind(op->getResult(0), RefValue::ofTensor(std::move(fresh->first)));
  bind(op->getResult(1), RefValue::ofTensor(std::move(fresh->second)));
  return llvm::Error::success();
}

llvm::Error Executor::run(DequantizeOp op) {
  llvm::Expected<MatrixView> view =
      MatrixView::create(*getTensor(op.getValues()), getTensor(op.getScale()),
                         getTensor(op.getZero()), op.getQuant());
  if (!view)
    return view.takeError();
  llvm::Expected<HostTensor> out = createLike(*getTensor(op.getOuts()[0]));
  if (!out)
    return out.takeError();
  int64_t cols = view->getCols(), rows = view->getRows();
  if (out->getNumElements() != view->getBatch() * rows * cols)
    return llvm::createStringError(
        "result " + out->describe() + " does not hold " +
        Twine(view->getBatch() * rows) + " rows of " + Twine(cols));
  parallelFor(view->getBatch() * rows, 8, options.threads,
              [&](uint64_t begin, uint64_t end) {
                std::vector<float> line(cols);
                for (uint64_t row = begin; row < end; ++row) {
                  view->loadValues<float>(row / rows, row % rows, line.data());
                  convertFromFloat(
                      out->getType(), line.data(),
                      out->getData() + byteOffset(*out, row * cols), cols);
                }
              });
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}

llvm::Error Executor::run(GroupSumOp op) {
  const HostTensor &x = *getTensor(op.getX());
  int64_t rows = x.getDim(0), cols = x.getDim(1), group = op.getGroup();
  llvm::Expected<HostTensor> out = createLike(*getTensor(op.getOuts()[0]));
  if (!out)
    return out.takeError();
  if (llvm::Error error = checkExtent("the result", *out, 1, rows))
    return error;
  std::vector<double> line(cols);
  for (int64_t row = 0; row < rows; ++row) {
    convertToDouble(x.getType(), x.getData() + byteOffset(x, row * cols),
                    line.data(), cols);
    for (int64_t g = 0; g < cols / group; ++g) {
      double sum = 0;
      for (int64_t c = g * group; c < (g + 1) * group; ++c)
        sum = inDouble() ? sum + line[c] : float(sum) + float(line[c]);
      convertFromDouble(out->getType(), &sum,
                        out->getData() + byteOffset(*out, g * rows + row), 1);
    }
  }
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}

llvm::Error Executor::run(RepackOp op) {
  const HostTensor &w = *getTensor(op.getW());
  QuantAttr from = op.getFrom(), to = op.getTo();
  llvm::Expected<HostTensor> out = createLike(*getTensor(op.getOuts()[0]));
  if (!out)
    return out.takeError();
  if (out->getByteSize() != w.getByteSize())
    return llvm::createStringError("result " + out->describe() +
                                   " has another size than " + w.describe());
  if (from.getPacking() == Packing::Plain ||
      from.getPacking() == to.getPacking()) {
    llvm::copy(llvm::ArrayRef(w.getData(), w.getByteSize()), out->getData());
    if (from.getElem() != to.getElem())
      // FNUZ has no -0 and one NaN, 0x80; its values are half of those of FN.
      for (uint8_t &code : out->getAs<uint8_t>())
        code = code == 0x80 ? 0x00 : (code & 0x7f) == 0x7f ? 0x80 : code;
  } else {
    // Rows are whole stored elements on both sides, so they need no care.
    std::vector<uint8_t> codes(w.getByteSize() * 2);
    unpackCodes(from.getPacking(), w.getData(), codes.data(), codes.size());
    packCodes(to.getPacking(), codes.data(), out->getData(), codes.size());
  }
  bind(op->getResult(0), RefValue::ofTensor(std::move(*out)));
  return llvm::Error::success();
}
