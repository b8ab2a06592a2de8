//===- PtxasTest.cpp - The assembler, its messages and its cache ----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "moec/Compiler/Ptxas.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cstdlib>
#include <thread>

using namespace mlir::moe;
using llvm::StringRef;

namespace {

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

TEST(PtxasReport, KernelByKernel) {
  PtxasReport report = parsePtxasReport(
      R"(ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_90a'
ptxas info    : Function properties for a
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 5 barriers, 1024 bytes smem, 400 bytes cmem[0]
ptxas info    : Compile time = 150.500 ms
ptxas info    : Compiling entry function 'b' for 'sm_90a'
ptxas info    : Function properties for b
    88 bytes stack frame, 64 bytes spill stores, 72 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 88 bytes cumulative stack size
)");
  ASSERT_EQ(report.kernels.size(), 2u);
  const KernelResources *a = report.find("a"), *b = report.find("b");
  ASSERT_TRUE(a && b);
  EXPECT_EQ(report.find("c"), nullptr);
  EXPECT_EQ(a->registers, 168);
  EXPECT_EQ(a->barriers, 5);
  EXPECT_EQ(a->sharedMemory, 1024);
  EXPECT_EQ(a->stack, 0);
  EXPECT_DOUBLE_EQ(a->seconds, 0.1505);
  EXPECT_EQ(b->registers, 64);
  EXPECT_EQ(b->stack, 88);
  EXPECT_EQ(b->spillStores, 64);
  EXPECT_EQ(b->spillLoads, 72);
  ASSERT_EQ(report.complaints.size(), 1u);
  EXPECT_EQ(report.complaints[0].kernel, "b");
  EXPECT_EQ(report.complaints[0].reason,
            "spills 64 bytes and loads 72 back, with 64 registers");
}

TEST(PtxasReport, SerialisedProductsAndInjectedWaits) {
  PtxasReport report = parsePtxasReport(
      R"(ptxas info    : (C7517) warpgroup.wait is injected in around line 77 by compiler to allow use of registers defined by GMMA in function 'serial'
ptxas info    : (C7517) warpgroup.wait is injected in around line 77 by compiler to allow use of registers defined by GMMA in function 'serial'
ptxas info    : (C7514) Potential Performance Loss: wgmma.mma_async instructions are serialized due to non wgmma instructions reading accumulator registers of  a wgmma between start and end of the pipeline stage in the function 'serial'
ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable to determine register count at entry.
ptxas info    : Compiling entry function 'serial' for 'sm_90a'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
)");
  ASSERT_EQ(report.complaints.size(), 3u);
  EXPECT_EQ(report.complaints[0].kernel, "serial");
  EXPECT_EQ(report.complaints[0].reason.rfind("C7517: warpgroup.wait is", 0),
            0u);
  EXPECT_EQ(report.complaints[1].kernel, "serial");
  EXPECT_EQ(report.complaints[1].reason,
            "C7514: Potential Performance Loss: wgmma.mma_async instructions "
            "are serialized due to non wgmma instructions reading accumulator "
            "registers of  a wgmma between start and end of the pipeline "
            "stage");
  EXPECT_EQ(report.complaints[2].kernel, "");
  EXPECT_EQ(report.complaints[2].reason,
            "C7508: Potential Performance Loss: 'setmaxnreg' ignored; unable "
            "to determine register count at entry.");
}

TEST(PtxasReport, StackFrameWithoutSpills) {
  PtxasReport report = parsePtxasReport(
      R"(ptxas info    : Compiling entry function 'k' for 'sm_90a'
    432 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers, 432 bytes cumulative stack size
)");
  ASSERT_EQ(report.complaints.size(), 1u);
  EXPECT_EQ(report.complaints[0].reason,
            "has a stack frame of 432 bytes in global memory");
}

//===----------------------------------------------------------------------===//
// Programs that pretend to be ptxas
//===----------------------------------------------------------------------===//

class FakePtxas : public testing::Test {
protected:
  /// A script; "$out" is the file of the code.
  std::string write(StringRef name, StringRef body) {
    std::string path = directory.file(name);
    std::error_code error;
    llvm::raw_fd_ostream os(path, error);
    os << "#!/bin/sh\n"
          "[ \"$1\" = --version ] && { echo 'tools, release 1.2, V1.2.3'; "
          "exit; }\n"
          "for word; do out=$word; done\n"
       << body << "\n";
    os.close();
    llvm::sys::fs::setPermissions(path, llvm::sys::fs::all_all);
    return path;
  }
  Ptxas find(StringRef name, StringRef body) {
    auto found = Ptxas::find(write(name, body));
    EXPECT_TRUE(bool(found)) << llvm::toString(found.takeError());
    EXPECT_TRUE(found->has_value());
    EXPECT_EQ((*found)->getVersion(), "1.2.3");
    return **found;
  }
  std::string failureOf(const Ptxas &ptxas) {
    auto made = ptxas.assemble("text", *findNvidiaChip("sm_90a"));
    EXPECT_FALSE(bool(made));
    return made ? "" : llvm::toString(made.takeError());
  }

