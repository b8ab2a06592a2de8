//===- EmitTest.cpp - Objects, shared objects and the JIT -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "moec/Compiler/Guard.h"
#include "moec/Compiler/Jit.h"
#include "moec/Compiler/ObjectEmitter.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <cstdlib>
#include <random>
#include <thread>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/lsan_interface.h>
using LeaksExpected = __lsan::ScopedDisabler;
#define MOEC_LEAKS_EXPECTED
#endif
#endif
#ifndef MOEC_LEAKS_EXPECTED
namespace {
/// Where there is a leak checker: what this thread allocates meanwhile may
/// leak.
struct LeaksExpected {
  LeaksExpected() {}
};
} // namespace
#endif

using namespace mlir;
using namespace mlir::moe;

namespace {

using EmitTest = CompilerTest;

const std::vector<std::string> kernels = {"exp_rows"};

std::string manifest(const char *isa) {
  return std::string(R"({"moec": "0", "format": 1, "layer": {"name": "exp"},
    "arguments": [
      {"name": "x", "dtype": "f32", "shape": ["T", 4], "role": "input"},
      {"name": "y", "dtype": "f32", "shape": ["T", 4], "role": "output"}],
    "variants": [{"target": "cpu", "isa": ")") +
         isa + R"(", "tokens": [1, null], "code": "exp.so",
      "launches": [{"kernel": "exp_rows", "args": [{"arg": 0}, {"arg": 1}, {"dim": "T"}]}]}]})";
}

std::vector<float> run(const moec_layer *layer, const std::vector<float> &x) {
  std::vector<float> y(x.size(), std::nanf(""));
  int64_t dims[] = {static_cast<int64_t>(x.size() / 4), 4};
  moec_tensor args[] = {
      {const_cast<float *>(x.data()), MOEC_F32, 2, dims, nullptr},
      {y.data(), MOEC_F32, 2, dims, nullptr}};
  moec_pool *pool = nullptr;
  EXPECT_EQ(moec_pool_create(3, 0, &pool), MOEC_OK);
  EXPECT_EQ(moec_run(layer, pool, args, 2, dims[0], nullptr, 0, nullptr),
            MOEC_OK)
      << moec_last_error();
  moec_pool_destroy(pool);
  return y;
}

std::vector<float> randomInput(size_t size) {
  std::mt19937 generator(7);
  std::uniform_real_distribution<float> uniform(-3, 3);
  std::vector<float> x(size);
  for (float &value : x)
    value = uniform(generator);
  return x;
}

void writeText(const std::string &path, StringRef text) {
  std::error_code error;
  llvm::raw_fd_ostream stream(path, error);
  ASSERT_FALSE(error) << path;
  stream << text;
}

TEST_F(EmitTest, SharedObjectAndJitComputeTheSame) {
  OwningOpRef<ModuleOp> module = parse(expKernel);
  std::vector<float> x = randomInput(4 * 17);
  for (const CpuIsa &isa : getCpuIsas()) {
    if (!moec_cpu_supports(isa.name.str().c_str()))
      continue;
    FailureOr<std::string> object = emitObject(*module, isa, kernels);
    ASSERT_TRUE(succeeded(object)) << messages;
    FailureOr<std::string> shared = linkSharedObject(module->getLoc(), *object);
    ASSERT_TRUE(succeeded(shared)) << messages;

    ScratchDirectory directory;
    writeText(directory.file("exp.so"), *shared);
    writeText(directory.file("manifest.json"), manifest(isa.name.data()));
    moec_layer *layer = nullptr;
    ASSERT_EQ(moec_open(directory.path.c_str(), nullptr, &layer), MOEC_OK)
        << moec_last_error();
    std::vector<float> fromFile = run(layer, x);
    moec_close(layer);

    FailureOr<std::unique_ptr<JitLayer>> jit =
        JitLayer::open(module->getLoc(), manifest(isa.name.data()),
                       JitInput{"exp.so", *object, kernels});
    ASSERT_TRUE(succeeded(jit)) << messages;
    std::vector<float> fromJit = run((*jit)->get(), x);

    EXPECT_EQ(fromFile, fromJit);
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_NEAR(fromFile[i], 2 * std::exp(x[i]), 1e-5 * std::exp(x[i]));
  }
}

