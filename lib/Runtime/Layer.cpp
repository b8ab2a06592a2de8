//===- Layer.cpp - Opening, closing and choosing --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Layer.h"
#include "File.h"
#include "GpuLayer.h"
#include "Status.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

using namespace moec;

moec_layer::moec_layer() = default;
moec_layer::~moec_layer() = default;

static int64_t roundUp(int64_t value, int64_t align) {
  return (value + align - 1) & -align;
}

bool moec::layOut(const Variant &variant, int64_t tokens, int64_t workers,
                  WorkspaceLayout &layout) {
  // Room for the rounding below.
  constexpr int64_t limit = INT64_MAX - 2 * maxAlign;
  int64_t cursor = 0;
  for (size_t i = 0; i < variant.workspaces.size(); ++i) {
    const Workspace &slice = variant.workspaces[i];
    int64_t bytes = 0;
    for (const Affine &term : slice.bytes) {
      int64_t value;
      if (!term.evaluate(tokens, value))
        return false;
      bytes = std::max(bytes, value);
    }
    if (slice.perWorker && __builtin_mul_overflow(bytes, workers, &bytes))
      return false;
    cursor = roundUp(cursor, slice.align);
    layout.offsets[i] = cursor;
    layout.bytes[i] = bytes;
    layout.align = std::max(layout.align, slice.align);
    if (__builtin_add_overflow(cursor, bytes, &cursor) || cursor > limit)
      return false;
  }
  layout.total = cursor ? cursor + layout.align - MOEC_WORKSPACE_ALIGN : 0;
  return true;
}

static moec_status readOptions(const char *caller,
                               const moec_open_options *given,
                               moec_open_options &options, Isa &isa) {
  options = {};
  isa = hostIsa();
  if (!given)
    return MOEC_OK;
  // The members up to the flags were there from the beginning; the others are
  // read only if the caller knew them.
  constexpr size_t least = offsetof(moec_open_options, target);
  if (given->struct_size < least)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: options.struct_size is %zu, must be at least %zu", caller,
                given->struct_size, least);
  std::memcpy(&options, given, std::min(given->struct_size, sizeof(options)));
  if (options.flags & ~MOEC_OPEN_MANIFEST_ONLY)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: unknown flags 0x%x", caller,
                options.flags & ~MOEC_OPEN_MANIFEST_ONLY);
  if (!options.isa)
    return MOEC_OK;
  isa = isaFromName(options.isa);
  if (isa == Isa::None)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: unknown instruction set '%s'; known are x86-64, avx2, "
                "avx512 and avx512bf16",
                caller, options.isa);
  if (isa > hostIsa())
    return fail(MOEC_ERR_UNSUPPORTED,
                "%s: instruction set '%s' was asked for, this machine has "
                "'%s'",
                caller, options.isa, isaName(hostIsa()));
  return MOEC_OK;
}

/// Marks the variants whose instruction set is at most `isa`; fails if there
/// is none.
static moec_status markRunnable(const std::string &origin, moec_layer &layer,
                                Isa isa) {
  layer.target = "cpu";
  std::string seen;
  bool any = false;
  for (const Variant &variant : layer.manifest.variants) {
    LoadedVariant &loaded = layer.loaded.emplace_back();
    std::string label = variant.target;
    if (variant.target == "cpu") {
      loaded.isa = isaFromName(variant.isa.c_str());
      loaded.runnable = loaded.isa != Isa::None && loaded.isa <= isa;
      any |= loaded.runnable;
      label += "/" + variant.isa;
    }
    if ((", " + seen + ", ").find(", " + label + ", ") == std::string::npos)
      seen += (seen.empty() ? "" : ", ") + label;
  }
  if (any)
    return MOEC_OK;
  return fail(MOEC_ERR_UNSUPPORTED,
              "%s: no variant runs here: the artifact has %s; allowed is "
              "cpu/%s and below",
              origin.c_str(), seen.empty() ? "none" : seen.c_str(),
              isaName(isa));
}