  ScratchDirectory directory;
};

bool has(StringRef text, StringRef part) { return text.contains(part); }

TEST_F(FakePtxas, IsFoundOrNot) {
  auto none = Ptxas::find("none");
  ASSERT_TRUE(bool(none));
  EXPECT_FALSE(none->has_value());
  auto absent = Ptxas::find(directory.file("absent"));
  ASSERT_FALSE(bool(absent));
  EXPECT_TRUE(has(llvm::toString(absent.takeError()),
                  "option '--ptxas': '" + directory.file("absent") +
                      "' is no program that can be run"));
  auto other = Ptxas::find("/bin/true");
  ASSERT_FALSE(bool(other));
  EXPECT_TRUE(has(llvm::toString(other.takeError()),
                  "does not tell its version as ptxas does"));
}

TEST_F(FakePtxas, PlacesInTheirOrder) {
  auto path = [](const char *variable) {
    auto *value = std::getenv(variable);
    return std::string(value ? value : "");
  };
  std::string home = path("CUDA_HOME"), named = path("MOEC_PTXAS");
  llvm::sys::fs::create_directory(directory.file("bin"));
  std::string inHome = write("bin/ptxas", "");
  std::string elsewhere = write("mine", "");
  auto where = [] {
    auto found = Ptxas::find();
    EXPECT_TRUE(found && *found);
    std::string result = found && *found ? (*found)->getPath() : "";
    if (!found)
      llvm::consumeError(found.takeError());
    return result;
  };
  unsetenv("MOEC_PTXAS");
  setenv("CUDA_HOME", directory.path.c_str(), 1);
  EXPECT_EQ(where(), inHome);
  setenv("MOEC_PTXAS", elsewhere.c_str(), 1);
  EXPECT_EQ(where(), elsewhere);
  setenv("MOEC_PTXAS", "none", 1);
  auto none = Ptxas::find();
  EXPECT_TRUE(none && !*none);
  setenv("MOEC_PTXAS", directory.file("gone").c_str(), 1);
  auto gone = Ptxas::find();
  ASSERT_FALSE(bool(gone));
  EXPECT_TRUE(has(llvm::toString(gone.takeError()), "MOEC_PTXAS: "));
  named.empty() ? unsetenv("MOEC_PTXAS")
                : setenv("MOEC_PTXAS", named.c_str(), 1);
  home.empty() ? unsetenv("CUDA_HOME") : setenv("CUDA_HOME", home.c_str(), 1);
}

TEST_F(FakePtxas, WaysToFail) {
  EXPECT_EQ(
      failureOf(find("bad", "echo 'ptxas k.ptx, line 7; error   : Unknown "
                            "modifier .x'; exit 255")),
      "ptxas 1.2.3 refuses the PTX: line 7: Unknown modifier .x");
  EXPECT_EQ(failureOf(find("fatal", "echo 'ptxas fatal   : Unsupported "
                                    ".version 9.9' >&2; exit 255")),
            "ptxas 1.2.3 refuses the PTX: Unsupported .version 9.9");
  EXPECT_EQ(failureOf(find("mute", "exit 3")),
            "ptxas 1.2.3 refuses the PTX: exit status 3 without a message");
  EXPECT_TRUE(has(failureOf(find("crash", "kill -SEGV $$")), "crashed"));
  EXPECT_TRUE(has(failureOf(find("nothing", ":")), "kernels.cubin"));
  EXPECT_TRUE(
      has(failureOf(find("empty", ": > $out")), "succeeded without any code"));
}

TEST_F(FakePtxas, TakesTooLong) {
  Ptxas slow = find("slow", "exec sleep 30");
  slow.timeoutSeconds = 0.2;
  auto start = std::chrono::steady_clock::now();
  std::string message = failureOf(slow);
  EXPECT_TRUE(has(message, "took longer than 0.2")) << message;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST_F(FakePtxas, NoPlaceForTemporaryFiles) {
  Ptxas ptxas = find("good", "echo code > $out");
  std::string before = std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "";
  setenv("TMPDIR", directory.file("no/such/place").c_str(), 1);
  std::string message = failureOf(ptxas);
  before.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before.c_str(), 1);
  EXPECT_TRUE(has(message, "cannot create a temporary directory for ptxas"))
      << message;
}

TEST_F(FakePtxas, SeveralThreads) {
  Ptxas ptxas = find("copy", "cat $5 > /dev/null 2>&1; cat $4 > $out; echo x");
  std::vector<std::thread> threads;
  std::string codes[8];
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      auto made = ptxas.assemble("text " + std::to_string(i),
                                 *findNvidiaChip("sm_90a"));
      codes[i] = made ? made->cubin : llvm::toString(made.takeError());
    });
  for (std::thread &thread : threads)
    thread.join();
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(codes[i], "text " + std::to_string(i));
}

