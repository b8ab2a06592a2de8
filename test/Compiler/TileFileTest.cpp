//===- TileFileTest.cpp - Files of tile sizes -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "moec/Compiler/TileFile.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

#include <random>

using namespace mlir;
using namespace mlir::moe;

namespace {

constexpr const char *good = R"({"triton_version": "3.4.0",
  "1": {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 128,
        "GROUP_SIZE_M": 8, "num_warps": 4, "num_stages": 3},
  "64": {"BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 128, "BLOCK_SIZE_K": 64,
         "SPLIT_K": 2, "waves_per_eu": 1, "kpack": 2, "USE_TMA": true}})";

/// What is wrong with a file, or nothing.
std::string complaint(StringRef name, StringRef text) {
  llvm::Expected<TileFile> file = parseTileFile(name, text);
  if (file)
    return "";
  std::string message = llvm::toString(file.takeError());
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

TEST(TileFile, ReadsEveryKey) {
  TileFile file = llvm::cantFail(parseTileFile(
      "dir/E=8,N=256,device_name=A,dtype=fp8_w8a8,block_shape=[128, 64].json",
      good));
  EXPECT_EQ(file.experts, 8);
  EXPECT_EQ(file.columns, 256);
  EXPECT_EQ(file.dtype, "fp8_w8a8");
  EXPECT_EQ(file.blockShape, (SmallVector<int64_t>{128, 64}));
  ASSERT_EQ(file.entries.size(), 2u);
  const TileFile::Entry &one = file.entries[0], &many = file.entries[1];
  EXPECT_EQ(one.tokens, 1);
  EXPECT_EQ(one.blockM, 16);
  EXPECT_EQ(one.blockN, 64);
  EXPECT_EQ(one.blockK, 128);
  EXPECT_EQ(one.groupM, 8);
  EXPECT_EQ(one.warps, 4);
  EXPECT_EQ(one.stages, 3);
  EXPECT_EQ(one.splitK, 1);
  EXPECT_EQ(many.tokens, 64);
  EXPECT_EQ(many.splitK, 2);
  EXPECT_EQ(many.wavesPerEu, 1);
  EXPECT_EQ(many.kpack, 2);
}

TEST(TileFile, Names) {
  struct Case {
    const char *name;
    std::optional<int64_t> experts, columns;
    const char *dtype;
    SmallVector<int64_t> shape;
  };
  const Case cases[] = {
      {"any.json", {}, {}, "", {}},
      // Only a name that starts with E= says something.
      {"my,E=8,N=4,dtype=x.json", {}, {}, "", {}},
      {"E=8,N=4,device_name=B200.json", 8, 4, "", {}},
      {"E=8,N=4,device_name=B200_down.json", 8, 4, "", {}},
      {"E=8,N=4,device_name=B,dtype=int8_w8a16.json", 8, 4, "int8_w8a16", {}},
      // Both spellings of a block shape, and what may follow.
      {"E=8,N=4,device_name=B,dtype=f,block_shape=[128,64].json",
       8,
       4,
       "f",
       {128, 64}},
      {"E=8,N=4,device_name=B,dtype=f,block_shape=[128, 64]_down.json",
       8,
       4,
       "f",
       {128, 64}},
      {"E=8,N=4,device_name=B,dtype=f,per_channel_quant=True.json",
       8,
       4,
       "f",
       {}},
      {"E=8.json", 8, {}, "", {}},
  };
  for (const Case &c : cases) {
    TileFile file = llvm::cantFail(parseTileFile(c.name, good));
    EXPECT_EQ(file.name, c.name);
    EXPECT_EQ(file.experts, c.experts) << c.name;
    EXPECT_EQ(file.columns, c.columns) << c.name;
    EXPECT_EQ(file.dtype, c.dtype) << c.name;
    EXPECT_EQ(file.blockShape, c.shape) << c.name;
  }
}

TEST(TileFile, BadNames) {
  const std::pair<const char *, const char *> cases[] = {
      {"E=,N=4.json", "E '' is no positive integer"},
      {"E=0,N=4.json", "E '0' is no positive integer"},
      {"E=-8,N=4.json", "E '-8' is no positive integer"},
      {"E=8x,N=4.json", "E '8x' is no positive integer"},
      {"E=99999999999999999999,N=4.json",
       "E '99999999999999999999' is no positive integer"},
      {"E=8,N=four,device_name=B.json", "N 'four' is no positive integer"},
      {"E=8,N=4,device_name=B,block_shape=128.json",
       "block_shape '128' is no list"},
      {"E=8,N=4,device_name=B,block_shape=[128.json",
       "block_shape '[128' is no list"},
      {"E=8,N=4,device_name=B,block_shape=[128,x].json",
       "block_shape '[128,x]' is no list of integers"},
      {"E=8,N=4,device_name=B,block_shape=[].json",
       "block_shape '[]' is no list of integers"},
  };
  for (auto [name, expected] : cases)
    EXPECT_EQ(complaint(name, good),
              std::string(name) + ": the name's " + expected);
}

TEST(TileFile, BadBodies) {
  const std::pair<const char *, const char *> cases[] = {
      {"", "[1:0"},
      {"[]", "must hold one JSON object"},
      {"{}", "has no tile sizes"},
      {R"({"triton_version": "3.4.0"})", "has no tile sizes"},
      {R"({"0": {}})", "key '0' is no number of tokens"},
      {R"({"-1": {}})", "key '-1' is no number of tokens"},
      {R"({"1.5": {}})", "key '1.5' is no number of tokens"},
      {R"({"": {}})", "key '' is no number of tokens"},
      {R"({"9223372036854775808": {}})",
       "key '9223372036854775808' is no number of tokens"},
      {R"({"4": []})", "tokens 4: must be an object"},
      {R"({"4": {}})", "tokens 4: key 'BLOCK_SIZE_M' is missing"},
      {R"({"4": {"BLOCK_SIZE_M": 1, "BLOCK_SIZE_N": 1}})",
       "tokens 4: key 'BLOCK_SIZE_K' is missing"},
  };
  for (auto [text, expected] : cases) {
    std::string message = complaint("f.json", text);
    EXPECT_TRUE(StringRef(message).starts_with("f.json: ")) << message;
    EXPECT_NE(message.find(expected), std::string::npos) << message;
  }
}

TEST(TileFile, EveryNumberHasItsRange) {
  const char *blocks[] = {"BLOCK_SIZE_M", "BLOCK_SIZE_N", "BLOCK_SIZE_K"};
  const char *others[] = {"GROUP_SIZE_M", "num_warps",    "num_stages",
                          "SPLIT_K",      "waves_per_eu", "kpack"};
  auto text = [&](StringRef changed, StringRef value) {
    std::string result = R"({"7": {)", separator;
    auto add = [&](StringRef key, StringRef number) {
      result += llvm::formatv("{0}\"{1}\": {2}", separator, key, number).str();
      separator = ", ";
    };
    for (const char *block : blocks)
      if (changed != block)
        add(block, "16");
    add(changed, value);
    return result + "}}";
  };
  auto check = [&](const char *key, bool block) {
    std::string refusal =
        llvm::formatv("f.json: tokens 7: '{0}' must be an integer in [{1}, "
                      "1048576]",
                      key, block ? 1 : 0);
    for (const char *bad : {"-1", "1048577", "9223372036854775807", "1e30",
                            "0.5", "\"16\"", "null", "true", "[16]", "{}"})
      EXPECT_EQ(complaint("f.json", text(key, bad)), refusal) << bad;
    EXPECT_EQ(complaint("f.json", text(key, "0")), block ? refusal : "");
    EXPECT_EQ(complaint("f.json", text(key, "1")), "");
    EXPECT_EQ(complaint("f.json", text(key, "1048576")), "");
  };
  for (const char *key : blocks)
    check(key, true);
  for (const char *key : others)
    check(key, false);
  EXPECT_EQ(complaint("f.json", text("BLOCK_SIZE_X", "1")),
            "f.json: tokens 7: unknown key 'BLOCK_SIZE_X'");
}

/// The nearest entry, by a definition of its own; the first of equals.
TEST(TileFile, NearestEntry) {
  std::mt19937 random(3);
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::vector<int64_t> tokens;
    std::string text = "{";
    for (int i = 0; i < 8; ++i) {
      int64_t next = 1 + random() % 60;
      if (llvm::is_contained(tokens, next))
        continue;
      text += llvm::formatv("{0}\"{1}\": {{\"BLOCK_SIZE_M\": {2}, "
                            "\"BLOCK_SIZE_N\": 1, \"BLOCK_SIZE_K\": 1}",
                            tokens.empty() ? "" : ", ", next, i + 1);
      tokens.push_back(next);
    }
    TileFile file = llvm::cantFail(parseTileFile("f.json", text + "}"));
    ASSERT_EQ(file.entries.size(), tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i)
      EXPECT_EQ(file.entries[i].tokens, tokens[i]) << text;
    for (int64_t wanted : {1, 2, 17, 30, 31, 59, 60, 100000}) {
      int64_t best = tokens[0];
      for (int64_t t : tokens)
        if (std::max(t, wanted) - std::min(t, wanted) <
            std::max(best, wanted) - std::min(best, wanted))
          best = t;
      EXPECT_EQ(file.nearest(wanted).tokens, best) << text << " " << wanted;
    }
  }
}

TEST(TileFile, CutAnywhere) {
  StringRef text = good;
  for (size_t length = 0; length < text.size(); ++length)
    EXPECT_NE(complaint("f.json", text.take_front(length)), "") << length;
}

TEST(TileFile, DamagedBytes) {
  size_t accepted = 0;
  for (size_t i = 0; i < StringRef(good).size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string text = good;
      text[i] ^= 1 << bit;
      std::string message = complaint("f.json", text);
      accepted += message.empty();
      EXPECT_TRUE(message.empty() || StringRef(message).starts_with("f.json: "))
          << message;
    }
  // Other digits, other blanks, and what stands in the version.
  EXPECT_LT(accepted, 8 * StringRef(good).size() / 4);
}

TEST(TileFile, PathsOfTheDownProjection) {
  EXPECT_EQ(getDownPath("a/E=8.json"), "a/E=8_down.json");
  EXPECT_EQ(getDownPath("a/none"), "a/none_down.json");
  EXPECT_EQ(getDownPath(".json"), "_down.json");
}

} // namespace
