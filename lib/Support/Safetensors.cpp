//===- Safetensors.cpp - Reading and writing .safetensors -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/FileIO.h"
#include "moec/Support/TensorIO.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>

using namespace mlir::moe;

namespace {
struct DtypeInfo {
  const char *name;
  unsigned bits;
  std::optional<ElementType> type;
  /// Raw bits that a caller may take as another type of the same width.
  bool isRaw;
};
} // namespace

static const DtypeInfo dtypes[] = {
    {"F64", 64, ElementType::F64, false},
    {"F32", 32, ElementType::F32, false},
    {"BF16", 16, ElementType::BF16, false},
    {"F16", 16, ElementType::F16, false},
    {"F8_E4M3", 8, ElementType::F8E4M3FN, false},
    {"F8_E5M2", 8, ElementType::F8E5M2, false},
    {"F8_E4M3FNUZ", 8, ElementType::F8E4M3FNUZ, false},
    {"F8_E5M2FNUZ", 8, ElementType::F8E5M2FNUZ, false},
    {"F8_E8M0", 8, ElementType::F8E8M0FNU, false},
    {"F4", 4, ElementType::F4E2M1FN, false},
    {"I8", 8, ElementType::I8, true},
    {"U8", 8, ElementType::U8, true},
    {"I32", 32, ElementType::I32, false},
    {"I64", 64, ElementType::I64, false},
    {"I16", 16, std::nullopt, true},
    {"U16", 16, std::nullopt, true},
    {"U32", 32, std::nullopt, true},
    {"U64", 64, std::nullopt, false},
    {"BOOL", 8, std::nullopt, false},
};

static const DtypeInfo *findDtype(llvm::StringRef name) {
  for (const DtypeInfo &info : dtypes)
    if (name == info.name)
      return &info;
  return nullptr;
}

/// The header is untrusted: a million '[' would exhaust the parser's stack.
static unsigned nestingDepth(llvm::StringRef text) {
  unsigned depth = 0, deepest = 0;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (inString) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        inString = false;
    } else if (c == '"') {
      inString = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth) {
      --depth;
    }
  }
  return deepest;
}

static llvm::Error parseEntry(llvm::StringRef path, llvm::StringRef name,
                              const llvm::json::Value &value, uint64_t dataSize,
                              SafetensorsEntry &entry) {
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError(path + ": tensor '" + name + "': " + what);
  };
  const llvm::json::Object *object = value.getAsObject();
  if (!object)
    return fail("its header is not an object");
  std::optional<llvm::StringRef> dtype = object->getString("dtype");
  const llvm::json::Array *shape = object->getArray("shape");
  const llvm::json::Array *offsets = object->getArray("data_offsets");
  if (!dtype || !shape || !offsets)
    return fail("dtype (a string), shape and data_offsets (arrays) must be "
                "given");
  const DtypeInfo *info = findDtype(*dtype);
  if (!info)
    return fail("dtype '" + *dtype + "' is unknown");
  entry.name = name.str();
  entry.dtype = dtype->str();
  entry.type = info->type;
  entry.bits = info->bits;
  for (const llvm::json::Value &extent : *shape) {
    std::optional<int64_t> number = extent.getAsInteger();
    if (!number || *number < 0)
      return fail("shape must hold integers from 0 to 2^63 - 1");
    entry.shape.push_back(*number);
  }
  std::optional<int64_t> begin, end;
  if (offsets->size() == 2) {
    begin = (*offsets)[0].getAsInteger();
    end = (*offsets)[1].getAsInteger();
  }
  if (!begin || !end || *begin < 0 || *end < *begin)
    return fail("data_offsets must be two integers with 0 <= begin <= end");
  entry.begin = *begin;
  entry.end = *end;
  if (entry.end > dataSize)
    return fail("data_offsets [" + llvm::Twine(entry.begin) + ", " +
                llvm::Twine(entry.end) + "] exceed the " +
                llvm::Twine(dataSize) + " bytes of data (truncated file?)");
  llvm::Expected<int64_t> count = checkedNumElements(
      entry.shape, info->bits, path + ": tensor '" + name + "'");
  if (!count)
    return count.takeError();
  uint64_t want = info->bits == 4
                      ? static_cast<uint64_t>(*count) / 2
                      : static_cast<uint64_t>(*count) * (info->bits / 8);
  if (info->bits == 4 && *count % 2)
    return fail("an odd number of 4-bit elements, " + llvm::Twine(*count));
  if (entry.end - entry.begin != want)
    return fail("shape " + formatShape(entry.shape) + " of " + *dtype +
                " takes " + llvm::Twine(want) + " bytes, data_offsets [" +
                llvm::Twine(entry.begin) + ", " + llvm::Twine(entry.end) +
                "] span " + llvm::Twine(entry.end - entry.begin));
  return llvm::Error::success();
}

