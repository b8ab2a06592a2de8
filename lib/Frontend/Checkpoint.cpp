//===- Checkpoint.cpp - Directories of .safetensors files -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/Checkpoint.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;
namespace json = llvm::json;

std::string CheckpointTensor::describe() const {
  return entry->dtype + formatShape(entry->shape);
}

static std::string join(StringRef directory, StringRef file) {
  SmallString<128> path(directory);
  llvm::sys::path::append(path, file);
  return std::string(path);
}

/// The names of files in a directory, sorted.
static Expected<std::vector<std::string>> listFiles(StringRef directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (llvm::sys::fs::directory_iterator it(directory, error), end;
       !error && it != end; it.increment(error))
    names.push_back(llvm::sys::path::filename(it->path()).str());
  if (error)
    return llvm::createStringError(directory +
                                   ": cannot read: " + error.message());
  llvm::sort(names);
  return names;
}

/// Reads the member `weight_map` of an index.
static Error readIndex(StringRef path,
                       std::map<std::string, std::string> &files) {
  auto fail = [&](const Twine &what) {
    return llvm::createStringError(path + ": " + what);
  };
  auto text = llvm::MemoryBuffer::getFile(path);
  if (!text)
    return fail("cannot read: " + text.getError().message());
  Expected<json::Value> root = json::parse((*text)->getBuffer());
  if (!root)
    return fail(llvm::toString(root.takeError()));
  const json::Object *object = root->getAsObject();
  const json::Object *map = object ? object->getObject("weight_map") : nullptr;
  if (!map)
    return fail("has no object 'weight_map'");
  for (const auto &[name, value] : *map) {
    std::optional<StringRef> file = value.getAsString();
    if (!file)
      return fail("weight_map: the file of '" + StringRef(name) +
                  "' is no string");
    // Files of the checkpoint stand beside the index.
    if (file->empty() || *file != llvm::sys::path::filename(*file) ||
        *file == "." || *file == "..")
      return fail("weight_map: '" + *file + "', the file of '" +
                  StringRef(name) + "', is no plain name of a file");
    files[name.str()] = file->str();
  }
  return Error::success();
}

Expected<Checkpoint> Checkpoint::open(StringRef directory) {
  Checkpoint checkpoint;
  checkpoint.directory = directory.str();
  Expected<std::vector<std::string>> names = listFiles(directory);
  if (!names)
    return names.takeError();
  std::vector<std::string> indices, shards;
  for (const std::string &name : *names) {
    if (StringRef(name).ends_with(".safetensors.index.json"))
      indices.push_back(name);
    if (StringRef(name).ends_with(".safetensors"))
      shards.push_back(name);
  }
  if (llvm::is_contained(indices, "model.safetensors.index.json"))
    indices = {"model.safetensors.index.json"};
  if (indices.size() > 1)
    return llvm::createStringError(directory + ": two indices, " + indices[0] +
                                   " and " + indices[1]);
  if (!indices.empty()) {
    if (Error error = readIndex(join(directory, indices[0]), checkpoint.files))
      return std::move(error);
    return std::move(checkpoint);
  }
  if (shards.empty())
    return llvm::createStringError(directory +
                                   ": no .safetensors file is in it");
  for (const std::string &shard : shards) {
    Expected<const SafetensorsFile *> file = checkpoint.openFile(shard);
    if (!file)
      return file.takeError();
    for (const SafetensorsEntry &entry : (*file)->getEntries())
      if (auto [at, fresh] = checkpoint.files.emplace(entry.name, shard);
          !fresh)
        return llvm::createStringError(directory + ": tensor '" + entry.name +
                                       "' is in " + at->second + " and in " +
                                       shard);
  }
  return std::move(checkpoint);
}

Expected<const SafetensorsFile *>
Checkpoint::openFile(const std::string &file) {
  std::unique_ptr<SafetensorsFile> &known = opened[file];
  if (!known) {
    Expected<SafetensorsFile> made =
        SafetensorsFile::open(join(directory, file));
    if (!made)
      return made.takeError();
    known = std::make_unique<SafetensorsFile>(std::move(*made));
  }
  return known.get();
}

std::vector<StringRef> Checkpoint::getNames() const {
  std::vector<StringRef> names;
  for (const auto &[name, file] : files)
    names.push_back(name);
  return names;
}

Expected<CheckpointTensor> Checkpoint::get(StringRef name) {
  auto at = files.find(name.str());
  if (at == files.end())
    return llvm::createStringError(directory + ": tensor '" + name +
                                   "' is missing");
  Expected<const SafetensorsFile *> file = openFile(at->second);
  if (!file)
    return file.takeError();
  CheckpointTensor tensor;
  tensor.where =
      (join(directory, at->second) + ": tensor '" + name + "'").str();
  tensor.entry = (*file)->find(name);
  if (!tensor.entry)
    return llvm::createStringError(tensor.where +
                                   " is not in the file, as the index says");
  tensor.bytes = (*file)->getBytes(*tensor.entry);
  return tensor;
}

Expected<std::pair<LayerDescription, int64_t>>
mlir::moe::readCheckpointConfig(StringRef directory,
                                std::optional<Dtype> dtype) {
  std::string path = join(directory, "config.json");
  auto text = llvm::MemoryBuffer::getFile(path);
  if (!text)
    return llvm::createStringError(
        path + ": cannot read: " + text.getError().message());
  Expected<LayerDescription> layer =
      parseHuggingFaceConfig((*text)->getBuffer(), dtype);
  if (!layer)
    return llvm::createStringError(path + ": " +
                                   llvm::toString(layer.takeError()));
  // It parsed before.
  Expected<json::Value> root = json::parse((*text)->getBuffer());
  if (!root)
    return root.takeError();
  int64_t offset = 1;
  if (const json::Object *object = root->getAsObject())
    if (const json::Object *quant = object->getObject("quantization_config"))
      if (quant->getString("checkpoint_format") == StringRef("gptq_v2"))
        offset = 0;
  return std::make_pair(std::move(*layer), offset);
}
