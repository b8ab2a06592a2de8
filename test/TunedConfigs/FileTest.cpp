//===- FileTest.cpp - Text of tuned configuration files -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/TunedConfigs/TunedFile.h"
#include "llvm/ADT/STLExtras.h"
#include "gtest/gtest.h"

#include <random>

using namespace mlir::moe;
using llvm::StringRef;

namespace {

constexpr const char *good = R"({"triton_version": "3.4.0",
  "64": {"BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 128, "BLOCK_SIZE_K": 64,
         "SPLIT_K": 2, "waves_per_eu": 1, "kpack": 2, "USE_TMA": true},
  "1": {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 128,
        "GROUP_SIZE_M": 8, "num_warps": 4, "num_stages": 3}}
)";

TunedFile parse(StringRef text) {
  return llvm::cantFail(TunedFile::parse("dir/f.json", text));
}

/// What is wrong with a text, or nothing.
std::string complaint(StringRef text) {
  llvm::Expected<TunedFile> file = TunedFile::parse("dir/f.json", text);
  if (file)
    return "";
  return llvm::toString(file.takeError());
}

/// What is wrong with the use of its first entry, or nothing.
std::string useComplaint(StringRef text) {
  TunedFile file = parse(text);
  llvm::Expected<TunedTiles> tiles = file.getTiles(file.getEntries()[0]);
  if (tiles)
    return "";
  return llvm::toString(tiles.takeError());
}

TEST(TunedFile, ReadsEveryKey) {
  TunedFile file = parse(good);
  EXPECT_EQ(file.getFileName(), "f.json");
  ASSERT_EQ(file.getOthers().size(), 1u);
  EXPECT_EQ(file.getOthers()[0].key, "triton_version");
  ASSERT_EQ(file.getEntries().size(), 2u);
  TunedTiles many = llvm::cantFail(file.getTiles(*file.find(64)));
  EXPECT_EQ(many.tokens, 64);
  EXPECT_EQ(many.blockM, 64);
  EXPECT_EQ(many.blockN, 128);
  EXPECT_EQ(many.blockK, 64);
  EXPECT_EQ(many.splitK, 2);
  EXPECT_EQ(many.wavesPerEu, 1);
  EXPECT_EQ(many.kpack, 2);
  EXPECT_EQ(many.useTma, true);
  TunedTiles one = llvm::cantFail(file.getTiles(*file.find(1)));
  EXPECT_EQ(one.groupM, 8);
  EXPECT_EQ(one.warps, 4);
  EXPECT_EQ(one.stages, 3);
  EXPECT_EQ(one.useTma, std::nullopt);
  EXPECT_EQ(file.find(2), nullptr);
}

TEST(TunedFile, NearestKey) {
  std::string text = "{";
  for (int tokens : {24, 8, 1024})
    text +=
        (text.size() > 1 ? ", \"" : "\"") + std::to_string(tokens) + "\": {}";
  TunedFile file = parse(text + "}");
  auto nearest = [&](int64_t tokens) { return file.nearest(tokens)->tokens; };
  EXPECT_EQ(nearest(1), 8);
  EXPECT_EQ(nearest(8), 8);
  EXPECT_EQ(nearest(15), 8);
  // As far from the one as from the other: the first of the file.
  EXPECT_EQ(nearest(16), 24);
  EXPECT_EQ(nearest(524), 24);
  EXPECT_EQ(nearest(525), 1024);
  EXPECT_EQ(nearest(int64_t(1) << 60), 1024);
  // One key serves all.
  TunedFile single = parse(R"({"triton_version": "3", "64": {}})");
  EXPECT_EQ(single.nearest(1)->tokens, 64);
  EXPECT_EQ(single.nearest(100000)->tokens, 64);
  EXPECT_EQ(parse("{}").nearest(5), nullptr);
}

TEST(TunedFile, Distance) {
  EXPECT_EQ(getTunedDistance(8, 8), 1.0);
  EXPECT_EQ(getTunedDistance(8, 32), 4.0);
  EXPECT_EQ(getTunedDistance(32, 8), 4.0);
  EXPECT_GT(getTunedDistance(8, 33), maxTunedDistance);
  EXPECT_EQ(getTunedDistance(1, 0), 1.0);
}

TEST(TunedFile, Ladder) {
  EXPECT_EQ(getTunedBatchLadder().size(), 18u);
  EXPECT_EQ(getTunedBatchLadder().front(), 1);
  EXPECT_EQ(getTunedBatchLadder().back(), 4096);
  EXPECT_TRUE(llvm::is_sorted(getTunedBatchLadder()));
}

