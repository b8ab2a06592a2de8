// The second product: expert-sorted rows by descriptor, 256 columns, the router weight of each row, results in
// bf16 at the flat slot of each row, staged in four pieces of 64 columns.
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
!Q = !moe_tile.frag<128x64xbf16, #quarter>
!R = !moe_tile.frag<128x1xf32, #row>
!RG = !moe_tile.ring<4 x (a: !moe_tile.buf<128x64xbf16, swizzle = 128>, b: !moe_tile.buf<256x64xbf16, swizzle = 128>), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>

// A load role that only starts copies by descriptor is one thread; its barrier counts one arrival.
// CHECK-LABEL: llvm.func @gemm2
// CHECK-SAME: box = array<i64: 64, 256, 1>
// CHECK-SAME: box = array<i64: 64, 128>
// CHECK: %[[ONE:.*]] = arith.constant 1 : i32
// CHECK-NEXT: nvvm.mbarrier.init %{{.*}}, %[[ONE]]
// CHECK-NOT: nvvm.cp.async.shared.global
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}} box[%{{.*}}, %{{.*}}, %{{.*}}]
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}} box[%{{[^,]*}}, %{{[^,]*}}]
// CHECK-NOT: nvvm.fence.proxy
// Before the product: the numbers of the four rows that the thread stores, then the weight of each of the two
// rows that it computes, by the slot of that row.
// CHECK-COUNT-4: llvm.load %{{.*}} -> i32
// CHECK: llvm.load %{{.*}} -> i32
// CHECK: llvm.load %{{.*}} -> f32
// CHECK: llvm.load %{{.*}} -> i32
// CHECK: llvm.load %{{.*}} -> f32
// CHECK-NOT: llvm.load %{{.*}} -> f32
// CHECK: nvvm.wgmma.mma_async
// CHECK-NOT: llvm.load %{{.*}} -> f32
// CHECK: moe_nv.wgmma_wait
// CHECK-COUNT-16: nvvm.stmatrix
// CHECK-NOT: nvvm.stmatrix
moe_tile.kernel @gemm2(%A: memref<?x768xbf16>, %W: memref<128x2048x768xbf16>, %tw: memref<?x8xf32>, %slots: memref<?xi32>,
                       %table: memref<?x4xi32>, %count: memref<1xi32>, %Y: memref<?x2048xbf16>)
    attributes {form = #moe_tile.form<explicit>, target = "sm_90a", smem_limit = 232448 : i64,
                exec = #moe_tile.exec<threads = 384, cluster = 1, grid = persistent>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c768 = arith.constant 768 : index
  %n32 = memref.load %count[%c0] : memref<1xi32>
  %n = arith.index_cast %n32 : i32 to index
  %flat = memref.collapse_shape %tw [[0, 1]] : memref<?x8xf32> into memref<?xf32>
  %list = moe_tile.block_list %table count(%n) columns 2048 by 256 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  %ring = moe_tile.ring_alloc : !RG
  %s0 = moe_tile.buf_alloc : !A
  %s1 = moe_tile.buf_alloc : !A
  moe_tile.roles {
    moe_tile.role @load threads(128) regs(40) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) claim(stride) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = scf.for %k = %c0 to %c768 step %c64 iter_args(%c = %ct) -> (!P) {
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !B
          moe_tile.copy %W[%e, %n0, %k] how(desc) to %b : memref<128x2048x768xbf16>, !B
          moe_tile.copy %A[%row0, %k] how(desc) to %a : memref<?x768xbf16>, !A
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
        %idx = moe_tile.row_index %slots[%row0] limit(%rows) : memref<?xi32> -> !moe_tile.rows<128>
        %a0, %b0 = moe_tile.wait %ring[%ct] : !RG, !C -> !A, !B
        %acc0 = moe_tile.mma %a0, %b0 : !A, !B -> !ACC
        moe_tile.mma_wait 0
        %ct1 = moe_tile.release %ring[%ct] : !RG, !C
        %r:2 = scf.for %k = %c64 to %c768 step %c64 iter_args(%acc = %acc0, %c = %ct1) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !B
          %d = moe_tile.mma %a, %b, %acc : !A, !B, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        %w = moe_tile.load %flat[%idx : !moe_tile.rows<128>] dims [0, -1] : memref<?xf32> -> !R
        %h = moe_tile.map ins(%f, %w : !F, !R) -> !FB {
        ^bb0(%v: f32, %weight: f32):
          %p = arith.mulf %v, %weight : f32
          %q = arith.truncf %p : f32 to bf16
          moe_tile.yield %q : bf16
        }
        %l, %u = moe_tile.split %h block 128 : !FB -> !HB, !HB
        %h0, %h1 = moe_tile.split %l block 64 : !HB -> !Q, !Q
        %h2, %h3 = moe_tile.split %u block 64 : !HB -> !Q, !Q
        %n1 = arith.addi %n0, %c64 : index
        %n2 = arith.addi %n1, %c64 : index
        %n3 = arith.addi %n2, %c64 : index
        moe_tile.deposit %h0 to %s0 : !Q to !A
        moe_tile.group_sync team
        moe_tile.store %s0 to %Y[%idx : !moe_tile.rows<128>, %n0] : !A to memref<?x2048xbf16>
        moe_tile.deposit %h1 to %s1 : !Q to !A
        moe_tile.group_sync team
        moe_tile.store %s1 to %Y[%idx : !moe_tile.rows<128>, %n1] : !A to memref<?x2048xbf16>
        moe_tile.deposit %h2 to %s0 : !Q to !A
        moe_tile.group_sync team
        moe_tile.store %s0 to %Y[%idx : !moe_tile.rows<128>, %n2] : !A to memref<?x2048xbf16>
        moe_tile.deposit %h3 to %s1 : !Q to !A
        moe_tile.group_sync team
        moe_tile.store %s1 to %Y[%idx : !moe_tile.rows<128>, %n3] : !A to memref<?x2048xbf16>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}