TEST_F(EmitTest, ExportsTheKernelsOnly) {
  OwningOpRef<ModuleOp> module = parse(expKernel);
  FailureOr<std::string> object =
      emitObject(*module, *findCpuIsa("x86-64"), kernels);
  ASSERT_TRUE(succeeded(object));
  FailureOr<std::string> shared = linkSharedObject(module->getLoc(), *object);
  ASSERT_TRUE(succeeded(shared)) << messages;
  auto file = llvm::object::ObjectFile::createObjectFile(
      llvm::MemoryBufferRef(*shared, "exp.so"));
  ASSERT_TRUE(static_cast<bool>(file));
  std::vector<std::string> defined, undefined;
  for (auto symbol : cast<llvm::object::ELFObjectFileBase>(**file)
                         .getDynamicSymbolIterators())
    (cantFail(symbol.getFlags()) & llvm::object::SymbolRef::SF_Undefined
         ? undefined
         : defined)
        .push_back(cantFail(symbol.getName()).str());
  EXPECT_EQ(defined, kernels);
  EXPECT_EQ(undefined, std::vector<std::string>{"expf"});
  EXPECT_TRUE(StringRef(*shared).contains("libm.so.6"));
}

TEST_F(EmitTest, SameBytesEveryTime) {
  OwningOpRef<ModuleOp> module = parse(expKernel);
  const CpuIsa &isa = *findCpuIsa("avx512");
  FailureOr<std::string> first = emitObject(*module, isa, kernels);
  ASSERT_TRUE(succeeded(first));
  std::vector<std::string> objects(4), shared(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      if (auto object = emitObject(*module, isa, kernels); succeeded(object)) {
        objects[i] = *object;
        if (auto linked = linkSharedObject(module->getLoc(), *object);
            succeeded(linked))
          shared[i] = *linked;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(objects[i], *first);
    EXPECT_FALSE(shared[i].empty());
    EXPECT_EQ(shared[i], shared[0]);
  }
}

TEST_F(EmitTest, EachIsaUsesItsRegisters) {
  // A loop that any vectoriser takes.
  OwningOpRef<ModuleOp> module = parse(R"(
llvm.func @add(%argv: !llvm.ptr, %worker: i64, %workers: i64) {
  %x = llvm.load %argv : !llvm.ptr -> !llvm.ptr
  %v = llvm.load %x : !llvm.ptr -> vector<32xf32>
  %s = llvm.intr.fmuladd(%v, %v, %v) : (vector<32xf32>, vector<32xf32>, vector<32xf32>) -> vector<32xf32>
  llvm.store %s, %x : vector<32xf32>, !llvm.ptr
  llvm.return
})");
  auto assembly = [&](const char *isa) {
    auto text = emitAssembly(*module, *findCpuIsa(isa), {"add"});
    EXPECT_TRUE(succeeded(text)) << messages;
    return succeeded(text) ? *text : std::string();
  };
  std::string baseline = assembly("x86-64"), avx2 = assembly("avx2"),
              avx512 = assembly("avx512");
  EXPECT_TRUE(StringRef(baseline).contains("mulps"));
  EXPECT_FALSE(StringRef(baseline).contains("ymm"));
  EXPECT_TRUE(StringRef(avx2).contains("vfmadd"));
  EXPECT_TRUE(StringRef(avx2).contains("ymm"));
  EXPECT_FALSE(StringRef(avx2).contains("zmm"));
  EXPECT_TRUE(StringRef(avx512).contains("zmm"));
}

TEST_F(EmitTest, HostIsa) {
  EXPECT_EQ(findCpuIsa("sse9"), nullptr);
#if defined(__x86_64__)
  ASSERT_NE(getHostCpuIsa(), nullptr);
  EXPECT_TRUE(moec_cpu_supports(getHostCpuIsa()->name.str().c_str()));
#endif
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

TEST_F(EmitTest, NamesUndefinedSymbols) {
  OwningOpRef<ModuleOp> module = parse(R"(
llvm.func @malloc(i64) -> !llvm.ptr
llvm.func @launch_missiles(!llvm.ptr)
llvm.func @k(%argv: !llvm.ptr, %worker: i64, %workers: i64) {
  %p = llvm.call @malloc(%worker) : (i64) -> !llvm.ptr
  llvm.store %worker, %p : i64, !llvm.ptr
  llvm.call @launch_missiles(%p) : (!llvm.ptr) -> ()
  llvm.return
})");
  EXPECT_TRUE(
      failed(emitObject(*module, *findCpuIsa("avx2"), std::string("k"))));
  EXPECT_TRUE(said("but need malloc, launch_missiles")) << messages;
}

TEST_F(EmitTest, NamesTheMissingKernel) {
  OwningOpRef<ModuleOp> module = parse(expKernel);
  EXPECT_TRUE(failed(
      emitObject(*module, *findCpuIsa("avx2"), std::string("down_rows"))));
  EXPECT_TRUE(said("kernel 'down_rows' is launched but not defined"));
  messages.clear();
  // A declaration is no kernel either.
  EXPECT_TRUE(
      failed(emitObject(*module, *findCpuIsa("avx2"), std::string("expf"))));
  EXPECT_TRUE(said("kernel 'expf' is launched but not defined"));
}

TEST_F(EmitTest, RefusesOtherDialects) {
  OwningOpRef<ModuleOp> module =
      parse("func.func @k(%x: memref<4xf32>) { return }");
  EXPECT_TRUE(
      failed(emitObject(*module, *findCpuIsa("avx2"), std::string("k"))));
  EXPECT_TRUE(said("func.func")) << messages;
}

TEST_F(EmitTest, BackEndErrorsAreDiagnostics) {
  // An intrinsic of another target: the back end ends the process over it.
  OwningOpRef<ModuleOp> module = parse(R"(
llvm.func @k(%argv: !llvm.ptr, %worker: i64, %workers: i64) {
  %x = llvm.call_intrinsic "llvm.nvvm.read.ptx.sreg.tid.x"() : () -> i32
  llvm.store %x, %argv : i32, !llvm.ptr
  llvm.return
})");
  {
    // The guard leaves the back end by a jump: what it held then is lost.
    LeaksExpected leaks;
    EXPECT_TRUE(
        failed(emitObject(*module, *findCpuIsa("avx2"), std::string("k"))));
  }
  EXPECT_TRUE(said("code generation failed: ")) << messages;
  // The process goes on.
  module = parse(expKernel);
  EXPECT_TRUE(succeeded(emitObject(*module, *findCpuIsa("avx2"), kernels)));
}

TEST_F(EmitTest, InlineAssemblyErrors) {
  OwningOpRef<ModuleOp> module = parse(R"(
llvm.func @k(%argv: !llvm.ptr, %worker: i64, %workers: i64) {
  llvm.inline_asm has_side_effects "no_such_instruction", "" : () -> ()
  llvm.return
})");
  EXPECT_TRUE(
      failed(emitObject(*module, *findCpuIsa("avx2"), std::string("k"))));
  EXPECT_TRUE(said("LLVM: ")) << messages;
}

TEST_F(EmitTest, GuardNests) {
  Location location = UnknownLoc::get(&context);
  EXPECT_TRUE(succeeded(runGuarded(location, "outer", [&] {
    EXPECT_TRUE(failed(runGuarded(location, "inner", []() -> LogicalResult {
      llvm::report_fatal_error("no such thing");
    })));
    return success();
  })));
  EXPECT_EQ(messages, "inner failed: no such thing\n");
  messages.clear();
  EXPECT_TRUE(failed(
      runGuarded(location, "crash", []() -> LogicalResult { std::abort(); })));
  EXPECT_TRUE(said("crash failed: crash with code")) << messages;
}

TEST_F(EmitTest, LinkerRefusesGarbage) {
  EXPECT_TRUE(
      failed(linkSharedObject(UnknownLoc::get(&context), "not an object")));
  EXPECT_TRUE(said("unreadable object")) << messages;
}

TEST_F(EmitTest, JitErrors) {
  OwningOpRef<ModuleOp> module = parse(expKernel);
  FailureOr<std::string> object =
      emitObject(*module, *findCpuIsa("x86-64"), kernels);
  ASSERT_TRUE(succeeded(object));
  Location location = module->getLoc();
  EXPECT_TRUE(failed(JitLayer::open(location, manifest("x86-64"),
                                    JitInput{"exp.so", *object, {"up_rows"}})));
  EXPECT_TRUE(said("up_rows")) << messages;
  messages.clear();
  EXPECT_TRUE(failed(
      JitLayer::open(location, "{}", JitInput{"exp.so", *object, kernels})));
  EXPECT_TRUE(said("format")) << messages;
  EXPECT_TRUE(failed(JitLayer::open(location, manifest("x86-64"),
                                    JitInput{"exp.so", "garbage", kernels})));
}

} // namespace
