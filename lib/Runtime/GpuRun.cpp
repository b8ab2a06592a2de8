//===- GpuRun.cpp - Check the arguments and launch on a stream ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Nothing here allocates or waits: a run may be part of a stream capture and
// costs no more than a few hundred nanoseconds beside the driver's launches.
//
//===----------------------------------------------------------------------===//

#include "Check.h"
#include "GpuLayer.h"
#include "Status.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

using namespace moec;

using Clock = std::chrono::steady_clock;

namespace {

/// A tensor at an address that a variant does not take.
struct BadAddress {
  int32_t argument = -1;
  int64_t align = 1;
  /// Null: a tensor map.
  const char *kernel = nullptr;
};

/// One call of moec_run_on_stream, on the stack.
struct Run {
  // A constructor, lest the arrays below are zeroed.
  Run(const moec_layer &layer, const moec_tensor *tensors, int64_t tokens,
      void *stream, const void *deviceTokens)
      : layer(layer), state(*layer.gpu), tensors(tensors), tokens(tokens),
        stream(static_cast<CUstream>(stream)), deviceTokens(deviceTokens) {}

  const moec_layer &layer;
  GpuState &state;
  const moec_tensor *tensors;
  int64_t tokens;
  CUstream stream;
  const void *deviceTokens;

  int32_t index = -1;
  /// The launches to enqueue; the rest of them if `count` is negative.
  int32_t first = 0, count = -1;
  WorkspaceLayout layout;
  uint64_t base = 0;
  Extent extents[maxArguments];

  // What the kernels get, in the order of the launches. Left as it is until
  // prepare() writes it: these are 24 KiB.
  uint32_t grids[maxLaunchArguments][3];
  int64_t values[maxLaunchArguments];
  CUtensorMap maps[maxTensorMaps];

  const char *name() const { return layer.manifest.name.c_str(); }
  const Variant &variant() const { return layer.manifest.variants[index]; }

  BadAddress findBadAddress(const Variant &candidate) const;
  moec_status choose();
  moec_status checkReach(uint64_t address, const char *what,
                         int32_t argument = -1) const;
  moec_status checkAddresses(void *workspace) const;
  moec_status checkDeviceTokens() const;
  moec_status grid(const Launch &launch, const GpuKernel &kernel,
                   uint32_t (&result)[3]) const;
  moec_status value(const Launch &launch, const LaunchArgument &argument,
                    int64_t &result);
  moec_status prepare();
  moec_status checkPart();
  bool mustZero(int32_t slice) const;
  moec_status zero(bool &any) const;
  moec_status launch(int32_t &launched);
};

} // namespace

static long long wide(int64_t value) { return value; }

static uint64_t addressOf(const void *pointer) {
  return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(pointer));
}

/// The first argument that the variant does not take where it is. Addresses of
/// tensors without elements are not looked at by kernels.
BadAddress Run::findBadAddress(const Variant &candidate) const {
  auto isBad = [&](int32_t argument, int64_t align) {
    return extents[argument].first != extents[argument].last &&
           extents[argument].first % static_cast<uint64_t>(align) != 0;
  };
  for (const TensorMap &map : candidate.tensorMaps)
    if (!map.ofWorkspace && isBad(map.index, map.align()))
      return {map.index, map.align(), nullptr};
  for (const Launch &launch : candidate.launches)
    for (const LaunchArgument &argument : launch.arguments)
      if (argument.kind == LaunchArgument::Tensor && argument.align > 1 &&
          isBad(argument.index, argument.align))
        return {argument.index, argument.align, launch.kernel.c_str()};
  return {};
}

/// The first variant for the token count that can take the addresses.
moec_status Run::choose() {
  if (tokens < 0)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: the token count is %lld, must be >= 0", name(),
                wide(tokens));
  BadAddress refused;
  bool covered = false;
  for (size_t i = 0; i < layer.loaded.size(); ++i) {
    const Variant &candidate = layer.manifest.variants[i];
    if (!layer.loaded[i].runnable || !candidate.covers(tokens))
      continue;
    covered = true;
    BadAddress bad = findBadAddress(candidate);
    if (bad.argument < 0) {
      index = static_cast<int32_t>(i);
      return MOEC_OK;
    }
    if (refused.argument < 0)
      refused = bad;
  }
  if (refused.argument >= 0) {
    char who[160] = "tensor maps need";
    if (refused.kernel)
      std::snprintf(who, sizeof(who), "kernel '%s' needs", refused.kernel);
    return fail(
        MOEC_ERR_ALIGNMENT,
        "%s: argument %d '%s' is at %p; %s a multiple of %lld bytes, and no "
        "variant does without for %lld tokens",
        name(), refused.argument,
        layer.manifest.arguments[refused.argument].name.c_str(),
        tensors[refused.argument].data, who, wide(refused.align), wide(tokens));
  }
  return covered || tokens == 0 ? MOEC_OK : noVariant(layer, tokens);
}

