// One team with register staging: the next step's data is on its way to registers while the matrix
// product reads the one LDS slot. The first step is peeled off in front, the last one behind; the operands
// are FNUZ, whose factor 2 on both sides the promotion takes back.
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-verify-sync),moe-tile-interpret{functions=seq,explicit schedules=20})" -o /dev/null

!A = !moe_tile.buf<8x8xf8E4M3FNUZ, pad = 16>
!B = !moe_tile.buf<16x8xf8E4M3FNUZ, pad = 16>
!ACC = !moe_tile.acc<8x16xf32>
!F = !moe_tile.frag<8x16xf32>
!H = !moe_tile.frag<8x8xf32>
!R = !moe_tile.frag<8x1xf32>
!SR = !moe_tile.staged<8x1xf32>
!TA = !moe_tile.staged<8x8xf8E4M3FNUZ>
!TB = !moe_tile.staged<16x8xf8E4M3FNUZ>

moe_tile.kernel @seq(
    %X: memref<?x32xf8E4M3FNUZ> {moe_tile.test = {shape = array<i64: 6, 32>, init = "normal"}},
    %SX: memref<4x?xf32> {moe_tile.test = {shape = array<i64: 4, 6>, init = "normal"}},
    %W: memref<3x32x32xf8E4M3FNUZ> {moe_tile.test = {init = "normal"}},
    %SW: memref<3x1x4xf32> {moe_tile.test = {init = "normal"}},
    %slots: memref<?xi32> {moe_tile.test = {values = dense<[0, 5, 11, -1, -1, -1, -1, -1, 2, 3, 7, 8, 9, 10, 1, 4]> : tensor<16xi32>}},
    %Y: memref<?x16xbf16> {moe_tile.test = {shape = array<i64: 16, 16>, init = "undefined"}},
    %table: !moe_tile.tiles<blocks> {moe_tile.test = [
      {values = dense<[[0, 0, 3], [2, 8, 8]]> : tensor<2x3xi32>, columns = 16, block_n = 8},
      {values = dense<[[1, 8, 5]]> : tensor<1x3xi32>, columns = 16, block_n = 8},
      {shape = array<i64: 0, 3>, init = "zero", columns = 16, block_n = 8}]}) {
  %c0 = arith.constant 0 : index
  %c32 = arith.constant 32 : index
  %zero = arith.constant 0.0 : f32
  moe_tile.for_tiles %t in %table : !moe_tile.tiles<blocks> order(n_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 2 : memref<?xi32> -> !moe_tile.rows<8>
    %z = moe_tile.frag_splat %zero : f32 -> !F
    %f = moe_tile.k_loop %c0 to %c32 step 8 init(%z : !F)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<8>, %k] : memref<?x32xf8E4M3FNUZ> -> !A
        // Gate and up in boxes of four rows, as two waves along n need them.
        %b = moe_tile.load %W[%e, %n0, %k] boxes [0, 16, 4, 20] : memref<3x32x32xf8E4M3FNUZ> -> !B
        %sa = moe_tile.load %SX[%k, %idx : !moe_tile.rows<8>] granule [8, 1] : memref<4x?xf32> -> !moe_tile.buf<8x1xf32>
        %sb = moe_tile.load %SW[%e, %c0, %k] granule [1, 1, 8] : memref<3x1x4xf32> -> !moe_tile.buf<1x1xf32>
        moe_tile.yield %a, %b, %sa, %sb : !A, !B, !moe_tile.buf<8x1xf32>, !moe_tile.buf<1x1xf32>
      } compute(%k: index, %a: !A, %b: !B, %sa: !moe_tile.buf<8x1xf32>, %sb: !moe_tile.buf<1x1xf32>, %main: !F) {
        %p = moe_tile.mma %a, %b : !A, !B -> !ACC
        %pf = moe_tile.acc_read %p : !ACC -> !F
        %m = moe_tile.promote %pf, %main row(%sa : !moe_tile.buf<8x1xf32>) col(%sb : !moe_tile.buf<1x1xf32>) factor 4.0 : !F
        moe_tile.yield %m : !F
      }
    %g, %u = moe_tile.split %f block 4 : !F -> !H, !H
    %s = moe_tile.map ins(%g, %u : !H, !H) -> !moe_tile.frag<8x8xbf16> {
    ^bb0(%gv: f32, %uv: f32):
      %r = arith.mulf %gv, %uv : f32
      %b = arith.truncf %r : f32 to bf16
      moe_tile.yield %b : bf16
    }
    moe_tile.store %s to %Y[%row0, %n0] limit(%rows) : !moe_tile.frag<8x8xbf16> to memref<?x16xbf16>
  }
  moe_tile.return
}

