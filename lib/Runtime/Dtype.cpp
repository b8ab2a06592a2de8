//===- Dtype.cpp - Element types by number and name -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Dtype.h"

#include <cstring>

using namespace moec;

namespace {
struct Row {
  const char *name;
  int64_t bytes;
};
} // namespace

// In the order of moec_dtype.
static constexpr Row rows[] = {
    {"f64", 8},       {"f32", 4},    {"f16", 2},        {"bf16", 2},
    {"f8E4M3FN", 1},  {"f8E5M2", 1}, {"f8E4M3FNUZ", 1}, {"f8E5M2FNUZ", 1},
    {"f8E8M0FNU", 1}, {"i8", 1},     {"u8", 1},         {"i16", 2},
    {"i32", 4},       {"i64", 8},    {"bool", 1}};
static constexpr int32_t count = sizeof(rows) / sizeof(rows[0]);
static_assert(count == MOEC_BOOL + 1, "one row per moec_dtype");

bool moec::dtypeFromName(const char *name, moec_dtype &dtype) {
  for (int32_t i = 0; i < count; ++i)
    if (std::strcmp(name, rows[i].name) == 0) {
      dtype = static_cast<moec_dtype>(i);
      return true;
    }
  return false;
}

bool moec::sameStorage(int32_t a, int32_t b) {
  auto byte = [](int32_t dtype) {
    return dtype == MOEC_U8 ? int32_t(MOEC_I8) : dtype;
  };
  return byte(a) == byte(b);
}

extern "C" int64_t moec_dtype_size(int32_t dtype) {
  return dtype >= 0 && dtype < count ? rows[dtype].bytes : 0;
}

extern "C" const char *moec_dtype_name(int32_t dtype) {
  return dtype >= 0 && dtype < count ? rows[dtype].name : nullptr;
}
