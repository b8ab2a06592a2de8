// A product of packed weights in two roles that meet at barriers: one brings the operands and decodes the weights on
// their way to on-chip memory, the other multiplies. Both meet one barrier for each step of a tile; of an odd number
// of steps one more, as the next tile begins in the stage in which this one ends.
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx1100 | FileCheck %s --check-prefixes=CHECK,EVEN
// RUN: sed "s/%%c256/%%c192/g;s/constant 256/constant 192/" %s | moe-opt -moe-tile-to-explicit=target=gfx1151 | FileCheck %s --check-prefixes=CHECK,ODD
// Without a role all threads decode what they have fetched.
// RUN: sed "s/, load_threads = 64//;s/stages = 2/stages = 1/" %s | moe-opt -moe-tile-to-explicit=target=gfx942 | FileCheck %s --check-prefix=ALL
// What a role cannot do.
// RUN: sed "s/stages = 2/stages = 1/" %s | not moe-opt -moe-tile-to-explicit=target=gfx1100 2>&1 | FileCheck %s --check-prefix=STAGES
// RUN: sed "s/load_threads = 64/load_threads = 40/" %s | not moe-opt -moe-tile-to-explicit=target=gfx1100 2>&1 | FileCheck %s --check-prefix=WAVES
// RUN: sed "s/load_threads = 64/load_threads = 1024/" %s | not moe-opt -moe-tile-to-explicit=target=gfx1100 2>&1 | FileCheck %s --check-prefix=THREADS
// RUN: sed "s/load_threads = 64/load_threads = 96/" %s | not moe-opt -moe-tile-to-explicit=target=gfx1100 2>&1 | FileCheck %s --check-prefix=SHARE
// RUN: sed "s/low_even/exllama/" %s | moe-opt -moe-tile-to-explicit=target=gfx1100 | FileCheck %s --check-prefix=PACKING
// STAGES: gfx1100: rule stages: a load role fills one stage while the other is multiplied, got 1
// WAVES: gfx1100: rule load_threads: whole waves of 32 threads bring operands, got 40
// THREADS: gfx1100: rule workgroup: roles of 1024 and 128 threads, at most 1024 fit
// SHARE: gfx1100: rule load_threads: 96 threads do not share 128 rows of 2 pieces of 16 bytes evenly
// PACKING: moe_tile.dequant {{.*}} format(exllama) : !moe_tile.staged<

!A = !moe_tile.buf<32x64xbf16>
!B = !moe_tile.buf<128x64xbf16>
!P = !moe_tile.buf<128x32xi8>
!S = !moe_tile.buf<128x1xbf16>
!ACC = !moe_tile.acc<32x128xf32>
!F = !moe_tile.frag<32x128xf32>
!H = !moe_tile.frag<32x64xf32>
!Q = !moe_tile.frag<32x64xbf16>

