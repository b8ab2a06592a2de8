//===- CodeCacheTest.cpp - Whole variants, made once ----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodeCache.h"
#include "Support.h"

#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdlib>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;
using namespace mlir::moe;

namespace {

class CodeCacheTest : public CompilerTest {
protected:
  CodeCacheTest() {
    prepareContext(context);
    if (const char *before = std::getenv("MOEC_CACHE_DIR"))
      place = before;
    setenv("MOEC_CACHE_DIR", directory.file("cache").c_str(), 1);
    options.isas = {"x86-64"};
    options.tokens = {4};
    options.link = false;
    auto buffer =
        llvm::MemoryBuffer::getFile(MOEC_COMPILER_INPUTS "/tiny.mlir");
    EXPECT_TRUE(bool(buffer));
    source = (*buffer)->getBuffer().str();
  }
  ~CodeCacheTest() override {
    place.empty() ? unsetenv("MOEC_CACHE_DIR")
                  : setenv("MOEC_CACHE_DIR", place.c_str(), 1);
  }

  /// What the artifact would be; "" and a test failure on an error.
  std::string compile(const CompileOptions &how, StringRef text) {
    OwningOpRef<ModuleOp> module = parse(text);
    CompileOptions options = how;
    log.clear();
    llvm::raw_string_ostream verbose(log);
    options.verbose = &verbose;
    FailureOr<CompiledLayer> layer = compileLayer(*module, options);
    EXPECT_TRUE(succeeded(layer)) << messages;
    if (failed(layer))
      return "";
    notes = layer->notes;
    std::string result = layer->source + printManifest(layer->manifest);
    for (const CodeObject &code : layer->code)
      result += code.name + code.object + code.sharedObject;
    for (const ArtifactFile &file : layer->files)
      result += file.name + file.bytes;
    return result;
  }
  std::string compile() { return compile(options, source); }
  bool wasKept() const { return StringRef(log).contains("all from the cache"); }