//===----------------------------------------------------------------------===//
// Cache
//===----------------------------------------------------------------------===//

class CacheTest : public FakePtxas {
protected:
  /// Counts its runs in a file; the code is the PTX.
  Ptxas counting() {
    return find("count",
                "echo x >> " + directory.file("runs") +
                    "\ncat $4 > $out\n"
                    "echo \"ptxas info    : Compiling entry function 'k'\"\n"
                    "echo '    8 bytes stack frame, 8 bytes spill stores, 8 "
                    "bytes spill loads'\n"
                    "echo 'ptxas info    : Used 42 registers'");
  }
  int64_t runs() {
    uint64_t size = 0;
    return llvm::sys::fs::file_size(directory.file("runs"), size)
               ? 0
               : static_cast<int64_t>(size / 2);
  }
  Assembly assemble(const CubinCache &cache, const Ptxas &ptxas, StringRef ptx,
                    StringRef chip = "sm_90a") {
    warnings.clear();
    auto made = cache.assemble(
        ptxas, ptx, *findNvidiaChip(chip),
        [&](const llvm::Twine &text) { warnings += text.str() + "\n"; });
    EXPECT_TRUE(bool(made)) << llvm::toString(made.takeError());
    return made ? *made : Assembly();
  }
  void overwrite(StringRef path, StringRef text) {
    std::error_code error;
    llvm::raw_fd_ostream os(path, error);
    ASSERT_FALSE(error);
    os << text;
  }
  std::string warnings;
};

