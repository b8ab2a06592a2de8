// C[16, 8] = A[16, 32] B[8, 32]^T on one warp: cp.async, ldmatrix, mma.sync.

// RUN: %emulate %s | FileCheck %s
// RUN: %emulate %s --seed=1 | FileCheck %s
// CHECK: check gemm: rel_err={{[0-9.]+}}e-0{{[789]}}
// CHECK: clean

module attributes {
  emu.buffers = [{name = "A", type = "bf16", size = 512, init = "random"},
                 {name = "B", type = "bf16", size = 256, init = "random"},
                 {name = "C", type = "f32", size = 128, init = "none"}],
  emu.launches = [{kernel = "mma", grid = [1], block = [32], smem = 1536,
                   args = [{buffer = "A"}, {buffer = "B"}, {buffer = "C"}]}],
  emu.checks = [{op = "gemm", a = "A", b = "B", c = "C", m = 16, n = 8, k = 32}]
} {
  llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
  llvm.func @mma(%A: !llvm.ptr<1>, %B: !llvm.ptr<1>, %C: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %smemB = llvm.getelementptr %smem[1024] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c3 = arith.constant 3 : i32
    %c4 = arith.constant 4 : i32
    %c7 = arith.constant 7 : i32
    %c8 = arith.constant 8 : i32
    %c15 = arith.constant 15 : i32
    %c16 = arith.constant 16 : i32
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %mones = arith.constant -1 : i32
    %lane = nvvm.read.ptx.sreg.laneid : i32
    // 64 chunks of 16 bytes of A, 32 of B, rows of 64 bytes.
    %lane16 = arith.muli %lane, %c16 : i32
    %a0 = llvm.getelementptr %A[%lane16] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
    %a1 = llvm.getelementptr %a0[512] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i8
    %b0 = llvm.getelementptr %B[%lane16] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
    %sa0 = llvm.getelementptr %smem[%lane16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %sa1 = llvm.getelementptr %sa0[512] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %sb0 = llvm.getelementptr %smemB[%lane16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    nvvm.cp.async.shared.global %sa0, %a0, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>
    nvvm.cp.async.shared.global %sa1, %a1, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>
    nvvm.cp.async.shared.global %sb0, %b0, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>
    nvvm.cp.async.commit.group
    nvvm.cp.async.wait.group 0
    nvvm.bar.warp.sync %mones : i32
    %zero = arith.constant 0.0 : f32
    // Lane l gives row l % 16, columns 8 (l / 16) of A; row l % 8, columns 8 (l / 8 % 2) of B.
    %ar = arith.andi %lane, %c15 : i32
    %arb = arith.muli %ar, %c64 : i32
    %ac = arith.shrui %lane, %c4 : i32
    %acb = arith.muli %ac, %c16 : i32
    %ao = arith.addi %arb, %acb : i32
    %ap = llvm.getelementptr %smem[%ao] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %br = arith.andi %lane, %c7 : i32
    %brb = arith.muli %br, %c64 : i32
    %bc0 = arith.shrui %lane, %c3 : i32
    %bc = arith.andi %bc0, %c1 : i32
    %bcb = arith.muli %bc, %c16 : i32
    %bo = arith.addi %brb, %bcb : i32
    %bp = llvm.getelementptr %smemB[%bo] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %d:4 = scf.for %k = %c0 to %c2 step %c1 iter_args(%d0 = %zero, %d1 = %zero, %d2 = %zero, %d3 = %zero) -> (f32, f32, f32, f32) : i32 {
      %ko = arith.muli %k, %c32 : i32
      %apk = llvm.getelementptr %ap[%ko] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
      %bpk = llvm.getelementptr %bp[%ko] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
      %a = nvvm.ldmatrix %apk {num = 4 : i32, layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32, i32, i32)>
      %b = nvvm.ldmatrix %bpk {num = 2 : i32, layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32)>
      %x0 = llvm.extractvalue %a[0] : !llvm.struct<(i32, i32, i32, i32)>
      %x1 = llvm.extractvalue %a[1] : !llvm.struct<(i32, i32, i32, i32)>
      %x2 = llvm.extractvalue %a[2] : !llvm.struct<(i32, i32, i32, i32)>
      %x3 = llvm.extractvalue %a[3] : !llvm.struct<(i32, i32, i32, i32)>
      %y0 = llvm.extractvalue %b[0] : !llvm.struct<(i32, i32)>
      %y1 = llvm.extractvalue %b[1] : !llvm.struct<(i32, i32)>
      %e = nvvm.mma.sync A[%x0, %x1, %x2, %x3] B[%y0, %y1] C[%d0, %d1, %d2, %d3]
          {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>,
           multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>}
          : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
      %e0 = llvm.extractvalue %e[0] : !llvm.struct<(f32, f32, f32, f32)>
      %e1 = llvm.extractvalue %e[1] : !llvm.struct<(f32, f32, f32, f32)>
      %e2 = llvm.extractvalue %e[2] : !llvm.struct<(f32, f32, f32, f32)>
      %e3 = llvm.extractvalue %e[3] : !llvm.struct<(f32, f32, f32, f32)>
      scf.yield %e0, %e1, %e2, %e3 : f32, f32, f32, f32
    }
    %g = arith.shrui %lane, %c2 : i32
    %t = arith.andi %lane, %c3 : i32
    %g8 = arith.muli %g, %c8 : i32
    %t2 = arith.muli %t, %c2 : i32
    %at = arith.addi %g8, %t2 : i32
    %p = llvm.getelementptr %C[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %low = vector.from_elements %d#0, %d#1 : vector<2xf32>
    %high = vector.from_elements %d#2, %d#3 : vector<2xf32>
    %q = llvm.getelementptr %p[64] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
    llvm.store %low, %p : vector<2xf32>, !llvm.ptr<1>
    llvm.store %high, %q : vector<2xf32>, !llvm.ptr<1>
    llvm.return
  }
}
