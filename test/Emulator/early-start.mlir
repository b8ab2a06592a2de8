// The second launch starts early and waits where it must: it reads the first
// one's result behind griddepcontrol.wait and overwrites what that one has read.

// RUN: %emulate %s | FileCheck %s
// RUN: %emulate %s --seed=1 | FileCheck %s
// RUN: %emulate %s --seed=2 | FileCheck %s
// RUN: %emulate %s --seed=3 | FileCheck %s
// CHECK: check fill: rel_err=0.00e+00
// CHECK: clean

module attributes {
  emu.buffers = [{name = "middle", type = "f32", size = 128, init = "zero"},
                 {name = "out", type = "f32", size = 128, init = "none"}],
  emu.launches = [{kernel = "first", grid = [2], block = [64], args = [{buffer = "middle"}]},
                  {kernel = "second", grid = [2], block = [64], early, args = [{buffer = "middle"}, {buffer = "out"}]}],
  emu.checks = [{op = "fill", buffer = "out", value = 2.5}]
} {
  llvm.func @first(%middle: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c64 = arith.constant 64 : i32
    %value = arith.constant 2.5 : f32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %block = nvvm.read.ptx.sreg.ctaid.x : i32
    nvvm.griddepcontrol launch_dependents
    %base = arith.muli %block, %c64 : i32
    %at = arith.addi %base, %tid : i32
    %to = llvm.getelementptr %middle[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    llvm.store %value, %to : f32, !llvm.ptr<1>
    llvm.return
  }
  llvm.func @second(%middle: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c64 = arith.constant 64 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %block = nvvm.read.ptx.sreg.ctaid.x : i32
    %base = arith.muli %block, %c64 : i32
    %at = arith.addi %base, %tid : i32
    %from = llvm.getelementptr %middle[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %to = llvm.getelementptr %out[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    nvvm.griddepcontrol wait
    %v = llvm.load %from : !llvm.ptr<1> -> f32
    llvm.store %v, %to : f32, !llvm.ptr<1>
    llvm.return
  }
}
