//===- TileFileTest.cpp - Tile sizes that somebody measured ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "moec/Compiler/TileFile.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

constexpr const char *good = R"({"triton_version": "3.4.0",
  "1": {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 128,
        "GROUP_SIZE_M": 8, "num_warps": 4, "num_stages": 3},
  "64": {"BLOCK_SIZE_M": 64, "BLOCK_SIZE_N": 128, "BLOCK_SIZE_K": 64}})";

TileFile parse(StringRef name, StringRef text) {
  return llvm::cantFail(parseTileFile(name, text));
}

/// What is wrong with a file, or nothing.
std::string complaint(StringRef name, StringRef text) {
  llvm::Expected<TileFile> file = parseTileFile(name, text);
  if (file)
    return "";
  std::string message = llvm::toString(file.takeError());
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

TEST(TileFile, NameAndText) {
  TileFile file = parse(
      "dir/E=8,N=256,device_name=A,dtype=fp8_w8a8,block_shape=[128, 64].json",
      good);
  ASSERT_TRUE(file.name);
  EXPECT_EQ(file.name->experts, 8);
  EXPECT_EQ(file.name->blockShape, (SmallVector<int64_t, 2>{128, 64}));
  EXPECT_EQ(llvm::cantFail(file.getTiles(20)).blockM, 16);
  EXPECT_EQ(llvm::cantFail(file.getTiles(40)).blockM, 64);
  // Another name says nothing.
  EXPECT_FALSE(parse("any.json", good).name);
}

TEST(TileFile, Refused) {
  EXPECT_EQ(complaint("a/f.json", "{"),
            "f.json: line 1: expected '\"', the file ends");
  EXPECT_EQ(complaint("f.json", "{}"), "f.json: has no tile sizes");
  EXPECT_EQ(complaint("f.json", R"({"triton_version": "3"})"),
            "f.json: has no tile sizes");
  EXPECT_EQ(complaint("f.json", "{\n\"many\": {}}"),
            "f.json: line 2: key 'many' is no number of tokens");
  EXPECT_EQ(complaint("E=x,N=4.json", good),
            "E=x,N=4.json: the name's E 'x' is no positive integer");
}

/// An entry that is not used may hold what it wants.
TEST(TileFile, OnlyWhatIsUsedCounts) {
  TileFile file = parse("f.json", R"({
    "1": {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 128},
    "64": {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 64, "BLOCK_SIZE_K": 128,
           "BLOCK_SIZE_X": 3}})");
  EXPECT_TRUE(bool(file.getTiles(8)));
  llvm::Expected<TunedTiles> tiles = file.getTiles(60);
  ASSERT_FALSE(bool(tiles));
  EXPECT_EQ(llvm::toString(tiles.takeError()),
            "f.json: line 4: tokens 64: unknown key 'BLOCK_SIZE_X'");
}

TEST(GivenTiles, Warnings) {
  GivenTiles tiles;
  EXPECT_TRUE(tiles.isEmpty());
  EXPECT_TRUE(tiles.getWarnings({1, 5000}).empty());
  tiles.up = parse("f.json", good);
  EXPECT_FALSE(tiles.isEmpty());
  // Four times is near enough.
  EXPECT_TRUE(tiles.getWarnings({1, 4, 40, 64, 256}).empty());
  std::vector<std::string> warnings = tiles.getWarnings({5, 2048});
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_EQ(warnings[0],
            "f.json: the nearest key to 5 tokens is 1, off by a factor of 5.0");
  EXPECT_EQ(warnings[1], "f.json: the nearest key to 2048 tokens is 64, off by "
                         "a factor of 32.0");
  tiles.down = parse("f_down.json", good);
  EXPECT_EQ(tiles.getWarnings({2048}).size(), 2u);
}

TEST(GivenTiles, DifferAsTextWhenTheyDiffer) {
  GivenTiles none, up, both;
  up.up = parse("f.json", good);
  both.up = up.up;
  both.down = up.up;
  EXPECT_NE(none.describe(), up.describe());
  EXPECT_NE(up.describe(), both.describe());
  GivenTiles changed = up;
  llvm::cantFail(changed.up->file.setInteger(1, "num_stages", 4));
  EXPECT_NE(changed.describe(), up.describe());
  GivenTiles table;
  table.table.emplace();
  table.table->cells.push_back({});
  table.table->cells[0].choices.emplace_back();
  table.table->cells[0].choices[0].configs = {"a"};
  std::string text = table.describe();
  EXPECT_NE(text, none.describe());
  table.table->cells[0].choices[0].configs[0] = "b";
  EXPECT_NE(text, table.describe());
}

} // namespace
