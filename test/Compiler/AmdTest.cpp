//===- AmdTest.cpp - Code for AMD GPUs, and what must not become code -----===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "moec/Compiler/AmdgcnEmitter.h"
#include "moec/Compiler/Hsaco.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/FormatVariadic.h"

#include <thread>

using namespace mlir;
using namespace mlir::moe;

namespace {

const char *const allChips[] = {"gfx942", "gfx950", "gfx1100", "gfx1151",
                                "gfx1201"};

/// x[i] = f(x[i]) for the thread of number i; %v is the value, %y the result.
std::string kernelOf(const std::string &body, const std::string &more = "",
                     const std::string &attributes = "") {
  return more + R"(
llvm.func @k(%x: !llvm.ptr<1>) attributes {rocdl.kernel)" +
         attributes + R"(} {
  %i = rocdl.workitem.id.x : i32
  %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %v = llvm.load volatile %p : !llvm.ptr<1> -> f32
  )" + body +
         R"(
  llvm.store volatile %y, %p : f32, !llvm.ptr<1>
  llvm.return
})";
}

class AmdTest : public CompilerTest {
protected:
  FailureOr<std::string> object(StringRef text, StringRef chip = "gfx942",
                                std::vector<std::string> kernels = {"k"},
                                WavesPerSimd *waves = nullptr) {
    OwningOpRef<ModuleOp> module = parse(text);
    if (!module)
      return failure();
    return emitAmdgcnObject(*module, *findAmdChip(chip.str()), kernels, nullptr,
                            waves);
  }
  FailureOr<std::string> hsaco(StringRef text, StringRef chip = "gfx942") {
    FailureOr<std::string> made = object(text, chip);
    if (failed(made))
      return failure();
    return linkHsaco(UnknownLoc::get(&context), *made);
  }
  void accepted(const std::string &text, StringRef chip) {
    messages.clear();
    EXPECT_TRUE(succeeded(object(text, chip)))
        << chip.str() << ": " << messages << text;
  }
  /// That the text is refused with this message, before LLVM sees it.
  void refused(const std::string &text, StringRef message,
               StringRef chip = "gfx942") {
    messages.clear();
    EXPECT_TRUE(failed(object(text, chip))) << chip.str() << text;
    EXPECT_TRUE(said(message)) << chip.str() << ": " << messages;
    EXPECT_FALSE(said("code generation failed")) << messages;
    EXPECT_FALSE(said("LLVM:")) << messages;
    messages.clear();
  }
};

//===----------------------------------------------------------------------===//
// What comes out
//===----------------------------------------------------------------------===//

TEST_F(AmdTest, EveryChipHasItsCode) {
  std::string kernel = kernelOf("%y = llvm.fadd %v, %v : f32");
  const unsigned machines[] = {llvm::ELF::EF_AMDGPU_MACH_AMDGCN_GFX942,
                               llvm::ELF::EF_AMDGPU_MACH_AMDGCN_GFX950,
                               llvm::ELF::EF_AMDGPU_MACH_AMDGCN_GFX1100,
                               llvm::ELF::EF_AMDGPU_MACH_AMDGCN_GFX1151,
                               llvm::ELF::EF_AMDGPU_MACH_AMDGCN_GFX1201};
  for (auto [chip, machine] : llvm::zip_equal(allChips, machines)) {
    FailureOr<std::string> code = hsaco(kernel, chip);
    ASSERT_TRUE(succeeded(code)) << chip << messages;
    uint32_t flags;
    memcpy(&flags, code->data() + 48, sizeof(flags));
    EXPECT_EQ(flags & llvm::ELF::EF_AMDGPU_MACH, machine) << chip;
    auto kernels = readHsaco(*code);
    ASSERT_TRUE(bool(kernels)) << llvm::toString(kernels.takeError());
    ASSERT_EQ(kernels->size(), 1u);
    const HsacoKernel &only = kernels->front();
    EXPECT_EQ(only.name, "k");
    EXPECT_GT(only.vgprs, 0);
    EXPECT_GT(only.sgprs, 0);
    EXPECT_EQ(only.agprs, 0);
    EXPECT_EQ(only.lds, 0);
    EXPECT_EQ(only.scratch, 0);
    EXPECT_EQ(only.vgprSpills, 0);
    EXPECT_EQ(only.sgprSpills, 0);
    EXPECT_FALSE(only.dynamicStack);
    EXPECT_EQ(only.kernargBytes, 8);
    EXPECT_EQ(only.wave, StringRef(chip).starts_with("gfx9") ? 64 : 32);
  }
}

