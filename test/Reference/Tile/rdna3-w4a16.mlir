// W4A16 with roles that meet at every step: the load role stages packed weights, scales and rows, the compute
// role dequantises from LDS into its operand registers.
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-verify-sync),moe-tile-interpret{functions=seq,explicit schedules=20})" -o /dev/null

!A = !moe_tile.buf<16x16xf16>
!Q = !moe_tile.buf<16x8xi8>
!S = !moe_tile.buf<16x2xf16>
!B = !moe_tile.frag<16x16xf16>
!ACC = !moe_tile.acc<16x16xf32>
!F = !moe_tile.frag<16x16xf32>
!RG = !moe_tile.ring<2 x (a: !A, q: !Q, s: !S), sync = lockstep>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>

// k = 40: the last step of 16 is short. Scales per 8 of k.
moe_tile.kernel @seq(
    %X: memref<?x40xf16> {moe_tile.test = {shape = array<i64: 33, 40>, init = "normal"}},
    %W: memref<2x24x20xi8> {moe_tile.test = {init = "bits"}},
    %S: memref<2x24x5xf16> {moe_tile.test = {init = "normal", scale = 0.1}},
    %table: memref<?x3xi32> {moe_tile.test = [
      {values = dense<[[0, 0, 16], [0, 16, 1], [1, 17, 16]]> : tensor<3x3xi32>},
      {values = dense<[[1, 0, 16], [1, 16, 16], [1, 32, 1]]> : tensor<3x3xi32>},
      {shape = array<i64: 0, 3>, init = "zero"}]},
    %Y: memref<?x24xf32> {moe_tile.test = {shape = array<i64: 33, 24>, init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %c40 = arith.constant 40 : index
  %count = memref.dim %table, %c0 : memref<?x3xi32>
  %list = moe_tile.block_list %table count(%count) columns 24 by 16 : memref<?x3xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c40 step 16 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %X[%row0, %k] : memref<?x40xf16> -> !A
        %q = moe_tile.load %W[%e, %n0, %k] granule [1, 1, 2] : memref<2x24x20xi8> -> !Q
        %s = moe_tile.load %S[%e, %n0, %k] granule [1, 1, 8] : memref<2x24x5xf16> -> !S
        moe_tile.yield %a, %q, %s : !A, !Q, !S
      } compute(%k: index, %a: !A, %q: !Q, %s: !S, %c: !ACC) {
        %b = moe_tile.dequant %q scale(%s : !S) zero_value 8 format(low_even) : !Q -> !B
        %d = moe_tile.mma %a, %b, %c : !A, !B, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x24xf32>
  }
  moe_tile.return
}

moe_tile.kernel @explicit(%X: memref<?x40xf16>, %W: memref<2x24x20xi8>, %S: memref<2x24x5xf16>, %table: memref<?x3xi32>, %Y: memref<?x24xf32>)
    attributes {form = #moe_tile.form<explicit>, target = "gfx1100", smem_limit = 65536 : i64, exec = #moe_tile.exec<threads = 192>} {
  %c0 = arith.constant 0 : index
  %c16 = arith.constant 16 : index
  %c40 = arith.constant 40 : index
  %count = memref.dim %table, %c0 : memref<?x3xi32>
  %list = moe_tile.block_list %table count(%count) columns 24 by 16 : memref<?x3xi32> -> !moe_tile.tiles<blocks>
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(64) {
      %c = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) iter(%ct = %c : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %y = scf.for %k = %c0 to %c40 step %c16 iter_args(%ck = %ct) -> (!P) {
          %ta = moe_tile.fetch %X[%row0, %k] : memref<?x40xf16> -> !moe_tile.staged<16x16xf16>
          %tq = moe_tile.fetch %W[%e, %n0, %k] granule [1, 1, 2] : memref<2x24x20xi8> -> !moe_tile.staged<16x8xi8>
          %ts = moe_tile.fetch %S[%e, %n0, %k] granule [1, 1, 8] : memref<2x24x5xf16> -> !moe_tile.staged<16x2xf16>
          %a, %q, %s = moe_tile.acquire %ring[%ck] : !RG, !P -> !A, !Q, !S
          moe_tile.deposit %ta to %a : !moe_tile.staged<16x16xf16> to !A
          moe_tile.deposit %tq to %q : !moe_tile.staged<16x8xi8> to !Q
          moe_tile.deposit %ts to %s : !moe_tile.staged<16x2xf16> to !S
          %nx = moe_tile.publish %ring[%ck] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(128) {
      %c = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) iter(%ct = %c : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = moe_tile.acc_zero : !ACC
        %r:2 = scf.for %k = %c0 to %c40 step %c16 iter_args(%acc = %z, %ck = %ct) -> (!ACC, !C) {
          %a, %q, %s = moe_tile.wait %ring[%ck] : !RG, !C -> !A, !Q, !S
          %b = moe_tile.dequant %q scale(%s : !S) zero_value 8 format(low_even) : !Q -> !B
          %d = moe_tile.mma %a, %b, %acc : !A, !B, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%ck] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x24xf32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}