llvm::Expected<SafetensorsFile>
SafetensorsFile::parse(std::unique_ptr<llvm::MemoryBuffer> buffer) {
  SafetensorsFile file;
  file.path = buffer->getBufferIdentifier().str();
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError(file.path + ": " + what);
  };
  llvm::StringRef contents = buffer->getBuffer();
  if (contents.size() < 8)
    return fail("truncated .safetensors: " + llvm::Twine(contents.size()) +
                " bytes, the preamble takes 8");
  uint64_t headerSize = llvm::support::endian::read64le(contents.data());
  // The format's own limit.
  if (headerSize > 100'000'000)
    return fail("not a .safetensors file: a header of " +
                llvm::Twine(headerSize) + " bytes (at most 100000000)");
  if (headerSize > contents.size() - 8)
    return fail("truncated .safetensors: the header takes " +
                llvm::Twine(headerSize) + " bytes, " +
                llvm::Twine(contents.size() - 8) + " are there");
  llvm::StringRef header = contents.substr(8, headerSize);
  file.dataStart = 8 + headerSize;
  uint64_t dataSize = contents.size() - file.dataStart;
  if (unsigned depth = nestingDepth(header); depth > 8)
    return fail("header: nesting of depth " + llvm::Twine(depth) +
                " (at most 8)");
  llvm::Expected<llvm::json::Value> json = llvm::json::parse(header);
  if (!json)
    return fail("header: " + llvm::toString(json.takeError()));
  const llvm::json::Object *object = json->getAsObject();
  if (!object)
    return fail("header: not a JSON object");
  for (const auto &[key, value] : *object) {
    llvm::StringRef name = key;
    if (name == "__metadata__") {
      const llvm::json::Object *strings = value.getAsObject();
      if (!strings)
        return fail("header: __metadata__ is not an object");
      for (const auto &[metaKey, metaValue] : *strings) {
        std::optional<llvm::StringRef> text = metaValue.getAsString();
        if (!text)
          return fail("header: __metadata__ '" + llvm::StringRef(metaKey) +
                      "' is not a string");
        file.metadata[metaKey.str()] = text->str();
      }
      continue;
    }
    SafetensorsEntry entry;
    if (llvm::Error error = parseEntry(file.path, name, value, dataSize, entry))
      return std::move(error);
    file.entries.push_back(std::move(entry));
  }
  llvm::sort(file.entries, [](const auto &a, const auto &b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t expected = 0;
  llvm::StringRef previous;
  for (const SafetensorsEntry &entry : file.entries) {
    if (entry.begin < expected)
      return fail("tensors '" + previous + "' and '" + entry.name +
                  "' overlap: the first ends at byte " + llvm::Twine(expected) +
                  ", the second begins at " + llvm::Twine(entry.begin));
    if (entry.begin > expected)
      return fail("bytes [" + llvm::Twine(expected) + ", " +
                  llvm::Twine(entry.begin) + ") before tensor '" + entry.name +
                  "' belong to no tensor");
    expected = entry.end;
    previous = entry.name;
  }
  if (expected != dataSize)
    return fail("the tensors end at byte " + llvm::Twine(expected) + ", " +
                llvm::Twine(dataSize) + " bytes of data are there");
  file.buffer = std::move(buffer);
  return file;
}

llvm::Expected<SafetensorsFile> SafetensorsFile::open(llvm::StringRef path) {
  if (llvm::sys::fs::is_directory(path))
    return llvm::createStringError(path + ": is a directory");
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return llvm::createStringError(
        path + ": cannot read: " + buffer.getError().message());
  return parse(std::move(*buffer));
}

const SafetensorsEntry *SafetensorsFile::find(llvm::StringRef name) const {
  for (const SafetensorsEntry &entry : entries)
    if (entry.name == name)
      return &entry;
  return nullptr;
}

llvm::ArrayRef<uint8_t>
SafetensorsFile::getBytes(const SafetensorsEntry &entry) const {
  return {reinterpret_cast<const uint8_t *>(buffer->getBufferStart()) +
              dataStart + entry.begin,
          static_cast<size_t>(entry.end - entry.begin)};
}

llvm::Expected<HostTensor>
SafetensorsFile::read(llvm::StringRef name,
                      std::optional<ElementType> as) const {
  auto fail = [&](const llvm::Twine &what) {
    return llvm::createStringError(path + ": tensor '" + name + "': " + what);
  };
  const SafetensorsEntry *entry = find(name);
  if (!entry)
    return fail("not in the file (" + llvm::Twine(entries.size()) +
                " others are)");
  ElementType type;
  llvm::SmallVector<int64_t, 4> shape = entry->shape;
  if (!as || entry->type == as) {
    if (!entry->type)
      return fail("dtype " + entry->dtype +
                  " has no element type here; give one of its width");
    type = *entry->type;
  } else {
    if (!findDtype(entry->dtype)->isRaw)
      return fail("holds " + entry->dtype + ", which is not " +
                  getElementTypeName(*as));
    type = *as;
    if (getBitWidth(type) == 4 && entry->bits == 8 && !shape.empty() &&
        shape.back() <= INT64_MAX / 2)
      shape.back() *= 2;
    else if (getBitWidth(type) != entry->bits)
      return fail(entry->dtype + " has " + llvm::Twine(entry->bits) +
                  " bits per element, but " + getElementTypeName(type) +
                  " has " + llvm::Twine(getBitWidth(type)));
  }
  llvm::Expected<HostTensor> tensor =
      HostTensor::createUninitialized(type, shape);
  if (!tensor)
    return fail(llvm::toString(tensor.takeError()));
  llvm::ArrayRef<uint8_t> bytes = getBytes(*entry);
  if (!bytes.empty())
    std::memcpy(tensor->getData(), bytes.data(), bytes.size());
  return tensor;
}

/// Writes the attributes of one tensor and moves `offset` behind it.
static void writeEntry(llvm::json::OStream &json, const HostTensor &tensor,
                       uint64_t &offset) {
  llvm::SmallVector<int64_t, 4> shape(tensor.getShape());
  llvm::StringRef dtype;
  for (const DtypeInfo &info : dtypes)
    if (info.type == tensor.getType())
      dtype = info.name;
  // The format has no 4-bit integers.
  if (dtype.empty()) {
    dtype = "U8";
    shape.back() /= 2;
  }
  json.attribute("dtype", dtype);
  json.attributeArray("shape", [&] {
    for (int64_t extent : shape)
      json.value(extent);
  });
  json.attributeArray("data_offsets", [&] {
    json.value(static_cast<int64_t>(offset));
    offset += tensor.getByteSize();
    json.value(static_cast<int64_t>(offset));
  });
}

llvm::Error mlir::moe::writeSafetensors(
    llvm::StringRef path, llvm::ArrayRef<NamedTensor> tensors,
    const std::map<std::string, std::string> &metadata) {
  // All checks come first: a JSON writer must not be left half-way.
  llvm::StringSet<> names;
  names.insert("__metadata__");
  for (const NamedTensor &named : tensors) {
    if (!names.insert(named.name).second)
      return llvm::createStringError(path + ": the name '" + named.name +
                                     "' is taken twice or reserved");
    llvm::ArrayRef<int64_t> shape = named.tensor->getShape();
    if (isPackedType(named.tensor->getType()) &&
        (shape.empty() || shape.back() % 2))
      return llvm::createStringError(
          path + ": tensor '" + named.name + "': " + named.tensor->describe() +
          " has no even last extent to store two elements per byte");
  }

  std::string header;
  llvm::raw_string_ostream os(header);
  {
    llvm::json::OStream json(os);
    uint64_t offset = 0;
    json.object([&] {
      if (!metadata.empty())
        json.attributeObject("__metadata__", [&] {
          for (const auto &[key, value] : metadata)
            json.attribute(key, value);
        });
      for (const NamedTensor &named : tensors)
        json.attributeObject(named.name,
                             [&] { writeEntry(json, *named.tensor, offset); });
    });
  }
  // Spaces are the format's padding.
  header.append((64 - (8 + header.size()) % 64) % 64, ' ');
  return writeFile(path, [&](llvm::raw_ostream &file) {
    char size[8];
    llvm::support::endian::write64le(size, header.size());
    file.write(size, 8);
    file << header;
    for (const NamedTensor &named : tensors)
      file.write(reinterpret_cast<const char *>(named.tensor->getData()),
                 named.tensor->getByteSize());
  });
}
