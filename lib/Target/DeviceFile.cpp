//===- DeviceFile.cpp - Devices from data files ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Target/DeviceFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;
using llvm::StringRef;
using llvm::Twine;

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
class Reader {
public:
  Reader(StringRef path, const llvm::json::Object &object)
      : path(path), object(object) {}
  Expected<Device> read();

private:
  Error fail(const Twine &text) const {
    return llvm::createStringError("device file '" + path + "': " + text);
  }
  Error readText(StringRef key, std::string &value) const;
  Error readSources();
  Error readFigures(bool cpu);
  Error readBlocks();
  Error readProbes();

  StringRef path;
  const llvm::json::Object &object;
  Device device;
  std::map<std::string, std::string> sources;
};
} // namespace

/// A number in six digits.
static std::string shorten(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%g", value);
  return text;
}

Error Reader::readText(StringRef key, std::string &value) const {
  std::optional<StringRef> text = object.getString(key);
  if (!text || text->empty())
    return fail("key '" + key + "' is missing or no text");
  value = text->str();
  return Error::success();
}

Error Reader::readSources() {
  const llvm::json::Object *list = object.getObject("sources");
  if (!list || list->empty())
    return fail("key 'sources' is missing or no object");
  for (const auto &[key, value] : *list) {
    std::optional<StringRef> text = value.getAsString();
    if (!text || text->empty())
      return fail("source '" + StringRef(key) + "' is no text");
    sources[StringRef(key).str()] = text->str();
  }
  return Error::success();
}

Error Reader::readFigures(bool cpu) {
  const llvm::json::Object *list = object.getObject("figures");
  if (!list)
    return fail("key 'figures' is missing or no object");
  for (const DeviceField &field : getDeviceFields()) {
    const llvm::json::Array *pair = list->getArray(field.key);
    if (!pair) {
      if (cpu && !field.onCpu && !list->get(field.key))
        continue;
      return fail("figure '" + Twine(field.key) +
                  "' is missing or no [value, source]");
    }
    std::optional<double> value =
        pair->size() == 2 ? (*pair)[0].getAsNumber() : std::nullopt;
    std::optional<StringRef> source =
        pair->size() == 2 ? (*pair)[1].getAsString() : std::nullopt;
    if (!value || !source)
      return fail("figure '" + Twine(field.key) + "' is no [value, source]");
    auto at = sources.find(source->str());
    if (at == sources.end())
      return fail("figure '" + Twine(field.key) + "' has the unknown source '" +
                  *source + "'");
    bool absent = field.optional && *value == 0;
    if (!absent && !(*value >= field.least && *value <= field.most))
      return fail("figure '" + Twine(field.key) + "' is " + shorten(*value) +
                  " " + field.unit + ", not in [" + shorten(field.least) +
                  ", " + shorten(field.most) + "]");
    device.figures.*field.member = *value;
    device.sources[field.key] = at->second;
  }
  for (const auto &entry : *list) {
    StringRef key = entry.first;
    if (llvm::none_of(getDeviceFields(), [&](const DeviceField &field) {
          return key == field.key;
        }))
      return fail("unknown figure '" + key + "'");
  }
  return Error::success();
}

Error Reader::readBlocks() {
  if (!object.get("measured_blocks"))
    return Error::success();
  const llvm::json::Object *list = object.getObject("measured_blocks");
  if (!list)
    return fail("key 'measured_blocks' is no object");
  std::optional<StringRef> source = list->getString("source");
  if (!source || !sources.count(source->str()))
    return fail("measured_blocks has no source of 'sources'");
  device.measuredSource = sources[source->str()];
  for (int64_t aBits : {8, 16, 32})
    for (int64_t bBits : {4, 8, 16, 32}) {
      std::string key =
          "a" + std::to_string(aBits) + "_b" + std::to_string(bBits);
      const llvm::json::Array *lines = list->getArray(key);
      if (!lines)
        continue;
      double before = 0;
      for (const llvm::json::Value &line : *lines) {
        const llvm::json::Array *pair = line.getAsArray();
        std::optional<double> rows =
            pair && pair->size() == 2 ? (*pair)[0].getAsNumber() : std::nullopt;
        std::optional<int64_t> block = pair && pair->size() == 2
                                           ? (*pair)[1].getAsInteger()
                                           : std::nullopt;
        bool last = &line == &lines->back();
        if (!rows || !block || *block < 1 ||
            (last ? *rows != 0 : *rows <= before))
          return fail("measured_blocks '" + key +
                      "' is no list of [mean rows, block m] with ascending "
                      "rows, 0 in the last");
        before = *rows;
        device.measuredBlocks.push_back({aBits, bBits, *rows, *block});
      }
    }
  return Error::success();
}

Error Reader::readProbes() {
  if (!object.get("probes"))
    return Error::success();
  const llvm::json::Object *list = object.getObject("probes");
  if (!list)
    return fail("key 'probes' is no object");
  for (const auto &[name, value] : *list) {
    std::optional<double> number = value.getAsNumber();
    if (!number || !(*number > 0))
      return fail("probe '" + StringRef(name) + "' is no number above 0");
    device.probes[StringRef(name).str()] = *number;
  }
  return Error::success();
}

