//===- CandidatesTest.cpp - What the selector would choose from -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/AsmParser/AsmParser.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/TunedConfigs/TunedFile.h"
#include "moec/Tuner/Tune.h"
#include "gtest/gtest.h"

#include <set>

using namespace mlir;
using namespace mlir::moe;

namespace {

class Candidates : public ::testing::Test {
protected:
  void SetUp() override {
    prepareContext(context);
    module = build("bf16");
  }
  OwningOpRef<ModuleOp> build(StringRef dtype) {
    LayerDescription layer = llvm::cantFail(getKnownModel("qwen3-30b-a3b"));
    layer.dtype = llvm::cantFail(parseDtype(dtype));
    return buildLayer(&context, layer);
  }
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

TEST_F(Candidates, Sizes) {
  LayerSizes sizes = *readLayerSizes(*module);
  EXPECT_EQ(sizes.experts, 128);
  EXPECT_EQ(sizes.topk, 8);
  EXPECT_EQ(sizes.hidden, 2048);
  EXPECT_EQ(sizes.intermediate, 768);
  EXPECT_TRUE(sizes.gated);
  EXPECT_EQ(sizes.dtype, "");
  OwningOpRef<ModuleOp> blocks = build("fp8-block");
  sizes = *readLayerSizes(*blocks);
  EXPECT_EQ(sizes.dtype, "fp8_w8a8");
  EXPECT_EQ(sizes.blockShape, (SmallVector<int64_t, 2>{128, 128}));
  OwningOpRef<ModuleOp> packed = build("w4a16-g128");
  sizes = *readLayerSizes(*packed);
  EXPECT_EQ(sizes.dtype, "int4_w4a16");
  EXPECT_TRUE(sizes.blockShape.empty());
}

TEST_F(Candidates, TheSelectorsOwnIsFirst) {
  for (const char *target : {"cpu", "sm_90a"})
    for (int64_t tokens : {1, 64, 4096}) {
      auto one = *rankChoices(*module, target, tokens, 1);
      ASSERT_EQ(one.size(), 1u);
      auto many = *rankChoices(*module, target, tokens, 12);
      EXPECT_LE(many.size(), 12u);
      EXPECT_GT(many.size(), 2u);
      EXPECT_EQ(one[0].configs, many[0].configs);
      // The same list every time, nothing twice, other block rows among them.
      auto again = *rankChoices(*module, target, tokens, 12);
      std::set<std::vector<std::string>> seen;
      std::set<int64_t> rows;
      std::set<double> times;
      for (auto [i, choice] : llvm::enumerate(many)) {
        EXPECT_EQ(choice.configs, again[i].configs);
        EXPECT_TRUE(seen.insert(choice.configs).second);
        // What the model says of it: products and what stands around them.
        EXPECT_GT(choice.predictedUs, 0.5);
        EXPECT_LT(choice.predictedUs, 1e7);
        EXPECT_EQ(choice.predictedUs, again[i].predictedUs);
        times.insert(choice.predictedUs);
        rows.insert(choice.blockM);
        for (const std::string &text : choice.configs) {
          auto config =
              dyn_cast_or_null<ConfigAttr>(parseAttribute(text, &context));
          ASSERT_TRUE(config) << text;
          EXPECT_EQ(config.getBlockM(), choice.blockM);
        }
      }
      // Products by lanes take one row at a time.
      bool lanes = StringRef(many[0].configs[0]).contains("atom = \"fma\"");
      if (!lanes)
        EXPECT_GT(rows.size(), 1u) << target << " " << tokens;
      // On a CPU one token may take as long by all tiles.
      if (target != StringRef("cpu"))
        EXPECT_GT(times.size(), 1u) << target << " " << tokens;
    }
}

/// The compiler takes each of them as it is.
TEST_F(Candidates, TheCompilerTakesThem) {
  LayerSizes sizes = *readLayerSizes(*module);
  std::vector<TunedChoice> choices = *rankChoices(*module, "sm_90a", 64, 6);
  for (const TunedChoice &choice : choices) {
    CompileOptions options;
    options.targets = {"sm_90a"};
    options.tokens = {64};
    options.tiles.table = makeSingleTable(sizes, "sm_90a", 64, choice);
    std::string text;
    llvm::raw_string_ostream os(text);
    ASSERT_TRUE(succeeded(emitForm(*module, options, "moe", os)));
    EXPECT_NE(text.find("block_m = " + std::to_string(choice.blockM) + ">"),
              std::string::npos);
    for (StringRef config : choice.configs)
      EXPECT_NE(text.find(config.take_front(config.find("source"))),
                std::string::npos)
          << config.str();
    EXPECT_NE(text.find("source = \"tuner\""), std::string::npos);
  }
}

/// Where scales of packed weights stand depends on target and token count; a
/// choice is one of the layer that the compiler then makes.
TEST_F(Candidates, PackedWeights) {
  OwningOpRef<ModuleOp> packed = build("w4a16-g128");
  LayerSizes sizes = *readLayerSizes(*packed);
  for (auto [target, tokens] : {std::pair("cpu", int64_t(16)),
                                {"sm_90a", 1},
                                {"sm_90a", 16},
                                {"sm_90a", 1024}}) {
    std::vector<TunedChoice> choices = *rankChoices(*packed, target, tokens, 1);
    CompileOptions options;
    options.targets = {target};
    options.tokens = {tokens};
    std::string own, given;
    llvm::raw_string_ostream ownOs(own), givenOs(given);
    ASSERT_TRUE(succeeded(emitForm(*packed, options, "moe", ownOs)));
    options.tiles.table = makeSingleTable(sizes, target, tokens, choices[0]);
    ASSERT_TRUE(succeeded(emitForm(*packed, options, "moe", givenOs)));
    for (StringRef config : choices[0].configs) {
      StringRef fields = config.take_front(config.find("source"));
      EXPECT_NE(own.find(fields), std::string::npos) << target << tokens;
      EXPECT_NE(given.find(fields), std::string::npos) << target << tokens;
    }
  }
}

TEST_F(Candidates, Ladder) {
  TunedTable table;
  table.target = "sm_90a";
  TunedCell cell;
  cell.tokens = 64;
  cell.choices.emplace_back();
  cell.choices[0].configs = {"#moe.config<block = [32, 96, 64], stages = 7, "
                             "compute_groups = 2, a = \"gather\">",
                             "#moe.config<block = [8, 96, 64], stages = 5, "
                             "a = \"desc\">"};
  table.cells.push_back(cell);
  auto up = *makeTunedLadder(*module, table, /*down=*/false);
  auto down = *makeTunedLadder(*module, table, /*down=*/true);
  ASSERT_EQ(up.size(), getTunedBatchLadder().size());
  ASSERT_EQ(down.size(), up.size());
  for (auto [i, tokens] : llvm::enumerate(getTunedBatchLadder())) {
    EXPECT_EQ(up[i].tokens, tokens);
    EXPECT_GE(up[i].blockM, 16);
    EXPECT_FALSE(up[i].useTma.has_value());
    EXPECT_TRUE(down[i].useTma.has_value());
  }
  // The measured one: gate and up rows, two teams, rows that their kernel can.
  const TunedTiles &one = up[8], &two = down[8];
  EXPECT_EQ(one.tokens, 64);
  EXPECT_EQ(one.blockM, 32);
  EXPECT_EQ(one.blockN, 192);
  EXPECT_EQ(one.warps, 8);
  EXPECT_EQ(one.stages, 7);
  EXPECT_EQ(two.blockM, 16);
  EXPECT_EQ(two.blockN, 96);
  EXPECT_EQ(two.warps, 4);
  EXPECT_EQ(two.useTma, true);
}

} // namespace
