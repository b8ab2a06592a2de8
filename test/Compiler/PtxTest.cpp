//===- PtxTest.cpp - PTX of kernels, and what must not become PTX ---------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "mlir/Pass/PassManager.h"
#include "moec/Compiler/NvptxEmitter.h"
#include "moec/Pipelines/NvvmToLLVM.h"
#include "llvm/ADT/StringExtras.h"

#include <thread>

using namespace mlir;
using namespace mlir::moe;

namespace {

/// x[i] = f(x[i]) for the thread of number i; %v is the value, %y the result.
std::string kernelOf(const std::string &body, const std::string &more = "") {
  return more + R"(
llvm.func @k(%x: !llvm.ptr<1>) attributes {nvvm.kernel} {
  %i = nvvm.read.ptx.sreg.tid.x : i32
  %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %v = llvm.load %p : !llvm.ptr<1> -> f32
  )" + body +
         R"(
  llvm.store %y, %p : f32, !llvm.ptr<1>
  llvm.return
})";
}

class PtxTest : public CompilerTest {
protected:
  /// Lowered and emitted; the diagnostics are in `messages`.
  FailureOr<std::string> make(StringRef text, StringRef chip = "sm_90a",
                              std::vector<std::string> kernels = {"k"},
                              bool lower = true) {
    OwningOpRef<ModuleOp> module = parse(text);
    if (!module)
      return failure();
    PassManager passes(&context);
    if (lower)
      buildNvvmToLLVMPipeline(passes);
    if (failed(passes.run(*module)))
      return failure();
    return emitPtx(*module, *findNvidiaChip(chip), kernels);
  }
  /// The PTX of a kernel of this body.
  std::string ptx(const std::string &body, const std::string &more = "") {
    FailureOr<std::string> text = make(kernelOf(body, more));
    EXPECT_TRUE(succeeded(text)) << body;
    return succeeded(text) ? *text : "";
  }
  /// That the body is refused with this message, before LLVM sees it.
  void refused(const std::string &body, StringRef message,
               const std::string &more = "") {
    messages.clear();
    EXPECT_TRUE(failed(make(kernelOf(body, more)))) << body;
    EXPECT_TRUE(said(message)) << messages;
    EXPECT_FALSE(said("PTX generation failed")) << messages;
    messages.clear();
  }
};

bool has(StringRef text, StringRef part) { return text.contains(part); }

//===----------------------------------------------------------------------===//
// What comes out
//===----------------------------------------------------------------------===//

TEST_F(PtxTest, EveryChipHasItsHeader) {
  std::string kernel = kernelOf("%y = llvm.fadd %v, %v : f32");
  struct {
    const char *chip, *target, *version;
  } cases[] = {{"sm_80", ".target sm_80\n", ".version 8.0"},
               {"sm_89", ".target sm_89\n", ".version 8.4"},
               {"sm_90a", ".target sm_90a\n", ".version 8.6"},
               {"sm_100a", ".target sm_100a\n", ".version 8.6"},
               {"sm_120", ".target sm_120\n", ".version 8.7"}};
  for (auto [chip, target, version] : cases) {
    FailureOr<std::string> text = make(kernel, chip);
    ASSERT_TRUE(succeeded(text)) << chip;
    EXPECT_TRUE(has(*text, target)) << *text;
    EXPECT_TRUE(has(*text, version)) << *text;
    EXPECT_TRUE(has(*text, ".visible .entry k(")) << *text;
  }
  EXPECT_EQ(findNvidiaChip("sm_90"), nullptr);
}

TEST_F(PtxTest, OneModuleGivesOneText) {
  std::string body = "%y = math.tanh %v : f32";
  std::string first = ptx(body);
  EXPECT_EQ(first, ptx(body));
  EXPECT_FALSE(first.empty());
  // Several threads of one context.
  OwningOpRef<ModuleOp> module = parse(kernelOf("%y = llvm.fmul %v, %v : f32"));
  std::string texts[4];
  std::vector<std::thread> threads;
  for (std::string &text : texts)
    threads.emplace_back([&] {
      FailureOr<std::string> made =
          emitPtx(*module, *findNvidiaChip("sm_90a"), {"k"});
      text = succeeded(made) ? *made : "failed";
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const std::string &text : texts) {
    EXPECT_EQ(text, texts[0]);
    EXPECT_TRUE(has(text, "mul.rn.f32")) << text;
  }
}

TEST_F(PtxTest, OnlyLaunchedKernelsStay) {
  std::string text = R"(
llvm.mlir.global external @dyn_smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
llvm.func @help(%v: f32) -> f32 {
  %y = llvm.fadd %v, %v : f32
  llvm.return %y : f32
}
llvm.func @idle(%x: !llvm.ptr<1>) attributes {nvvm.kernel} { llvm.return }
llvm.func @k(%x: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.reqntid = array<i32: 128>} {
  %s = llvm.mlir.addressof @dyn_smem : !llvm.ptr<3>
  %v = llvm.load %s : !llvm.ptr<3> -> f32
  %y = llvm.call @help(%v) : (f32) -> f32
  llvm.store %y, %x : f32, !llvm.ptr<1>
  llvm.return
})";
  FailureOr<std::string> made = make(text);
  ASSERT_TRUE(succeeded(made));
  EXPECT_TRUE(has(*made, ".reqntid 128"));
  EXPECT_TRUE(has(*made, ".extern .shared .align 1024 .b8 dyn_smem[]"));
  EXPECT_FALSE(has(*made, "help")) << *made;
  EXPECT_FALSE(has(*made, "idle")) << *made;
  messages.clear();
}