TEST_F(AmdTest, TheLaunchDecidesTheBlock) {
  std::string kernel =
      kernelOf("%y = llvm.fadd %v, %v : f32", "",
               ", moe.launch = {block = array<i64: 96, 2, 1>}");
  FailureOr<std::string> code = hsaco(kernel);
  ASSERT_TRUE(succeeded(code)) << messages;
  auto kernels = readHsaco(*code);
  ASSERT_TRUE(bool(kernels)) << llvm::toString(kernels.takeError());
  EXPECT_EQ(kernels->front().maxThreads, 192);
  // Two waves of 1024 threads have a quarter of the registers each.
  OwningOpRef<ModuleOp> module = parse(kernel);
  FailureOr<std::string> text =
      emitAmdgcnAssembly(*module, *findAmdChip("gfx942"), {"k"});
  ASSERT_TRUE(succeeded(text)) << messages;
  EXPECT_TRUE(StringRef(*text).contains(".max_flat_workgroup_size: 192"))
      << *text;
  text = emitAmdgcnLLVMText(*module, *findAmdChip("gfx942"), {"k"});
  ASSERT_TRUE(succeeded(text)) << messages;
  EXPECT_TRUE(StringRef(*text).contains("amdgpu_kernel void @k(")) << *text;
}

/// LDS for blocks of 256 threads decides how many waves a SIMD has.
TEST_F(AmdTest, Occupancy) {
  auto waves = [&](int64_t bytes, StringRef chip) {
    std::string kernel = kernelOf(
        R"(%s = llvm.mlir.addressof @lds : !llvm.ptr<3>
  %q = llvm.getelementptr %s[%i] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
  llvm.store volatile %v, %q : f32, !llvm.ptr<3>
  %y = llvm.load volatile %q : !llvm.ptr<3> -> f32)",
        llvm::formatv(
            "llvm.mlir.global internal @lds() {{addr_space = 3 : i32} "
            ": !llvm.array<{0} x i8>",
            bytes),
        ", moe.launch = {block = array<i64: 256, 1, 1>}");
    WavesPerSimd result;
    EXPECT_TRUE(succeeded(object(kernel, chip, {"k"}, &result))) << messages;
    EXPECT_EQ(result.size(), 1u);
    return result["k"];
  };
  EXPECT_EQ(waves(1024, "gfx942"), 8);
  EXPECT_EQ(waves(18432, "gfx942"), 3);
  EXPECT_EQ(waves(65536, "gfx942"), 1);
  EXPECT_EQ(waves(18432, "gfx950"), 8);
  EXPECT_EQ(waves(65536, "gfx950"), 2);
  EXPECT_EQ(waves(1024, "gfx1100"), 16);
  EXPECT_EQ(waves(65536, "gfx1100"), 4);
}

TEST_F(AmdTest, TheSameModuleGivesTheSameBytes) {
  std::string kernel = kernelOf("%y = llvm.intr.exp(%v) : (f32) -> f32");
  FailureOr<std::string> first = hsaco(kernel);
  ASSERT_TRUE(succeeded(first)) << messages;
  OwningOpRef<ModuleOp> module = parse(kernel);
  std::vector<std::string> results(4);
  std::vector<std::thread> threads;
  for (std::string &result : results)
    threads.emplace_back([&] {
      FailureOr<std::string> made =
          emitAmdgcnObject(*module, *findAmdChip("gfx942"), {"k"});
      if (succeeded(made))
        if (auto linked = linkHsaco(module->getLoc(), *made); succeeded(linked))
          result = *linked;
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const std::string &result : results)
    EXPECT_EQ(result, *first);
}

TEST_F(AmdTest, OnlyWhatIsLaunchedStays) {
  std::string text = kernelOf("%y = llvm.call @f(%v) : (f32) -> f32",
                              R"(llvm.func @f(%a: f32) -> f32 {
  %b = llvm.fmul %a, %a : f32
  llvm.return %b : f32
}
llvm.func @other(%x: !llvm.ptr<1>) attributes {rocdl.kernel} {
  llvm.return
})");
  FailureOr<std::string> code = hsaco(text);
  ASSERT_TRUE(succeeded(code)) << messages;
  auto kernels = readHsaco(*code);
  ASSERT_TRUE(bool(kernels)) << llvm::toString(kernels.takeError());
  ASSERT_EQ(kernels->size(), 1u);
  EXPECT_EQ(kernels->front().name, "k");
}

