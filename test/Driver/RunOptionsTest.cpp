//===- RunOptionsTest.cpp - The command line of moe-run -------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/RunOptions.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Error.h"
#include <gtest/gtest.h>

using namespace mlir::moe;

/// The error's text, "" for arguments that are fine.
static std::string getError(const std::vector<std::string> &args) {
  auto options = parseRunOptions(args);
  return options ? "" : llvm::toString(options.takeError());
}

TEST(RunOptions, defaults) {
  auto options = parseRunOptions({"dir", "--tokens", "4"});
  ASSERT_TRUE(bool(options));
  EXPECT_EQ(options->path, "dir");
  EXPECT_EQ(options->mode, RunMode::Kernels);
  EXPECT_EQ(options->tokens, (llvm::SmallVector<int64_t>{4}));
  EXPECT_EQ(options->inputs.routing, RoutingArchetype::Balanced);
  EXPECT_EQ(options->inputs.seed, 0u);
  EXPECT_EQ(options->checkRows, 64);
  EXPECT_FALSE(options->check || options->bench);
}

TEST(RunOptions, all) {
  auto options = parseRunOptions({"--reference",
                                  "f.mlir",
                                  "--tokens=0,16,257",
                                  "--routing",
                                  "zipf2",
                                  "--seed=18446744073709551615",
                                  "--check",
                                  "--check-rows",
                                  "0",
                                  "--input",
                                  "x=a.npy",
                                  "--input=w1=b=c.npy",
                                  "--workers",
                                  "3",
                                  "--isa",
                                  "avx512bf16",
                                  "--json",
                                  "o.json",
                                  "--output",
                                  "y.npy",
                                  "--function",
                                  "f",
                                  "--tolerance",
                                  "1e-3",
                                  "--repetitions",
                                  "9"});
  ASSERT_TRUE(bool(options)) << llvm::toString(options.takeError());
  EXPECT_EQ(options->mode, RunMode::Reference);
  EXPECT_EQ(options->tokens, (llvm::SmallVector<int64_t>{0, 16, 257}));
  EXPECT_EQ(options->inputs.routing, RoutingArchetype::Zipf2);
  EXPECT_EQ(options->inputs.seed, UINT64_MAX);
  EXPECT_EQ(options->checkRows, 0);
  EXPECT_EQ(options->inputs.files.lookup("x"), "a.npy");
  EXPECT_EQ(options->inputs.files.lookup("w1"), "b=c.npy");
  EXPECT_EQ(options->workers, 3);
  EXPECT_EQ(options->isa, "avx512bf16");
  EXPECT_EQ(options->json, "o.json");
  EXPECT_EQ(options->output, "y.npy");
  EXPECT_EQ(options->function, "f");
  EXPECT_EQ(options->tolerance, 1e-3);
  EXPECT_EQ(options->repetitions, 9);
}

TEST(RunOptions, tasks) {
  EXPECT_TRUE(parseRunOptions({"--help"})->help);
  EXPECT_TRUE(parseRunOptions({"-h"})->help);
  EXPECT_TRUE(parseRunOptions({"--version"})->version);
  EXPECT_TRUE(parseRunOptions({"--space-map", "--seed", "3"})->spaceMap);
  EXPECT_EQ(parseRunOptions({"--batch", "f"})->batch, "f");
  auto options = parseRunOptions({"d", "--topk-ids", "f.npy,g.npy"});
  EXPECT_EQ(options->idsFiles,
            (llvm::SmallVector<std::string>{"f.npy", "g.npy"}));
  options->tokens = {1};
  EXPECT_EQ(llvm::toString(makeCases(*options)),
            "1 token counts, but 2 files of expert ids");
  options->idsFiles.clear();
  options->tokens = {3, 4};
  ASSERT_FALSE(bool(makeCases(*options)));
  ASSERT_EQ(options->cases.size(), 2u);
  EXPECT_EQ(options->cases[1].tokens, 4);
  EXPECT_EQ(options->cases[1].idsFile, "");
}

TEST(RunOptions, errors) {
  using Args = std::vector<std::string>;
  const std::pair<Args, const char *> cases[] = {
      {{}, "what to run?"},
      {{"a", "b", "--tokens", "1"}, "one input at a time: 'a' and 'b'"},
      {{"a"}, "--tokens is missing"},
      {{"a", "--tokens"}, "option '--tokens' needs a value"},
      {{"a", "--tokens", "1", "--json"}, "option '--json' needs a value"},
      {{"a", "--tokens", "1,x"}, "'x' is no integer in [0, 16777216]"},
      {{"a", "--tokens", "-1"}, "'-1' is no integer in [0, 16777216]"},
      {{"a", "--tokens", "16777217"}, "'16777217' is no integer"},
      {{"a", "--seed", "-1"}, "option '--seed': '-1' is no integer"},
      {{"a", "--routing", "zipf3"}, "'zipf3' is none of balanced"},
      {{"a", "--isa", "sse"}, "'sse' is none of x86-64"},
      {{"a", "--workers", "5000"}, "'5000' is no integer in [0, 4096]"},
      {{"a", "--repetitions", "0"}, "'0' is no integer in [1, 1000000]"},
      {{"a", "--tolerance", "-1"}, "'-1' is no number >= 0"},
      {{"a", "--tolerance", "nan"}, "'nan' is no number >= 0"},
      {{"a", "--check-rows", "x"}, "option '--check-rows': 'x'"},
      {{"a", "--input", "x"}, "'x' is not NAME=FILE"},
      {{"a", "--input", "x="}, "'x=' is not NAME=FILE"},
      {{"a", "--input", "x=1", "--input", "x=2"}, "'x' is given twice"},
      {{"a", "--chekc"}, "unknown option '--chekc'"},
      {{"a", "--tokens", "1", "--multiprocessors", "0"}, "--multiprocessors"},
      {{"a", "--tokens", "1", "--schedule", "-1"}, "--schedule"},
      {{"a", "--tokens", "1", "--reference", "--emulate"}, "only one can be"},
      {{"a", "--tokens", "1", "--target", "sm_90a"},
       "--target is for --emulate"},
      {{"a", "--tokens", "1", "--reference", "--target=gfx942"},
       "--target is for --emulate"},
      {{"a", "--tokens", "1", "--multiprocessors", "8"},
       "--multiprocessors is for --emulate"},
      {{"a", "--tokens", "1", "--schedule=0"}, "--schedule is for --emulate"},
      {{"a", "--tokens", "1", "--device-tokens", "1"},
       "--device-tokens is for --emulate"},
      {{"a", "--tokens", "1", "--space-map"}, "only one can be given"},
      {{"--space-map", "--batch", "f"}, "only one can be given"},
      {{"a", "--tokens", "1", "--reference", "--bench"},
       "--bench times compiled kernels only"},
  };
  for (const auto &[args, text] : cases)
    EXPECT_NE(getError(args).find(text), std::string::npos)
        << llvm::join(args, " ") << ": '" << getError(args) << "', wanted '"
        << text << "'";
}