moe_tile.kernel @explicit(%X: memref<?x32xf8E4M3FNUZ>, %SX: memref<4x?xf32>, %W: memref<3x32x32xf8E4M3FNUZ>, %SW: memref<3x1x4xf32>,
    %slots: memref<?xi32>, %Y: memref<?x16xbf16>, %table: !moe_tile.tiles<blocks>)
    attributes {form = #moe_tile.form<explicit>, target = "gfx942", smem_limit = 65536 : i64, exec = #moe_tile.exec<threads = 256>} {
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %zero = arith.constant 0.0 : f32
  %a = moe_tile.buf_alloc : !A
  %b = moe_tile.buf_alloc : !B
  moe_tile.for_tiles %t in %table : !moe_tile.tiles<blocks> order(n_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 2 : memref<?xi32> -> !moe_tile.rows<8>
    %zf = moe_tile.frag_splat %zero : f32 -> !F
    %pa0 = moe_tile.fetch %X[%idx : !moe_tile.rows<8>, %c0] : memref<?x32xf8E4M3FNUZ> -> !TA
    %pb0 = moe_tile.fetch %W[%e, %n0, %c0] boxes [0, 16, 4, 20] : memref<3x32x32xf8E4M3FNUZ> -> !TB
    %ra0 = moe_tile.load %SX[%c0, %idx : !moe_tile.rows<8>] granule [8, 1] : memref<4x?xf32> -> !R
    // The tile before may still be reading.
    moe_tile.group_sync block
    moe_tile.deposit %pa0 to %a : !TA to !A
    moe_tile.deposit %pb0 to %b : !TB to !B
    moe_tile.group_sync block
    %m:2 = scf.for %k = %c0 to %c24 step %c8 iter_args(%main = %zf, %ra = %ra0) -> (!F, !R) {
      %k1 = arith.addi %k, %c8 : index
      %pa = moe_tile.fetch %X[%idx : !moe_tile.rows<8>, %k1] : memref<?x32xf8E4M3FNUZ> -> !TA
      %pb = moe_tile.fetch %W[%e, %n0, %k1] boxes [0, 16, 4, 20] : memref<3x32x32xf8E4M3FNUZ> -> !TB
      %ra1 = moe_tile.load %SX[%k1, %idx : !moe_tile.rows<8>] granule [8, 1] : memref<4x?xf32> -> !R
      %rb = moe_tile.load %SW[%e, %c0, %k] granule [1, 1, 8] : memref<3x1x4xf32> -> !moe_tile.frag<1x1xf32>
      %p = moe_tile.mma %a, %b : !A, !B -> !ACC
      %pf = moe_tile.acc_read %p : !ACC -> !F
      %mm = moe_tile.promote %pf, %main row(%ra : !R) col(%rb : !moe_tile.frag<1x1xf32>) factor 4.0 : !F
      moe_tile.group_sync block
      moe_tile.deposit %pa to %a : !TA to !A
      moe_tile.deposit %pb to %b : !TB to !B
      moe_tile.group_sync block
      scf.yield %mm, %ra1 : !F, !R
    }
    %rb = moe_tile.load %SW[%e, %c0, %c24] granule [1, 1, 8] : memref<3x1x4xf32> -> !moe_tile.frag<1x1xf32>
    %p = moe_tile.mma %a, %b : !A, !B -> !ACC
    %pf = moe_tile.acc_read %p : !ACC -> !F
    %f = moe_tile.promote %pf, %m#0 row(%m#1 : !R) col(%rb : !moe_tile.frag<1x1xf32>) factor 4.0 : !F
    %g, %u = moe_tile.split %f block 4 : !F -> !H, !H
    %s = moe_tile.map ins(%g, %u : !H, !H) -> !moe_tile.frag<8x8xbf16> {
    ^bb0(%gv: f32, %uv: f32):
      %r = arith.mulf %gv, %uv : f32
      %bv = arith.truncf %r : f32 to bf16
      moe_tile.yield %bv : bf16
    }
    moe_tile.store %s to %Y[%row0, %n0] limit(%rows) : !moe_tile.frag<8x8xbf16> to memref<?x16xbf16>
  }
  moe_tile.return
}
