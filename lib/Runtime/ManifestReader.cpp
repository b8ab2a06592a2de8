//===- ManifestReader.cpp - Read and check manifest.json ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiled with exceptions, see JsonReader.h. None leaves readManifest.
//
//===----------------------------------------------------------------------===//

#include "Dtype.h"
#include "JsonReader.h"

using namespace moec;

namespace {

/// Members that are not asked for are ignored, so that later formats may add
/// some.
class Reader : public JsonReader {
public:
  using JsonReader::JsonReader;

  bool argument(const Json &json, const std::string &where, Argument &result);
  bool workspace(const Json &json, const std::string &where, Workspace &result);
  bool launchArgument(const Json &json, const std::string &where,
                      Variant &variant, LaunchArgument &result);
  bool launches(const Json &json, const std::string &where, Variant &variant);
  bool variant(const Json &json, const std::string &where, Variant &result);
  bool entry(const Json &json, const std::string &where, Manifest &result);
  bool layer(const Json &json, Manifest &result);

private:
  int32_t argumentCount = 0;
};

bool Reader::argument(const Json &json, const std::string &where,
                      Argument &result) {
  std::string dtype, role;
  const Json *shape;
  if (!isObject(json, where) ||
      !string(json, where, "name", true, result.name) ||
      !string(json, where, "dtype", true, dtype) ||
      !string(json, where, "role", true, role) ||
      !flag(json, where, "optional", result.optional) ||
      !need(json, where, "shape", shape) ||
      !isArray(*shape, where + "/shape", MOEC_MAX_RANK))
    return false;
  if (!dtypeFromName(dtype.c_str(), result.dtype))
    return error(where + "/dtype", "unknown element type '" + dtype + "'");
  if (role != "input" && role != "output")
    return error(where + "/role",
                 "must be 'input' or 'output', is '" + role + "'");
  result.role = role == "output" ? MOEC_OUTPUT : MOEC_INPUT;
  result.align = moec_dtype_size(result.dtype);
  for (size_t i = 0; i < shape->size(); ++i) {
    result.shape.emplace_back();
    if (!affine((*shape)[i], at(where + "/shape", i), result.shape.back()))
      return false;
  }
  return alignment(json, where, result.align);
}

bool Reader::workspace(const Json &json, const std::string &where,
                       Workspace &result) {
  if (!isObject(json, where) ||
      !string(json, where, "name", false, result.name) ||
      !alignment(json, where, result.align))
    return false;
  const Json *bytes = find(json, "bytes");
  const Json *perWorker = find(json, "per_worker");
  if (!bytes == !perWorker)
    return error(where, "needs exactly one of 'bytes' and 'per_worker'");
  result.perWorker = perWorker;
  std::string member = where + (perWorker ? "/per_worker" : "/bytes");
  if (!sizes(perWorker ? *perWorker : *bytes, member, result.bytes))
    return false;
  // Pieces lie back to back, so that a kernel finds its own as
  // base + worker * bytes.
  for (const Affine &term : result.bytes)
    if (result.perWorker &&
        (term.divisor != 1 || term.perToken % result.align != 0 ||
         term.constant % result.align != 0))
      return error(member, term.str() + " is not a multiple of the alignment " +
                               std::to_string(result.align) + " for every T");
  std::string init = "none";
  if (!string(json, where, "init", false, init))
    return false;
  if (init != "none" && init != "zero")
    return error(where + "/init",
                 "must be 'none' or 'zero', is '" + init + "'");
  result.zero = init == "zero";
  return true;
}

bool Reader::launchArgument(const Json &json, const std::string &where,
                            Variant &variant, LaunchArgument &result) {
  if (!isObject(json, where))
    return false;
  bool found = false;
  if (!variant.isCpu() && !readGpuArgument(*this, json, where, argumentCount,
                                           variant, result, found))
    return false;
  if (found)
    return true;
  const Json *tensor = find(json, "arg");
  const Json *slice = find(json, "workspace");
  const Json *dimension = find(json, "dim");
  if ((tensor != nullptr) + (slice != nullptr) + (dimension != nullptr) != 1)
    return error(where, "needs exactly one of 'arg', 'workspace' and 'dim'");
  if (dimension) {
    result.kind = LaunchArgument::Dimension;
    std::string type = "i64";
    if (!string(json, where, "type", false, type))
      return false;
    if (type != "i32" && type != "i64")
      return error(where + "/type",
                   "must be 'i32' or 'i64', is '" + type + "'");
    result.narrow = type == "i32";
    return affine(*dimension, where + "/dim", result.dimension);
  }
  result.kind =
      tensor ? LaunchArgument::Tensor : LaunchArgument::WorkspaceSlice;
  int64_t count =
      tensor ? int64_t(argumentCount) : int64_t(variant.workspaces.size());
  int64_t index = 0;
  if (!number(tensor ? *tensor : *slice,
              where + (tensor ? "/arg" : "/workspace"), 0, count - 1, index))
    return false;
  result.index = static_cast<int32_t>(index);
  return !tensor || alignment(json, where, result.align);
}

bool Reader::launches(const Json &json, const std::string &where,
                      Variant &variant) {
  if (!isArray(json, where, maxLaunchArguments))
    return false;
  variant.launchCount = static_cast<int32_t>(json.size());
  // What other targets need is for their own run time to read.
  if (!variant.isCpu() && !variant.isGpu())
    return true;
  size_t total = 0;
  for (size_t i = 0; i < json.size(); ++i) {
    std::string here = at(where, i);
    Launch launch;
    const Json *arguments;
    if (!isObject(json[i], here) ||
        !string(json[i], here, "kernel", true, launch.kernel) ||
        !need(json[i], here, "args", arguments) ||
        !isArray(*arguments, here + "/args", maxLaunchArguments - total) ||
        (!variant.isCpu() &&
         !readGpuLaunch(*this, json[i], here, variant, launch)))
      return false;
    total += arguments->size();
    for (size_t j = 0; j < arguments->size(); ++j) {
      launch.arguments.emplace_back();
      if (!launchArgument((*arguments)[j], at(here + "/args", j), variant,
                          launch.arguments.back()))
        return false;
    }
    variant.launches.push_back(std::move(launch));
  }
  return true;
}

/// A file name below the artifact's directory.
bool isInside(const std::string &path) {
  if (path.empty() || path[0] == '/')
    return false;
  for (size_t first = 0; first <= path.size();) {
    size_t end = std::min(path.find('/', first), path.size());
    if (path.compare(first, end - first, "..") == 0)
      return false;
    first = end + 1;
  }
  return true;
}

bool Reader::variant(const Json &json, const std::string &where,
                     Variant &result) {
  const Json *tokens, *launchList;
  if (!isObject(json, where) ||
      !string(json, where, "target", true, result.target) ||
      !string(json, where, "isa", result.target == "cpu", result.isa) ||
      !string(json, where, "code", result.target == "cpu", result.code) ||
      !string(json, where, "ptx", false, result.ptx) ||
      !need(json, where, "tokens", tokens) ||
      !isArray(*tokens, where + "/tokens", 2))
    return false;
  bool noCode = result.code.empty() && !find(json, "code");
  if (!noCode && !isInside(result.code))
    return error(where + "/code",
                 "'" + result.code +
                     "' must be a relative path inside the artifact");
  if (find(json, "ptx") && !isInside(result.ptx))
    return error(where + "/ptx",
                 "'" + result.ptx +
                     "' must be a relative path inside the artifact");
  if (result.isNvidia() && result.code.empty() && result.ptx.empty())
    return error(where, "needs 'code' or 'ptx'");
  if (result.isAmd() && result.code.empty())
    return error(where, "needs 'code'");

  if (tokens->size() != 2)
    return error(where + "/tokens", "must be [first, last or null], has " +
                                        std::to_string(tokens->size()) +
                                        " entries");
  if (!number((*tokens)[0], where + "/tokens/0", 0, INT64_MAX,
              result.tokensLow) ||
      (!(*tokens)[1].is_null() &&
       !number((*tokens)[1], where + "/tokens/1", result.tokensLow, INT64_MAX,
               result.tokensHigh)))
    return false;

  if (const Json *config = find(json, "config")) {
    if (!isArray(*config, where + "/config", 4096))
      return false;
    for (size_t i = 0; i < config->size(); ++i) {
      if (!(*config)[i].is_string())
        return error(at(where + "/config", i),
                     mustBe("a string", (*config)[i]));
      result.config.push_back((*config)[i].get<std::string>());
    }
  }
  if (const Json *list = find(json, "workspace")) {
    if (!isArray(*list, where + "/workspace", maxWorkspaces))
      return false;
    for (size_t i = 0; i < list->size(); ++i) {
      result.workspaces.emplace_back();
      if (!workspace((*list)[i], at(where + "/workspace", i),
                     result.workspaces.back()))
        return false;
      if (result.isGpu() && result.workspaces.back().perWorker)
        return error(at(where + "/workspace", i),
                     "'per_worker' is for CPUs; a GPU has no workers");
    }
  }
  if (const Json *resources = find(json, "resources")) {
    std::string here = where + "/resources";
    if (!isObject(*resources, here) ||
        !optionalNumber(*resources, here, "registers", 0, INT64_MAX,
                        result.registers) ||
        !optionalNumber(*resources, here, "shared_memory", 0, INT64_MAX,
                        result.sharedMemory) ||
        !optionalNumber(*resources, here, "spills", 0, INT64_MAX,
                        result.spills))
      return false;
  }
  return need(json, where, "launches", launchList) &&
         launches(*launchList, where + "/launches", result);
}

bool Reader::entry(const Json &json, const std::string &where,
                   Manifest &result) {
  const Json *arguments, *variants;
  if (!need(json, where, "arguments", arguments) ||
      !isArray(*arguments, where + "/arguments", maxArguments) ||
      !need(json, where, "variants", variants) ||
      !isArray(*variants, where + "/variants", 4096))
    return false;
  argumentCount = static_cast<int32_t>(arguments->size());
  for (size_t i = 0; i < arguments->size(); ++i) {
    std::string here = at(where + "/arguments", i);
    Argument next;
    if (!argument((*arguments)[i], here, next))
      return false;
    for (const Argument &other : result.arguments)
      if (other.name == next.name)
        return error(here + "/name", "'" + next.name + "' occurs twice");
    result.arguments.push_back(std::move(next));
  }
  for (size_t i = 0; i < variants->size(); ++i) {
    result.variants.emplace_back();
    if (!variant((*variants)[i], at(where + "/variants", i),
                 result.variants.back()))
      return false;
  }
  return true;
}

bool Reader::layer(const Json &json, Manifest &result) {
  const Json *layer;
  if (!need(json, "", "layer", layer) || !isObject(*layer, "/layer") ||
      !string(*layer, "/layer", "name", true, result.name))
    return false;
  const Json *dims = find(*layer, "dims");
  if (!dims)
    return true;
  if (!isObject(*dims, "/layer/dims"))
    return false;
  for (auto dim = dims->begin(); dim != dims->end(); ++dim) {
    if (!dim->is_number_integer())
      continue;
    int64_t value = 0;
    if (!number(*dim, "/layer/dims/" + dim.key(), INT64_MIN, INT64_MAX, value))
      return false;
    result.dims.emplace_back(dim.key(), value);
  }
  return true;
}

} // namespace