TEST(TunedFile, BadText) {
  const std::pair<const char *, const char *> cases[] = {
      {"", "line 1: must hold one JSON object, the file ends"},
      {"\n\n[]", "line 3: must hold one JSON object, there is '['"},
      {"\xef\xbb\xbf{}", "line 1: must hold one JSON object, there is a byte "
                         "0xEF"},
      {"{} x", "line 1: expected the end of the file, there is 'x'"},
      {"{", "line 1: expected '\"', the file ends"},
      {"{\n\"1\"\n 5}", "line 3: expected ':', there is '5'"},
      {"{\"1\": {}\n\"2\": {}}", "line 2: expected '}', there is '\"'"},
      {"{\"1\": {},}", "line 1: expected '\"', there is '}'"},
      {"{\"1\": {\"a\": }}", "line 1: expected a value, there is '}'"},
      {"{\"1\": {\"a\": True}}", "line 1: expected a value, there is 'True'"},
      {"{\"1\": {\"a\": 1.}}", "line 1: '1.' is no number"},
      {"{\"1\": {\"a\": 007}}", "line 1: '007' is no number"},
      {"{\"1\": {\"a\": -}}", "line 1: '-' is no number"},
      {"{\"1\": {\"a\": 1e}}", "line 1: '1e' is no number"},
      {"{\"1\": {\"a\": 1-1}}", "line 1: '1-1' is no number"},
      {"{\"1\": {\"a\": \"b\n\"}}", "line 1: a text is not closed"},
      {"{\"1\": {\"a", "line 1: a text is not closed"},
      {"{\"1\": {\"a\": \"\\q\"}}",
       "line 1: a text has a wrong escape or is no UTF-8"},
      {"{\"1\": {},\n\"1\": {}}", "line 2: key '1' stands there twice"},
      {"{\"1\": {},\n\"01\": {}}", "line 2: tokens 01: stands there twice"},
      {"{\"1\": {\"a\": 1,\n\"a\": 2}}", "line 2: key 'a' stands there twice"},
      {"{\"4\": []}", "line 1: tokens 4: must be an object"},
      {"{\"4\": 5}", "line 1: tokens 4: must be an object"},
  };
  for (auto [text, expected] : cases)
    EXPECT_EQ(complaint(text), std::string("f.json: ") + expected) << text;
  std::string deep = "{\"1\": {\"a\": ";
  for (int i = 0; i < 100000; ++i)
    deep += "[";
  EXPECT_EQ(complaint(deep),
            "f.json: line 1: values are nested more than 16 levels deep");
}

/// Keys that nobody knows survive; an entry with one cannot be used.
TEST(TunedFile, UnknownKeys) {
  StringRef text = "{\n \"8\": {\"BLOCK_SIZE_M\": 16, \"BLOCK_SIZE_N\": 16,\n"
                   "  \"BLOCK_SIZE_K\": 16, \"num_ctas\": [1, {\"x\": null}],\n"
                   "  \"odd\": -1.5e3},\n"
                   " \"16\": {\"BLOCK_SIZE_M\": 16, \"BLOCK_SIZE_N\": 16, "
                   "\"BLOCK_SIZE_K\": 16}}";
  TunedFile file = parse(text);
  EXPECT_EQ(file.getText(), text);
  EXPECT_EQ(useComplaint(text), "f.json: line 3: tokens 8: unknown key "
                                "'num_ctas'");
  // The other one can.
  EXPECT_TRUE(bool(file.getTiles(*file.find(16))));
  // And they stay when something else changes.
  llvm::cantFail(file.setInteger(8, "BLOCK_SIZE_N", 128));
  EXPECT_NE(file.getText().find("\"BLOCK_SIZE_N\": 128,\n"), StringRef::npos);
  EXPECT_NE(file.getText().find("\"num_ctas\": [1, {\"x\": null}],\n"),
            StringRef::npos);
}

TEST(TunedFile, UnknownKeysAtTopLevel) {
  for (const char *key :
       {"many", "-1", "0", "1.5", "", "9223372036854775808"}) {
    std::string text = std::string("{\n\"8\": {\"BLOCK_SIZE_M\": 1, "
                                   "\"BLOCK_SIZE_N\": 1, \"BLOCK_SIZE_K\": 1}"
                                   ",\n\"") +
                       key + "\": {\"a\": 1}}";
    EXPECT_EQ(parse(text).getText(), text);
    EXPECT_EQ(useComplaint(text), std::string("f.json: line 3: key '") + key +
                                      "' is no number of tokens");
  }
}

TEST(TunedFile, MissingBlocks) {
  EXPECT_EQ(useComplaint("{\n\"4\": {}}"),
            "f.json: line 2: tokens 4: key 'BLOCK_SIZE_M' is missing");
  EXPECT_EQ(useComplaint("{\"4\": {\"BLOCK_SIZE_M\": 1, \"BLOCK_SIZE_N\": 1}}"),
            "f.json: line 1: tokens 4: key 'BLOCK_SIZE_K' is missing");
}

