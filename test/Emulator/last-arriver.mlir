// Each block writes a row and adds one to a counter; the one that completes the
// count sums all rows, whoever it is. Each block has two teams of warps with
// a row of their own: teams of one block hand over through memory, too.

// RUN: %emulate %s | FileCheck %s
// RUN: %emulate %s --seed=1 | FileCheck %s
// RUN: %emulate %s --seed=2 | FileCheck %s
// CHECK: check fill: rel_err=0.00e+00
// CHECK: clean

module attributes {
  emu.buffers = [{name = "rows", type = "f32", size = 256, init = "none"},
                 {name = "out", type = "f32", size = 64, init = "none"},
                 {name = "counter", type = "i32", size = 1, init = "zero"}],
  emu.launches = [{kernel = "sum", grid = [2], block = [128], smem = 8,
                   args = [{buffer = "rows"}, {buffer = "out"}, {buffer = "counter"}]}],
  emu.checks = [{op = "fill", buffer = "out", value = 10.0}]
} {
  llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<0 x i8>
  llvm.func @sum(%rows: !llvm.ptr<1>, %out: !llvm.ptr<1>, %counter: !llvm.ptr<1>)
      attributes {nvvm.kernel, nvvm.reqntid = array<i32: 128>} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c3 = arith.constant 3 : i32
    %c4 = arith.constant 4 : i32
    %c64 = arith.constant 64 : i32

    %zero = arith.constant 0.0 : f32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %block = nvvm.read.ptx.sreg.ctaid.x : i32
    %team = arith.divui %tid, %c64 : i32
    %lane = arith.remui %tid, %c64 : i32
    %id = arith.addi %team, %c1 : i32
    %isFirst = arith.cmpi eq, %lane, %c0 : i32
    // Row number r holds r + 1.
    %twice = arith.muli %block, %c2 : i32
    %row = arith.addi %twice, %team : i32
    %next = arith.addi %row, %c1 : i32
    %value = arith.sitofp %next : i32 to f32
    %base = arith.muli %row, %c64 : i32
    %at = arith.addi %base, %lane : i32
    %to = llvm.getelementptr %rows[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    llvm.store %value, %to : f32, !llvm.ptr<1>
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %told = llvm.getelementptr %smem[%team] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    nvvm.barrier id = %id number_of_threads = %c64
    scf.if %isFirst {
      llvm.fence syncscope("device") release
      %before = llvm.atomicrmw add %counter, %c1 syncscope("device") monotonic : !llvm.ptr<1>, i32
      llvm.fence syncscope("device") acquire
      %isLast = arith.cmpi eq, %before, %c3 : i32 // mutate: %c3 => %c2
      %word = arith.extui %isLast : i1 to i32
      llvm.store %word, %told : i32, !llvm.ptr<3>
    }
    nvvm.barrier id = %id number_of_threads = %c64
    %heard = llvm.load %told : !llvm.ptr<3> -> i32
    %last = arith.cmpi ne, %heard, %c0 : i32
    scf.if %last {
      %total = scf.for %r = %c0 to %c4 step %c1 iter_args(%sum = %zero) -> (f32) : i32 {
        %first = arith.muli %r, %c64 : i32
        %here = arith.addi %first, %lane : i32
        %from = llvm.getelementptr %rows[%here] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
        %v = llvm.load %from : !llvm.ptr<1> -> f32
        %more = arith.addf %sum, %v : f32
        scf.yield %more : f32
      }
      %place = llvm.getelementptr %out[%lane] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      llvm.store %total, %place : f32, !llvm.ptr<1>
    }
    llvm.return
  }
}
