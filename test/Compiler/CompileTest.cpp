//===- CompileTest.cpp - From a layer to results --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "mlir/Parser/Parser.h"
#include "moec/Compiler/Compile.h"
#include "moec/Compiler/ObjectEmitter.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cmath>
#include <csignal>
#include <fcntl.h>
#include <random>
#include <sys/file.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace mlir;
using namespace mlir::moe;

namespace {

class CompileTest : public CompilerTest {
protected:
  CompileTest() { prepareContext(context); }

  OwningOpRef<ModuleOp> load(StringRef name) {
    OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(
        (MOEC_COMPILER_INPUTS "/" + name).str(), &context);
    EXPECT_TRUE(module) << messages;
    return module;
  }

  void refused(CompileOptions options, StringRef message) {
    messages.clear();
    EXPECT_TRUE(failed(compileLayer(*load("tiny.mlir"), options)));
    EXPECT_TRUE(said(message)) << messages;
  }
};

/// Random tensors for an opened layer; ids count up.
struct Tensors {
  Tensors(const moec_layer *layer, int64_t tokens) : tokens(tokens) {
    std::mt19937 generator(11);
    int32_t count = moec_argument_count(layer);
    storage.resize(count);
    dims.resize(count);
    for (int32_t i = 0; i < count; ++i) {
      moec_argument_info info = {};
      info.struct_size = sizeof(info);
      EXPECT_EQ(moec_argument(layer, i, &info), MOEC_OK);
      dims[i].resize(info.rank);
      EXPECT_EQ(moec_argument_shape(layer, i, tokens, dims[i].data(), 8),
                MOEC_OK);
      int64_t elements = 1;
      for (int64_t dim : dims[i])
        elements *= dim;
      storage[i].resize(elements * moec_dtype_size(info.dtype));
      fill(storage[i], info, elements, generator);
      if (info.role == MOEC_OUTPUT)
        output = i;
      tensors.push_back(
          {storage[i].data(), info.dtype, info.rank, dims[i].data(), nullptr});
    }
  }

  static void fill(std::vector<uint8_t> &bytes, const moec_argument_info &info,
                   int64_t elements, std::mt19937 &generator) {
    std::normal_distribution<float> normal(0, 0.5f);
    for (int64_t i = 0; i < elements; ++i) {
      if (info.role == MOEC_OUTPUT) {
        bytes[2 * i] = bytes[2 * i + 1] = 0xff; // NaN
      } else if (info.dtype == MOEC_I32) {
        reinterpret_cast<int32_t *>(bytes.data())[i] = i * 5 % 8;
      } else if (info.dtype == MOEC_F32) {
        reinterpret_cast<float *>(bytes.data())[i] =
            std::abs(normal(generator));
      } else {
        float value = normal(generator);
        uint32_t word;
        memcpy(&word, &value, 4);
        reinterpret_cast<uint16_t *>(bytes.data())[i] = word >> 16;
      }
    }
  }