//===----------------------------------------------------------------------===//
// Kernels and functions
//===----------------------------------------------------------------------===//

TEST_F(AmdTest, KernelsThatAreNone) {
  std::string text = kernelOf("%y = llvm.fadd %v, %v : f32",
                              "llvm.func @plain() { llvm.return }");
  auto fails = [&](const char *kernel, StringRef message) {
    EXPECT_TRUE(failed(object(text, "gfx942", {kernel})));
    EXPECT_TRUE(said(message)) << messages;
    messages.clear();
  };
  fails("absent", "kernel 'absent' is launched but not defined");
  fails("plain", "'plain' is launched but has no rocdl.kernel");
}

TEST_F(AmdTest, FunctionsWithoutCode) {
  auto body = [](const char *text) { return kernelOf(text); };
  refused(body("%y = llvm.intr.tan(%v) : (f32) -> f32"),
          "needs the function 'tan', for which there is no code; on AMD GPUs "
          "it must be computed from operations that have an instruction");
  refused(body("%y = llvm.intr.pow(%v, %v) : (f32, f32) -> f32"),
          "needs the function 'pow'");
  refused(body(R"(%d = llvm.fpext %v : f32 to f64
  %e = llvm.intr.exp(%d) : (f64) -> f64
  %y = llvm.fptrunc %e : f64 to f32)"),
          "needs the function 'exp' of f64, for which there is no code");
  std::string declared = "llvm.func @__ocml_tanh_f32(f32) -> f32";
  refused(
      kernelOf("%y = llvm.call @__ocml_tanh_f32(%v) : (f32) -> f32", declared),
      "calls '__ocml_tanh_f32', which is not defined in the module");
  refused(body("%f = llvm.mlir.zero : !llvm.ptr\n  %y = llvm.call %f(%v) : "
               "!llvm.ptr, (f32) -> f32"),
          "is indirect, which kernels may not be");
  refused(body("%c = rocdl.grid.dim.y : i64\n  %d = llvm.trunc %c : i64 to "
               "i32\n  %y = llvm.bitcast %d : i32 to f32"),
          "which is not defined");
  refused(body("%y = arith.addf %v, %v : f32"),
          "is not lowered to the LLVM or ROCDL dialect");
  refused(body("%t = nvvm.read.ptx.sreg.tid.x : i32\n  %y = llvm.bitcast %t : "
               "i32 to f32"),
          "is not lowered to the LLVM or ROCDL dialect");
}

