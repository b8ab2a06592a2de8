//===- Journal.cpp - What an interrupted run goes on from -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/Journal.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::moe;
namespace json = llvm::json;
using llvm::Error;
using llvm::StringRef;
using llvm::Twine;

static constexpr int64_t format = 1;

/// Whether the first line is that of a journal with this setup.
static Error
checkSetup(StringRef path, StringRef line,
           const std::vector<std::pair<std::string, std::string>> &setup) {
  llvm::Expected<json::Value> parsed = json::parse(line);
  const json::Object *object = parsed ? parsed->getAsObject() : nullptr;
  if (!parsed)
    llvm::consumeError(parsed.takeError());
  if (!object || object->getInteger("moec_tune_journal") != format)
    return llvm::createStringError(path +
                                   ": is no journal of moe-tune; --journal "
                                   "names another file");
  for (const auto &[key, value] : setup)
    if (StringRef old = object->getString(key).value_or(""); old != value)
      return llvm::createStringError(path + ": was begun with " + key + " '" +
                                     old + "', this is '" + value +
                                     "'; --restart begins anew");
  return Error::success();
}

llvm::Expected<Journal>
Journal::open(StringRef path,
              const std::vector<std::pair<std::string, std::string>> &setup,
              bool restart) {
  Journal journal;
  journal.path = path.str();
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (buffer && !restart && !(*buffer)->getBuffer().empty()) {
    llvm::SmallVector<StringRef> lines;
    (*buffer)->getBuffer().split(lines, '\n');
    if (Error error = checkSetup(path, lines.front(), setup))
      return std::move(error);
    for (StringRef line : llvm::drop_begin(lines)) {
      llvm::Expected<json::Value> parsed = json::parse(line);
      const json::Object *object = parsed ? parsed->getAsObject() : nullptr;
      if (!parsed)
        llvm::consumeError(parsed.takeError());
      // The last line may have been cut off.
      if (!object || !object->getString("key"))
        continue;
      JournalEntry entry;
      entry.failure = object->getString("failure").value_or("").str();
      if (const json::Array *samples = object->getArray("samples"))
        for (const json::Value &sample : *samples)
          entry.samples.push_back(sample.getAsNumber().value_or(0));
      journal.entries[object->getString("key")->str()] = std::move(entry);
    }
    // What follows a line that was cut off begins on its own.
    if (!(*buffer)->getBuffer().ends_with("\n")) {
      std::error_code code;
      llvm::raw_fd_ostream(path, code, llvm::sys::fs::OF_Append) << "\n";
    }
    return std::move(journal);
  }
  std::error_code code;
  llvm::raw_fd_ostream os(path, code);
  if (code)
    return llvm::createStringError("cannot write '" + path +
                                   "': " + code.message());
  json::Object header{{"moec_tune_journal", format}};
  for (const auto &[key, value] : setup)
    header[key] = value;
  os << json::Value(std::move(header)) << "\n";
  return std::move(journal);
}

const JournalEntry *Journal::find(StringRef key) const {
  auto at = entries.find(key.str());
  return at == entries.end() ? nullptr : &at->second;
}

Error Journal::add(StringRef key, JournalEntry entry) {
  json::Object line{{"key", key.str()}};
  if (!entry.failure.empty())
    line["failure"] = entry.failure;
  line["samples"] = json::Array(entry.samples);
  entries[key.str()] = std::move(entry);
  std::error_code code;
  llvm::raw_fd_ostream os(path, code, llvm::sys::fs::OF_Append);
  if (code)
    return llvm::createStringError("cannot write '" + path +
                                   "': " + code.message());
  os << json::Value(std::move(line)) << "\n";
  return Error::success();
}