extern "C" moec_status moec_open(const char *directory,
                                 const moec_open_options *given,
                                 moec_layer **result) {
  if (!directory || !result)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "moec_open: %s is null",
                directory ? "the result pointer" : "the directory");
  moec_open_options options;
  Isa isa;
  if (moec_status status = readOptions("moec_open", given, options, isa))
    return status;

  std::string origin = std::string(directory) + "/manifest.json";
  std::string text;
  if (moec_status status = readFile(origin, "", text))
    return status;

  auto layer = std::make_unique<moec_layer>();
  if (moec_status status = readManifest(origin, text.data(), text.size(),
                                        options.function, layer->manifest))
    return status;
  layer->manifestOnly = options.flags & MOEC_OPEN_MANIFEST_ONLY;
  if (layer->manifestOnly) {
    layer->loaded.resize(layer->manifest.variants.size());
    *result = layer.release();
    return MOEC_OK;
  }
  if (options.target && std::strcmp(options.target, "cpu") != 0) {
    if (moec_status status =
            openGpu(directory, options.target, options.driver, *layer))
      return status;
    *result = layer.release();
    return MOEC_OK;
  }
  if (moec_status status = markRunnable(origin, *layer, isa))
    return status;

  std::map<std::string, size_t> opened;
  for (size_t i = 0; i < layer->loaded.size(); ++i) {
    if (!layer->loaded[i].runnable)
      continue;
    const Variant &variant = layer->manifest.variants[i];
    auto [entry, isNew] =
        opened.try_emplace(variant.code, layer->objects.size());
    if (isNew) {
      moec_status status = layer->objects.emplace_back().open(
          std::string(directory) + "/" + variant.code);
      if (status)
        return status;
    }
    for (const Launch &launch : variant.launches) {
      moec_status status = layer->objects[entry->second].find(
          launch.kernel, layer->loaded[i].kernels.emplace_back());
      if (status)
        return status;
    }
  }
  *result = layer.release();
  return MOEC_OK;
}

extern "C" moec_status moec_open_kernels(const char *manifest, size_t length,
                                         const moec_kernel_entry *kernels,
                                         size_t kernelCount,
                                         const moec_open_options *given,
                                         moec_layer **result) {
  const char *caller = "moec_open_kernels";
  if (!manifest || !result || (!kernels && kernelCount))
    return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: %s is null", caller,
                !manifest ? "the manifest"
                : !result ? "the result pointer"
                          : "the kernel table");
  moec_open_options options;
  Isa isa;
  if (moec_status status = readOptions(caller, given, options, isa))
    return status;
  if (options.target && std::strcmp(options.target, "cpu") != 0)
    return fail(MOEC_ERR_UNSUPPORTED,
                "%s: kernels in memory run on the cpu, not on '%s'", caller,
                options.target);
  for (size_t i = 0; i < kernelCount; ++i)
    if (!kernels[i].symbol || !kernels[i].kernel)
      return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: entry %zu has a null %s",
                  caller, i, kernels[i].symbol ? "kernel" : "symbol");

  auto layer = std::make_unique<moec_layer>();
  if (moec_status status = readManifest("manifest", manifest, length,
                                        options.function, layer->manifest))
    return status;
  layer->manifestOnly = options.flags & MOEC_OPEN_MANIFEST_ONLY;
  if (layer->manifestOnly) {
    layer->loaded.resize(layer->manifest.variants.size());
    *result = layer.release();
    return MOEC_OK;
  }
  if (moec_status status = markRunnable("manifest", *layer, isa))
    return status;
  for (size_t i = 0; i < layer->loaded.size(); ++i) {
    if (!layer->loaded[i].runnable)
      continue;
    const Variant &variant = layer->manifest.variants[i];
    for (const Launch &launch : variant.launches) {
      const moec_kernel_entry *end = kernels + kernelCount;
      const moec_kernel_entry *entry =
          std::find_if(kernels, end, [&](const moec_kernel_entry &candidate) {
            return launch.kernel == candidate.symbol &&
                   (!candidate.code || variant.code == candidate.code);
          });
      if (entry == end)
        return fail(MOEC_ERR_CODE,
                    "%s: none of the %zu kernels is '%s' of code object '%s'",
                    caller, kernelCount, launch.kernel.c_str(),
                    variant.code.c_str());
      layer->loaded[i].kernels.push_back(entry->kernel);
    }
  }
  *result = layer.release();
  return MOEC_OK;
}