TEST(TunedFile, EveryNumberHasItsRange) {
  const char *blocks[] = {"BLOCK_SIZE_M", "BLOCK_SIZE_N", "BLOCK_SIZE_K"};
  const char *others[] = {
      "GROUP_SIZE_M", "num_warps",    "num_stages",          "SPLIT_K",
      "kpack",        "waves_per_eu", "matrix_instr_nonkdim"};
  auto text = [&](StringRef changed, StringRef value) {
    std::string result = "{\"7\": {";
    for (const char *block : blocks)
      if (changed != block)
        result += std::string("\"") + block + "\": 16, ";
    return result + "\"" + changed.str() + "\": " + value.str() + "}}";
  };
  auto check = [&](const char *key, bool block) {
    std::string refusal = std::string("f.json: line 1: tokens 7: '") + key +
                          "' must be an integer in [" + (block ? "1" : "0") +
                          ", 1048576]";
    for (const char *bad :
         {"-1", "1048577", "9223372036854775807", "1e30", "0.5", "16.0",
          "\"16\"", "null", "true", "[16]", "{}"})
      EXPECT_EQ(useComplaint(text(key, bad)), refusal) << bad;
    EXPECT_EQ(useComplaint(text(key, "0")), block ? refusal : "");
    EXPECT_EQ(useComplaint(text(key, "1")), "");
    EXPECT_EQ(useComplaint(text(key, "1048576")), "");
  };
  for (const char *key : blocks)
    check(key, true);
  for (const char *key : others)
    check(key, false);
  EXPECT_EQ(useComplaint(text("USE_TMA", "1")),
            "f.json: line 1: tokens 7: 'USE_TMA' must be true or false");
  // Of Intel's GPUs.
  EXPECT_EQ(useComplaint(text("grf_mode", "\"256\"")), "");
}

TEST(TunedFile, BadChanges) {
  TunedFile file = parse(good);
  auto check = [&](llvm::Error error, StringRef expected) {
    EXPECT_EQ(llvm::toString(std::move(error)), expected);
    EXPECT_EQ(file.getText(), good);
  };
  check(file.setInteger(5, "BLOCK_SIZE_M", 1), "f.json: has no tokens 5");
  check(file.setInteger(64, "num_warps", 1),
        "f.json: line 2: tokens 64: has no key 'num_warps'");
  check(file.setInteger(64, "USE_TMA", 1),
        "f.json: line 3: tokens 64: 'USE_TMA' is no integer");
  check(file.setBoolean(64, "kpack", true),
        "f.json: line 3: tokens 64: 'kpack' is no boolean");
}

/// A damaged file is refused with one line or read as it then is.
TEST(TunedFile, DamagedBytes) {
  StringRef text = good;
  for (size_t length = 0; length + 2 < text.size(); ++length)
    EXPECT_NE(complaint(text.take_front(length)), "") << length;
  for (size_t i = 0; i < text.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = good;
      damaged[i] ^= 1 << bit;
      llvm::Expected<TunedFile> file = TunedFile::parse("f.json", damaged);
      if (file) {
        EXPECT_EQ(file->getText(), damaged);
        continue;
      }
      std::string message = llvm::toString(file.takeError());
      EXPECT_TRUE(StringRef(message).starts_with("f.json: line ")) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
}

TEST(TunedFile, Printed) {
  TunedTiles one;
  one.tokens = 1;
  one.blockM = 16;
  one.blockN = 64;
  one.blockK = 128;
  one.warps = 4;
  one.stages = 3;
  TunedTiles two = one;
  two.tokens = 2;
  two.groupM = 8;
  two.splitK = 4;
  two.wavesPerEu = 2;
  two.matrixInstr = 16;
  two.kpack = 2;
  two.useTma = false;
  EXPECT_EQ(printTunedFile({one, two}, "3.5.1"), R"({
    "triton_version": "3.5.1",
    "1": {
        "BLOCK_SIZE_M": 16,
        "BLOCK_SIZE_N": 64,
        "BLOCK_SIZE_K": 128,
        "GROUP_SIZE_M": 1,
        "num_warps": 4,
        "num_stages": 3
    },
    "2": {
        "BLOCK_SIZE_M": 16,
        "BLOCK_SIZE_N": 64,
        "BLOCK_SIZE_K": 128,
        "GROUP_SIZE_M": 8,
        "SPLIT_K": 4,
        "num_warps": 4,
        "num_stages": 3,
        "waves_per_eu": 2,
        "matrix_instr_nonkdim": 16,
        "kpack": 2,
        "USE_TMA": false
    }
}
)");
  EXPECT_EQ(printTunedFile({}), "{}\n");
}

} // namespace
