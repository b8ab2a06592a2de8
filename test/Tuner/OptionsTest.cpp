//===- OptionsTest.cpp - The command line of moe-tune ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/TuneOptions.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

std::vector<std::string> split(llvm::StringRef line) {
  llvm::SmallVector<llvm::StringRef> words;
  llvm::SplitString(line, words);
  return {words.begin(), words.end()};
}

TuneOptions parse(const std::string &line) {
  return llvm::cantFail(parseTuneOptions(split(line)));
}

std::string complaint(llvm::StringRef line) {
  auto options = parseTuneOptions(split(line));
  return options ? "" : llvm::toString(options.takeError());
}

TEST(TuneOptions, Defaults) {
  TuneOptions options = parse("--model tiny -o t.json");
  EXPECT_EQ(options.layer.model, "tiny");
  EXPECT_EQ(options.layer.options.targets, std::vector<std::string>{"cpu"});
  EXPECT_EQ(options.layer.options.tokens, (std::vector<int64_t>{1, 16, 256}));
  EXPECT_EQ(options.top, 12);
  EXPECT_EQ(options.routings,
            std::vector<RoutingArchetype>{RoutingArchetype::Zipf1});
  EXPECT_EQ(options.journal, "t.json.journal");
}

TEST(TuneOptions, All) {
  TuneOptions options =
      parse("layer.mlir --tokens=4,8 --routing uniform,hot16 --seed 7 --top 3 "
            "--runs=9 --workers 2 --margin 0.1 --repeats 5 --journal j "
            "--restart --vllm v --sglang s --device-name D -o o --quiet "
            "--isa avx2");
  EXPECT_EQ(options.layer.file, "layer.mlir");
  EXPECT_EQ(options.layer.options.tokens, (std::vector<int64_t>{4, 8}));
  EXPECT_EQ(options.layer.options.isas, std::vector<std::string>{"avx2"});
  EXPECT_EQ(options.routings.size(), 2u);
  EXPECT_EQ(options.seed, 7u);
  EXPECT_EQ(options.top, 3);
  EXPECT_EQ(options.runs, 9);
  EXPECT_EQ(options.workers, 2);
  EXPECT_EQ(options.margin, 0.1);
  EXPECT_EQ(options.repeats, 5);
  EXPECT_EQ(options.journal, "j");
  EXPECT_TRUE(options.restart && options.quiet);
  EXPECT_EQ(options.vllm + options.sglang + options.device, "vsD");
}

TEST(TuneOptions, Ladder) {
  for (const char *spelling : {"--tokens ladder", "--tokens=ladder"}) {
    TuneOptions options = parse(std::string("--model tiny -o t ") + spelling);
    ASSERT_EQ(options.layer.options.tokens.size(), 18u);
    EXPECT_EQ(options.layer.options.tokens.back(), 4096);
  }
}

TEST(TuneOptions, RecordedIds) {
  TuneOptions options = parse("--model tiny --topk-ids a.npy,b.npy -o t");
  EXPECT_EQ(options.idsFiles, (std::vector<std::string>{"a.npy", "b.npy"}));
  EXPECT_TRUE(options.routings.empty());
}

TEST(TuneOptions, Gpus) {
  EXPECT_EQ(parse("--model tiny --target sm_90a --kit k").kit, "k");
  EXPECT_EQ(parse("--model tiny --target sm_90a --measured m -o t").measured,
            "m");
}

TEST(TuneOptions, HelpNeedsNothingElse) {
  EXPECT_TRUE(parse("--help").help);
  EXPECT_TRUE(parse("--version").version);
  EXPECT_NE(getTuneHelp().find("EXAMPLES"), llvm::StringRef::npos);
}

TEST(TuneOptions, Refused) {
  const std::pair<const char *, const char *> cases[] = {
      {"-o t", "what to compile? A .mlir file, --hf-config or --model; see "
               "--help"},
      {"--probes -o t",
       "--probes are for moe-compile; there is nothing to tune in them"},
      {"--model tiny", "where to? See -o in --help"},
      {"--model tiny -o", "option '-o' needs a value"},
      {"--model tiny -o t --top 0",
       "option '--top': '0' is no integer in [1, 1000]"},
      {"--model tiny -o t --margin 1",
       "option '--margin': '1' is no share in [0, 1)"},
      {"--model tiny -o t --margin nan",
       "option '--margin': 'nan' is no share in [0, 1)"},
      {"--model tiny -o t --routing some",
       "option '--routing': 'some' is none of balanced, uniform, zipf1, zipf2, "
       "hot16"},
      {"--model tiny -o t --topk-ids a,,b",
       "option '--topk-ids': an empty name in 'a,,b'"},
      {"--model tiny -o t --topk-ids a --routing zipf1",
       "--routing and --topk-ids exclude one another"},
      {"--model tiny -o t --what 1", "unknown option '--what'; see --help"},
      {"--model tiny -o t --emit asm", "option '--emit' is one of moe-compile"},
      {"--model tiny -o t --config=x",
       "option '--config' is one of moe-compile"},
      {"--model tiny -o t --kit k",
       "--kit and --measured are for GPUs, the target is cpu"},
      {"--model tiny -o t --target sm_90a",
       "target sm_90a: moe-tune itself measures on CPUs; --kit writes a folder "
       "that gpu-kit/run sweep measures on a GPU"},
      {"--model tiny -o t --target sm_90a --kit k --measured m",
       "--kit is written before, --measured read after the measurement: they "
       "exclude one another"},
      {"--model tiny -o t --target cpu,sm_90a",
       "one target at a time; see --target in --help"},
      {"--model tiny --target sm_90a --measured m",
       "where to? See -o in --help"},
  };
  for (auto [line, expected] : cases)
    EXPECT_EQ(complaint(line), expected) << line;
}

} // namespace
