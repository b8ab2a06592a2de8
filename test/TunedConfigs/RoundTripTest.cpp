//===- RoundTripTest.cpp - The systems' own files -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/TunedConfigs/TunedFile.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"

#include <random>

using namespace mlir::moe;
using llvm::StringRef;

namespace {

struct Shipped {
  std::string path, text;
  TunedSystem system;
};

std::vector<Shipped> readAll() {
  std::vector<Shipped> files;
  for (auto [folder, system] : {std::pair("vllm", TunedSystem::Vllm),
                                {"sglang", TunedSystem::Sglang}}) {
    std::error_code error;
    for (llvm::sys::fs::directory_iterator
             entry(StringRef(MOEC_TUNED_CONFIGS).str() + "/" + folder, error),
         end;
         entry != end && !error; entry.increment(error)) {
      auto buffer = llvm::MemoryBuffer::getFile(entry->path());
      EXPECT_TRUE(bool(buffer)) << entry->path();
      if (buffer)
        files.push_back({entry->path(), (*buffer)->getBuffer().str(), system});
    }
  }
  return files;
}

TunedFile parse(const Shipped &file) {
  return llvm::cantFail(TunedFile::parse(file.path, file.text));
}

TEST(TunedRoundTrip, AllAreThere) { EXPECT_EQ(readAll().size(), 25u); }

TEST(TunedRoundTrip, Bytes) {
  for (const Shipped &file : readAll())
    EXPECT_EQ(parse(file).getText(), file.text) << file.path;
}

TEST(TunedRoundTrip, Names) {
  for (const Shipped &file : readAll()) {
    std::optional<TunedName> name = llvm::cantFail(parseTunedName(file.path));
    ASSERT_TRUE(name) << file.path;
    EXPECT_EQ(printTunedName(*name, file.system),
              llvm::sys::path::filename(file.path));
  }
}

/// Another reader finds the same numbers.
TEST(TunedRoundTrip, Values) {
  size_t entries = 0;
  for (const Shipped &shipped : readAll()) {
    TunedFile file = parse(shipped);
    llvm::json::Value root = llvm::cantFail(llvm::json::parse(shipped.text));
    const llvm::json::Object &object = *root.getAsObject();
    EXPECT_EQ(object.size(),
              file.getEntries().size() + file.getOthers().size());
    for (const TunedEntry &entry : file.getEntries()) {
      ++entries;
      const llvm::json::Object *inner =
          object.getObject(std::to_string(entry.tokens));
      ASSERT_TRUE(inner) << shipped.path << " " << entry.tokens;
      EXPECT_EQ(inner->size(), entry.values.size());
      for (const TunedValue &value : entry.values) {
        const llvm::json::Value *other = inner->get(value.key);
        ASSERT_TRUE(other) << value.key;
        if (value.kind == TunedValue::Boolean)
          EXPECT_EQ(other->getAsBoolean(), value.number != 0);
        else if (value.kind == TunedValue::Integer)
          EXPECT_EQ(other->getAsInteger(), value.number);
        EXPECT_EQ(
            llvm::count(StringRef(shipped.text).take_front(value.begin), '\n') +
                1,
            value.line);
      }
      // All of them can be used.
      llvm::Expected<TunedTiles> tiles = file.getTiles(entry);
      ASSERT_TRUE(bool(tiles)) << llvm::toString(tiles.takeError());
      EXPECT_EQ(tiles->blockM, *inner->getInteger("BLOCK_SIZE_M"));
      EXPECT_EQ(tiles->stages, *inner->getInteger("num_stages"));
    }
  }
  EXPECT_EQ(entries, 386u);
}

/// Lines in which two texts differ; nothing if they have not as many.
std::optional<std::vector<size_t>> differences(StringRef a, StringRef b) {
  llvm::SmallVector<StringRef> left, right;
  a.split(left, '\n');
  b.split(right, '\n');
  if (left.size() != right.size())
    return std::nullopt;
  std::vector<size_t> lines;
  for (size_t i = 0; i < left.size(); ++i)
    if (left[i] != right[i])
      lines.push_back(i + 1);
  return lines;
}

/// Every value of every file, changed alone: its line differs, and no other.
TEST(TunedRoundTrip, OneValueChangesOneLine) {
  for (const Shipped &shipped : readAll()) {
    TunedFile original = parse(shipped);
    for (const TunedEntry &entry : original.getEntries())
      for (const TunedValue &value : entry.values) {
        TunedFile file = original;
        bool integer = value.kind == TunedValue::Integer;
        if (value.kind == TunedValue::String)
          continue;
        llvm::Error error =
            integer ? file.setInteger(entry.tokens, value.key, 123456)
                    : file.setBoolean(entry.tokens, value.key, !value.number);
        ASSERT_FALSE(bool(error)) << llvm::toString(std::move(error));
        auto lines = differences(shipped.text, file.getText());
        ASSERT_TRUE(lines) << shipped.path;
        EXPECT_EQ(*lines, std::vector<size_t>{value.line}) << shipped.path;
        // Back again.
        error = integer
                    ? file.setInteger(entry.tokens, value.key, value.number)
                    : file.setBoolean(entry.tokens, value.key, value.number);
        ASSERT_FALSE(bool(error)) << llvm::toString(std::move(error));
        EXPECT_EQ(file.getText(), shipped.text);
      }
  }
}

/// Many changes, in any order, leave a file that reads as they say.
TEST(TunedRoundTrip, ManyChanges) {
  std::mt19937 random(7);
  for (const Shipped &shipped : readAll()) {
    TunedFile file = parse(shipped);
    for (int repeat = 0; repeat < 40; ++repeat) {
      const TunedEntry &entry =
          file.getEntries()[random() % file.getEntries().size()];
      const TunedValue &value = entry.values[random() % entry.values.size()];
      if (value.kind != TunedValue::Integer)
        continue;
      llvm::cantFail(file.setInteger(entry.tokens, std::string(value.key),
                                     random() % 3 ? random() % 300 : 1 << 20));
    }
    TunedFile again =
        llvm::cantFail(TunedFile::parse(shipped.path, file.getText()));
    ASSERT_EQ(again.getEntries().size(), file.getEntries().size());
    for (auto [left, right] :
         llvm::zip_equal(again.getEntries(), file.getEntries()))
      for (auto [a, b] : llvm::zip_equal(left.values, right.values)) {
        EXPECT_EQ(a.number, b.number) << shipped.path << " " << a.key;
        EXPECT_EQ(a.begin, b.begin);
        EXPECT_EQ(a.end, b.end);
        EXPECT_EQ(a.line, b.line);
      }
  }
}

/// What the systems' tuners write, we write: those files that they wrote last
/// come out of their numbers.
TEST(TunedRoundTrip, Written) {
  size_t same = 0;
  for (const Shipped &shipped : readAll()) {
    TunedFile file = parse(shipped);
    std::vector<TunedTiles> tiles;
    for (const TunedEntry &entry : file.getEntries())
      tiles.push_back(llvm::cantFail(file.getTiles(entry)));
    std::string text = printTunedFile(tiles);
    same += text == shipped.text;
    // Whatever the form, the numbers are the same.
    TunedFile again = llvm::cantFail(TunedFile::parse("f.json", text));
    for (auto [left, right] : llvm::zip_equal(again.getEntries(), tiles)) {
      TunedTiles back = llvm::cantFail(again.getTiles(left));
      EXPECT_EQ(back.tokens, right.tokens);
      EXPECT_EQ(back.blockN, right.blockN);
      EXPECT_EQ(back.splitK, right.splitK);
      EXPECT_EQ(back.useTma, right.useTma);
    }
  }
  EXPECT_GE(same, 10u);
}

} // namespace
