//===- Compare.cpp - How far two tensors differ ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Reference/Moe/Compare.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::moe;

std::string Difference::describe(llvm::ArrayRef<int64_t> shape) const {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "rel_err=" << llvm::format("%.3g", relErr)
     << " max_abs=" << llvm::format("%.3g", maxAbs);
  llvm::SmallVector<int64_t> index(shape.size());
  int64_t rest = worst;
  for (size_t i = shape.size(); i-- > 0;) {
    index[i] = shape[i] ? rest % shape[i] : 0;
    rest = shape[i] ? rest / shape[i] : 0;
  }
  os << " at " << formatShape(index);
  if (special)
    os << " (" << special << " elements are NaN or infinite on one side only)";
  return text;
}

llvm::Expected<Difference>
mlir::moe::compareTensors(const HostTensor &actual,
                          const HostTensor &expected) {
  if (actual.getShape() != expected.getShape())
    return llvm::createStringError("cannot compare " + actual.describe() +
                                   " with " + expected.describe());
  constexpr int64_t chunk = 4096;
  Difference result;
  double error = 0, norm = 0;
  std::vector<double> a(chunk), b(chunk);
  unsigned aBits = getBitWidth(actual.getType());
  unsigned bBits = getBitWidth(expected.getType());
  for (int64_t begin = 0; begin < actual.getNumElements(); begin += chunk) {
    int64_t n = std::min(chunk, actual.getNumElements() - begin);
    convertToDouble(actual.getType(), actual.getData() + begin * aBits / 8,
                    a.data(), n);
    convertToDouble(expected.getType(), expected.getData() + begin * bBits / 8,
                    b.data(), n);
    for (int64_t i = 0; i < n; ++i) {
      if (std::isfinite(a[i]) && std::isfinite(b[i])) {
        double d = std::fabs(a[i] - b[i]);
        error += d * d;
        norm += b[i] * b[i];
        if (d > result.maxAbs) {
          result.maxAbs = d;
          if (!result.special)
            result.worst = begin + i;
        }
        continue;
      }
      bool same = (std::isnan(a[i]) && std::isnan(b[i])) || a[i] == b[i];
      if (!same && result.special++ == 0)
        result.worst = begin + i;
    }
  }
  if (result.special || (norm == 0 && error > 0))
    result.relErr = std::numeric_limits<double>::infinity();
  else if (error > 0)
    result.relErr = std::sqrt(error / norm);
  return result;
}

std::optional<double> mlir::moe::getTolerance(llvm::StringRef dtype) {
  struct Entry {
    llvm::StringRef prefix;
    double tolerance;
  };
  // Weight-only formats keep bf16 activations; formats that quantise
  // activations may round one code differently where sums differ in order.
  static constexpr Entry entries[] = {
      {"f64", 1e-12},  {"f32", 1e-5},   {"f16", 2e-3},   {"bf16", 4e-3},
      {"fp8", 1e-2},   {"f8", 1e-2},    {"w4a16", 5e-3}, {"w8a16", 5e-3},
      {"w8a8", 1e-2},  {"int8", 1e-2},  {"i8", 1e-2},    {"mxfp4", 5e-3},
      {"mxfp8", 1e-2}, {"nvfp4", 5e-3}, {"w4a8", 1e-2},  {"i4", 5e-3},
      {"int4", 5e-3},  {"f4", 5e-3},
  };
  const Entry *best = nullptr;
  for (const Entry &entry : entries)
    if (dtype.starts_with(entry.prefix) &&
        (!best || entry.prefix.size() > best->prefix.size()))
      best = &entry;
  return best ? std::optional(best->tolerance) : std::nullopt;
}
