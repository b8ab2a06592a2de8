//===- Reference.cpp - What the test kernels should compute ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Reference.h"
#include <cmath>

using namespace mlir;
using namespace mlir::moe;

double TestBuffer::at(uint64_t i) const {
  uint64_t code = 0;
  unsigned bytesEach = getBitWidth(type) / 8;
  std::memcpy(&code, &bytes[i * bytesEach], bytesEach);
  return decode(type, code);
}

static int64_t number(DictionaryAttr spec, StringRef name, int64_t otherwise) {
  if (auto a = spec.getAs<IntegerAttr>(name))
    return a.getInt();
  return otherwise;
}

namespace {
/// Relative Frobenius error; not finite counts as infinite.
struct Error {
  double difference = 0, norm = 0;
  void add(double got, double want) {
    double d = got - want;
    difference += std::isfinite(d) ? d * d : INFINITY;
    norm += want * want;
  }
  double value() const {
    return norm ? std::sqrt(difference / norm) : std::sqrt(difference);
  }
};
} // namespace

static Error checkGemm(DictionaryAttr spec, const TestBuffer &a,
                       const TestBuffer &b, const TestBuffer &c,
                       const TestBuffer *rows) {
  int64_t m = number(spec, "m", 0), n = number(spec, "n", 0),
          k = number(spec, "k", 0), lda = number(spec, "lda", k),
          ldc = number(spec, "ldc", n);
  bool ta = number(spec, "ta", 0), tb = number(spec, "tb", 0);
  std::vector<double> bv(n * k);
  for (int64_t i = 0; i < n * k; ++i)
    bv[i] = tb ? b.at(i % k * n + i / k) : b.at(i);
  Error error;
  std::vector<double> row(k);
  for (int64_t i = 0; i < m; ++i) {
    int64_t source = rows ? int64_t(rows->at(i)) : i;
    for (int64_t x = 0; x < k; ++x)
      row[x] = source < 0 ? 0 : a.at(ta ? x * m + source : source * lda + x);
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t x = 0; x < k; ++x)
        sum += row[x] * bv[j * k + x];
      error.add(c.at(i * ldc + j), sum);
    }
  }
  return error;
}

/// silu(x W1) * (x W3) for the row blocks of a table; see Reference.h.
static Error checkSwiglu(DictionaryAttr spec, const TestBuffer &x,
                         const TestBuffer &w, const TestBuffer &slots,
                         const TestBuffer &table, const TestBuffer &y) {
  int64_t blocks = number(spec, "blocks", 1), h = number(spec, "h", 1),
          i = number(spec, "i", 1), topK = number(spec, "topk", 1);
  Error error;
  for (int64_t b = 0; b < blocks; ++b) {
    int64_t expert = table.at(4 * b), row0 = table.at(4 * b + 1),
            rows = table.at(4 * b + 2);
    std::vector<double> weight(2 * i * h);
    for (int64_t v = 0; v < 2 * i * h; ++v)
      weight[v] = w.at(expert * 2 * i * h + v);
    for (int64_t r = row0; r < row0 + rows; ++r) {
      int64_t token = int64_t(slots.at(r)) / topK;
      for (int64_t n = 0; n < i; ++n) {
        double gate = 0, up = 0;
        for (int64_t k = 0; k < h; ++k) {
          double v = x.at(token * h + k);
          gate += v * weight[n * h + k];
          up += v * weight[(i + n) * h + k];
        }
        error.add(y.at(r * i + n), gate / (1 + std::exp(-gate)) * up);
      }
    }
  }
  return error;
}

/// A whole layer: experts of SwiGLU, weighted sum over the top k.
static Error checkLayer(DictionaryAttr spec, const TestBuffer &x,
                        const TestBuffer &ids, const TestBuffer &tw,
                        const TestBuffer &w1, const TestBuffer &w2,
                        const TestBuffer &out) {
  int64_t tokens = number(spec, "t", 1), topK = number(spec, "topk", 1),
          h = number(spec, "h", 1), i = number(spec, "i", 1);
  Error error;
  std::vector<double> row(h), sum(h), hidden(i);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t n = 0; n < h; ++n) {
      row[n] = x.at(t * h + n);
      sum[n] = 0;
    }
    for (int64_t s = t * topK; s < (t + 1) * topK; ++s) {
      int64_t e = ids.at(s);
      if (e < 0)
        continue;
      for (int64_t n = 0; n < i; ++n) {
        double gate = 0, up = 0;
        for (int64_t k = 0; k < h; ++k) {
          gate += row[k] * w1.at((e * 2 * i + n) * h + k);
          up += row[k] * w1.at((e * 2 * i + i + n) * h + k);
        }
        hidden[n] = gate / (1 + std::exp(-gate)) * up;
      }
      for (int64_t n = 0; n < h; ++n)
        for (int64_t k = 0; k < i; ++k)
          sum[n] += tw.at(s) * hidden[k] * w2.at((e * h + n) * i + k);
    }
    for (int64_t n = 0; n < h; ++n)
      error.add(out.at(t * h + n), sum[n]);
  }
  return error;
}

bool runCheck(DictionaryAttr spec, const TestBuffers &buffers) {
  StringRef op = spec.getAs<StringAttr>("op").getValue();
  auto buffer = [&](StringRef role) -> const TestBuffer & {
    auto name = spec.getAs<StringAttr>(role);
    auto it = buffers.find(name ? name.getValue().str() : "");
    if (it == buffers.end())
      llvm::report_fatal_error("check " + op + ": no buffer '" + role + "'");
    return it->second;
  };
  Error error;
  if (op == "copy") {
    for (uint64_t i = 0; i < buffer("from").elements(); ++i)
      error.add(buffer("to").at(i), buffer("from").at(i));
  } else if (op == "fill") {
    double value = spec.getAs<FloatAttr>("value").getValueAsDouble();
    for (uint64_t i = 0; i < buffer("buffer").elements(); ++i)
      error.add(buffer("buffer").at(i), value);
  } else if (op == "sum") {
    for (uint64_t i = 0; i < buffer("c").elements(); ++i)
      error.add(buffer("c").at(i), buffer("a").at(i) + buffer("b").at(i));
  } else if (op == "gemm") {
    error = checkGemm(spec, buffer("a"), buffer("b"), buffer("c"),
                      spec.contains("rows") ? &buffer("rows") : nullptr);
  } else if (op == "swiglu") {
    error = checkSwiglu(spec, buffer("x"), buffer("w"), buffer("slots"),
                        buffer("table"), buffer("y"));
  } else if (op == "layer") {
    error = checkLayer(spec, buffer("x"), buffer("ids"), buffer("tw"),
                       buffer("w1"), buffer("w2"), buffer("out"));
  } else {
    llvm::report_fatal_error("unknown check '" + op + "'");
  }
  double limit = 1e-12;
  if (auto a = spec.getAs<FloatAttr>("tolerance"))
    limit = a.getValueAsDouble();
  else if (op == "gemm" || op == "swiglu" || op == "layer")
    limit = 6e-3;
  bool ok = error.value() <= limit;
  llvm::outs() << "check " << op
               << ": rel_err=" << llvm::format("%.2e", error.value())
               << (ok ? "" : " FAILED") << "\n";
  return ok;
}
