// RUN: moe-opt %s -split-input-file -moe-tile-to-explicit | FileCheck %s
// Pass by pass, as in a dump, the same.
// RUN: moe-opt %s -split-input-file -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-atoms{target=sm_90a}))" | moe-opt -split-input-file -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-copies))" | moe-opt -split-input-file -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-form-rings))" | moe-opt -split-input-file -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-specialize,cse,moe-tile-verify-sync))" | FileCheck %s

// A gated product of gathered rows: two teams of 64 rows, the result in two
// pieces through two buffers.

!ACC = !moe_tile.acc<128x256xf32>
!F = !moe_tile.frag<128x256xf32>
!H = !moe_tile.frag<128x128xf32>
!Q = !moe_tile.frag<128x128xbf16>

// CHECK-LABEL: moe_tile.kernel @gated
// CHECK-SAME:    exec = #moe_tile.exec<threads = 384, cluster = 1, grid = persistent>
// CHECK-SAME:    form = #moe_tile.form<explicit>
// CHECK-SAME:    smem_limit = 232448 : i64, target = "sm_90a"
// What is the same for every tile stands above the roles.
// CHECK:         %[[LIST:.+]] = moe_tile.block_list
// CHECK:         %[[FLAT:.+]] = memref.collapse_shape
// CHECK:         %[[RING:.+]] = moe_tile.ring_alloc : !moe_tile.ring<4 x (a: !moe_tile.buf<128x64xbf16, swizzle = 128>, b: !moe_tile.buf<256x64xbf16, swizzle = 128>), sync = tx>
// CHECK:         %[[S0:.+]] = moe_tile.buf_alloc : !moe_tile.buf<128x64xbf16, swizzle = 128>
// CHECK:         %[[S1:.+]] = moe_tile.buf_alloc : !moe_tile.buf<128x64xbf16, swizzle = 128>
// CHECK:         moe_tile.role @load threads(128) regs(40)
// CHECK:           %[[C0:.+]] = moe_tile.cursor %[[RING]]
// CHECK:           moe_tile.for_tiles %{{.+}} in %[[LIST]] : {{.*}} order(expert_major) claim(stride) iter(%[[CT:.+]] = %[[C0]]
// CHECK:             %[[E:.+]], %[[ROW0:.+]], %{{.+}}, %[[N0:.+]] = moe_tile.coords
// CHECK:             %[[IDX:.+]] = moe_tile.row_index
// CHECK-NOT:         moe_tile.row_index
// CHECK:             scf.for %[[K:.+]] = %c0 to %c2048 step %c64 iter_args(%[[C:.+]] = %[[CT]])
// CHECK:               %[[SLOT:.+]]:2 = moe_tile.acquire %[[RING]][%[[C]]]
// CHECK:               moe_tile.copy %{{.+}}[%[[E]], %[[N0]], %[[K]]] boxes [0, 768] how(desc) to %[[SLOT]]#1
// CHECK:               moe_tile.copy %{{.+}}[%[[IDX]] : !moe_tile.rows<128>, %[[K]]] how(gather) to %[[SLOT]]#0
// CHECK:               %[[N:.+]] = moe_tile.publish %[[RING]][%[[C]]]
// CHECK:               scf.yield %[[N]]
// CHECK:         moe_tile.role @compute threads(128) copies(2) divide(m) regs(232)
// CHECK:             moe_tile.coords
// The row list of the loads is not made again.
// CHECK-NOT:         moe_tile.row_index {{.*}} div 8
// CHECK:             %[[W:.+]]:2 = moe_tile.wait
// CHECK-NEXT:        %[[A0:.+]] = moe_tile.mma %[[W]]#0, %[[W]]#1 atom(#moe_tile.atom<wgmma 64x256x16>) : {{.*}} -> !moe_tile.acc<128x256xf32, #moe_tile.atom<wgmma 64x256x16>>
// CHECK-NEXT:        moe_tile.mma_wait 0
// CHECK-NEXT:        %[[R:.+]] = moe_tile.release
// CHECK-NEXT:        %[[L:.+]]:2 = scf.for %{{.+}} = %c64 to %c2048 step %c64 iter_args(%[[A:.+]] = %[[A0]], %{{.+}} = %[[R]])
// CHECK-NEXT:          moe_tile.wait
// CHECK-NEXT:          moe_tile.mma %{{.+}}, %{{.+}}, %[[A]]
// CHECK-NEXT:          moe_tile.mma_wait 0
// CHECK-NEXT:          moe_tile.release
// CHECK-NEXT:          scf.yield
// CHECK:             moe_tile.acc_read %[[L]]#0
// CHECK:             moe_tile.split {{.*}} block 128
// CHECK:             moe_tile.load %[[FLAT]]{{.*}} how(element) : {{.*}} -> !moe_tile.frag<128x1xf32, #moe_tile.digits<reg = [n * 2 by 0, m * 2 by 8, n * 16 by 0], lane = [n * 4 by 0, m * 8 by 1], warp = [m * 4 by 16], group = [m * 2 by 64]>>
// CHECK:             moe_tile.map
// CHECK:               arith.truncf
// CHECK:             %[[P0:.+]], %[[P1:.+]] = moe_tile.split {{.*}} block 64
// CHECK-SAME:          -> !moe_tile.frag<128x64xbf16, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 8 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16], group = [m * 2 by 64]>>
// CHECK-NEXT:        moe_tile.deposit %[[P0]] to %[[S0]]
// CHECK-NEXT:        moe_tile.group_sync team
// CHECK-NEXT:        moe_tile.store %[[S0]] to %[[Y:.+]][%[[R0:.+]], %[[NS:.+]]] limit
// CHECK-NEXT:        moe_tile.deposit %[[P1]] to %[[S1]]
// CHECK-NEXT:        moe_tile.group_sync team
// CHECK-NEXT:        %[[N64:.+]] = arith.addi %[[NS]], %c64
// CHECK-NEXT:        moe_tile.store %[[S1]] to %[[Y]][%[[R0]], %[[N64]]] limit
// CHECK-NEXT:        moe_tile.yield %[[L]]#1
moe_tile.kernel @gated(%X: memref<?x2048xbf16>, %W: memref<128x1536x2048xbf16>, %slots: memref<?xi32>, %tw: memref<?x8xf32>,
                       %table: memref<?x4xi32>, %n: index, %Y: memref<?x768xbf16>)
    attributes {moe.config = #moe.config<block = [128, 128, 64], stages = 4, a = "gather", b = "desc", store = "staged",
                                         load_regs = 40, compute_groups = 2, compute_regs = 232>} {
  %list = moe_tile.block_list %table count(%n) columns 768 by 128 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(counter) {
    %c0 = arith.constant 0 : index
    %c2048 = arith.constant 2048 : index
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<128>
    %own = moe_tile.row_index %slots[%row0] limit(%rows) : memref<?xi32> -> !moe_tile.rows<128>
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c2048 step 64 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<128>, %k] : memref<?x2048xbf16> -> !moe_tile.buf<128x64xbf16>
        %b = moe_tile.load %W[%e, %n0, %k] boxes [0, 768] : memref<128x1536x2048xbf16> -> !moe_tile.buf<256x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<256x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<128x64xbf16>, %b: !moe_tile.buf<256x64xbf16>, %c: !ACC) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<256x64xbf16>, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    %g, %u = moe_tile.split %f block 128 : !F -> !H, !H
    %flat = memref.collapse_shape %tw [[0, 1]] : memref<?x8xf32> into memref<?xf32>
    %w = moe_tile.load %flat[%own : !moe_tile.rows<128>] dims [0, -1] : memref<?xf32> -> !moe_tile.frag<128x1xf32>
    %q = moe_tile.map ins(%g, %u, %w : !H, !H, !moe_tile.frag<128x1xf32>) -> !Q {
    ^bb0(%x: f32, %y: f32, %s: f32):
      %p = arith.mulf %x, %y : f32
      %r = arith.mulf %p, %s : f32
      %v = arith.truncf %r : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%row0, %n0] limit(%rows) : !Q to memref<?x768xbf16>
  }
  moe_tile.return
}

