// Copies without a swizzle and sums: one-dimensional bulk copies, additions by
// bulk copy, by tensor map and by red, and boxes that reach over the edges of a
// tensor of three dimensions.

// RUN: %emulate %s | FileCheck %s
// RUN: %emulate %s --async=early --seed=1 | FileCheck %s
// RUN: %emulate %s --async=random --seed=2 | FileCheck %s
// CHECK-COUNT-4: rel_err=0.00e+00
// CHECK: clean

module attributes {
  emu.buffers = [{name = "in", type = "f32", size = 64, init = "index", step = 3},
                 {name = "base", type = "f32", size = 64, init = "index", low = -20},
                 {name = "sum1", type = "f32", size = 64, init = "index", low = -20},
                 {name = "sum2", type = "f32", size = 64, init = "index", low = -20},
                 {name = "sum3", type = "f32", size = 64, init = "index", low = -20},
                 {name = "in3", type = "i32", size = 192, init = "index"},
                 {name = "out3", type = "i32", size = 48, init = "none"},
                 {name = "want3", type = "i32", size = 48,
                  values = [176, 177, 178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}],
  emu.launches = [
    {kernel = "sums", grid = [1], block = [32], smem = 1032, args = [
      {buffer = "in"}, {buffer = "sum1"}, {buffer = "sum3"},
      {map = "sum2", type = "f32", dims = [16, 4], strides = [64], box = [16, 4]}]},
    {kernel = "edges", grid = [1], block = [32], smem = 1032, args = [
      {map = "in3", type = "i32", dims = [16, 4, 3], strides = [64, 256], box = [16, 2, 1]},
      {map = "in3", type = "i32", dims = [16, 4, 3], strides = [64, 256], box = [16, 1, 1]}, {buffer = "out3"}]}],
  emu.checks = [{op = "sum", a = "in", b = "base", c = "sum1"}, {op = "sum", a = "in", b = "base", c = "sum2"},
                {op = "sum", a = "in", b = "base", c = "sum3"}, {op = "copy", from = "want3", to = "out3"}]
} {
  llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
  llvm.func @sums(%in: !llvm.ptr<1>, %sum1: !llvm.ptr<1>, %sum3: !llvm.ptr<1>,
                  %map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant})
      attributes {nvvm.kernel} {
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[1024] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %bytes = arith.constant 256 : i32
    %e = nvvm.elect.sync -> i1
    scf.if %e {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
      nvvm.cp.async.bulk.shared.cluster.global %dst, %in, %bar, %bytes : !llvm.ptr<7>, !llvm.ptr<1>
      nvvm.mbarrier.try_wait.parity %bar, %c0, %bytes : !llvm.ptr<3>, i32, i32
      moe_nv.bulk_reduce_add %sum1, %smem, %bytes of f32 : !llvm.ptr<1>, !llvm.ptr<3>
      nvvm.cp.async.bulk.tensor.reduce %map, %smem, box [%c0, %c0] {redKind = #nvvm.tma_redux_kind<add>} : !llvm.ptr, !llvm.ptr<3>
      nvvm.cp.async.bulk.commit.group
      nvvm.cp.async.bulk.wait_group 0
    }
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %at = arith.muli %lane, %c2 : i32
    %from = llvm.getelementptr %in[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %to = llvm.getelementptr %sum3[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %v = moe_nv.load_nc %from no_allocate : !llvm.ptr<1> -> vector<2xi32>
    %f = llvm.bitcast %v : vector<2xi32> to vector<2xf32>
    moe_nv.red_add %to, %f : !llvm.ptr<1>, vector<2xf32>
    llvm.return
  }
  llvm.func @edges(%two: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant},
                   %one: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant},
                   %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[1024] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c3 = arith.constant 3 : i32
    %left = arith.constant -4 : i32
    %bytes = arith.constant 192 : i32
    %e = nvvm.elect.sync -> i1
    scf.if %e {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      %next = llvm.getelementptr %smem[128] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
      %dst2 = llvm.addrspacecast %next : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
      // Row 4 of 4 is outside, and four columns left of the first.
      nvvm.cp.async.bulk.tensor.shared.cluster.global %dst, %two, %bar, box [%c0, %c3, %c2] : !llvm.ptr<7>, !llvm.ptr
      nvvm.cp.async.bulk.tensor.shared.cluster.global %dst2, %one, %bar, box [%left, %c0, %c0] : !llvm.ptr<7>, !llvm.ptr
      moe_nv.wait_parity %bar, %c0 : !llvm.ptr<3>
      nvvm.cp.async.bulk.global.shared.cta %out, %smem, %bytes : !llvm.ptr<1>, !llvm.ptr<3>
      nvvm.cp.async.bulk.commit.group
      nvvm.cp.async.bulk.wait_group 0
    }
    llvm.return
  }
}