  /// The module with other words in it, which must be there.
  std::string replace(StringRef from, StringRef to) const {
    std::string text = source;
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from.str();
    for (; at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
    return text;
  }

  std::vector<std::string> entries() {
    std::vector<std::string> paths;
    std::error_code error;
    for (llvm::sys::fs::recursive_directory_iterator
             it(directory.file("cache"), error),
         end;
         !error && it != end; it.increment(error))
      if (StringRef(it->path()).ends_with(".code"))
        paths.push_back(it->path());
    return paths;
  }

  ScratchDirectory directory;
  CompileOptions options;
  std::string place, source, log;
  std::vector<std::string> notes;
};

TEST_F(CodeCacheTest, TheSameTwice) {
  std::string first = compile();
  EXPECT_FALSE(wasKept());
  EXPECT_EQ(compile(), first);
  EXPECT_TRUE(wasKept());
  EXPECT_EQ(entries().size(), 1u);
  // Other names of values and other white space are the same module.
  std::string other = replace("%dim", "%renamed");
  EXPECT_EQ(compile(options, "\n\n" + other), first);
  EXPECT_TRUE(wasKept());
  // Nothing is taken from a cache that is not wanted, or where passes are to
  // explain themselves.
  CompileOptions without = options;
  without.cache = false;
  EXPECT_EQ(compile(without, source), first);
  EXPECT_FALSE(wasKept());
  without.cache = true;
  without.cacheVariants = false;
  EXPECT_EQ(compile(without, source), first);
  EXPECT_FALSE(wasKept());
}

TEST_F(CodeCacheTest, WhateverDecidesTheCodeIsInTheKey) {
  std::string first = compile();
  auto differs = [&](llvm::function_ref<void(CompileOptions &)> change) {
    CompileOptions changed = options;
    change(changed);
    std::string made = compile(changed, source);
    bool kept = wasKept();
    EXPECT_EQ(compile(changed, source), made);
    EXPECT_TRUE(wasKept());
    return !kept;
  };
  EXPECT_TRUE(differs([](CompileOptions &o) { o.tokens = {5}; }));
  EXPECT_TRUE(differs([](CompileOptions &o) { o.tokens = {4, 64}; }));
  EXPECT_TRUE(differs([](CompileOptions &o) { o.isas = {"avx2"}; }));
  EXPECT_TRUE(differs([](CompileOptions &o) { o.link = true; }));
  TileFile tiles = llvm::cantFail(parseTileFile(
      "tiles.json", R"({"4": {"BLOCK_SIZE_M": 16, "BLOCK_SIZE_N": 32,
                             "BLOCK_SIZE_K": 32}})"));
  EXPECT_TRUE(differs([&](CompileOptions &o) { o.tiles.up = tiles; }));
  llvm::cantFail(tiles.file.setInteger(4, "BLOCK_SIZE_K", 64));
  EXPECT_TRUE(differs([&](CompileOptions &o) { o.tiles.up = tiles; }));
  EXPECT_TRUE(
      differs([&](CompileOptions &o) { o.tiles.up = o.tiles.down = tiles; }));
  // What decides nothing about the code is not.
  EXPECT_FALSE(differs([](CompileOptions &o) { o.ptxasTimeout = 7; }));
  // Another module.
  EXPECT_NE(compile(options, replace("arith.mulf %10", "arith.addf %10")),
            first);
  EXPECT_FALSE(wasKept());
  EXPECT_EQ(compile(), first);
  EXPECT_TRUE(wasKept());
}

TEST_F(CodeCacheTest, RangesOfGpusAreKeptOneByOne) {
  options.targets = {"sm_90a"};
  options.ptxas = "none";
  options.tokens = {1, 256};
  source = replace(" config [#moe.config<block = [16, 64, 128]>]", "");
  std::string first = compile();
  EXPECT_EQ(entries().size(), 2u);
  EXPECT_EQ(compile(), first);
  EXPECT_TRUE(StringRef(log).contains("sm_90a t1: all from the cache"));
  EXPECT_TRUE(StringRef(log).contains("sm_90a t256: all from the cache"));
  // One range is known, the other is not; their bounds are those of the call.
  options.tokens = {16, 256};
  std::string second = compile();
  EXPECT_FALSE(StringRef(log).contains("t16: all from the cache"));
  EXPECT_TRUE(StringRef(log).contains("t256: all from the cache"));
  options.cache = false;
  EXPECT_EQ(compile(), second);
  options.tokens = {1, 256};
  EXPECT_EQ(compile(), first);
}

TEST_F(CodeCacheTest, ADamagedEntryIsMadeAnew) {
  std::string first = compile();
  ASSERT_EQ(entries().size(), 1u);
  std::string path = entries().front();
  auto buffer = llvm::MemoryBuffer::getFile(path);
  ASSERT_TRUE(bool(buffer));
  std::string good = (*buffer)->getBuffer().str();
  std::string flipped = good;
  flipped[flipped.size() / 2] ^= 1;
  for (const std::string &bad :
       {std::string(), good.substr(0, good.size() / 2), flipped}) {
    std::error_code error;
    llvm::raw_fd_ostream os(path, error);
    os << bad;
    os.close();
    EXPECT_EQ(compile(), first);
    EXPECT_FALSE(wasKept());
    EXPECT_EQ(notes,
              std::vector<std::string>{"warning: the cache's entry '" + path +
                                       "' is damaged and is made anew"});
    EXPECT_EQ(compile(), first);
    EXPECT_TRUE(wasKept());
    EXPECT_TRUE(notes.empty());
  }
}

TEST_F(CodeCacheTest, WhatPassesSayIsSaidAgain) {
  OwningOpRef<ModuleOp> module = parse(source);
  SilenceObserver quiet(&context);
  EXPECT_TRUE(quiet.isSilent());
  {
    SilenceObserver inner(&context);
    emitWarning(module->getLoc()) << "something";
    EXPECT_FALSE(inner.isSilent());
  }
  EXPECT_FALSE(quiet.isSilent());
  EXPECT_TRUE(said("something"));
}

TEST_F(CodeCacheTest, TextAndBack) {
  TargetCode code;
  code.layer = "layer";
  code.arguments.push_back(
      {"x", "bf16", {{1, 0, 1}, {0, 64, 1}}, true, false, "pack"});
  code.objects.push_back({"a.so", "avx2", {"k", "l"}, "object", "shared"});
  code.files.push_back({"a.ptx", std::string("\0\n", 2)});
  code.table = "table\n";
  ManifestVariant &variant = code.variants.emplace_back();
  variant.target = "sm_90a";
  variant.firstTokens = 3;
  variant.lastTokens = 9;
  variant.configs = {"c"};
  variant.rejected.push_back({"d", "too large"});
  variant.workspaces.push_back({"w", {{8, 1, 2}}, true, true, 256});
  variant.resources = ManifestResources{168, 227 << 10, 0};
  ManifestLaunch &launch = variant.launches.emplace_back();
  launch.kernel = "k";
  launch.gpu.emplace();
  launch.gpu->grid[1] = {{2, 3, 4}, 5};
  launch.gpu->cluster[2] = 2;
  launch.gpu->earlyStart = true;
  using Kind = ManifestLaunchArgument::Kind;
  launch.args.push_back({Kind::Dim, 0, {1, 2, 3}, "i32", {}});
  launch.args.push_back({Kind::TensorMap, 1, {}, "", ManifestTensorMap{}});
  launch.args.back().map->box = {64, 128};

  std::string text = printCode(code);
  std::optional<TargetCode> back = parseCode(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(printCode(*back), text);
  Manifest before, after;
  before.variants = code.variants, after.variants = back->variants;
  before.arguments = code.arguments, after.arguments = back->arguments;
  EXPECT_EQ(printManifest(before), printManifest(after));
  EXPECT_EQ(back->files.front().bytes, code.files.front().bytes);
  EXPECT_EQ(back->objects.front().sharedObject, "shared");
  // No piece of it is taken for the whole, and no number for memory to take.
  for (size_t i = 0; i < text.size(); ++i)
    EXPECT_FALSE(parseCode(StringRef(text).take_front(i))) << i;
  EXPECT_FALSE(parseCode(text + "x"));
  for (size_t i = 0; i < text.size(); ++i) {
    std::string bad = text;
    bad[i] = static_cast<char>(0xff);
    if (std::optional<TargetCode> read = parseCode(bad)) {
      EXPECT_EQ(printCode(*read), bad) << i;
    }
  }
}

TEST_F(CodeCacheTest, TheCompilerHasAName) {
  // The program's build id and those of LLVM's and MLIR's libraries.
  EXPECT_GE(getCompilerId().size(), 40u);
  EXPECT_EQ(getCompilerId(), getCompilerId());
}

} // namespace