static moec_status readJson(const std::string &origin, const Json &json,
                            const char *function, Manifest &result) {
  Reader reader(origin);
  const Json *format;
  std::string version;
  int64_t number = 0;
  if (!reader.isObject(json, "") || !reader.need(json, "", "format", format) ||
      !reader.number(*format, "/format", INT64_MIN, INT64_MAX, number))
    return MOEC_ERR_MANIFEST;
  if (number != MOEC_MANIFEST_FORMAT)
    return fail(MOEC_ERR_FORMAT,
                "%s: the manifest has format %lld, this runtime reads format "
                "%d",
                origin.c_str(), static_cast<long long>(number),
                MOEC_MANIFEST_FORMAT);
  if (!reader.string(json, "", "moec", true, version) ||
      !reader.layer(json, result))
    return MOEC_ERR_MANIFEST;
  if (!function)
    return reader.entry(json, "", result) ? MOEC_OK : MOEC_ERR_MANIFEST;

  if (const Json *functions = Reader::find(json, "functions")) {
    if (!reader.isArray(*functions, "/functions", 4096))
      return MOEC_ERR_MANIFEST;
    for (size_t i = 0; i < functions->size(); ++i) {
      std::string here = Reader::at("/functions", i);
      const Json &candidate = (*functions)[i];
      std::string name;
      if (!reader.isObject(candidate, here) ||
          !reader.string(candidate, here, "name", true, name))
        return MOEC_ERR_MANIFEST;
      if (name != function)
        continue;
      result.name = name;
      return reader.entry(candidate, here, result) ? MOEC_OK
                                                   : MOEC_ERR_MANIFEST;
    }
  }
  return fail(MOEC_ERR_INVALID_ARGUMENT,
              "%s: the artifact has no function '%s'", origin.c_str(),
              function);
}

moec_status moec::readManifest(const std::string &origin, const char *text,
                               size_t length, const char *function,
                               Manifest &result) {
  try {
    result.text.assign(text, length);
    return readJson(origin, Json::parse(result.text), function, result);
  } catch (const Json::exception &error) {
    // "[json.exception.parse_error.101] parse error at line 3, column 5: ..."
    const char *message = error.what();
    if (const char *end = std::strchr(message, ']'))
      message = end[1] == ' ' ? end + 2 : message;
    return fail(MOEC_ERR_MANIFEST, "%s: %s", origin.c_str(), message);
  } catch (const std::bad_alloc &) {
    return fail(MOEC_ERR_RESOURCES, "%s: out of memory", origin.c_str());
  }
}