Expected<Device> Reader::read() {
  static const char *known[] = {"name",    "product",         "arch",
                                "sources", "reported_names",  "figures",
                                "default", "measured_blocks", "probes"};
  for (const auto &[key, value] : object)
    if (!llvm::is_contained(known, StringRef(key)))
      return fail("unknown key '" + StringRef(key) + "'");
  if (Error error = readText("name", device.name))
    return std::move(error);
  if (Error error = readText("product", device.product))
    return std::move(error);
  if (Error error = readText("arch", device.arch))
    return std::move(error);
  if (const llvm::json::Array *names = object.getArray("reported_names"))
    for (const llvm::json::Value &name : *names) {
      if (!name.getAsString())
        return fail("reported_names holds something that is no text");
      device.reportedNames.push_back(name.getAsString()->str());
    }
  if (object.get("default")) {
    std::optional<bool> flag = object.getBoolean("default");
    if (!flag)
      return fail("key 'default' is no true or false");
    device.isDefault = *flag;
  }
  if (Error error = readSources())
    return std::move(error);
  if (Error error = readFigures(device.arch == "cpu"))
    return std::move(error);
  if (Error error = readBlocks())
    return std::move(error);
  if (Error error = readProbes())
    return std::move(error);
  return std::move(device);
}

Expected<Device> mlir::moe::parseDevice(StringRef path, StringRef text) {
  Expected<llvm::json::Value> value = llvm::json::parse(text);
  if (!value)
    return llvm::createStringError("device file '" + path +
                                   "': " + llvm::toString(value.takeError()));
  const llvm::json::Object *object = value->getAsObject();
  if (!object)
    return llvm::createStringError("device file '" + path +
                                   "': not a JSON object");
  return Reader(path, *object).read();
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

std::string mlir::moe::printDevice(const Device &device) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  llvm::json::OStream json(stream, 2);
  // Sources get numbers in the order of their first use.
  std::vector<std::string> sources;
  auto shorten = [&](const std::string &source) {
    auto at = llvm::find(sources, source);
    if (at == sources.end())
      at = sources.insert(sources.end(), source);
    return "s" + std::to_string(at - sources.begin() + 1);
  };
  json.object([&] {
    json.attribute("name", device.name);
    json.attribute("product", device.product);
    json.attribute("arch", device.arch);
    if (device.isDefault)
      json.attribute("default", true);
    json.attributeArray("reported_names", [&] {
      for (const std::string &name : device.reportedNames)
        json.value(name);
    });
    json.attributeObject("figures", [&] {
      for (const DeviceField &field : getDeviceFields()) {
        auto source = device.sources.find(field.key);
        if (source == device.sources.end())
          continue;
        json.attributeArray(field.key, [&] {
          json.value(device.figures.*field.member);
          json.value(shorten(source->second));
        });
      }
    });
    if (!device.measuredBlocks.empty())
      json.attributeObject("measured_blocks", [&] {
        json.attribute("source", shorten(device.measuredSource));
        const auto &blocks = device.measuredBlocks;
        for (size_t i = 0; i < blocks.size();) {
          size_t end = i;
          while (end < blocks.size() && blocks[end].aBits == blocks[i].aBits &&
                 blocks[end].bBits == blocks[i].bBits)
            ++end;
          json.attributeArray("a" + std::to_string(blocks[i].aBits) + "_b" +
                                  std::to_string(blocks[i].bBits),
                              [&] {
                                for (; i < end; ++i)
                                  json.array([&] {
                                    json.value(blocks[i].maxRows);
                                    json.value(blocks[i].blockM);
                                  });
                              });
        }
      });
    if (!device.probes.empty())
      json.attributeObject("probes", [&] {
        for (const auto &[name, value] : device.probes)
          json.attribute(name, value);
      });
    json.attributeObject("sources", [&] {
      for (auto [i, source] : llvm::enumerate(sources))
        json.attribute("s" + std::to_string(i + 1), source);
    });
  });
  return text + "\n";
}

//===----------------------------------------------------------------------===//
// Finding
//===----------------------------------------------------------------------===//

namespace {
struct Embedded {
  const char *name, *text;
};
} // namespace

static const Embedded embedded[] = {
#include "DeviceFiles.inc"
};

const std::vector<Device> &mlir::moe::getKnownDevices() {
  static const std::vector<Device> devices = [] {
    std::vector<Device> all;
    // Files that do not parse fail the tests of this library.
    for (const Embedded &file : embedded)
      if (Expected<Device> device = parseDevice(file.name, file.text))
        all.push_back(std::move(*device));
      else
        llvm::report_fatal_error(device.takeError());
    return all;
  }();
  return devices;
}

/// Lower case, runs of anything but letters and digits as one '-'.
static std::string normalise(StringRef name) {
  std::string text;
  for (char c : name.lower())
    if (llvm::isAlnum(c))
      text += c;
    else if (!text.empty() && text.back() != '-')
      text += '-';
  return StringRef(text).rtrim('-').str();
}

Expected<Device> mlir::moe::findDevice(StringRef nameOrPath) {
  if (nameOrPath.ends_with(".json")) {
    auto text = llvm::MemoryBuffer::getFile(nameOrPath);
    if (!text)
      return llvm::createStringError("cannot read the device file '" +
                                     nameOrPath +
                                     "': " + text.getError().message());
    return parseDevice(nameOrPath, (*text)->getBuffer());
  }
  std::string wanted = normalise(nameOrPath), known;
  for (const Device &device : getKnownDevices()) {
    if (normalise(device.name) == wanted)
      return device;
    for (const std::string &name : device.reportedNames)
      if (normalise(name) == wanted)
        return device;
    known += (known.empty() ? "" : ", ") + device.name;
  }
  return llvm::createStringError("unknown device '" + nameOrPath +
                                 "'; known are " + known +
                                 ", and files that end in .json");
}

const Device *mlir::moe::getDefaultDevice(StringRef arch) {
  const Device *first = nullptr;
  for (const Device &device : getKnownDevices())
    if (device.arch == arch &&
        (!first || (device.isDefault && !first->isDefault)))
      first = &device;
  return first;
}