  std::vector<uint8_t> run(const moec_layer *layer, int workers) {
    moec_pool *pool = nullptr;
    EXPECT_EQ(moec_pool_create(workers, 0, &pool), MOEC_OK);
    uint64_t bytes = 0;
    EXPECT_EQ(moec_workspace_size(layer, pool, tokens, &bytes), MOEC_OK);
    std::vector<uint8_t> workspace(bytes + 64, 0xff);
    void *aligned = reinterpret_cast<void *>(
        (reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64);
    EXPECT_EQ(moec_run(layer, pool, tensors.data(), tensors.size(), tokens,
                       aligned, bytes, nullptr),
              MOEC_OK)
        << moec_last_error();
    moec_pool_destroy(pool);
    return storage[output];
  }

  int64_t tokens;
  std::vector<std::vector<uint8_t>> storage;
  std::vector<std::vector<int64_t>> dims;
  std::vector<moec_tensor> tensors;
  size_t output = 0;
};

TEST_F(CompileTest, ArtifactAndJitAgree) {
  OwningOpRef<ModuleOp> module = load("tiny.mlir");
  CompileOptions options;
  options.isas = {getHostCpuIsa()->name.str()};
  FailureOr<CompiledLayer> layer = compileLayer(*module, options);
  ASSERT_TRUE(succeeded(layer)) << messages;
  ScratchDirectory directory;
  std::string path = directory.file("out/tiny.moec");
  ASSERT_TRUE(succeeded(writeArtifact(module->getLoc(), *layer, path)))
      << messages;
  moec_layer *fromFile = nullptr;
  ASSERT_EQ(moec_open(path.c_str(), nullptr, &fromFile), MOEC_OK)
      << moec_last_error();
  auto jit = openInProcess(module->getLoc(), *layer);
  ASSERT_TRUE(succeeded(jit)) << messages;
  for (int64_t tokens : {0, 1, 2, 7, 33}) {
    Tensors tensors(fromFile, tokens);
    std::vector<uint8_t> first = tensors.run(fromFile, 2);
    std::vector<uint8_t> second =
        Tensors((*jit)->get(), tokens).run((*jit)->get(), 3);
    EXPECT_EQ(first, second) << tokens;
    for (size_t i = 0; i < first.size(); i += 2)
      EXPECT_FALSE(first[i] == 0xff && first[i + 1] == 0xff) << i;
  }
  moec_close(fromFile);
}

/// One JIT layer serves several threads, each with a pool and memory of its
/// own; two JIT layers of one process do not meet.
TEST_F(CompileTest, JitRunsOnSeveralThreads) {
  OwningOpRef<ModuleOp> module = load("tiny.mlir");
  CompileOptions options;
  options.isas = {getHostCpuIsa()->name.str()};
  options.link = false;
  FailureOr<CompiledLayer> layer = compileLayer(*module, options);
  ASSERT_TRUE(succeeded(layer)) << messages;
  auto first = openInProcess(module->getLoc(), *layer);
  auto second = openInProcess(module->getLoc(), *layer);
  ASSERT_TRUE(succeeded(first) && succeeded(second)) << messages;
  // The code outlives what it was made from.
  *layer = CompiledLayer();
  const int64_t counts[] = {1, 5, 16, 33};
  std::vector<std::vector<uint8_t>> expected;
  for (int64_t tokens : counts)
    expected.push_back(
        Tensors((*first)->get(), tokens).run((*first)->get(), 1));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      const moec_layer *opened = (i % 2 ? *second : *first)->get();
      for (int repeat = 0; repeat < 8; ++repeat) {
        size_t which = (i + repeat) % 4;
        wrong += Tensors(opened, counts[which]).run(opened, 1 + i % 2) !=
                 expected[which];
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(CompileTest, EqualRangesShareCode) {
  OwningOpRef<ModuleOp> module = load("tiny.mlir");
  CompileOptions options;
  options.isas = {"avx2", "x86-64"};
  options.tokens = {256, 1, 16, 16};
  FailureOr<CompiledLayer> layer = compileLayer(*module, options);
  ASSERT_TRUE(succeeded(layer)) << messages;
  // The configs stand in the file, so every range comes out the same.
  ASSERT_EQ(layer->manifest.variants.size(), 2u);
  for (const ManifestVariant &variant : layer->manifest.variants) {
    EXPECT_EQ(variant.firstTokens, 0);
    EXPECT_FALSE(variant.lastTokens.has_value());
    EXPECT_EQ(variant.configs.size(), 1u);
  }
  EXPECT_EQ(layer->manifest.variants[0].isa, "x86-64");
  EXPECT_EQ(layer->manifest.variants[1].isa, "avx2");
}

TEST_F(CompileTest, SameLayerSameBytes) {
  OwningOpRef<ModuleOp> module = load("tiny.mlir");
  CompileOptions options;
  options.isas = {"x86-64", "avx2"};
  FailureOr<CompiledLayer> first = compileLayer(*module, options);
  FailureOr<CompiledLayer> second = compileLayer(*load("tiny.mlir"), options);
  ASSERT_TRUE(succeeded(first) && succeeded(second)) << messages;
  EXPECT_EQ(printManifest(first->manifest), printManifest(second->manifest));
  ASSERT_EQ(first->code.size(), 2u);
  for (size_t i = 0; i < first->code.size(); ++i)
    EXPECT_EQ(first->code[i].sharedObject, second->code[i].sharedObject);
}

TEST_F(CompileTest, RefusesOptions) {
  CompileOptions options;
  options.targets = {};
  refused(options, "no target is given");
  options.targets = {"cpu", "sm_91"};
  refused(options, "unknown target 'sm_91', expected cpu, sm_80");
  options.targets = {"cpu", "sm_100a"};
  refused(options, "target sm_100a is not built yet");
  options.targets = {"sm_100a"};
  options.allowMissingTargets = true;
  refused(options, "none of the targets is built yet: sm_100a");
  options = CompileOptions();
  options.isas = {"avx2", "avx10"};
  refused(options, "unknown instruction set 'avx10', expected x86-64, avx2");
  options = CompileOptions();
  options.tokens = {};
  refused(options, "the list of token counts is empty");
  options.tokens = {16, 0};
  refused(options, "token count 0 is not positive");
}

TEST_F(CompileTest, RefusesModulesWithoutALayer) {
  for (const char *text : {"", "func.func @f() { return }"}) {
    OwningOpRef<ModuleOp> module = parse(text);
    messages.clear();
    EXPECT_TRUE(failed(compileLayer(*module, {})));
    EXPECT_TRUE(said("one function with moe operations or one moe_tile.plan, "
                     "this one has 0"))
        << messages;
  }
}

TEST_F(CompileTest, MissingTargetsAreRecorded) {
  CompileOptions options;
  options.targets = {"sm_100a", "cpu"};
  options.isas = {"x86-64"};
  options.allowMissingTargets = true;
  FailureOr<CompiledLayer> layer = compileLayer(*load("tiny.mlir"), options);
  ASSERT_TRUE(succeeded(layer)) << messages;
  EXPECT_TRUE(
      StringRef(printManifest(layer->manifest)).contains("\"sm_100a\""));
}

//===----------------------------------------------------------------------===//
// Artifacts
//===----------------------------------------------------------------------===//

class ArtifactTest : public CompileTest {
protected:
  ArtifactTest() {
    layer.source = "module {}\n";
    layer.manifest.layer = "empty";
    layer.code.push_back({"k.so", "avx2", {}, "", "code"});
  }
  LogicalResult write(StringRef directory) {
    return writeArtifact(UnknownLoc::get(&context), layer, directory);
  }
  static std::vector<std::string> list(const std::string &directory) {
    std::vector<std::string> names;
    std::error_code error;
    for (llvm::sys::fs::directory_iterator i(directory, error), end;
         i != end && !error; i.increment(error))
      names.push_back(llvm::sys::path::filename(i->path()).str());
    llvm::sort(names);
    return names;
  }

  CompiledLayer layer;
  ScratchDirectory scratch;
  const std::vector<std::string> contents = {"k.so", "layer.mlir",
                                             "manifest.json"};
};

TEST_F(ArtifactTest, CreatesParentsAndReplaces) {
  std::string path = scratch.file("a/b/c");
  ASSERT_TRUE(succeeded(write(path + "/"))) << messages;
  EXPECT_EQ(list(path), contents);
  layer.code[0].name = "other.so";
  ASSERT_TRUE(succeeded(write(path))) << messages;
  EXPECT_EQ(list(path), (std::vector<std::string>{"layer.mlir", "manifest.json",
                                                  "other.so"}));
  // Nothing is left beside it.
  EXPECT_EQ(list(scratch.file("a/b")), std::vector<std::string>{"c"});
}

TEST_F(ArtifactTest, TakesAnEmptyDirectory) {
  std::string path = scratch.file("empty");
  ASSERT_FALSE(llvm::sys::fs::create_directory(path));
  EXPECT_TRUE(succeeded(write(path))) << messages;
  EXPECT_EQ(list(path), contents);
}

TEST_F(ArtifactTest, KeepsWhatIsNoArtifact) {
  std::string path = scratch.file("precious");
  ASSERT_FALSE(llvm::sys::fs::create_directory(path));
  std::error_code error;
  llvm::raw_fd_ostream(path + "/thesis.txt", error) << "years of work";
  EXPECT_TRUE(failed(write(path)));
  EXPECT_TRUE(said("it exists, is not empty and has no manifest.json"));
  EXPECT_EQ(list(path), std::vector<std::string>{"thesis.txt"});
  EXPECT_TRUE(failed(write(path + "/thesis.txt")));
  EXPECT_TRUE(said("it is not a directory")) << messages;
  messages.clear();
  EXPECT_TRUE(failed(write(path + "/thesis.txt/below")));
  EXPECT_TRUE(said("cannot write artifact")) << messages;
  EXPECT_TRUE(failed(write("")));
  EXPECT_TRUE(said("the name is empty"));
  EXPECT_EQ(list(scratch.path), std::vector<std::string>{"precious"});
}

TEST_F(ArtifactTest, UnwritableFilesLeaveNothing) {
  // A name that no file system takes, after the directory was made.
  layer.code[0].name = std::string(300, 'x');
  EXPECT_TRUE(failed(write(scratch.file("out"))));
  EXPECT_TRUE(said("cannot write artifact")) << messages;
  EXPECT_TRUE(list(scratch.path).empty());
}

TEST_F(ArtifactTest, RemovesWhatKilledWritersLeft) {
  using namespace llvm::sys;
  // A name that looks like a pattern to LLVM's unique names.
  std::string directory = scratch.file("a%b"), path = directory + "/50%";
  ASSERT_FALSE(fs::create_directory(directory));
  for (const char *name :
       {"50%.tmp-0123abcd", "50%.tmp-0123abc", "50%.tmp-0123abcde",
        "50%.tmp-0123abcg", "51%.tmp-0123abcd", "50%.tmp-live"})
    ASSERT_FALSE(fs::create_directory(directory + "/" + name));
  std::error_code error;
  llvm::raw_fd_ostream(directory + "/50%.tmp-0123abcd/k.so", error) << "half";
  ASSERT_FALSE(error);
  // A file is nobody's staging directory.
  llvm::raw_fd_ostream(directory + "/50%.tmp-11111111", error) << "notes";
  // One of a writer that lives.
  std::string live = directory + "/50%.tmp-22222222";
  ASSERT_FALSE(fs::create_directory(live));
  int descriptor = ::open(live.c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(descriptor, LOCK_EX), 0);

  ASSERT_TRUE(succeeded(write(path))) << messages;
  std::vector<std::string> left = {"50%",
                                   "50%.tmp-0123abc",
                                   "50%.tmp-0123abcde",
                                   "50%.tmp-0123abcg",
                                   "50%.tmp-11111111",
                                   "50%.tmp-22222222",
                                   "50%.tmp-live",
                                   "51%.tmp-0123abcd"};
  EXPECT_EQ(list(directory), left);
  EXPECT_EQ(list(path), contents);
  // It dies, and the next one clears up.
  ::close(descriptor);
  ASSERT_TRUE(succeeded(write(path))) << messages;
  left.erase(llvm::find(left, "50%.tmp-22222222"));
  EXPECT_EQ(list(directory), left);
}

TEST_F(ArtifactTest, KilledInTheMiddle) {
  // Processes that write without end and die at some moment: whatever moment it
  // is, the artifact is whole, and the next writer leaves nothing else.
  std::string path = scratch.file("out");
  layer.code[0].sharedObject = std::string(8 << 20, 'x');
  size_t left = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    ASSERT_TRUE(succeeded(write(path))) << messages;
    ASSERT_EQ(list(scratch.path), std::vector<std::string>{"out"});
    pid_t child = ::fork();
    if (child == 0) {
      while (succeeded(write(path)))
        ;
      ::_exit(1);
    }
    // Some time after it began to write one.
    while (list(scratch.path).size() == 1)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::microseconds(100 * repeat));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(list(path), contents);
    left += list(scratch.path).size() - 1;
  }
  EXPECT_GT(left, 0u) << "no writer died in the middle";
}

TEST_F(ArtifactTest, ManyWriters) {
  std::string path = scratch.file("shared");
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 10; ++repeat)
        failures += failed(write(path));
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(failures, 0) << messages;
  EXPECT_EQ(list(path), contents);
  EXPECT_EQ(list(scratch.path), std::vector<std::string>{"shared"});
}

} // namespace