/// One kernel with everything that the rules let through, for every type.
TEST_F(AmdTest, FunctionsWithCode) {
  std::string text;
  int number = 0;
  auto add = [&](StringRef name, StringRef type, int operands) {
    std::string id = std::to_string(number++);
    std::string convert =
        type == "f32"
            ? "%a" + id + " = llvm.fadd %v, %v : f32"
            : (type == "f64"
                   ? "%a" + id + " = llvm.fpext %v : f32 to f64"
                   : "%a" + id + " = llvm.fptrunc %v : f32 to " + type.str());
    if (type.starts_with("i"))
      convert = "%a" + id + " = llvm.fptosi %v : f32 to " + type.str();
    std::string use = "%a" + id, types = type.str();
    for (int i = 1; i < operands; ++i) {
      use += ", %a" + id;
      types += ", " + type.str();
    }
    text += "  " + convert + "\n  %b" + id + " = llvm.call_intrinsic \"llvm." +
            name.str() + "\"(" + use + ") : (" + types + ") -> " + type.str() +
            "\n  llvm.store volatile %b" + id + ", %p : " + type.str() +
            ", !llvm.ptr<1>\n";
  };
  for (const char *type : {"f16", "bf16", "f32", "f64"}) {
    for (const char *name : {"fabs", "sqrt", "floor", "ceil", "trunc", "rint",
                             "nearbyint", "round", "roundeven", "canonicalize"})
      add(name, type, 1);
    for (const char *name : {"minnum", "maxnum", "minimum", "maximum",
                             "minimumnum", "maximumnum", "copysign"})
      add(name, type, 2);
    for (const char *name : {"fma", "fmuladd"})
      add(name, type, 3);
  }
  for (const char *type : {"f16", "f32"})
    for (const char *name :
         {"exp", "exp2", "exp10", "log", "log2", "log10", "sin", "cos"})
      add(name, type, 1);
  for (const char *type : {"i16", "i32", "i64"}) {
    for (const char *name : {"ctpop", "bitreverse", "bswap"})
      add(name, type, 1);
    for (const char *name :
         {"smin", "smax", "umin", "umax", "sadd.sat", "uadd.sat", "ssub.sat",
          "usub.sat", "sshl.sat", "ushl.sat"})
      add(name, type, 2);
    for (const char *name : {"fshl", "fshr"})
      add(name, type, 3);
  }
  text += "  %y = llvm.fadd %v, %v : f32";
  for (const char *chip : allChips)
    accepted(kernelOf(text), chip);
}

//===----------------------------------------------------------------------===//
// Instructions by chip
//===----------------------------------------------------------------------===//

/// An operation on values that are poison; what matters is its selection.
std::string operation(const std::string &text, const std::string &operands,
                      const std::string &result) {
  std::string body = "%z = llvm.mlir.constant(0 : i32) : i32\n";
  int number = 0;
  StringRef rest(operands);
  SmallVector<StringRef> types;
  rest.split(types, ';', -1, false);
  for (StringRef type : types)
    body += llvm::formatv("  %o{0} = llvm.mlir.poison : {1}\n", number++,
                          type.trim())
                .str();
  if (!result.empty())
    return body + "  %r = " + text +
           "\n  llvm.store volatile %r, %p : " + result +
           ", !llvm.ptr<1>\n  %y = llvm.fadd %v, %v : f32";
  return body + "  " + text + "\n  %y = llvm.fadd %v, %v : f32";
}

struct Instruction {
  std::string text, operands, result;
  /// Chips that have it.
  std::vector<StringRef> chips = {};

  Instruction of(std::vector<StringRef> chips) const {
    return {text, operands, result, chips};
  }
  std::string kernel() const {
    return kernelOf(operation(text, operands, result));
  }
};

/// c + a * b, all of whose operands are poison.
Instruction mfma(const std::string &name, const std::string &ab,
                 const std::string &c) {
  return {"rocdl.mfma." + name + " %o0, %o1, %o2, %z, %z, %z : (" + ab + ", " +
              ab + ", " + c + ", i32, i32, i32) -> " + c,
          ab + ";" + ab + ";" + c, c};
}
Instruction wmma(const std::string &name, const std::string &ab,
                 const std::string &c) {
  return {"rocdl.wmma." + name + " %o0, %o1, %o2 : (" + ab + ", " + ab + ", " +
              c + ") -> " + c,
          ab + ";" + ab + ";" + c, c};
}

