//===- Query.cpp - What the manifest says ---------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Layer.h"
#include "Status.h"

using namespace moec;

#ifndef MOEC_VERSION
#error "the build defines MOEC_VERSION"
#endif

extern "C" int32_t moec_abi_version(void) { return MOEC_RUNTIME_ABI; }
extern "C" const char *moec_version(void) { return MOEC_VERSION; }
extern "C" const char *moec_cpu_isa(void) { return isaName(hostIsa()); }

extern "C" int32_t moec_cpu_supports(const char *isa) {
  if (!isa)
    return 0;
  Isa wanted = isaFromName(isa);
  return wanted != Isa::None && wanted <= hostIsa();
}

/// Shared by the queries that take an index and write to a pointer.
static moec_status checkQuery(const char *caller, const moec_layer *layer,
                              const char *what, int32_t index, size_t count,
                              const void *result) {
  if (!layer || !result)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: %s is null", caller,
                layer ? "the result pointer" : "the layer");
  if (index < 0 || static_cast<size_t>(index) >= count)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "%s: there is no %s %d, only %zu",
                caller, what, index, count);
  return MOEC_OK;
}

static moec_status checkStruct(const char *caller, size_t given, size_t known) {
  if (given >= known)
    return MOEC_OK;
  return fail(MOEC_ERR_INVALID_ARGUMENT,
              "%s: struct_size is %zu, must be at least %zu", caller, given,
              known);
}

extern "C" const char *moec_manifest(const moec_layer *layer) {
  return layer ? layer->manifest.text.c_str() : nullptr;
}

extern "C" const char *moec_layer_name(const moec_layer *layer) {
  return layer ? layer->manifest.name.c_str() : nullptr;
}

extern "C" const char *moec_layer_target(const moec_layer *layer) {
  return layer ? layer->target.c_str() : nullptr;
}

extern "C" moec_status moec_layer_dim(const moec_layer *layer, const char *name,
                                      int64_t *value) {
  if (!layer || !name || !value)
    return fail(MOEC_ERR_INVALID_ARGUMENT, "moec_layer_dim: %s is null",
                !layer  ? "the layer"
                : !name ? "the name"
                        : "the result pointer");
  for (const auto &[known, number] : layer->manifest.dims) {
    if (known != name)
      continue;
    *value = number;
    return MOEC_OK;
  }
  return fail(MOEC_ERR_INVALID_ARGUMENT,
              "moec_layer_dim: '%s' has no integer dim '%s'",
              layer->manifest.name.c_str(), name);
}

extern "C" int32_t moec_argument_count(const moec_layer *layer) {
  return layer ? static_cast<int32_t>(layer->manifest.arguments.size()) : 0;
}

extern "C" moec_status moec_argument(const moec_layer *layer, int32_t index,
                                     moec_argument_info *info) {
  const char *caller = "moec_argument";
  size_t count = moec_argument_count(layer);
  if (moec_status status =
          checkQuery(caller, layer, "argument", index, count, info))
    return status;
  if (moec_status status =
          checkStruct(caller, info->struct_size, sizeof(*info)))
    return status;
  const Argument &argument = layer->manifest.arguments[index];
  info->name = argument.name.c_str();
  info->dtype = argument.dtype;
  info->role = argument.role;
  info->optional = argument.optional;
  info->rank = static_cast<int32_t>(argument.shape.size());
  info->align = argument.align;
  return MOEC_OK;
}

extern "C" moec_status moec_argument_shape(const moec_layer *layer,
                                           int32_t index, int64_t tokens,
                                           int64_t *dims, int32_t capacity) {
  const char *caller = "moec_argument_shape";
  size_t count = moec_argument_count(layer);
  // A scalar needs no room.
  if (moec_status status =
          checkQuery(caller, layer, "argument", index, count,
                     capacity == 0 ? static_cast<const void *>(layer) : dims))
    return status;
  const Argument &argument = layer->manifest.arguments[index];
  if (tokens < 0)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: the token count is %lld, must be >= 0", caller,
                static_cast<long long>(tokens));
  if (capacity < 0 || static_cast<size_t>(capacity) < argument.shape.size())
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "%s: '%s' has rank %zu, there is room for %d", caller,
                argument.name.c_str(), argument.shape.size(), capacity);
  for (size_t i = 0; i < argument.shape.size(); ++i)
    if (!argument.shape[i].evaluate(tokens, dims[i]))
      return fail(MOEC_ERR_SHAPE,
                  "%s: dimension %zu of '%s', %s, exceeds 2^63 for T = %lld",
                  caller, i, argument.name.c_str(),
                  argument.shape[i].str().c_str(),
                  static_cast<long long>(tokens));
  return MOEC_OK;
}

extern "C" int32_t moec_variant_count(const moec_layer *layer) {
  return layer ? static_cast<int32_t>(layer->manifest.variants.size()) : 0;
}

extern "C" moec_status moec_variant(const moec_layer *layer, int32_t index,
                                    moec_variant_info *info) {
  const char *caller = "moec_variant";
  size_t count = moec_variant_count(layer);
  if (moec_status status =
          checkQuery(caller, layer, "variant", index, count, info))
    return status;
  if (moec_status status =
          checkStruct(caller, info->struct_size, sizeof(*info)))
    return status;
  const Variant &variant = layer->manifest.variants[index];
  info->target = variant.target.c_str();
  info->isa = variant.isa.c_str();
  info->code = variant.code.c_str();
  info->tokens_lo = variant.tokensLow;
  info->tokens_hi = variant.tokensHigh;
  info->runnable = layer->loaded[index].runnable;
  info->launches = variant.launchCount;
  info->configs = static_cast<int32_t>(variant.config.size());
  info->registers = variant.registers;
  info->shared_memory = variant.sharedMemory;
  info->spills = variant.spills;
  return MOEC_OK;
}

extern "C" moec_status moec_variant_config(const moec_layer *layer,
                                           int32_t index, int32_t entry,
                                           const char **config) {
  const char *caller = "moec_variant_config";
  size_t count = moec_variant_count(layer);
  if (moec_status status =
          checkQuery(caller, layer, "variant", index, count, config))
    return status;
  const std::vector<std::string> &entries =
      layer->manifest.variants[index].config;
  if (moec_status status =
          checkQuery(caller, layer, "config", entry, entries.size(), config))
    return status;
  *config = entries[entry].c_str();
  return MOEC_OK;
}