/// Asks the driver, once per address, whether it is the GPU's. A kernel that
/// touches other memory would take the whole context with it.
moec_status Run::checkReach(uint64_t address, const char *what,
                            int32_t argument) const {
  if (state.reachesPageableMemory || state.reachable.contains(address))
    return MOEC_OK;
  uint32_t type = 0;
  if (state.driver->pointerGetAttribute(&type, cuda::MemoryType, address) ==
      cuda::Success) {
    state.reachable.insert(address);
    return MOEC_OK;
  }
  char where[128];
  std::snprintf(where, sizeof(where),
                "is at %p, which is no memory that %s reaches",
                reinterpret_cast<void *>(address), layer.target.c_str());
  if (argument < 0)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: the %s %s", name(), what,
                where);
  return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: argument %d '%s' %s", name(),
              argument, what, where);
}

moec_status Run::checkAddresses(void *workspace) const {
  const std::vector<Argument> &arguments = layer.manifest.arguments;
  for (size_t i = 0; i < arguments.size(); ++i)
    if (extents[i].first != extents[i].last)
      if (moec_status status =
              checkReach(extents[i].first, arguments[i].name.c_str(),
                         static_cast<int32_t>(i)))
        return status;
  if (layout.total)
    if (moec_status status = checkReach(addressOf(workspace), "workspace"))
      return status;
  if (deviceTokens)
    return checkReach(addressOf(deviceTokens), "token count");
  return MOEC_OK;
}

moec_status Run::checkDeviceTokens() const {
  if (!deviceTokens)
    return MOEC_OK;
  int32_t bytes = variant().deviceTokenBytes;
  if (!bytes)
    return fail(MOEC_ERR_UNSUPPORTED,
                "%s: variant %d was compiled for a token count that the host "
                "knows; device_tokens must be null",
                name(), index);
  if (addressOf(deviceTokens) % bytes)
    return fail(MOEC_ERR_ALIGNMENT,
                "%s: device_tokens is at %p, must be a multiple of %d", name(),
                deviceTokens, bytes);
  return MOEC_OK;
}

moec_status Run::grid(const Launch &launch, const GpuKernel &kernel,
                      uint32_t (&result)[3]) const {
  static constexpr int64_t limits[3] = {INT32_MAX, 65535, 65535};
  uint64_t blocks = 1;
  for (int32_t i = 0; i < 3; ++i) {
    int64_t size = kernel.persistentBlocks;
    if (i != launch.persistent &&
        (!launch.grid[i].evaluate(tokens, size) || size > limits[i]))
      return fail(MOEC_ERR_SHAPE,
                  "%s: kernel '%s' has a grid of %s blocks in dimension %d for "
                  "T = %lld, at most %lld are possible",
                  name(), launch.kernel.c_str(), launch.grid[i].str().c_str(),
                  i, wide(tokens), wide(limits[i]));
    if (state.driver->isHip() && size * launch.block[i] > UINT32_MAX)
      return fail(MOEC_ERR_SHAPE,
                  "%s: kernel '%s' has %lld blocks of %u threads in dimension "
                  "%d for T = %lld; HIP takes less than 2^32 threads",
                  name(), launch.kernel.c_str(), wide(size), launch.block[i], i,
                  wide(tokens));
    if (size % launch.cluster[i])
      return fail(MOEC_ERR_MANIFEST,
                  "%s: kernel '%s' has a grid of %lld blocks in dimension %d "
                  "for T = %lld, which is no multiple of its cluster of %u",
                  name(), launch.kernel.c_str(), wide(size), i, wide(tokens),
                  launch.cluster[i]);
    result[i] = static_cast<uint32_t>(size);
    // At most 2^63: no overflow.
    blocks *= result[i];
  }
  if (blocks > kernel.residentBlocks)
    return fail(MOEC_ERR_RESOURCES,
                "%s: kernel '%s' has %llu blocks that must run at the same "
                "time for T = %lld, %s '%s' has room for %llu",
                name(), launch.kernel.c_str(),
                static_cast<unsigned long long>(blocks), wide(tokens),
                layer.target.c_str(), state.deviceName.c_str(),
                static_cast<unsigned long long>(kernel.residentBlocks));
  return MOEC_OK;
}

