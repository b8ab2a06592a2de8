// The sequential form of one gated product for AMD chips: waves next to each other along m and n, weights on the
// instruction's rows, operands through registers.
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx942 | FileCheck %s --check-prefixes=CHECK,ONE
// Pass by pass, as in a dump, the same.
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-atoms{target=gfx942}))" | moe-opt -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-copies,moe-tile-form-rings))" | moe-opt -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-pipeline,cse,moe-tile-verify-sync))" | FileCheck %s --check-prefixes=CHECK,ONE
// RUN: sed "s/stages = 1/stages = 2/" %s | moe-opt -moe-tile-to-explicit=target=gfx950 | FileCheck %s --check-prefix=TWO
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx1100 | FileCheck %s --check-prefix=RDNA3
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx1201 | FileCheck %s --check-prefix=RDNA4

!A = !moe_tile.buf<64x64xbf16>
!B = !moe_tile.buf<128x64xbf16>
!ACC = !moe_tile.acc<64x128xf32>
!F = !moe_tile.frag<64x128xf32>
!H = !moe_tile.frag<64x64xf32>
!Q = !moe_tile.frag<64x64xbf16>

// CHECK-LABEL: moe_tile.kernel @gated
// CHECK-SAME:    exec = #moe_tile.exec<threads = 256, cluster = 1, grid = persistent>
// CHECK-SAME:    form = #moe_tile.form<explicit>
// CHECK-SAME:    smem_limit = 65536 : i64, target = "gfx942"
// ONE:           %[[A:.+]] = moe_tile.buf_alloc : !moe_tile.buf<64x64xbf16, swizzle = 128>
// ONE:           %[[B:.+]] = moe_tile.buf_alloc : !moe_tile.buf<128x64xbf16, swizzle = 128>
// ONE-NOT:       moe_tile.buf_alloc
// CHECK:         moe_tile.for_tiles {{.*}} claim(stride)
// CHECK:           %[[PA:.+]] = moe_tile.fetch {{.*}} how(vector) : memref<?x256xbf16> -> !moe_tile.staged<64x64xbf16>
// CHECK:           %[[PB:.+]] = moe_tile.fetch {{.*}} boxes [0, 192] how(vector)
// The tile before may still be read.
// CHECK-NEXT:      moe_tile.group_sync block
// CHECK-NEXT:      moe_tile.deposit %[[PA]] to %[[A]]
// CHECK-NEXT:      moe_tile.deposit %[[PB]] to %[[B]]
// CHECK-NEXT:      moe_tile.group_sync block
// CHECK:           %[[SUM:.+]] = scf.for %[[K:.+]] = %c0 to %c192 step %c64 iter_args(%[[C:.+]] = %{{.+}})
// CHECK-NEXT:        %[[K1:.+]] = arith.addi %[[K]], %c64
// CHECK-NEXT:        moe_tile.fetch {{.*}}%[[K1]]
// CHECK-NEXT:        moe_tile.fetch {{.*}}%[[K1]]
// CHECK-NEXT:        moe_tile.mma %[[A]], %[[B]], %[[C]] atom(#moe_tile.atom<mfma 16x16x16, swap>)
// CHECK-NEXT:        moe_tile.mma_wait 0
// CHECK-NEXT:        moe_tile.group_sync block
// CHECK-NEXT:        moe_tile.deposit
// CHECK-NEXT:        moe_tile.deposit
// CHECK-NEXT:        moe_tile.group_sync block
// CHECK-NEXT:        scf.yield
// CHECK:           moe_tile.mma %[[A]], %[[B]], %[[SUM]]
// A lane has four neighbouring columns; gate and up of a column are registers of one lane.
// CHECK:           moe_tile.acc_read {{.*}} -> !moe_tile.frag<64x128xf32, #moe_tile.digits<reg = [n * 4 by 1, m * 4 by 16, n * 2 by 64], lane = [m * 16 by 1, n * 4 by 4], warp = [n * 4 by 16]>>
// CHECK:           moe_tile.split {{.*}} block 64