// -----

// Swapped, consecutive rows, one k step only: no loop, stores from registers.
// CHECK-LABEL: moe_tile.kernel @swapped
// CHECK-SAME:    threads = 256
// CHECK:         moe_tile.role @load threads(128) {
// CHECK-NOT:       moe_tile.row_iota
// CHECK:           moe_tile.copy {{.*}} how(desc) to %{{.+}}#1
// CHECK:           moe_tile.copy %{{.+}}[%{{.+}}, %{{.+}}] how(desc) to %{{.+}}#0
// CHECK:         moe_tile.role @compute threads(128) {
// CHECK-NOT:       scf.for
// CHECK:           moe_tile.mma {{.*}} atom(#moe_tile.atom<wgmma 16x64x16, swap>)
// CHECK-NOT:       scf.for
// CHECK:           moe_tile.acc_read {{.*}} -> !moe_tile.frag<16x128xf32, #moe_tile.digits<reg = [m * 2 by 1, n * 2 by 8, m * 2 by 8, n * 2 by 64], lane = [m * 4 by 2, n * 8 by 1], warp = [n * 4 by 16]>>
// CHECK:           moe_tile.store {{.*}} how(vector) : !moe_tile.frag
moe_tile.kernel @swapped(%X: memref<?x64xf16>, %W: memref<8x512x64xf16>, %table: memref<?x4xi32>, %n: index, %Y: memref<?x512xf32>)
    attributes {moe.config = #moe.config<block = [16, 128, 64], stages = 12, swap = true, store = "vector">} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %list = moe_tile.block_list %table count(%n) columns 512 by 128 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) claim(stride) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<16>
    %z = moe_tile.acc_zero : !moe_tile.acc<16x128xf32>
    %acc = moe_tile.k_loop %c0 to %c64 step 64 init(%z : !moe_tile.acc<16x128xf32>)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<16>, %k] : memref<?x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %W[%e, %n0, %k] : memref<8x512x64xf16> -> !moe_tile.buf<128x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<128x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<128x64xf16>, %c: !moe_tile.acc<16x128xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<128x64xf16>, !moe_tile.acc<16x128xf32>
        moe_tile.yield %d : !moe_tile.acc<16x128xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x128xf32> -> !moe_tile.frag<16x128xf32>
    moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !moe_tile.frag<16x128xf32> to memref<?x512xf32>
  }
  moe_tile.return
}

// -----

// Kernels without a configuration, and explicit ones, stay as they are.
// CHECK-LABEL: moe_tile.kernel @other
// CHECK-NOT:     {{explicit|exec|target}}
// CHECK:         moe_tile.return
moe_tile.kernel @other(%list: !moe_tile.tiles<records>) {
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) { }
  moe_tile.return
}
// CHECK-LABEL: moe_tile.kernel @done
moe_tile.kernel @done() attributes {form = #moe_tile.form<explicit>, moe.config = #moe.config<block = [8, 8, 8]>} {
  moe_tile.return
}