moec_status Run::value(const Launch &launch, const LaunchArgument &argument,
                       int64_t &result) {
  switch (argument.kind) {
  case LaunchArgument::Tensor:
    result = static_cast<int64_t>(addressOf(tensors[argument.index].data));
    return MOEC_OK;
  case LaunchArgument::WorkspaceSlice:
    result = static_cast<int64_t>(base + layout.offsets[argument.index]);
    return MOEC_OK;
  case LaunchArgument::DeviceTokens:
    result = static_cast<int64_t>(addressOf(deviceTokens));
    return MOEC_OK;
  case LaunchArgument::Dimension:
    // The low half of a little-endian number is the 32-bit number.
    if (argument.dimension.evaluate(tokens, result) &&
        (!argument.narrow || result <= INT32_MAX))
      return MOEC_OK;
    return fail(MOEC_ERR_SHAPE,
                "%s: %s, an argument of kernel '%s', exceeds %s for T = %lld",
                name(), argument.dimension.str().c_str(), launch.kernel.c_str(),
                argument.narrow ? "2^31" : "2^63", wide(tokens));
  case LaunchArgument::Map: {
    const TensorMap &map = variant().tensorMaps[argument.index];
    TensorMapRequest request{&map, name(), 0, 0, tokens};
    if (map.ofWorkspace) {
      request.base = base + layout.offsets[map.index];
      request.bytes = layout.bytes[map.index];
    } else {
      request.base = extents[map.index].first;
      request.bytes = extents[map.index].bytes();
    }
    return state.tensorMaps.get(*state.driver, request, maps[argument.index]);
  }
  }
  return MOEC_OK;
}

/// Everything that the launches need, so that nothing can fail between them
/// but the driver.
moec_status Run::prepare() {
  size_t next = 0;
  const std::vector<Launch> &launches = variant().launches;
  for (size_t i = 0; i < launches.size(); ++i) {
    if (moec_status status =
            grid(launches[i], state.kernels[index][i], grids[i]))
      return status;
    for (const LaunchArgument &argument : launches[i].arguments)
      if (moec_status status = value(launches[i], argument, values[next++]))
        return status;
  }
  return MOEC_OK;
}

moec_status Run::checkPart() {
  auto launches = static_cast<int64_t>(variant().launches.size());
  if (count < 0) {
    count = static_cast<int32_t>(launches);
    return MOEC_OK;
  }
  if (first >= 0 && first + int64_t(count) <= launches)
    return MOEC_OK;
  return fail(MOEC_ERR_INVALID_ARGUMENT,
              "%s: launches [%d, %lld) are wanted, variant %d has %lld", name(),
              first, wide(first + int64_t(count)), index, wide(launches));
}

/// Whether a slice is to be zeroed before the launches that are enqueued: if
/// it asks for it, they use it, and no launch before them has.
bool Run::mustZero(int32_t slice) const {
  if (!variant().workspaces[slice].zero)
    return false;
  const std::vector<Launch> &launches = variant().launches;
  if (first == 0 && count == static_cast<int32_t>(launches.size()))
    return true;
  for (int32_t i = 0; i < first + count; ++i)
    for (const LaunchArgument &argument : launches[i].arguments)
      if (argument.kind == LaunchArgument::WorkspaceSlice &&
          argument.index == slice)
        return i >= first;
  return false;
}

/// Zeroes the slices that ask for it; neighbours together.
moec_status Run::zero(bool &any) const {
  const std::vector<Workspace> &slices = variant().workspaces;
  for (size_t i = 0; i < slices.size();) {
    size_t end = i;
    while (end < slices.size() && mustZero(static_cast<int32_t>(end)))
      ++end;
    if (end == i) {
      ++i;
      continue;
    }
    int64_t bytes =
        layout.offsets[end - 1] + layout.bytes[end - 1] - layout.offsets[i];
    if (bytes) {
      if (CUresult result = state.driver->memsetD8Async(
              base + layout.offsets[i], 0, static_cast<size_t>(bytes), stream))
        return state.driver->error(result, "%s: zeroing %lld bytes", name(),
                                   wide(bytes));
      any = true;
    }
    i = end;
  }
  return MOEC_OK;
}

moec_status Run::launch(int32_t &launched) {
  bool afterMemset = false;
  if (moec_status status = zero(afterMemset))
    return status;
  const std::vector<Launch> &launches = variant().launches;
  int64_t *next = values;
  void *parameters[maxLaunchArguments];
  for (size_t i = 0; i < launches.size(); ++i) {
    const Launch &launch = launches[i];
    GpuKernel &kernel = state.kernels[index][i];
    for (size_t j = 0; j < launch.arguments.size(); ++j, ++next) {
      const LaunchArgument &argument = launch.arguments[j];
      parameters[j] = argument.kind == LaunchArgument::Map
                          ? static_cast<void *>(&maps[argument.index])
                          : static_cast<void *>(next);
    }
    if (static_cast<int32_t>(i) < first ||
        static_cast<int32_t>(i) >= first + count)
      continue;
    // Nothing to do: the driver takes no empty grids.
    if (!grids[i][0] || !grids[i][1] || !grids[i][2])
      continue;
    CUlaunchConfig config = {};
    std::copy(grids[i], grids[i] + 3, config.gridDim);
    std::copy(launch.block, launch.block + 3, config.blockDim);
    config.sharedMemBytes = launch.sharedMemory;
    config.hStream = stream;
    config.attrs = kernel.attributes;
    // Only kernels can be told that a successor may start early.
    config.numAttrs =
        kernel.attributeCount - (launch.earlyStart && afterMemset);
    afterMemset = false;
    if (CUresult result = state.driver->launchKernelEx(&config, kernel.function,
                                                       parameters, nullptr))
      return state.driver->error(
          result, "%s: launch %zu of %zu, kernel '%s', grid [%u, %u, %u]",
          name(), i + 1, launches.size(), launch.kernel.c_str(), grids[i][0],
          grids[i][1], grids[i][2]);
    ++launched;
  }
  return MOEC_OK;
}

