//===- Run.cpp - Check the arguments and launch ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Dtype.h"
#include "FloatEnvironment.h"
#include "Layer.h"
#include "Pool.h"
#include "Status.h"

#include <chrono>
#include <cstring>

using namespace moec;

using Clock = std::chrono::steady_clock;

namespace {

struct Extent {
  uintptr_t first = 0;
  uintptr_t last = 0; // exclusive; equal to first when empty

  bool overlaps(const Extent &other) const {
    return first < other.last && other.first < last;
  }
};

/// What the workers share during one run.
struct Job {
  moec_pool *pool;
  const moec_kernel *kernels;
  const Launch *launches;
  size_t launchCount;
  /// Of all launches, back to back.
  void *const *argv;
};

} // namespace

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

static moec_status checkTensors(const moec_layer &layer,
                                const moec_tensor *tensors, int32_t count,
                                int64_t tokens, const Extent &workspace) {
  const char *name = layer.manifest.name.c_str();
  const std::vector<Argument> &arguments = layer.manifest.arguments;
  if (static_cast<size_t>(count) != arguments.size())
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: %d arguments were passed, expected %zu", name, count,
                arguments.size());
  if (count && !tensors)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: the argument list is null",
                name);
  Extent extents[maxArguments];
  for (int32_t i = 0; i < count; ++i)
    if (moec_status status =
            checkTensor(name, i, arguments[i], tensors[i], tokens, extents[i]))
      return status;
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

static moec_status checkWorkspace(const moec_layer &layer,
                                  const WorkspaceLayout &layout, int64_t tokens,
                                  int32_t workers, const void *workspace,
                                  uint64_t bytes) {
  const char *name = layer.manifest.name.c_str();
  uint64_t needed = static_cast<uint64_t>(layout.total);
  if (needed == 0)
    return MOEC_OK;
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
  return MOEC_OK;
}

static void runJob(void *context, int64_t worker, int64_t workers) {
  const Job &job = *static_cast<const Job *>(context);
  void *const *argv = job.argv;
  for (size_t i = 0; i < job.launchCount; ++i) {
    // The pool itself waits for the last launch.
    if (i && job.pool)
      job.pool->barrier();
    job.kernels[i](argv, worker, workers);
    argv += job.launches[i].arguments.size();
  }
}

static uint64_t nanoseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(to - from)
      .count();
}

/// Everything between the checks and the statistics.
static moec_status launch(const moec_layer &layer, int32_t index,
                          const WorkspaceLayout &layout, moec_pool *pool,
                          const moec_tensor *tensors, int64_t tokens,
                          void *workspace) {
  const Variant &variant = layer.manifest.variants[index];
  uintptr_t mask = static_cast<uintptr_t>(layout.align) - 1;
  uintptr_t base = (reinterpret_cast<uintptr_t>(workspace) + mask) & ~mask;
  void *argv[maxLaunchArguments];
  int64_t dimensions[maxLaunchArguments];
  size_t next = 0;
  for (const Launch &launch : variant.launches) {
    for (const LaunchArgument &argument : launch.arguments) {
      switch (argument.kind) {
      case LaunchArgument::Tensor:
        argv[next] = tensors[argument.index].data;
        break;
      case LaunchArgument::WorkspaceSlice:
        argv[next] =
            reinterpret_cast<void *>(base + layout.offsets[argument.index]);
        break;
      case LaunchArgument::Dimension:
        if (!argument.dimension.evaluate(tokens, dimensions[next]))
          return fail(MOEC_ERR_SHAPE,
                      "%s: %s, an argument of kernel '%s', exceeds 2^63 for "
                      "T = %lld",
                      layer.manifest.name.c_str(),
                      argument.dimension.str().c_str(), launch.kernel.c_str(),
                      wide(tokens));
        argv[next] = &dimensions[next];
        break;
      }
      ++next;
    }
  }
  for (size_t i = 0; i < variant.workspaces.size(); ++i)
    if (variant.workspaces[i].zero && layout.bytes[i])
      std::memset(reinterpret_cast<void *>(base + layout.offsets[i]), 0,
                  layout.bytes[i]);

  Job job{pool, layer.loaded[index].kernels.data(), variant.launches.data(),
          variant.launches.size(), argv};
  if (pool)
    return pool->run(runJob, &job);
  FloatEnvironment environment;
  runJob(&job, 0, 1);
  return MOEC_OK;
}

extern "C" moec_status moec_run(const moec_layer *layer, moec_pool *pool,
                                const moec_tensor *args, int32_t argCount,
                                int64_t tokens, void *workspace,
                                uint64_t workspaceBytes,
                                moec_run_stats *stats) {
  Clock::time_point start = Clock::now();
  if (!layer)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "moec_run: the layer is null");
  const char *name = layer->manifest.name.c_str();
  if (stats && stats->struct_size < sizeof(*stats))
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: stats.struct_size is %zu, must be at least %zu", name,
                stats->struct_size, sizeof(*stats));
  int32_t index;
  if (moec_status status = layer->select(tokens, index))
    return status;

  int32_t workers = moec_pool_workers(pool);
  WorkspaceLayout layout;
  if (index >= 0 &&
      !layOut(layer->manifest.variants[index], tokens, workers, layout))
    return fail(MOEC_ERR_WORKSPACE,
                "%s: the workspace for %lld tokens and %d workers exceeds "
                "2^63 bytes",
                name, wide(tokens), workers);
  if (moec_status status = checkWorkspace(*layer, layout, tokens, workers,
                                          workspace, workspaceBytes))
    return status;
  Extent used;
  if (layout.total) {
    used.first = reinterpret_cast<uintptr_t>(workspace);
    used.last = used.first + static_cast<uintptr_t>(layout.total);
  }
  if (moec_status status = checkTensors(*layer, args, argCount, tokens, used))
    return status;

  Clock::time_point ready = Clock::now();
  if (index >= 0)
    if (moec_status status =
            launch(*layer, index, layout, pool, args, tokens, workspace))
      return status;
  if (stats) {
    Clock::time_point end = Clock::now();
    stats->variant = index;
    stats->launches =
        index < 0 ? 0 : layer->manifest.variants[index].launchCount;
    stats->workers = workers;
    stats->workspace_bytes = static_cast<uint64_t>(layout.total);
    stats->nanoseconds = nanoseconds(start, end);
    stats->kernel_nanoseconds = nanoseconds(ready, end);
  }
  return MOEC_OK;
}