TEST_F(AmdTest, EveryChipHasItsInstructions) {
  const std::vector<StringRef> cdna = {"gfx942", "gfx950"}, cdna4 = {"gfx950"},
                               rdna3 = {"gfx1100", "gfx1151"},
                               rdna4 = {"gfx1201"},
                               fp8 = {"gfx942", "gfx950", "gfx1201"};
  const std::string f4 = "vector<4xf32>", f8 = "vector<8xf32>",
                    f16 = "vector<16xf32>";
  const Instruction instructions[] = {
      mfma("f32.16x16x16bf16.1k", "vector<4xi16>", f4).of(cdna),
      mfma("f32.16x16x16f16", "vector<4xf16>", f4).of(cdna),
      mfma("f32.32x32x8bf16.1k", "vector<4xi16>", f16).of(cdna),
      mfma("f32.16x16x32.fp8.fp8", "i64", f4).of(cdna),
      mfma("f32.32x32x16.bf8.fp8", "i64", f16).of(cdna),
      mfma("f32.16x16x32.bf16", "vector<8xbf16>", f4).of(cdna4),
      mfma("f32.32x32x16.f16", "vector<8xf16>", f16).of(cdna4),
      mfma("f32.16x16x8.xf32", "vector<2xf32>", f4).of({"gfx942"}),
      mfma("f32.32x32x4bf16", "vector<2xi16>", f16).of({}),
      wmma("f32.16x16x16.bf16", "vector<16xi16>", f8).of(rdna3),
      wmma("f32.16x16x16.f16", "vector<8xf16>", f8).of(rdna4),
      wmma("f32.16x16x16.fp8_fp8", "vector<2xi32>", f8).of(rdna4),
      {"rocdl.cvt.pk.f32.fp8 %o0[false] : vector<2xf32>", "i32",
       "vector<2xf32>", fp8},
      {"rocdl.cvt.pk.fp8.f32 %o0, %o1 -> %o2[false] : i32", "f32;f32;i32",
       "i32", fp8},
      {"rocdl.permlane32.swap %o0, %o1, false, false : (i32, i32) -> "
       "!llvm.struct<(i32, i32)>",
       "i32;i32", "!llvm.struct<(i32, i32)>", cdna4},
      {"rocdl.s.waitcnt 0", "", "", {"gfx942", "gfx950", "gfx1100", "gfx1151"}},
      {"rocdl.s.wait.dscnt 0", "", "", rdna4},
      {"rocdl.s.barrier.signal id = -1", "", "", rdna4},
      {"rocdl.s.barrier.wait id = -1", "", "", rdna4},
      {"rocdl.s.barrier",
       "",
       "",
       {"gfx942", "gfx950", "gfx1100", "gfx1151", "gfx1201"}},
  };
  for (const Instruction &instruction : instructions) {
    std::string text = kernelOf(
        operation(instruction.text, instruction.operands, instruction.result));
    for (StringRef chip : allChips)
      if (llvm::is_contained(instruction.chips, chip))
        accepted(text, chip);
      else
        refused(text, "' op ", chip);
  }
}

TEST_F(AmdTest, WhatIsSaidOfInstructions) {
  Instruction product =
      wmma("f32.16x16x16.f16", "vector<8xf16>", "vector<8xf32>");
  refused(product.kernel(),
          "'rocdl.wmma.f32.16x16x16.f16' op is an instruction that gfx942 "
          "(CDNA3, MI300X) does not have; RDNA3, RDNA4 have it");
  refused(product.kernel(),
          "has an operand of 128 bits per lane; on gfx1100 (RDNA3, RX 7900 "
          "XTX) it has 256",
          "gfx1100");
  refused(mfma("f32.32x32x4bf16", "vector<2xi16>", "vector<16xf32>").kernel(),
          "is an instruction that gfx950 (CDNA4, MI355X) does not have",
          "gfx950");
  refused(kernelOf("%y = llvm.call_intrinsic \"llvm.amdgcn.tanh.f32\"(%v) : "
                   "(f32) -> f32"),
          "is an instruction that gfx942 (CDNA3, MI300X) does not have");
}

TEST_F(AmdTest, DirectToLds) {
  auto kernel = [](int bytes) {
    return kernelOf(
        llvm::formatv(R"(%s = llvm.mlir.addressof @lds : !llvm.ptr<3>
  rocdl.global.load.lds %p, %s, {0}, 0, 0
  %y = llvm.fadd %v, %v : f32)",
                      bytes),
        "llvm.mlir.global internal @lds() {addr_space = 3 : i32, alignment = "
        "16 "
        ": i64} : !llvm.array<4096 x i8>");
  };
  accepted(kernel(4), "gfx942");
  accepted(kernel(4), "gfx950");
  accepted(kernel(16), "gfx950");
  refused(kernel(16), "brings 16 bytes per lane to LDS; on gfx942 (CDNA3, "
                      "MI300X) it can be 1, 2, 4");
  refused(kernel(8),
          "brings 8 bytes per lane to LDS; on gfx950 (CDNA4, "
          "MI355X) it can be 1, 2, 4, 12, 16",
          "gfx950");
  refused(kernel(4), "CDNA3, CDNA4 have it", "gfx1100");
}