TEST_F(CacheTest, SecondTimeWithoutPtxas) {
  Ptxas ptxas = counting();
  CubinCache cache(FileCache(directory.file("deep/cache"), 1 << 20));
  Assembly first = assemble(cache, ptxas, "one");
  EXPECT_FALSE(first.cached);
  Assembly second = assemble(cache, ptxas, "one");
  EXPECT_TRUE(second.cached);
  EXPECT_EQ(runs(), 1);
  EXPECT_EQ(second.cubin, "one");
  EXPECT_EQ(second.cubin, first.cubin);
  EXPECT_EQ(second.messages, first.messages);
  // What was wrong with the code is still wrong.
  ASSERT_EQ(second.report.complaints.size(), 1u);
  EXPECT_FALSE(second.isContent());
  EXPECT_EQ(second.report.find("k")->registers, 42);
  EXPECT_EQ(warnings, "");
  // Another text, another chip, another version: other entries.
  assemble(cache, ptxas, "two");
  EXPECT_EQ(runs(), 2);
  assemble(cache, ptxas, "one", "sm_120");
  EXPECT_EQ(runs(), 3);
}

TEST_F(CacheTest, DamagedEntriesAreMadeAnew) {
  Ptxas ptxas = counting();
  CubinCache cache(FileCache(directory.file("cache"), 1 << 20));
  assemble(cache, ptxas, "text of some length");
  std::string path =
      cache.getPath(ptxas, "text of some length", *findNvidiaChip("sm_90a"));
  auto buffer = llvm::MemoryBuffer::getFile(path);
  ASSERT_TRUE(bool(buffer));
  std::string good = (*buffer)->getBuffer().str();
  std::string flipped = good;
  flipped.back() ^= 1;
  int64_t expected = 1;
  for (const std::string &bad :
       {std::string(), good.substr(0, good.size() / 2),
        good.substr(0, good.size() - 1), good + "x", flipped,
        std::string("moec-cubin 2") + good.substr(12), std::string("\n\n\n")}) {
    overwrite(path, bad);
    Assembly made = assemble(cache, ptxas, "text of some length");
    EXPECT_FALSE(made.cached);
    EXPECT_EQ(made.cubin, "text of some length");
    EXPECT_TRUE(has(warnings, "'" + path + "' is damaged and is made anew"))
        << warnings;
    EXPECT_EQ(runs(), ++expected);
    EXPECT_TRUE(assemble(cache, ptxas, "text of some length").cached);
    EXPECT_EQ(warnings, "");
  }
}

TEST_F(CacheTest, PlaceThatCannotBeWritten) {
  Ptxas ptxas = counting();
  overwrite(directory.file("file"), "");
  CubinCache cache(FileCache(directory.file("file"), 1 << 20));
  EXPECT_EQ(assemble(cache, ptxas, "one").cubin, "one");
  EXPECT_TRUE(has(warnings, "the cache cannot be written")) << warnings;
}

TEST_F(CacheTest, Failure) {
  Ptxas ptxas = find("refuse", "echo 'ptxas fatal   : no'; exit 1");
  CubinCache cache(FileCache(directory.file("cache"), 1 << 20));
  auto made = cache.assemble(ptxas, "x", *findNvidiaChip("sm_90a"),
                             [](const llvm::Twine &) {});
  ASSERT_FALSE(bool(made));
  EXPECT_TRUE(has(llvm::toString(made.takeError()), "refuses the PTX: no"));
  EXPECT_FALSE(llvm::sys::fs::exists(directory.file("cache")));
}

TEST_F(CacheTest, ManyThreadsAndOneEntry) {
  Ptxas ptxas = counting();
  CubinCache cache(FileCache(directory.file("cache"), 1 << 20));
  std::vector<std::thread> threads;
  std::string codes[8];
  for (std::string &code : codes)
    threads.emplace_back([&] {
      auto made = cache.assemble(ptxas, "shared", *findNvidiaChip("sm_90a"),
                                 [](const llvm::Twine &) { std::abort(); });
      code = made ? made->cubin : llvm::toString(made.takeError());
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const std::string &code : codes)
    EXPECT_EQ(code, "shared");
}

} // namespace
