// Blocks 0 and 1 write halves of a buffer and signal; block 2 awaits both and
// copies it. All blocks are resident.

// RUN: %emulate %s | FileCheck %s
// RUN: %emulate %s --seed=1 | FileCheck %s
// RUN: %emulate %s --seed=2 | FileCheck %s
// RUN: %emulate %s --seed=3 | FileCheck %s
// CHECK: check fill: rel_err=0.00e+00
// CHECK: clean

module attributes {
  emu.buffers = [{name = "middle", type = "f32", size = 128, init = "none"},
                 {name = "out", type = "f32", size = 128, init = "none"},
                 {name = "counter", type = "i32", size = 1, init = "zero"}],
  emu.launches = [{kernel = "pass_on", grid = [3], block = [64], resident,
                   args = [{buffer = "middle"}, {buffer = "out"}, {buffer = "counter"}]}],
  emu.checks = [{op = "fill", buffer = "out", value = 2.5}]
} {
  llvm.func @pass_on(%middle: !llvm.ptr<1>, %out: !llvm.ptr<1>, %counter: !llvm.ptr<1>)
      attributes {nvvm.kernel, nvvm.reqntid = array<i32: 64>} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c64 = arith.constant 64 : i32
    %value = arith.constant 2.5 : f32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %block = nvvm.read.ptx.sreg.ctaid.x : i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    %isReader = arith.cmpi eq, %block, %c2 : i32
    scf.if %isReader {
      scf.if %isFirst {
        moe_nv.await %counter, %c2 : !llvm.ptr<1> // mutate: %c2 => %c1
      }
      nvvm.barrier
      scf.for %i = %c0 to %c2 step %c1 : i32 {
        %base = arith.muli %i, %c64 : i32
        %at = arith.addi %base, %tid : i32
        %from = llvm.getelementptr %middle[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
        %to = llvm.getelementptr %out[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
        %v = llvm.load %from : !llvm.ptr<1> -> f32
        llvm.store %v, %to : f32, !llvm.ptr<1>
      }
    } else {
      %base = arith.muli %block, %c64 : i32
      %at = arith.addi %base, %tid : i32
      %to = llvm.getelementptr %middle[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      llvm.store %value, %to : f32, !llvm.ptr<1>
      nvvm.barrier
      scf.if %isFirst {
        moe_nv.signal %counter, %c1 : !llvm.ptr<1>
      }
    }
    llvm.return
  }
}
