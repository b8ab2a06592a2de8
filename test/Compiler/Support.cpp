//===- Support.cpp - Kernels for the tests of the compiler ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "moec/Compiler/ObjectEmitter.h"
#include "moec/InitAll.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;

CompilerTest::CompilerTest() {
  DialectRegistry registry;
  registerAllDialects(registry);
  context.appendDialectRegistry(registry);
  registerEmission(context);
  context.getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
    messages += diagnostic.str() + "\n";
    return success();
  });
}

CompilerTest::~CompilerTest() {
  if (HasFailure())
    llvm::errs() << messages;
}

OwningOpRef<ModuleOp> CompilerTest::parse(StringRef text) {
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  EXPECT_TRUE(module) << messages;
  return module;
}

bool CompilerTest::said(StringRef text) const {
  return StringRef(messages).contains(text);
}

ScratchDirectory::ScratchDirectory() {
  SmallString<128> created;
  EXPECT_FALSE(llvm::sys::fs::createUniqueDirectory("moec-test", created));
  path = std::string(created);
}

ScratchDirectory::~ScratchDirectory() {
  llvm::sys::fs::remove_directories(path);
}

const char *const mlir::moe::expKernel = R"(
llvm.func @expf(f32) -> f32
llvm.func @twice(%x: f32) -> f32 {
  %two = llvm.mlir.constant(2.0 : f32) : f32
  %y = llvm.fmul %x, %two : f32
  llvm.return %y : f32
}
llvm.func @exp_rows(%argv: !llvm.ptr, %worker: i64, %workers: i64) {
  %x = llvm.load %argv : !llvm.ptr -> !llvm.ptr
  %yp = llvm.getelementptr %argv[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  %y = llvm.load %yp : !llvm.ptr -> !llvm.ptr
  %tpp = llvm.getelementptr %argv[2] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  %tp = llvm.load %tpp : !llvm.ptr -> !llvm.ptr
  %t = llvm.load %tp : !llvm.ptr -> i64
  %four = llvm.mlir.constant(4 : i64) : i64
  %n = llvm.mul %t, %four : i64
  llvm.br ^head(%worker : i64)
^head(%i: i64):
  %more = llvm.icmp "slt" %i, %n : i64
  llvm.cond_br %more, ^body, ^exit
^body:
  %px = llvm.getelementptr %x[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %v = llvm.load %px : !llvm.ptr -> f32
  %e = llvm.call @expf(%v) : (f32) -> f32
  %d = llvm.call @twice(%e) : (f32) -> f32
  %py = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  llvm.store %d, %py : f32, !llvm.ptr
  %next = llvm.add %i, %workers : i64
  llvm.br ^head(%next : i64)
^exit:
  llvm.return
}
)";
