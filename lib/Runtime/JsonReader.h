//===- JsonReader.h - Typed members of a JSON text --------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For the files compiled with exceptions: the JSON parser reports where a text
// is broken by throwing. None leaves readManifest.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_JSONREADER_H
#define MOEC_LIB_RUNTIME_JSONREADER_H

#include "Manifest.h"
#include "Status.h"

// A name of its own: a program that links the static library may use the same
// parser, compiled with other options.
#define NLOHMANN_JSON_NAMESPACE nlohmann::moec_runtime
#define NLOHMANN_JSON_NAMESPACE_BEGIN                                          \
  namespace nlohmann {                                                         \
  inline namespace moec_runtime {
#define NLOHMANN_JSON_NAMESPACE_END                                            \
  }                                                                            \
  }
#include <nlohmann/json.hpp>

namespace moec {

using Json = nlohmann::json;

/// Reads values and keeps the first error, with the place as a JSON pointer.
/// Members that are not asked for are ignored, so that later formats may add
/// some.
class JsonReader {
public:
  explicit JsonReader(std::string origin) : origin(std::move(origin)) {}

  bool error(const std::string &where, const std::string &rule) {
    fail(MOEC_ERR_MANIFEST, "%s: %s: %s", origin.c_str(),
         where.empty() ? "/" : where.c_str(), rule.c_str());
    return false;
  }

  /// The member, null when it is absent or JSON's null.
  static const Json *find(const Json &object, const char *key) {
    auto member = object.find(key);
    return member == object.end() || member->is_null() ? nullptr : &*member;
  }

  bool need(const Json &object, const std::string &where, const char *key,
            const Json *&member) {
    member = find(object, key);
    return member || error(where, std::string("'") + key + "' is missing");
  }

  bool isObject(const Json &json, const std::string &where) {
    return json.is_object() || error(where, mustBe("an object", json));
  }

  bool isArray(const Json &json, const std::string &where, size_t limit) {
    if (!json.is_array())
      return error(where, mustBe("an array", json));
    return json.size() <= limit ||
           error(where, std::to_string(json.size()) + " entries, at most " +
                            std::to_string(limit) + " are supported");
  }

  bool string(const Json &object, const std::string &where, const char *key,
              bool required, std::string &value) {
    const Json *member = find(object, key);
    if (!member)
      return !required || error(where, std::string("'") + key + "' is missing");
    if (!member->is_string())
      return error(where + "/" + key, mustBe("a string", *member));
    value = member->get<std::string>();
    return value.find('\0') == std::string::npos ||
           error(where + "/" + key, "a NUL character in a string");
  }

  /// An integer in [low, high].
  bool number(const Json &json, const std::string &where, int64_t low,
              int64_t high, int64_t &value) {
    if (!json.is_number_integer())
      return error(where, mustBe("an integer", json));
    bool fits = !json.is_number_unsigned() ||
                json.get<uint64_t>() <= uint64_t(INT64_MAX);
    if (fits)
      value = json.get<int64_t>();
    if (fits && value >= low && value <= high)
      return true;
    return error(where, json.dump() + " is not in [" + std::to_string(low) +
                            ", " + std::to_string(high) + "]");
  }

  /// As number, but a missing member leaves the value as it is.
  bool optionalNumber(const Json &object, const std::string &where,
                      const char *key, int64_t low, int64_t high,
                      int64_t &value) {
    const Json *member = find(object, key);
    return !member || number(*member, where + "/" + key, low, high, value);
  }

  bool flag(const Json &object, const std::string &where, const char *key,
            bool &value) {
    const Json *member = find(object, key);
    if (!member)
      return true;
    if (!member->is_boolean())
      return error(where + "/" + key, mustBe("true or false", *member));
    value = member->get<bool>();
    return true;
  }

  bool alignment(const Json &object, const std::string &where, int64_t &value) {
    if (!optionalNumber(object, where, "align", 1, maxAlign, value))
      return false;
    return (value & (value - 1)) == 0 ||
           error(where + "/align",
                 std::to_string(value) + " is not a power of two");
  }

  /// 7, "8*T + 1" or {"T": 8, "const": 1, "div": 1}.
  bool affine(const Json &json, const std::string &where, Affine &value) {
    if (json.is_number())
      return number(json, where, 0, INT64_MAX, value.constant);
    if (json.is_string())
      return Affine::parse(json.get<std::string>(), value) ||
             error(where, "'" + json.get<std::string>() +
                              "' is not a sum of terms like 8*T, T and 16");
    if (!json.is_object())
      return error(where, mustBe("a size (integer, string or object)", json));
    if (!find(json, "T") && !find(json, "const"))
      return error(where, "needs 'T' or 'const'");
    return optionalNumber(json, where, "T", 0, INT64_MAX, value.perToken) &&
           optionalNumber(json, where, "const", 0, INT64_MAX, value.constant) &&
           optionalNumber(json, where, "div", 1, INT64_MAX, value.divisor);
  }

  /// One size, or an array of them, whose maximum is meant.
  bool sizes(const Json &json, const std::string &where,
             std::vector<Affine> &values) {
    if (!json.is_array()) {
      values.emplace_back();
      return affine(json, where, values.back());
    }
    if (!isArray(json, where, 64))
      return false;
    if (json.empty())
      return error(where, "an empty list has no maximum");
    for (size_t i = 0; i < json.size(); ++i) {
      values.emplace_back();
      if (!affine(json[i], at(where, i), values.back()))
        return false;
    }
    return true;
  }

  static std::string at(const std::string &where, size_t index) {
    return where + "/" + std::to_string(index);
  }

  static std::string mustBe(const char *what, const Json &json) {
    return std::string("must be ") + what + ", is " + json.type_name();
  }

private:
  std::string origin;
};

/// Reads the members of a launch that only a GPU has: geometry and attributes.
bool readGpuLaunch(JsonReader &reader, const Json &json,
                   const std::string &where, const Variant &variant,
                   Launch &result);

/// Reads {"device_tokens": ...} and {"tensor_map": ...}; `found` tells whether
/// the argument was one of them. `argumentCount`: of the layer.
bool readGpuArgument(JsonReader &reader, const Json &json,
                     const std::string &where, int32_t argumentCount,
                     Variant &variant, LaunchArgument &result, bool &found);

} // namespace moec

#endif // MOEC_LIB_RUNTIME_JSONREADER_H
