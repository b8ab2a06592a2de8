//===- Run.cpp - Check the arguments and launch ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Check.h"
#include "FloatEnvironment.h"
#include "Pool.h"
#include "Status.h"

#include <chrono>
#include <cstring>

using namespace moec;

using Clock = std::chrono::steady_clock;

namespace {

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
      case LaunchArgument::DeviceTokens:
      case LaunchArgument::Map:
        // The reader takes them for GPUs only.
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
  if (layer->gpu)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: the layer was opened for %s; use moec_run_on_stream", name,
                layer->target.c_str());
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
  Extent used, extents[maxArguments];
  if (moec_status status = checkWorkspace(*layer, layout, tokens, workers,
                                          workspace, workspaceBytes, used))
    return status;
  if (moec_status status =
          checkTensors(*layer, args, argCount, tokens, extents))
    return status;
  if (moec_status status = checkOverlap(*layer, extents, used))
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
