//===- TableTest.cpp - What a tuning run measured -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/TunedConfigs/TunedTable.h"
#include "llvm/Support/JSON.h"
#include "gtest/gtest.h"

using namespace mlir::moe;
using llvm::StringRef;

namespace {

TunedTable makeTable() {
  TunedTable table;
  table.compiler = "1.2";
  table.target = "sm_90a";
  table.device = "A \"GPU\"";
  table.dtype = "bf16";
  table.layer = "tiny";
  table.experts = 8;
  table.topk = 2;
  table.hidden = 64;
  table.intermediate = 48;
  table.margin = 0.02;
  for (int64_t tokens : {16, 4}) {
    TunedCell cell;
    cell.tokens = tokens;
    cell.routing = "zipf1";
    cell.tokensPerExpert = 5.25;
    cell.activeExperts = 6;
    cell.best = 1;
    cell.won = true;
    cell.bytes = 1e9;
    cell.flops = 2.5e9;
    cell.choices.push_back({{"#moe.config<block = [16, 64, 0]>", "b"},
                            16,
                            12.5,
                            {12.0, 12.5, 14.0},
                            11.0,
                            ""});
    cell.choices.push_back({{"c", "d"}, 32, 11.25, {11.25}, 0, ""});
    cell.choices.push_back({{"e", "f"}, 64, 0, {}, 0, "does not compile"});
    table.cells.push_back(std::move(cell));
  }
  return table;
}

std::string complaint(StringRef text, StringRef compiler = "1.2") {
  llvm::Expected<TunedTable> table =
      parseTunedTable("dir/t.json", text, compiler);
  if (table)
    return "";
  return llvm::toString(table.takeError());
}

TEST(TunedTable, RoundTrip) {
  std::string text = printTunedTable(makeTable());
  EXPECT_TRUE(isTunedTable(text));
  TunedTable table = llvm::cantFail(parseTunedTable("t.json", text, "1.2"));
  EXPECT_EQ(printTunedTable(table), text);
  EXPECT_EQ(table.device, "A \"GPU\"");
  EXPECT_EQ(table.intermediate, 48);
  ASSERT_EQ(table.cells.size(), 2u);
  EXPECT_EQ(table.cells[0].choices[0].samples,
            (std::vector<double>{12.0, 12.5, 14.0}));
  EXPECT_EQ(table.cells[1].choices[2].failure, "does not compile");
}

/// The keys by which others read it.
TEST(TunedTable, Keys) {
  llvm::json::Value root =
      llvm::cantFail(llvm::json::parse(printTunedTable(makeTable())));
  const llvm::json::Object &cell =
      *(*root.getAsObject()->getArray("cells"))[0].getAsObject();
  EXPECT_EQ(cell.getInteger("tune_best_block_m"), 32);
  EXPECT_EQ(cell.getString("tune_best_up"), "c");
  EXPECT_EQ(cell.getString("tune_best_down"), "d");
  EXPECT_EQ(cell.getNumber("tune_best_us"), 11.25);
  ASSERT_EQ(cell.getArray("tune_configs")->size(), 3u);
}

TEST(TunedTable, Nearest) {
  TunedTable table = makeTable();
  EXPECT_EQ(table.nearest(1)->tokens, 4);
  EXPECT_EQ(table.nearest(10)->tokens, 16);
  EXPECT_EQ(table.nearest(1000)->tokens, 16);
  EXPECT_EQ(TunedTable().nearest(1), nullptr);
}

TEST(TunedTable, OtherFiles) {
  EXPECT_FALSE(isTunedTable("{}"));
  EXPECT_FALSE(isTunedTable(R"({"1": {"BLOCK_SIZE_M": 16}})"));
  EXPECT_FALSE(isTunedTable("moec_tuned"));
  EXPECT_TRUE(isTunedTable("\n { \"moec_tuned\": 7"));
}

TEST(TunedTable, AnotherVersion) {
  EXPECT_EQ(complaint(printTunedTable(makeTable()), "1.3"),
            "t.json: was measured with kernels of compiler version 1.2, this "
            "is 1.3; tune again with moe-tune");
}

TEST(TunedTable, Refused) {
  std::string good = printTunedTable(makeTable());
  auto replaced = [&](StringRef from, StringRef to) {
    std::string text = good;
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from.str();
    return text.replace(at, from.size(), to);
  };
  const std::tuple<const char *, const char *, const char *> cases[] = {
      {"\"moec_tuned\": 1", "\"moec_tuned\": 2",
       "is of format 2, this compiler reads 1"},
      {"\"compiler\": \"1.2\"", "\"compiler\": 5", "compiler"},
      {"\"E\": 8", "\"E\": \"8\"", "E"},
      {"\"layer\"", "\"other\"", "has no object 'layer'"},
      {"\"cells\"", "\"other\"", "has no array 'cells'"},
      {"\"best\": 1", "\"best\": 3", "is the number of no configuration"},
      {"\"best\": 1", "\"best\": -1", "is the number of no configuration"},
      {"\"tokens\": 16", "\"tokens\": 0", "must be positive"},
      {"\"configs\"", "\"other\"", "configs"},
      {"\"tune_configs\"", "\"other\"", "tune_configs"},
  };
  for (auto [from, to, expected] : cases) {
    std::string message = complaint(replaced(from, to));
    EXPECT_NE(message.find(expected), std::string::npos) << message;
    EXPECT_NE(message.find("t.json"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  for (size_t length = 1; length + 2 < good.size(); length += 3)
    EXPECT_NE(complaint(StringRef(good).take_front(length)), "") << length;
}

} // namespace