TEST_F(PtxTest, MathBecomesInstructions) {
  // One instruction for a power of two, and no call anywhere.
  EXPECT_TRUE(has(ptx("%y = math.exp2 %v : f32"), "ex2.approx"));
  EXPECT_TRUE(has(ptx("%y = math.exp %v : f32"), "ex2.approx"));
  EXPECT_TRUE(has(ptx("%y = math.sqrt %v : f32"), "sqrt.rn.f32"));
  EXPECT_TRUE(has(ptx("%y = math.fma %v, %v, %v : f32"), "fma.rn.f32"));
  for (const char *name :
       {"tanh",  "erf",  "log",   "log2", "log1p", "expm1",
        "sin",   "cos",  "atan",  "sinh", "cosh",  "tan",
        "rsqrt", "absf", "floor", "ceil", "round", "roundeven",
        "trunc", "asin", "acos",  "cbrt"}) {
    std::string text = ptx("%y = math." + std::string(name) + " %v : f32");
    EXPECT_FALSE(has(text, "call")) << name << "\n" << text;
    EXPECT_FALSE(has(text, ".extern")) << name << "\n" << text;
  }
  EXPECT_FALSE(has(ptx("%y = math.powf %v, %v : f32"), "call"));
  // In bf16 and f16 through f32, vectors lane by lane.
  std::string half = ptx("%h = arith.truncf %v : f32 to bf16\n"
                         "%e = math.exp %h : bf16\n"
                         "%y = arith.extf %e : bf16 to f32");
  EXPECT_TRUE(has(half, "ex2.approx.ftz.f32") || has(half, "ex2.approx.f32"))
      << half;
  std::string two =
      ptx("%u = arith.addf %v, %v : f32\n"
          "%w = vector.from_elements %v, %u : vector<2xf32>\n"
          "%e = math.exp %w : vector<2xf32>\n"
          "%h = arith.truncf %e : vector<2xf32> to vector<2xbf16>\n"
          "%y = llvm.bitcast %h : vector<2xbf16> to f32");
  EXPECT_TRUE(has(two, "cvt.rn.bf16x2.f32")) << two;
}

TEST_F(PtxTest, SigmoidDividesByAnInstruction) {
  std::string text = ptx("%one = arith.constant 1.0 : f32\n"
                         "%n = arith.negf %v : f32\n"
                         "%e = math.exp %n : f32\n"
                         "%d = arith.addf %e, %one : f32\n"
                         "%y = arith.divf %v, %d : f32");
  EXPECT_TRUE(has(text, "div.approx.f32")) << text;
  // Other divisions stay exact.
  EXPECT_TRUE(has(ptx("%c = arith.constant 3.0 : f32\n"
                      "%d = arith.addf %v, %c : f32\n"
                      "%y = arith.divf %v, %d : f32"),
                  "div.rn.f32"));
}

TEST_F(PtxTest, LoopsAndIntegers) {
  std::string text = ptx(R"(%n = arith.constant 7 : i32
    %one = arith.constant 1 : i32
    %c = arith.ceildivsi %i, %n : i32
    %y = scf.for %j = %one to %c step %one iter_args(%a = %v) -> (f32) : i32 {
      %b = arith.mulf %a, %v : f32
      scf.yield %b : f32
    })");
  EXPECT_TRUE(has(text, "mul.rn.f32")) << text;
  EXPECT_TRUE(has(text, "bra")) << text;
}

//===----------------------------------------------------------------------===//
// What is refused
//===----------------------------------------------------------------------===//

