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
  } else {
    llvm::report_fatal_error("unknown check '" + op + "'");
  }
  double limit = 1e-12;
  if (auto a = spec.getAs<FloatAttr>("tolerance"))
    limit = a.getValueAsDouble();
  else if (op == "gemm")
    limit = 4e-3;
  bool ok = error.value() <= limit;
  llvm::outs() << "check " << op
               << ": rel_err=" << llvm::format("%.2e", error.value())
               << (ok ? "" : " FAILED") << "\n";
  return ok;
}
