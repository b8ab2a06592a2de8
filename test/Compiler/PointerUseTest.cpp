//===- PointerUseTest.cpp - What kernels need of their pointers -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PointerUse.h"
#include "Support.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

class PointerUseTest : public CompilerTest {
protected:
  /// Of %p, in a kernel with this body.
  int64_t needed(StringRef body) {
    OwningOpRef<ModuleOp> module =
        parse(("llvm.func @k(%p: !llvm.ptr<1>, %i: i32, %s: !llvm.ptr<3>, %q: "
               "!llvm.ptr<1>) {\n"
               "%c0 = arith.constant 0 : i32\n"
               "%c8 = arith.constant 8 : i32\n" +
               body + "\nllvm.return\n}")
                  .str());
    if (!module)
      return -1;
    return getNeededAlignment(*module->getOps<LLVM::LLVMFuncOp>().begin(), 0);
  }
};

TEST_F(PointerUseTest, KindsOfAccesses) {
  EXPECT_EQ(needed(""), 1);
  EXPECT_EQ(needed("%v = llvm.load %p : !llvm.ptr<1> -> i8"), 1);
  EXPECT_EQ(needed("%v = llvm.load %p : !llvm.ptr<1> -> i32"), 4);
  EXPECT_EQ(needed("%v = llvm.load %p : !llvm.ptr<1> -> vector<8xbf16>"), 16);
  EXPECT_EQ(needed("%v = llvm.load %p {alignment = 4 : i64} : !llvm.ptr<1> -> "
                   "vector<8xbf16>"),
            4);
  EXPECT_EQ(needed("llvm.store %i, %p : i32, !llvm.ptr<1>"), 4);
  // Somebody else's address is not the one that is stored.
  EXPECT_EQ(needed("llvm.store %p, %q : !llvm.ptr<1>, !llvm.ptr<1>"), 1);
  EXPECT_EQ(needed("%v = llvm.load %q : !llvm.ptr<1> -> vector<4xi32>"), 1);
  EXPECT_EQ(needed("%v = llvm.atomicrmw add %p, %i monotonic : !llvm.ptr<1>, "
                   "i32"),
            4);
  EXPECT_EQ(needed("nvvm.cp.async.shared.global %s, %p, 16, cache = cg : "
                   "!llvm.ptr<3>, !llvm.ptr<1>"),
            16);
  EXPECT_EQ(needed("nvvm.cp.async.shared.global %s, %p, 8, cache = ca : "
                   "!llvm.ptr<3>, !llvm.ptr<1>"),
            8);
  EXPECT_EQ(needed("nvvm.cp.async.bulk.global.shared.cta %p, %s, %i : "
                   "!llvm.ptr<1>, !llvm.ptr<3>"),
            16);
  EXPECT_EQ(needed("%v = moe_nv.load_nc %p : !llvm.ptr<1> -> vector<2xi32>"),
            8);
  EXPECT_EQ(needed("%v = arith.constant dense<0.0> : vector<4xf32>\n"
                   "moe_nv.red_add %p, %v : !llvm.ptr<1>, vector<4xf32>"),
            16);
  EXPECT_EQ(messages, "");
}

TEST_F(PointerUseTest, WaysToAnAddress) {
  EXPECT_EQ(needed("%a = llvm.getelementptr %p[%i] : (!llvm.ptr<1>, i32) -> "
                   "!llvm.ptr<1>, bf16\n"
                   "%v = llvm.load %a {alignment = 16 : i64} : !llvm.ptr<1> -> "
                   "vector<8xbf16>\n"
                   "%w = llvm.load %p : !llvm.ptr<1> -> i16"),
            16);
  EXPECT_EQ(needed("%a = llvm.addrspacecast %p : !llvm.ptr<1> to !llvm.ptr\n"
                   "%v = llvm.load %a : !llvm.ptr -> i64"),
            8);
  EXPECT_EQ(needed("%c = arith.cmpi eq, %i, %c0 : i32\n"
                   "%a = arith.select %c, %q, %p : !llvm.ptr<1>\n"
                   "%v = llvm.load %a : !llvm.ptr<1> -> i64"),
            8);
  // Around a loop, and out of a branch.
  EXPECT_EQ(needed("%e = scf.for %n = %c0 to %c8 step %c8 iter_args(%a = %p) "
                   "-> (!llvm.ptr<1>) : i32 {\n"
                   "%v = llvm.load %a : !llvm.ptr<1> -> i32\n"
                   "scf.yield %a : !llvm.ptr<1>\n}\n"
                   "%w = llvm.load %e : !llvm.ptr<1> -> i64"),
            8);
  EXPECT_EQ(needed("%c = arith.cmpi eq, %i, %c0 : i32\n"
                   "%e = scf.if %c -> (!llvm.ptr<1>) {\n"
                   "scf.yield %q : !llvm.ptr<1>\n} else {\n"
                   "scf.yield %p : !llvm.ptr<1>\n}\n"
                   "%w = llvm.load %e : !llvm.ptr<1> -> i64"),
            8);
  // An index of the loop is none of its pointers.
  EXPECT_EQ(needed("scf.for %n = %c0 to %i step %c8 : i32 {\n"
                   "%a = llvm.getelementptr %p[%n] : (!llvm.ptr<1>, i32) -> "
                   "!llvm.ptr<1>, i8\n"
                   "%v = llvm.load %a : !llvm.ptr<1> -> i16\n}"),
            2);
  EXPECT_EQ(messages, "");
}

} // namespace
