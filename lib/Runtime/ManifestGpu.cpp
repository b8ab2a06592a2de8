//===- ManifestGpu.cpp - Read what only GPU launches have -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Dtype.h"
#include "JsonReader.h"

using namespace moec;

/// Three integers in [1, limit], and their product at most `product`.
static bool readExtent(JsonReader &reader, const Json &json,
                       const std::string &where, int64_t limit, int64_t product,
                       uint32_t (&result)[3]) {
  if (!reader.isArray(json, where, 3))
    return false;
  if (json.size() != 3)
    return reader.error(where, "must have 3 entries, has " +
                                   std::to_string(json.size()));
  int64_t total = 1;
  for (size_t i = 0; i < 3; ++i) {
    int64_t value = 0;
    if (!reader.number(json[i], JsonReader::at(where, i), 1, limit, value))
      return false;
    result[i] = static_cast<uint32_t>(value);
    total *= value;
  }
  return total <= product ||
         reader.error(where, "the product is " + std::to_string(total) +
                                 ", at most " + std::to_string(product) +
                                 " is possible");
}

static bool readGrid(JsonReader &reader, const Json &json,
                     const std::string &where, Launch &result) {
  if (!reader.isArray(json, where, 3))
    return false;
  if (json.size() != 3)
    return reader.error(where, "must have 3 entries, has " +
                                   std::to_string(json.size()));
  for (size_t i = 0; i < 3; ++i) {
    std::string here = JsonReader::at(where, i);
    const Json *persistent =
        json[i].is_object() ? JsonReader::find(json[i], "persistent") : nullptr;
    if (!persistent) {
      if (!reader.affine(json[i], here, result.grid[i]))
        return false;
      continue;
    }
    if (result.persistent >= 0)
      return reader.error(here, "only one dimension can be persistent");
    result.persistent = static_cast<int32_t>(i);
    if (!reader.number(*persistent, here + "/persistent", 1, 1024,
                       result.persistentBlocks))
      return false;
  }
  return true;
}

bool moec::readGpuLaunch(JsonReader &reader, const Json &json,
                         const std::string &where, const Variant &variant,
                         Launch &result) {
  const Json *grid, *block;
  int64_t sharedMemory = 0;
  if (!reader.need(json, where, "grid", grid) ||
      !readGrid(reader, *grid, where + "/grid", result) ||
      !reader.need(json, where, "block", block) ||
      !readExtent(reader, *block, where + "/block", 1024, 1024, result.block) ||
      !reader.optionalNumber(json, where, "smem", 0, INT32_MAX, sharedMemory) ||
      !reader.flag(json, where, "resident", result.resident) ||
      !reader.flag(json, where, "early_start", result.earlyStart))
    return false;
  result.sharedMemory = static_cast<uint32_t>(sharedMemory);
  const Json *cluster = JsonReader::find(json, "cluster");
  if (cluster &&
      !readExtent(reader, *cluster, where + "/cluster", 16, 16, result.cluster))
    return false;
  uint32_t blocks = result.cluster[0] * result.cluster[1] * result.cluster[2];
  return blocks == 1 || variant.isNvidia() ||
         reader.error(where + "/cluster",
                      "clusters are for NVIDIA GPUs, not " + variant.target);
}

/// A member whose value is one of a few words; `value` is the word's place.
static bool readWord(JsonReader &reader, const Json &json,
                     const std::string &where, const char *key,
                     std::initializer_list<const char *> words,
                     int32_t &value) {
  std::string word = *words.begin();
  if (!reader.string(json, where, key, false, word))
    return false;
  std::string known;
  value = 0;
  for (const char *candidate : words) {
    if (word == candidate)
      return true;
    ++value;
    known += std::string(known.empty() ? "'" : ", '") + candidate + "'";
  }
  return reader.error(where + "/" + key,
                      "must be one of " + known + ", is '" + word + "'");
}

static bool readSizes(JsonReader &reader, const Json &json,
                      const std::string &where, size_t count,
                      std::vector<Affine> &values) {
  if (!reader.isArray(json, where, 5))
    return false;
  if (json.size() != count)
    return reader.error(where, "must have " + std::to_string(count) +
                                   " entries, has " +
                                   std::to_string(json.size()));
  for (size_t i = 0; i < count; ++i) {
    values.emplace_back();
    if (!reader.affine(json[i], JsonReader::at(where, i), values.back()))
      return false;
  }
  return true;
}

static bool readNumbers(JsonReader &reader, const Json &json,
                        const std::string &where, int32_t count, int64_t limit,
                        uint32_t (&values)[5]) {
  if (!reader.isArray(json, where, 5))
    return false;
  if (json.size() != static_cast<size_t>(count))
    return reader.error(where, "must have " + std::to_string(count) +
                                   " entries, has " +
                                   std::to_string(json.size()));
  for (int32_t i = 0; i < count; ++i) {
    int64_t value = 0;
    if (!reader.number(json[i], JsonReader::at(where, i), 1, limit, value))
      return false;
    values[i] = static_cast<uint32_t>(value);
  }
  return true;
}

