//===- Check.cpp - What a caller passes, against the manifest -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Check.h"
#include "Dtype.h"
#include "Status.h"

using namespace moec;

static long long wide(int64_t value) { return value; }

/// Checks one tensor against the manifest; `extent` is its memory.
static moec_status checkTensor(const char *layer, int32_t index,
                               const Argument &argument,
                               const moec_tensor &tensor, int64_t tokens,
                               Extent &extent) {
  const char *name = argument.name.c_str();
  if (!tensor.data && argument.optional)
    return MOEC_OK;
  if (!sameStorage(tensor.dtype, argument.dtype)) {
    const char *given = moec_dtype_name(tensor.dtype);
    return fail(MOEC_ERR_DTYPE,
                "%s: argument %d '%s' is %s (dtype %d), expected %s", layer,
                index, name, given ? given : "unknown", tensor.dtype,
                moec_dtype_name(argument.dtype));
  }
  int32_t rank = static_cast<int32_t>(argument.shape.size());
  if (tensor.rank != rank)
    return fail(MOEC_ERR_SHAPE, "%s: argument %d '%s' has rank %d, expected %d",
                layer, index, name, tensor.rank, rank);
  if (rank && !tensor.dims)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: the dimensions of argument %d '%s' are null", layer, index,
                name);
  int64_t bytes = moec_dtype_size(argument.dtype);
  for (int32_t d = 0; d < rank; ++d) {
    const Affine &size = argument.shape[d];
    int64_t expected;
    if (!size.evaluate(tokens, expected))
      return fail(MOEC_ERR_SHAPE,
                  "%s: dimension %d of argument %d '%s', %s, exceeds 2^63 for "
                  "T = %lld",
                  layer, d, index, name, size.str().c_str(), wide(tokens));
    if (tensor.dims[d] != expected) {
      if (size.perToken == 0)
        return fail(MOEC_ERR_SHAPE,
                    "%s: dimension %d of argument %d '%s' is %lld, expected "
                    "%lld",
                    layer, d, index, name, wide(tensor.dims[d]),
                    wide(expected));
      return fail(MOEC_ERR_SHAPE,
                  "%s: dimension %d of argument %d '%s' is %lld, expected "
                  "%lld = %s for T = %lld",
                  layer, d, index, name, wide(tensor.dims[d]), wide(expected),
                  size.str().c_str(), wide(tokens));
    }
    if (__builtin_mul_overflow(bytes, expected, &bytes))
      return fail(MOEC_ERR_SHAPE,
                  "%s: argument %d '%s' exceeds 2^63 bytes for T = %lld", layer,
                  index, name, wide(tokens));
  }
  // Strides of dimensions of one element, and of tensors of none, are never
  // used.
  int64_t stride = 1;
  for (int32_t d = rank - 1; tensor.strides && bytes && d >= 0; --d) {
    if (tensor.dims[d] != 1 && tensor.strides[d] != stride)
      return fail(MOEC_ERR_SHAPE,
                  "%s: argument %d '%s' is not contiguous: stride %d is %lld "
                  "elements, expected %lld",
                  layer, index, name, d, wide(tensor.strides[d]), wide(stride));
    stride *= tensor.dims[d];
  }
  if (!tensor.data) {
    if (bytes == 0)
      return MOEC_OK;
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: the data of argument %d '%s' is null", layer, index, name);
  }
  extent.first = reinterpret_cast<uintptr_t>(tensor.data);
  extent.last = extent.first + static_cast<uintptr_t>(bytes);
  if (bytes && extent.first % static_cast<uintptr_t>(argument.align))
    return fail(MOEC_ERR_ALIGNMENT,
                "%s: argument %d '%s' is at %p, must be a multiple of %lld",
                layer, index, name, tensor.data, wide(argument.align));
  return MOEC_OK;
}

moec_status moec::checkTensors(const moec_layer &layer,
                               const moec_tensor *tensors, int32_t count,
                               int64_t tokens,
                               Extent (&extents)[maxArguments]) {
  const char *name = layer.manifest.name.c_str();
  const std::vector<Argument> &arguments = layer.manifest.arguments;
  if (static_cast<size_t>(count) != arguments.size())
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: %d arguments were passed, expected %zu", name, count,
                arguments.size());
  if (count && !tensors)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: the argument list is null",
                name);
  for (int32_t i = 0; i < count; ++i)
    if (moec_status status =
            checkTensor(name, i, arguments[i], tensors[i], tokens, extents[i]))
      return status;
  return MOEC_OK;
}

moec_status moec::checkOverlap(const moec_layer &layer,
                               const Extent (&extents)[maxArguments],
                               const Extent &workspace) {
  const char *name = layer.manifest.name.c_str();
  const std::vector<Argument> &arguments = layer.manifest.arguments;
  int32_t count = static_cast<int32_t>(arguments.size());
  for (int32_t i = 0; i < count; ++i) {
    if (extents[i].overlaps(workspace))
      return fail(MOEC_ERR_INVALID_ARGUMENT,
                  "%s: argument %d '%s' overlaps the workspace", name, i,
                  arguments[i].name.c_str());
    for (int32_t j = 0; arguments[i].role == MOEC_OUTPUT && j < count; ++j)
      if (j != i && extents[i].overlaps(extents[j]))
        return fail(MOEC_ERR_INVALID_ARGUMENT,
                    "%s: output %d '%s' overlaps argument %d '%s'", name, i,
                    arguments[i].name.c_str(), j, arguments[j].name.c_str());
  }
  return MOEC_OK;
}

moec_status moec::checkWorkspace(const moec_layer &layer,
                                 const WorkspaceLayout &layout, int64_t tokens,
                                 int32_t workers, const void *workspace,
                                 uint64_t bytes, Extent &used) {
  const char *name = layer.manifest.name.c_str();
  uint64_t needed = static_cast<uint64_t>(layout.total);
  if (needed == 0)
    return MOEC_OK;
  if (bytes < needed && !workers)
    return fail(MOEC_ERR_WORKSPACE,
                "%s: the workspace has %llu bytes, %lld tokens need %llu", name,
                static_cast<unsigned long long>(bytes), wide(tokens),
                static_cast<unsigned long long>(needed));
  if (bytes < needed)
    return fail(MOEC_ERR_WORKSPACE,
                "%s: the workspace has %llu bytes, %lld tokens on %d workers "
                "need %llu",
                name, static_cast<unsigned long long>(bytes), wide(tokens),
                workers, static_cast<unsigned long long>(needed));
  if (!workspace)
    return fail(MOEC_ERR_WORKSPACE,
                "%s: the workspace is null, %llu bytes "
                "are needed",
                name, static_cast<unsigned long long>(needed));
  if (reinterpret_cast<uintptr_t>(workspace) % MOEC_WORKSPACE_ALIGN)
    return fail(MOEC_ERR_ALIGNMENT,
                "%s: the workspace is at %p, must be a multiple of %d", name,
                workspace, MOEC_WORKSPACE_ALIGN);
  used.first = reinterpret_cast<uintptr_t>(workspace);
  used.last = used.first + static_cast<uintptr_t>(needed);
  return MOEC_OK;
}