static uint64_t nanoseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(to - from)
      .count();
}

/// All launches if `count` is negative.
static moec_status runOnStream(const moec_layer *layer, const moec_tensor *args,
                               int32_t argCount, int64_t tokens,
                               void *workspace, uint64_t workspaceBytes,
                               void *stream, const void *deviceTokens,
                               int32_t first, int32_t count,
                               moec_run_stats *stats) {
  Clock::time_point start;
  if (stats)
    start = Clock::now();
  if (!layer)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "moec_run_on_stream: the layer is null");
  const char *name = layer->manifest.name.c_str();
  if (stats && stats->struct_size < sizeof(*stats))
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: stats.struct_size is %zu, must be at least %zu", name,
                stats->struct_size, sizeof(*stats));
  if (!layer->gpu)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: the layer was not opened for a GPU; open it with the "
                "target \"cuda\" or \"hip\"",
                name);
  Run run(*layer, args, tokens, stream, deviceTokens);
  run.first = first;
  run.count = count;
  if (tokens >= 0)
    if (moec_status status =
            checkTensors(*layer, args, argCount, tokens, run.extents))
      return status;
  if (moec_status status = run.choose())
    return status;
  if (run.index >= 0 && !layOut(run.variant(), tokens, 0, run.layout))
    return fail(MOEC_ERR_WORKSPACE,
                "%s: the workspace for %lld tokens exceeds 2^63 bytes", name,
                wide(tokens));
  Extent used;
  if (moec_status status = checkWorkspace(*layer, run.layout, tokens, 0,
                                          workspace, workspaceBytes, used))
    return status;
  if (moec_status status = checkOverlap(*layer, run.extents, used))
    return status;

  Clock::time_point ready;
  int32_t launched = 0;
  if (run.index >= 0) {
    uint64_t mask = static_cast<uint64_t>(run.layout.align) - 1;
    run.base = (addressOf(workspace) + mask) & ~mask;
    ContextScope scope(*run.state.driver, run.state.context);
    if (scope.result != cuda::Success)
      return run.state.driver->error(scope.result, "%s: %sCtxPushCurrent", name,
                                     run.state.driver->prefix);
    if (moec_status status = run.checkDeviceTokens())
      return status;
    if (moec_status status = run.checkPart())
      return status;
    if (moec_status status = run.checkAddresses(workspace))
      return status;
    if (moec_status status = run.prepare())
      return status;
    if (stats)
      ready = Clock::now();
    if (moec_status status = run.launch(launched))
      return status;
  }
  if (stats) {
    Clock::time_point end = Clock::now();
    stats->variant = run.index;
    stats->launches = launched;
    stats->workers = 0;
    stats->workspace_bytes = static_cast<uint64_t>(run.layout.total);
    stats->nanoseconds = nanoseconds(start, end);
    stats->kernel_nanoseconds = run.index < 0 ? 0 : nanoseconds(ready, end);
  }
  return MOEC_OK;
}

extern "C" moec_status
moec_run_on_stream(const moec_layer *layer, const moec_tensor *args,
                   int32_t argCount, int64_t tokens, void *workspace,
                   uint64_t workspaceBytes, void *stream,
                   const void *deviceTokens, moec_run_stats *stats) {
  return runOnStream(layer, args, argCount, tokens, workspace, workspaceBytes,
                     stream, deviceTokens, 0, -1, stats);
}

extern "C" moec_status
moec_run_part_on_stream(const moec_layer *layer, const moec_tensor *args,
                        int32_t argCount, int64_t tokens, void *workspace,
                        uint64_t workspaceBytes, void *stream,
                        const void *deviceTokens, int32_t first, int32_t count,
                        moec_run_stats *stats) {
  if (count < 0)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "moec_run_part_on_stream: %d launches are wanted", count);
  return runOnStream(layer, args, argCount, tokens, workspace, workspaceBytes,
                     stream, deviceTokens, first, count, stats);
}