TEST_F(PtxTest, FunctionsWithoutInstructions) {
  // Each of them ends the process in the back end.
  for (const char *name :
       {"exp", "log", "log2", "log10", "sin", "cos", "exp10"})
    refused("%y = llvm.intr." + std::string(name) + "(%v) : (f32) -> f32",
            "needs the function '" + std::string(name) +
                "', for which there is no code");
  refused("%y = llvm.intr.tanh(%v) : (f32) -> f32", "function 'tanh'");
  refused("%y = llvm.intr.pow(%v, %v) : (f32, f32) -> f32", "function 'pow'");
  refused("%y = llvm.call_intrinsic \"llvm.tanh.f32\"(%v) : (f32) -> f32",
          "function 'tanh'");
  refused("%d = llvm.fpext %v : f32 to f64\n"
          "%e = llvm.intr.exp2(%d) : (f64) -> f64\n"
          "%y = llvm.fptrunc %e : f64 to f32",
          "function 'exp2' of f64");
  refused("%y = llvm.call @erff(%v) : (f32) -> f32",
          "calls 'erff', which is not defined in the module",
          "llvm.func @erff(f32) -> f32");
  // Several are all named.
  messages.clear();
  EXPECT_TRUE(failed(make(kernelOf("%a = llvm.intr.tanh(%v) : (f32) -> f32\n"
                                   "%y = llvm.intr.cos(%a) : (f32) -> f32"))));
  EXPECT_TRUE(said("'tanh'") && said("'cos'")) << messages;
  messages.clear();
}

TEST_F(PtxTest, IndirectCalls) {
  refused("%a = llvm.mlir.addressof @help : !llvm.ptr\n"
          "%y = llvm.call %a(%v) : !llvm.ptr, (f32) -> f32",
          "is indirect",
          "llvm.func @help(%v: f32) -> f32 { llvm.return %v : f32 }");
}

TEST_F(PtxTest, OrderedAtomics) {
  for (const char *order : {"acquire", "release", "acq_rel", "seq_cst"})
    refused("%y = llvm.atomicrmw fadd %p, %v " + std::string(order) +
                " : !llvm.ptr<1>, f32",
            "has the order '" + std::string(order) + "'");
  EXPECT_TRUE(has(ptx("%y = llvm.atomicrmw fadd %p, %v monotonic : "
                      "!llvm.ptr<1>, f32"),
                  ".add"));
}

TEST_F(PtxTest, OtherDialects) {
  refused("%m = memref.alloc() : memref<4xf32>\n"
          "%c = arith.constant 0 : index\n"
          "%y = memref.load %m[%c] : memref<4xf32>",
          "'memref.alloc' op is not lowered to the LLVM or NVVM dialect");
  messages.clear();
  EXPECT_TRUE(failed(make(kernelOf("%y = arith.addf %v, %v : f32"), "sm_90a",
                          {"k"}, /*lower=*/false)));
  EXPECT_TRUE(said("'arith.addf' op is not lowered")) << messages;
  messages.clear();
}

TEST_F(PtxTest, KernelsThatAreNone) {
  EXPECT_TRUE(failed(make(kernelOf("%y = llvm.fadd %v, %v : f32"), "sm_90a",
                          {"k", "absent"})));
  EXPECT_TRUE(said("kernel 'absent' is launched but not defined")) << messages;
  messages.clear();
  EXPECT_TRUE(failed(make("llvm.func @k(%x: i32) { llvm.return }")));
  EXPECT_TRUE(said("'k' is launched but has no nvvm.kernel")) << messages;
  messages.clear();
  EXPECT_TRUE(failed(
      make("llvm.func @\"a-b\"() attributes {nvvm.kernel} { llvm.return }",
           "sm_90a", {"a-b"})));
  EXPECT_TRUE(said("'a-b' is none that PTX takes")) << messages;
  messages.clear();
}

TEST_F(PtxTest, WhatLLVMCannotSelectIsADiagnostic) {
  // setmaxnreg is of sm_90a alone: the back end gives up on sm_90.
  NvidiaChip plain = *findNvidiaChip("sm_90a");
  plain.name = "sm_90";
  OwningOpRef<ModuleOp> module = parse(R"(
llvm.func @k() attributes {nvvm.kernel, nvvm.reqntid = array<i32: 128>} {
  nvvm.setmaxregister decrease 40
  llvm.return
})");
  EXPECT_TRUE(failed(emitPtx(*module, plain, {"k"})));
  EXPECT_TRUE(said("PTX generation failed")) << messages;
  messages.clear();
  EXPECT_TRUE(succeeded(emitPtx(*module, *findNvidiaChip("sm_90a"), {"k"})));
}

} // namespace