TEST_F(AmdTest, Dpp) {
  auto kernel = [](int control) {
    return kernelOf(llvm::formatv(
        "%y = rocdl.update.dpp %v, %v with {0}, 15, 15, false : f32", control));
  };
  for (const char *chip : allChips)
    accepted(kernel(0x111), chip);
  accepted(kernel(0x142), "gfx942");
  refused(kernel(0x142), "has the DPP control 322, which crosses rows",
          "gfx1100");
  accepted(kernel(0x161), "gfx1201");
  refused(kernel(0x161), "has the DPP control 353, a row mask", "gfx950");
}

/// LDS counts by kernel, through functions and constants.
TEST_F(AmdTest, LdsOverTheLimit) {
  std::string globals = R"(
llvm.mlir.global internal @a() {addr_space = 3 : i32} : !llvm.array<40000 x i8>
llvm.mlir.global internal @b() {addr_space = 3 : i32} : !llvm.array<30000 x i8>
llvm.func @touch(%i: i32, %v: f32) attributes {no_inline} {
  %s = llvm.mlir.addressof @a : !llvm.ptr<3>
  %q = llvm.getelementptr %s[%i] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
  llvm.store volatile %v, %q : f32, !llvm.ptr<3>
  llvm.return
}
llvm.func @l(%x: !llvm.ptr<1>, %v: f32) attributes {rocdl.kernel} {
  %s = llvm.mlir.addressof @b : !llvm.ptr<3>
  llvm.store volatile %v, %s : f32, !llvm.ptr<3>
  llvm.return
})";
  std::string one =
      kernelOf("llvm.call @touch(%i, %v) : (i32, f32) -> ()\n  %y "
               "= llvm.fadd %v, %v : f32",
               globals);
  EXPECT_TRUE(succeeded(object(one, "gfx942", {"k", "l"}))) << messages;
  std::string both = kernelOf(R"(llvm.call @touch(%i, %v) : (i32, f32) -> ()
  %s = llvm.mlir.addressof @b : !llvm.ptr<3>
  llvm.store volatile %v, %s : f32, !llvm.ptr<3>
  %y = llvm.fadd %v, %v : f32)",
                              globals);
  refused(both, "kernel 'k' uses 70000 bytes of LDS, a block on gfx942 (CDNA3, "
                "MI300X) has at most 65536");
  accepted(both, "gfx950");
}

//===----------------------------------------------------------------------===//
// Code objects
//===----------------------------------------------------------------------===//

TEST_F(AmdTest, BrokenCodeObjects) {
  FailureOr<std::string> code = hsaco(kernelOf("%y = llvm.fadd %v, %v : f32"));
  ASSERT_TRUE(succeeded(code)) << messages;
  auto says = [](StringRef bytes) {
    auto kernels = readHsaco(bytes);
    return kernels ? std::string("good") : llvm::toString(kernels.takeError());
  };
  EXPECT_EQ(says(*code), "good");
  EXPECT_TRUE(StringRef(says("")).starts_with("no HSACO: ")) << says("");
  EXPECT_TRUE(StringRef(says("no ELF at all")).starts_with("no HSACO: "));
  std::string other = *code;
  other[18] = 62;
  other[19] = 0;
  EXPECT_EQ(says(other), "no HSACO: it is for machine 62, not for AMD GPUs");
  // Cut anywhere and with any byte changed: an error or other numbers, no
  // crash.
  for (size_t length = 0; length < code->size(); length += 7)
    (void)says(StringRef(*code).take_front(length));
  for (size_t at = 0; at < code->size(); ++at) {
    std::string damaged = *code;
    damaged[at] = static_cast<char>(~damaged[at]);
    (void)says(damaged);
  }
  EXPECT_TRUE(failed(linkHsaco(UnknownLoc::get(&context), "no object")));
  EXPECT_TRUE(said("linking failed: ")) << messages;
}

} // namespace