// Two stages take turns: one barrier for each step, an odd step behind the loop.
// TWO:           %[[A0:.+]] = moe_tile.buf_alloc : !moe_tile.buf<64x64xbf16
// TWO:           %[[B0:.+]] = moe_tile.buf_alloc : !moe_tile.buf<128x64xbf16
// TWO:           %[[A1:.+]] = moe_tile.buf_alloc : !moe_tile.buf<64x64xbf16
// TWO:           %[[B1:.+]] = moe_tile.buf_alloc : !moe_tile.buf<128x64xbf16
// TWO:           scf.for %{{.+}} = %c0 to %c128 step %c128
// TWO:             moe_tile.mma %[[A0]], %[[B0]], %{{.*}}mfma 16x16x32, swap
// TWO-NEXT:        moe_tile.mma_wait
// TWO-NEXT:        moe_tile.deposit %{{.+}} to %[[A1]]
// TWO-NEXT:        moe_tile.deposit %{{.+}} to %[[B1]]
// TWO-NEXT:        moe_tile.group_sync block
// TWO:             moe_tile.mma %[[A1]], %[[B1]]
// TWO-NEXT:        moe_tile.mma_wait
// TWO-NEXT:        moe_tile.deposit %{{.+}} to %[[A0]]
// TWO-NEXT:        moe_tile.deposit %{{.+}} to %[[B0]]
// TWO-NEXT:        moe_tile.group_sync block
// TWO-NEXT:        scf.yield
// TWO:           moe_tile.mma %[[A0]], %[[B0]]
// TWO:           moe_tile.deposit %{{.+}} to %[[A1]]
// TWO:           moe_tile.group_sync block
// TWO:           moe_tile.mma %[[A1]], %[[B1]]
// TWO:           moe_tile.acc_read

// Eight neighbours in a lane, also where the hardware's rows alternate between lane halves.
// RDNA3: atom(#moe_tile.atom<wmma 16x16x16, swap>)
// RDNA3: moe_tile.acc_read {{.*}}reg = [n * 8 by 1, {{.*}}], lane = [m * 16 by 1, n * 2 by 8], warp = [m * 2 by 16, n * 4 by 16]
// RDNA4: atom(#moe_tile.atom<wmma_gfx12 16x16x16, swap>)
// RDNA4: moe_tile.acc_read {{.*}}reg = [n * 8 by 1, {{.*}}], lane = [m * 16 by 1, n * 2 by 8], warp = [m * 2 by 16, n * 4 by 16]
moe_tile.kernel @gated(%X: memref<?x256xbf16>, %W: memref<8x384x256xbf16>, %slots: memref<?xi32>, %table: memref<?x4xi32>, %n: index, %Y: memref<?x192xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1, a = "gather", b = "vector", store = "vector">} {
  %list = moe_tile.block_list %table count(%n) columns 192 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(counter) {
    %c0 = arith.constant 0 : index
    %c256 = arith.constant 256 : index
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c256 step 64 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<64>, %k] : memref<?x256xbf16> -> !A
        %b = moe_tile.load %W[%e, %n0, %k] boxes [0, 192] : memref<8x384x256xbf16> -> !B
        moe_tile.yield %a, %b : !A, !B
      } compute(%k: index, %a: !A, %b: !B, %c: !ACC) {
        %d = moe_tile.mma %a, %b, %c : !A, !B, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    %g, %u = moe_tile.split %f block 64 : !F -> !H, !H
    %q = moe_tile.map ins(%g, %u : !H, !H) -> !Q {
    ^bb0(%x: f32, %y: f32):
      %p = arith.mulf %x, %y : f32
      %v = arith.truncf %p : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%row0, %n0] limit(%rows) : !Q to memref<?x192xbf16>
  }
  moe_tile.return
}
