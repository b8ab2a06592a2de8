// Four tokens have two slots each, slot s of token s / 2. Each block writes a row
// for every token and counts it for that token by a thread of its own; whoever
// completes the count of a token sums its rows and tells the block by a word of
// the token. Nobody waits for another block.

// RUN: %emulate %s | FileCheck %s
// RUN: %emulate %s --seed=1 | FileCheck %s
// RUN: %emulate %s --seed=2 | FileCheck %s
// CHECK: check fill: rel_err=0.00e+00
// CHECK: clean

module attributes {
  emu.buffers = [{name = "rows", type = "f32", size = 512, init = "none"},
                 {name = "out", type = "f32", size = 256, init = "none"},
                 {name = "counters", type = "i32", size = 4, init = "zero"}],
  emu.launches = [{kernel = "sum", grid = [2], block = [64], smem = 16,
                   args = [{buffer = "rows"}, {buffer = "out"}, {buffer = "counters"}]}],
  emu.checks = [{op = "fill", buffer = "out", value = 3.0}]
} {
  llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<0 x i8>
  llvm.func @sum(%rows: !llvm.ptr<1>, %out: !llvm.ptr<1>, %counters: !llvm.ptr<1>)
      attributes {nvvm.kernel, nvvm.reqntid = array<i32: 64>} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c4 = arith.constant 4 : i32
    %cn1 = arith.constant -1 : i32
    %c64 = arith.constant 64 : i32
    %c128 = arith.constant 128 : i32

    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %block = nvvm.read.ptx.sreg.ctaid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    // Block b stores row b of each token, all of b + 1.
    %next = arith.addi %block, %c1 : i32
    %value = arith.sitofp %next : i32 to f32
    scf.for %t = %c0 to %c4 step %c1 : i32 {
      %first = arith.muli %t, %c128 : i32
      %mine = arith.muli %block, %c64 : i32
      %row = arith.addi %first, %mine : i32
      %at = arith.addi %row, %tid : i32
      %to = llvm.getelementptr %rows[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      llvm.store %value, %to : f32, !llvm.ptr<1>
    }
    nvvm.barrier
    // Four threads, of which each counts for one token.
    %counts = arith.cmpi ult, %tid, %c4 : i32
    scf.if %counts {
      %counter = llvm.getelementptr %counters[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
      llvm.fence syncscope("device") release
      %before = llvm.atomicrmw add %counter, %c1 syncscope("device") monotonic : !llvm.ptr<1>, i32
      llvm.fence syncscope("device") acquire
      %isLast = arith.cmpi eq, %before, %c1 : i32 // mutate: %c1 => %c0
      %word = arith.select %isLast, %tid, %cn1 : i32
      %told = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
      llvm.store %word, %told : i32, !llvm.ptr<3>
    }
    nvvm.barrier
    scf.for %t = %c0 to %c4 step %c1 : i32 {
      %told = llvm.getelementptr %smem[%t] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
      %token = llvm.load %told : !llvm.ptr<3> -> i32
      %sums = arith.cmpi sge, %token, %c0 : i32
      scf.if %sums {
        %first = arith.muli %token, %c128 : i32
        %one = arith.addi %first, %tid : i32
        %two = arith.addi %one, %c64 : i32
        %from = llvm.getelementptr %rows[%one] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
        %from2 = llvm.getelementptr %rows[%two] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
        %v = llvm.load %from : !llvm.ptr<1> -> f32
        %v2 = llvm.load %from2 : !llvm.ptr<1> -> f32
        %total = arith.addf %v, %v2 : f32
        %base = arith.muli %token, %c64 : i32
        %here = arith.addi %base, %tid : i32
        %place = llvm.getelementptr %out[%here] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
        llvm.store %total, %place : f32, !llvm.ptr<1>
      }
    }
    llvm.return
  }
}
