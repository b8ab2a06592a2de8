// The two products of a bf16 layer on Hopper: rows gathered by token with gate and up columns in one instruction
// (@gemm1), and expert-sorted rows by descriptor with results scattered to flat slots (@gemm2). Weights are 16
// experts; two column blocks each.
// RUN: moe-opt %s -convert-moe-tile-to-nvvm | FileCheck %s

#full = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 32 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16], group = [m * 2 by 64]>
#half = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 16 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16], group = [m * 2 by 64]>
#quarter = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 8 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16], group = [m * 2 by 64]>
#row = #moe_tile.digits<reg = [n * 2 by 0, m * 2 by 8, n * 32 by 0], lane = [n * 4 by 0, m * 8 by 1], warp = [m * 4 by 16], group = [m * 2 by 64]>
!A = !moe_tile.buf<128x64xbf16, swizzle = 128>
!B = !moe_tile.buf<256x64xbf16, swizzle = 128>
!ACC = !moe_tile.acc<128x256xf32, #moe_tile.atom<wgmma 64x256x16>>
!F = !moe_tile.frag<128x256xf32, #full>
!FB = !moe_tile.frag<128x256xbf16, #full>
!HB = !moe_tile.frag<128x128xbf16, #half>
!H = !moe_tile.frag<128x128xf32, #half>
!Q = !moe_tile.frag<128x64xbf16, #quarter>
!R = !moe_tile.frag<128x1xf32, #row>
!RG = !moe_tile.ring<4 x (a: !moe_tile.buf<128x64xbf16, swizzle = 128>, b: !moe_tile.buf<256x64xbf16, swizzle = 128>), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>

// CHECK: llvm.mlir.global external @dyn_smem() {addr_space = 3 : i32, alignment = 1024 : i64}
// CHECK-LABEL: llvm.func @gemm1
// CHECK-SAME: llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant
// CHECK-SAME: box = array<i64: 64, 128, 1>, l2 = 256 : i64, map = 1 : i64, swizzle = 128 : i64
// CHECK-SAME: smem = 229440 : i64
// CHECK-SAME: nvvm.kernel
// CHECK: nvvm.setmaxregister decrease 40
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK-COUNT-8: nvvm.cp.async.shared.global
// CHECK: nvvm.cp.async.mbarrier.arrive
// CHECK: nvvm.setmaxregister increase 232
// CHECK: nvvm.wgmma.mma_async {{.*}} <zero>
// CHECK-COUNT-7: nvvm.wgmma.mma_async {{.*}} <one>
// CHECK: moe_nv.wgmma_wait
// CHECK-COUNT-8: nvvm.stmatrix
moe_tile.kernel @gemm1(%X: memref<?x2048xbf16>, %W: memref<16x512x2048xbf16>, %slots: memref<?xi32>, %table: memref<?x4xi32>,
                       %count: memref<1xi32>, %Y: memref<?x256xbf16>)
    attributes {form = #moe_tile.form<explicit>, target = "sm_90a", smem_limit = 232448 : i64,
                exec = #moe_tile.exec<threads = 384, cluster = 1, grid = persistent>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c2048 = arith.constant 2048 : index
  %one = arith.constant 1.0 : f32
  %n32 = memref.load %count[%c0] : memref<1xi32>
  %n = arith.index_cast %n32 : i32 to index
  %list = moe_tile.block_list %table count(%n) columns 256 by 128 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  %ring = moe_tile.ring_alloc : !RG
  %s0 = moe_tile.buf_alloc : !A
  %s1 = moe_tile.buf_alloc : !A
  moe_tile.roles {
    moe_tile.role @load threads(128) regs(40) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) claim(stride) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<128>
        %z = scf.for %k = %c0 to %c2048 step %c64 iter_args(%c = %ct) -> (!P) {
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !B
          moe_tile.copy %W[%e, %n0, %k] boxes [0, 256] how(desc) to %b : memref<16x512x2048xbf16>, !B
          moe_tile.copy %X[%idx : !moe_tile.rows<128>, %k] how(gather) to %a : memref<?x2048xbf16>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %z : !P
      }
    }
    moe_tile.role @compute threads(128) copies(2) divide(m) regs(232) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) claim(stride) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %a0, %b0 = moe_tile.wait %ring[%ct] : !RG, !C -> !A, !B
        %acc0 = moe_tile.mma %a0, %b0 : !A, !B -> !ACC
        moe_tile.mma_wait 0
        %ct1 = moe_tile.release %ring[%ct] : !RG, !C
        %r:2 = scf.for %k = %c64 to %c2048 step %c64 iter_args(%acc = %acc0, %c = %ct1) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !B
          %d = moe_tile.mma %a, %b, %acc : !A, !B, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        %g, %u = moe_tile.split %f block 128 : !F -> !H, !H
        %h = moe_tile.map ins(%g, %u : !H, !H) -> !HB {
        ^bb0(%gate: f32, %up: f32):
          %neg = arith.negf %gate : f32
          %ex = math.exp %neg : f32
          %den = arith.addf %ex, %one : f32
          %si = arith.divf %gate, %den : f32
          %v = arith.mulf %si, %up : f32
          %w = arith.truncf %v : f32 to bf16
          moe_tile.yield %w : bf16
        }
        %h0, %h1 = moe_tile.split %h block 64 : !HB -> !Q, !Q
        moe_tile.deposit %h0 to %s0 : !Q to !A
        moe_tile.group_sync team
        moe_tile.store %s0 to %Y[%row0, %n0] limit(%rows) : !A to memref<?x256xbf16>
        moe_tile.deposit %h1 to %s1 : !Q to !A
        moe_tile.group_sync team
        %n1 = arith.addi %n0, %c64 : index
        moe_tile.store %s1 to %Y[%row0, %n1] limit(%rows) : !A to memref<?x256xbf16>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}
