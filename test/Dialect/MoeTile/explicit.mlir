// Operations of the explicit form and the rarer ones of both, in their assembly.
// RUN: moe-opt %s | FileCheck %s

#wg = #moe_tile.atom<wgmma 64x24x16>
#l = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 3 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>
!A = !moe_tile.buf<64x32xbf16, swizzle = 64>
!B = !moe_tile.buf<24x32xbf16, pad = 16>
!ACC = !moe_tile.acc<64x24xf32, #wg>
!F = !moe_tile.frag<64x24xf32, #l>
!RG = !moe_tile.ring<4 x (a: !A, b: !B), sync = group>

// CHECK-LABEL: moe_tile.kernel @grid
// CHECK-SAME: exec = #moe_tile.exec<threads = 128, cluster = 2, grid = tiles, resident>
moe_tile.kernel @grid(%X: memref<?x64xbf16> {moe_tile.max_sizes = array<i64: 128, 64>}, %W: memref<24x64xbf16>, %P: memref<?x64x24xf32>,
                      %ctr: memref<?xi32>, %list: !moe_tile.tiles<records>, %i: i32, %j: i64)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128, cluster = 2, grid = tiles, resident>} {
  %c0 = arith.constant 0 : index
  // CHECK: moe_tile.await_launch
  moe_tile.await_launch
  // CHECK: moe_tile.ring_alloc : !moe_tile.ring<4 x (a: !moe_tile.buf<64x32xbf16, swizzle = 64>, b: !moe_tile.buf<24x32xbf16, pad = 16>), sync = group>
  %ring = moe_tile.ring_alloc : !RG
  // CHECK: moe_tile.prefetch %{{.*}}[%{{.*}} : i32, %{{.*}} : i64] how(bulk) shape [16, 64] to(l1) : memref<?x64xbf16>
  moe_tile.prefetch %X[%i : i32, %j : i64] how(bulk) shape [16, 64] to(l1) : memref<?x64xbf16>
  // CHECK: moe_tile.prefetch %{{.*}}[%{{.*}}, %{{.*}}] shape [16, 64] : memref<?x64xbf16>
  moe_tile.prefetch %X[%c0, %c0] shape [16, 64] : memref<?x64xbf16>
  // CHECK: moe_tile.cursor %{{.*}} -> !moe_tile.cursor<producer>
  %p = moe_tile.cursor %ring : !RG -> !moe_tile.cursor<producer>
  %c = moe_tile.cursor %ring : !RG -> !moe_tile.cursor<consumer>
  // CHECK: for_tiles %{{.*}} in %{{.*}} : !moe_tile.tiles<records> order(explicit) claim(counter) iter(%{{.*}} = %{{.*}} : !moe_tile.cursor<producer>, %{{.*}} = %{{.*}} : !moe_tile.cursor<consumer>) {
  %e:2 = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) claim(counter)
         iter(%pc = %p : !moe_tile.cursor<producer>, %cc = %c : !moe_tile.cursor<consumer>) {
    // CHECK: moe_tile.coords %{{.*}} : i32
    %ex, %row0, %rows, %n0 = moe_tile.coords %t : i32
    // CHECK: moe_tile.k_range %{{.*}} : index
    %k0, %k1, %part, %parts = moe_tile.k_range %t : index
    // CHECK: moe_tile.row_iota %{{.*}} : i32 limit(%{{.*}} : i32) -> !moe_tile.rows<64>
    %idx = moe_tile.row_iota %row0 : i32 limit(%rows : i32) -> !moe_tile.rows<64>
    %a, %b = moe_tile.acquire %ring[%pc] : !RG, !moe_tile.cursor<producer> -> !A, !B
    // CHECK: moe_tile.copy %{{.*}}[%{{.*}} : !moe_tile.rows<64>, %{{.*}}] how(gather) to %{{.*}} : memref<?x64xbf16>, !moe_tile.buf<64x32xbf16, swizzle = 64>
    moe_tile.copy %X[%idx : !moe_tile.rows<64>, %k0] how(gather) to %a : memref<?x64xbf16>, !A
    // CHECK: moe_tile.copy %{{.*}} how(lds_direct) place(resident) width(i64) to
    moe_tile.copy %W[%c0, %k0] how(lds_direct) place(resident) width(i64) to %b : memref<24x64xbf16>, !B
    %pn = moe_tile.publish %ring[%pc] : !RG, !moe_tile.cursor<producer>
    %wa, %wb = moe_tile.wait %ring[%cc] : !RG, !moe_tile.cursor<consumer> -> !A, !B
    // CHECK: moe_tile.mma %{{.*}} atom(#moe_tile.atom<wgmma 64x24x16>)
    %m = moe_tile.mma %wa, %wb atom(#wg) : !A, !B -> !ACC
    // CHECK: moe_tile.store_wait
    // CHECK-NEXT: moe_tile.store_wait complete
    moe_tile.store_wait
    moe_tile.store_wait complete
    // CHECK: moe_tile.mma_wait 1
    moe_tile.mma_wait 1
    // CHECK: -> !moe_tile.frag<64x24xf32, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 3 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>>
    %f = moe_tile.acc_read %m : !ACC -> !F
    %cn = moe_tile.release %ring[%cc] : !RG, !moe_tile.cursor<consumer>
    // CHECK: moe_tile.relayout
    %g = moe_tile.relayout %f : !F -> !moe_tile.frag<64x24xf32>
    // CHECK: moe_tile.partial_put %{{.*}} to %{{.*}}[%{{.*}}] : !moe_tile.frag<64x24xf32>, memref<?x64x24xf32>
    moe_tile.partial_put %g to %P[%part] : !moe_tile.frag<64x24xf32>, memref<?x64x24xf32>
    // CHECK: moe_tile.signal %{{.*}}[%{{.*}} : i32] : memref<?xi32>
    moe_tile.signal %ctr[%ex : i32] : memref<?xi32>
    // CHECK: moe_tile.await %{{.*}}[%{{.*}} : i32] ge %{{.*}} : memref<?xi32>
    moe_tile.await %ctr[%ex : i32] ge %i : memref<?xi32>
    // CHECK: moe_tile.partial_take %{{.*}}[%{{.*}}] parts(%{{.*}}) : memref<?x64x24xf32> -> !moe_tile.frag<64x24xf32>
    %s = moe_tile.partial_take %P[%c0] parts(%parts) : memref<?x64x24xf32> -> !moe_tile.frag<64x24xf32>
    moe_tile.store %s to %P[%part, %c0, %c0] how(bulk) mode(add_f32) width(i32) : !moe_tile.frag<64x24xf32> to memref<?x64x24xf32>
    moe_tile.yield %pn, %cn : !moe_tile.cursor<producer>, !moe_tile.cursor<consumer>
  }
  // CHECK: moe_tile.group_sync block proxy
  moe_tile.group_sync block proxy
  moe_tile.return
}

moe_tile.kernel @nothing() {
  moe_tile.await_launch
  moe_tile.return
}

// CHECK-LABEL: moe_tile.plan @plan
moe_tile.plan @plan() {
  // CHECK: moe_tile.launch @nothing() : () -> !moe_tile.token
  %t = moe_tile.launch @nothing() : () -> !moe_tile.token
  // CHECK: moe_tile.launch @nothing() after(%{{.*}}) pdl : () -> !moe_tile.token
  %u = moe_tile.launch @nothing() after(%t) pdl : () -> !moe_tile.token
  moe_tile.return
}