/// The rules of the hardware that do not depend on the token count.
static bool checkTensorMap(JsonReader &reader, const std::string &where,
                           const TensorMap &map) {
  int64_t inner = map.box[0] * moec_dtype_size(map.dtype);
  if (map.interleave && map.rank < 3)
    return reader.error(where + "/interleave",
                        "an interleaved tensor map needs 3 dimensions, has " +
                            std::to_string(map.rank));
  if (map.interleave == 32 && map.swizzle != 32)
    return reader.error(where + "/swizzle",
                        "must be '32' for an interleave of '32'");
  if (!map.interleave && inner % 16)
    return reader.error(where + "/box/0",
                        std::to_string(inner) +
                            " bytes are not a multiple of 16");
  if (!map.interleave && map.swizzle && inner > map.swizzle)
    return reader.error(where + "/box/0", std::to_string(inner) +
                                              " bytes exceed the swizzle of " +
                                              std::to_string(map.swizzle));
  bool isFloat = map.dtype == MOEC_F64 || map.dtype == MOEC_F32 ||
                 map.dtype == MOEC_F16 || map.dtype == MOEC_BF16;
  if (map.fillNan && !isFloat)
    return reader.error(
        where + "/fill",
        std::string("'nan' is for f64, f32, f16 and bf16, not ") +
            moec_dtype_name(map.dtype));
  return true;
}

static bool readTensorMap(JsonReader &reader, const Json &json,
                          const std::string &where, int32_t argumentCount,
                          const Variant &variant, TensorMap &result) {
  const Json *of, *dims, *strides, *box;
  std::string dtype;
  if (!reader.isObject(json, where) || !reader.need(json, where, "of", of) ||
      !reader.isObject(*of, where + "/of") ||
      !reader.string(json, where, "dtype", true, dtype) ||
      !reader.need(json, where, "dims", dims) ||
      !reader.need(json, where, "strides", strides) ||
      !reader.need(json, where, "box", box))
    return false;
  const Json *tensor = JsonReader::find(*of, "arg");
  const Json *slice = JsonReader::find(*of, "workspace");
  if (!tensor == !slice)
    return reader.error(where + "/of",
                        "needs exactly one of 'arg' and 'workspace'");
  result.ofWorkspace = slice;
  int64_t index = 0;
  int64_t count =
      tensor ? int64_t(argumentCount) : int64_t(variant.workspaces.size());
  if (!reader.number(tensor ? *tensor : *slice,
                     where + (tensor ? "/of/arg" : "/of/workspace"), 0,
                     count - 1, index))
    return false;
  result.index = static_cast<int32_t>(index);
  if (!dtypeFromName(dtype.c_str(), result.dtype))
    return reader.error(where + "/dtype",
                        "unknown element type '" + dtype + "'");
  if (dims->is_array())
    result.rank = static_cast<int32_t>(dims->size());
  if (dims->is_array() && (result.rank < 1 || result.rank > 5))
    return reader.error(where + "/dims", "must have 1 to 5 entries, has " +
                                             std::to_string(dims->size()));
  if (!readSizes(reader, *dims, where + "/dims", result.rank, result.dims) ||
      !readSizes(reader, *strides, where + "/strides", result.rank - 1,
                 result.strides) ||
      !readNumbers(reader, *box, where + "/box", result.rank, 256, result.box))
    return false;
  const Json *steps = JsonReader::find(json, "element_strides");
  if (steps && !readNumbers(reader, *steps, where + "/element_strides",
                            result.rank, 8, result.elementStrides))
    return false;
  int32_t interleave, swizzle, l2, fill;
  if (!readWord(reader, json, where, "interleave", {"none", "16", "32"},
                interleave) ||
      !readWord(reader, json, where, "swizzle", {"none", "32", "64", "128"},
                swizzle) ||
      !readWord(reader, json, where, "l2", {"none", "64", "128", "256"}, l2) ||
      !readWord(reader, json, where, "fill", {"zero", "nan"}, fill))
    return false;
  result.interleave = interleave * 16;
  result.swizzle = swizzle ? 16 << swizzle : 0;
  result.l2 = l2 ? 32 << l2 : 0;
  result.fillNan = fill;
  for (const std::vector<Affine> *sizes : {&result.dims, &result.strides})
    for (const Affine &size : *sizes)
      result.perToken |= size.perToken != 0;
  return checkTensorMap(reader, where, result);
}

bool moec::readGpuArgument(JsonReader &reader, const Json &json,
                           const std::string &where, int32_t argumentCount,
                           Variant &variant, LaunchArgument &result,
                           bool &found) {
  const Json *tokens = JsonReader::find(json, "device_tokens");
  const Json *map = JsonReader::find(json, "tensor_map");
  found = tokens || map;
  if (!found)
    return true;
  if ((tokens && map) || JsonReader::find(json, "arg") ||
      JsonReader::find(json, "workspace") || JsonReader::find(json, "dim"))
    return reader.error(where,
                        "needs exactly one of 'arg', 'workspace', 'dim', "
                        "'device_tokens' and 'tensor_map'");
  if (tokens) {
    std::string type;
    if (!reader.string(json, where, "device_tokens", true, type))
      return false;
    if (type != "i32" && type != "i64")
      return reader.error(where + "/device_tokens",
                          "must be 'i32' or 'i64', is '" + type + "'");
    int32_t bytes = type == "i32" ? 4 : 8;
    if (variant.deviceTokenBytes && variant.deviceTokenBytes != bytes)
      return reader.error(where + "/device_tokens",
                          "all kernels of a variant must take the same type");
    variant.deviceTokenBytes = bytes;
    result.kind = LaunchArgument::DeviceTokens;
    return true;
  }
  if (!variant.isNvidia())
    return reader.error(where, "'tensor_map' is for NVIDIA GPUs, not " +
                                   variant.target);
  if (variant.tensorMaps.size() == maxTensorMaps)
    return reader.error(where, "a variant has at most " +
                                   std::to_string(maxTensorMaps) +
                                   " tensor maps");
  result.kind = LaunchArgument::Map;
  result.index = static_cast<int32_t>(variant.tensorMaps.size());
  variant.tensorMaps.emplace_back();
  return readTensorMap(reader, *map, where + "/tensor_map", argumentCount,
                       variant, variant.tensorMaps.back());
}