// CHECK-LABEL: moe_tile.kernel @gated
// CHECK-SAME:    exec = #moe_tile.exec<threads = 192, cluster = 1, grid = persistent>
// CHECK-DAG:     %[[A0:.+]] = moe_tile.buf_alloc : !moe_tile.buf<32x64xbf16, swizzle = 128>
// CHECK-DAG:     %[[B0:.+]] = moe_tile.buf_alloc : !moe_tile.buf<128x64xbf16, swizzle = 128>
// CHECK:         moe_tile.roles
// CHECK:         moe_tile.role @load threads(64)
// CHECK:           moe_tile.for_tiles {{.*}} claim(stride)
// CHECK-NOT:         moe_tile.acc_zero
// CHECK:             %[[FA:.+]] = moe_tile.fetch {{.*}} -> !moe_tile.staged<32x64xbf16>
// CHECK:             %[[FB:.+]] = moe_tile.fetch {{.*}} boxes [0, 192] how(vector) {{.*}} -> !moe_tile.staged<128x32xi8>
// Two pieces of 16 bytes in a row of codes, 32 rows at once: four times a row and its scale.
// CHECK:             %[[FS:.+]] = moe_tile.load {{.*}} -> !moe_tile.frag<128x1xbf16, #moe_tile.digits<reg = [m * 4 by 32], lane = [m * 2 by 0, m * 16 by 1], warp = [m * 2 by 16]>>
// CHECK:             scf.for %[[K:.+]] = %c0 to %c128 step %c128 iter_args(%[[PA:.+]] = %[[FA]], %[[PB:.+]] = %[[FB]], %[[PS:.+]] = %[[FS]])
// The next step is on its way while this one is decoded.
// CHECK:               moe_tile.fetch
// CHECK:               moe_tile.fetch
// CHECK:               moe_tile.deposit %[[PA]]
// CHECK-NEXT:          %[[W:.+]] = moe_tile.dequant %[[PB]] scale(%[[PS]] : {{.*}}) granule [1, 64] zero_value 8 format(low_even) : !moe_tile.staged<128x32xi8> -> !moe_tile.staged<128x64xbf16>
// CHECK-NEXT:          moe_tile.deposit %[[W]]
// CHECK-NEXT:          moe_tile.group_sync block
// CHECK:               moe_tile.dequant
// CHECK-NEXT:          moe_tile.deposit
// CHECK-NEXT:          moe_tile.group_sync block
// CHECK-NEXT:          scf.yield
// EVEN:              moe_tile.dequant
// EVEN-NEXT:         moe_tile.deposit
// EVEN-NEXT:         moe_tile.group_sync block
// CHECK:             moe_tile.dequant
// CHECK-NEXT:        moe_tile.deposit
// CHECK-NEXT:        moe_tile.group_sync block
// ODD-NEXT:          moe_tile.group_sync block
// CHECK-NEXT:      }
// CHECK:         moe_tile.role @compute threads(128)
// CHECK-NOT:       moe_tile.fetch
// EVEN:              scf.for %{{.+}} = %c0 to %c2 step %c1
// ODD:               moe_tile.group_sync block
// CHECK:               moe_tile.mma
// CHECK-NEXT:          moe_tile.mma_wait 0
// CHECK-NEXT:          moe_tile.group_sync block
// CHECK:               moe_tile.mma
// ODD:               moe_tile.group_sync block
// ODD-NEXT:          moe_tile.mma
// ODD-NEXT:          moe_tile.mma_wait 0
// ODD-NEXT:          moe_tile.group_sync block
// CHECK:             moe_tile.acc_read
// CHECK:             moe_tile.store

// ALL-NOT:  moe_tile.role
// ALL:      scf.for
// ALL:        moe_tile.mma
// ALL:        moe_tile.group_sync block
// ALL-NEXT:   moe_tile.deposit
// ALL-NEXT:   %[[W:.+]] = moe_tile.dequant {{.*}} -> !moe_tile.staged<128x64xbf16>
// ALL-NEXT:   moe_tile.deposit %[[W]]
// ALL-NEXT:   moe_tile.group_sync block
moe_tile.kernel @gated(%X: memref<?x256xbf16>, %W: memref<8x384x128xi8>, %S: memref<8x384x2xbf16>, %slots: memref<?xi32>, %table: memref<?x4xi32>, %n: index, %Y: memref<?x192xbf16>)
    attributes {moe.config = #moe.config<block = [32, 64, 64], stages = 2, a = "gather", b = "vector", b_place = "transform", store = "vector", load_threads = 64>} {
  %list = moe_tile.block_list %table count(%n) columns 192 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(counter) {
    %c0 = arith.constant 0 : index
    %c2 = arith.constant 2 : index
    %c256 = arith.constant 256 : index
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<32>
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c256 step 64 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<32>, %k] : memref<?x256xbf16> -> !A
        %half = arith.divui %k, %c2 : index
        %p = moe_tile.load %W[%e, %n0, %half] boxes [0, 192] : memref<8x384x128xi8> -> !P
        %s = moe_tile.load %S[%e, %n0, %k] dims [1, -1] granule [1, 1, 128] boxes [0, 192] : memref<8x384x2xbf16> -> !S
        %b = moe_tile.dequant %p scale(%s : !S) granule [1, 64] zero_value 8 format(low_even) : !P -> !B
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
