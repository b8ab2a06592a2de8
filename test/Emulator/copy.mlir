// A box of a tensor into shared memory and out again, with a swizzle on both
// sides and without, beyond the edges of the tensor.

// RUN: %emulate %s | FileCheck %s
// RUN: %emulate %s --async=early | FileCheck %s
// RUN: %emulate %s --async=random --seed=3 | FileCheck %s
// CHECK: check copy: rel_err=0.00e+00
// CHECK: check copy: rel_err=0.00e+00
// CHECK: clean

module attributes {
  emu.buffers = [{name = "in", type = "bf16", size = 9600, init = "random"},
                 {name = "out", type = "bf16", size = 9600, init = "none"},
                 {name = "out2", type = "bf16", size = 9600, init = "none"}],
  emu.launches = [
    {kernel = "copy", grid = [3, 2], block = [32], smem = 8200, args = [
      {map = "in", type = "bf16", dims = [160, 60], strides = [320], box = [64, 32], swizzle = 128},
      {map = "out", type = "bf16", dims = [160, 60], strides = [320], box = [64, 32], swizzle = 128}]},
    {kernel = "copy", grid = [3, 2], block = [32], smem = 8200, args = [
      {map = "in", type = "bf16", dims = [160, 60], strides = [320], box = [64, 32]},
      {map = "out2", type = "bf16", dims = [160, 60], strides = [320], box = [64, 32]}]}],
  emu.checks = [{op = "copy", from = "in", to = "out"}, {op = "copy", from = "in", to = "out2"}]
} {
  llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
  llvm.func @copy(%in: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant},
                  %out: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant})
      attributes {nvvm.kernel, nvvm.reqntid = array<i32: 32>} {
    %tile = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %tile[4096] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i16
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %bytes = arith.constant 4096 : i32
    %bx = nvvm.read.ptx.sreg.ctaid.x : i32
    %by = nvvm.read.ptx.sreg.ctaid.y : i32
    %x = arith.muli %bx, %c64 : i32
    %y = arith.muli %by, %c32 : i32
    %e = nvvm.elect.sync -> i1
    scf.if %e {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
      %dst = llvm.addrspacecast %tile : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.cp.async.bulk.tensor.shared.cluster.global %dst, %in, %bar, box [%x, %y] : !llvm.ptr<7>, !llvm.ptr
      moe_nv.wait_parity %bar, %c0 : !llvm.ptr<3>
      nvvm.cp.async.bulk.tensor.global.shared.cta %out, %tile, box [%x, %y] : !llvm.ptr, !llvm.ptr<3>
      nvvm.cp.async.bulk.commit.group
      nvvm.cp.async.bulk.wait_group 0
    }
    llvm.return
  }
}