extern "C" void moec_close(moec_layer *layer) { delete layer; }

/// "cpu/avx2 [1, 16], sm_90a [17, unbounded]", cut off after eight.
static std::string bucketList(const moec_layer &layer) {
  std::string text;
  int listed = 0;
  for (size_t i = 0; i < layer.loaded.size(); ++i) {
    if (!layer.loaded[i].runnable)
      continue;
    if (listed++ == 8)
      return text + ", and more";
    const Variant &variant = layer.manifest.variants[i];
    text += (text.empty() ? "" : ", ") + variant.target +
            (variant.isa.empty() ? "" : "/" + variant.isa) + " [" +
            std::to_string(variant.tokensLow) + ", " +
            (variant.tokensHigh < 0 ? "unbounded"
                                    : std::to_string(variant.tokensHigh)) +
            "]";
  }
  return text;
}

moec_status moec::noVariant(const moec_layer &layer, int64_t tokens) {
  return fail(MOEC_ERR_NO_VARIANT,
              "%s: no variant covers %lld tokens; there are %s",
              layer.manifest.name.c_str(), static_cast<long long>(tokens),
              bucketList(layer).c_str());
}

moec_status moec_layer::select(int64_t tokens, int32_t &index) const {
  if (tokens < 0)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: the token count is %lld, must be >= 0",
                manifest.name.c_str(), static_cast<long long>(tokens));
  if (manifestOnly)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: only the manifest was opened, nothing can run",
                manifest.name.c_str());
  int32_t best = -1;
  for (size_t i = 0; i < loaded.size(); ++i)
    if (loaded[i].runnable && manifest.variants[i].covers(tokens) &&
        (best < 0 || loaded[i].isa > loaded[best].isa))
      best = static_cast<int32_t>(i);
  if (best < 0 && tokens > 0)
    return noVariant(*this, tokens);
  index = best;
  return MOEC_OK;
}

extern "C" moec_status moec_select_variant(const moec_layer *layer,
                                           int64_t tokens, int32_t *index) {
  if (!layer || !index)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "moec_select_variant: %s is null",
                layer ? "the result pointer" : "the layer");
  int32_t found;
  if (moec_status status = layer->select(tokens, found))
    return status;
  *index = found;
  return MOEC_OK;
}

extern "C" moec_status moec_workspace_size(const moec_layer *layer,
                                           const moec_pool *pool,
                                           int64_t tokens, uint64_t *bytes) {
  if (!layer || !bytes)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "moec_workspace_size: %s is null",
                layer ? "the result pointer" : "the layer");
  int32_t index;
  if (moec_status status = layer->select(tokens, index))
    return status;
  uint64_t most = 0;
  for (size_t i = 0; i < layer->loaded.size(); ++i) {
    // On a GPU the addresses decide, too, which one runs.
    bool candidate = layer->gpu ? layer->loaded[i].runnable &&
                                      layer->manifest.variants[i].covers(tokens)
                                : static_cast<int32_t>(i) == index;
    WorkspaceLayout layout;
    if (!candidate)
      continue;
    if (!layOut(layer->manifest.variants[i], tokens, moec_pool_workers(pool),
                layout))
      return fail(MOEC_ERR_WORKSPACE,
                  "%s: the workspace for %lld tokens and %d workers exceeds "
                  "2^63 bytes",
                  layer->manifest.name.c_str(), static_cast<long long>(tokens),
                  moec_pool_workers(pool));
    most = std::max(most, static_cast<uint64_t>(layout.total));
  }
  *bytes = most;
  return MOEC_OK;
}
