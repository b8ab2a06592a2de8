//===- TensorMap.cpp - Encoded tensor maps and their cache ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorMap.h"
#include "Status.h"

#include <cstring>

using namespace moec;

/// The driver's number of an element type. 8-bit floats are moved as bytes.
static int dataType(moec_dtype dtype) {
  enum { U8, U16, U32, I32, U64, I64, F16, F32, F64, BF16 };
  switch (dtype) {
  case MOEC_F64:
    return F64;
  case MOEC_F32:
    return F32;
  case MOEC_F16:
    return F16;
  case MOEC_BF16:
    return BF16;
  case MOEC_I16:
    return U16;
  case MOEC_I32:
    return I32;
  case MOEC_I64:
    return I64;
  default:
    return U8;
  }
}

/// 0, 1, 2, 3 for none, 32, 64 and 128 bytes.
static int swizzleCode(int32_t bytes) {
  return bytes == 0 ? 0 : bytes == 32 ? 1 : bytes == 64 ? 2 : 3;
}

/// 0, 1, 2, 3 for none, 64, 128 and 256 bytes.
static int promotionCode(int32_t bytes) {
  return bytes == 0 ? 0 : bytes == 64 ? 1 : bytes == 128 ? 2 : 3;
}

static moec_status tooLarge(const TensorMapRequest &request, const char *what,
                            const Affine &size) {
  return fail(MOEC_ERR_SHAPE,
              "%s: %s of a tensor map, %s, exceeds what the copy engine takes "
              "for T = %lld",
              request.layer, what, size.str().c_str(),
              static_cast<long long>(request.tokens));
}

moec_status moec::encodeTensorMap(const GpuDriver &driver,
                                  const TensorMapRequest &request,
                                  CUtensorMap &result) {
  const TensorMap &map = *request.map;
  uint64_t dims[5], strides[4];
  std::memset(&result, 0, sizeof(result));
  if (!request.base)
    return MOEC_OK;
  // Bytes from the first element to behind the last one.
  int64_t end = moec_dtype_size(map.dtype);
  for (int32_t i = 0; i < map.rank; ++i) {
    int64_t dim, stride = moec_dtype_size(map.dtype), reach;
    if (!map.dims[i].evaluate(request.tokens, dim) || dim > int64_t(1) << 32)
      return tooLarge(request, "a dimension", map.dims[i]);
    if (dim == 0)
      return MOEC_OK;
    if (i) {
      const Affine &size = map.strides[i - 1];
      if (!size.evaluate(request.tokens, stride) || stride >= int64_t(1) << 40)
        return tooLarge(request, "a stride", size);
      if (stride % map.align())
        return fail(MOEC_ERR_ALIGNMENT,
                    "%s: a stride of a tensor map is %lld bytes, the copy "
                    "engine needs a multiple of %lld",
                    request.layer, static_cast<long long>(stride),
                    static_cast<long long>(map.align()));
      strides[i - 1] = static_cast<uint64_t>(stride);
    }
    if (__builtin_mul_overflow(dim - 1, stride, &reach) ||
        __builtin_add_overflow(end, reach, &end))
      return tooLarge(request, "the extent", map.dims[i]);
    dims[i] = static_cast<uint64_t>(dim);
  }
  if (end > request.bytes)
    return fail(MOEC_ERR_MANIFEST,
                "%s: a tensor map reaches %lld bytes, %s %d has %lld for T = "
                "%lld",
                request.layer, static_cast<long long>(end),
                map.ofWorkspace ? "workspace slice" : "argument", map.index,
                static_cast<long long>(request.bytes),
                static_cast<long long>(request.tokens));
  CUresult code = driver.tensorMapEncodeTiled(
      &result, dataType(map.dtype), static_cast<uint32_t>(map.rank),
      reinterpret_cast<void *>(request.base), dims, strides, map.box,
      map.elementStrides, map.interleave / 16, swizzleCode(map.swizzle),
      promotionCode(map.l2), map.fillNan);
  if (code == cuda::Success)
    return MOEC_OK;
  return driver.error(code, "%s: the tensor map of %s %d", request.layer,
                      map.ofWorkspace ? "workspace slice" : "argument",
                      map.index);
}

moec_status TensorMapCache::get(const GpuDriver &driver,
                                const TensorMapRequest &request,
                                CUtensorMap &result) {
  // Weights are the same tensor for every token count.
  int64_t tokens = request.map->perToken ? request.tokens : -1;
  uint64_t hash = reinterpret_cast<uintptr_t>(request.map) * 31 + request.base +
                  static_cast<uint64_t>(tokens) * 0x10001;
  hash *= 0x9e3779b97f4a7c15;
  Set &set = sets[(hash >> 40) % setCount];
  std::lock_guard<std::mutex> lock(mutex);
  for (const Entry &entry : set.entries)
    if (entry.map == request.map && entry.base == request.base &&
        entry.bytes == request.bytes && entry.tokens == tokens) {
      result = entry.value;
      return MOEC_OK;
    }
  if (moec_status status = encodeTensorMap(driver, request, result))
    return status;
  Entry &entry = set.entries[set.next];
  set.next = (set.next + 1) % ways;
  entry.map = request.map;
  entry.base = request.base;
  entry.bytes = request.bytes;
  entry.tokens = tokens;
  entry.value = result;
  return MOEC_OK;
}
