// A split reduction: every entry sums its part of k; the last part of a tile waits for the others and adds them
// in order. Any number of workers, any schedule.
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-verify-sync),moe-tile-interpret{functions=seq,explicit schedules=10 tolerance=1e-6})" -o /dev/null
// RUN: moe-opt %s -moe-tile-interpret="functions=seq,explicit schedules=10 workers=3 tolerance=1e-6" -o /dev/null
// RUN: moe-opt %s -moe-tile-interpret="functions=explicit,explicit schedules=20 workers=4" -o /dev/null

!B = !moe_tile.buf<4x8xf32>
!T = !moe_tile.staged<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>

// The list is that of @explicit: @seq does the whole reduction at the entry of the last part.
moe_tile.kernel @seq(%X: memref<4x40xf32> {moe_tile.test = {init = "normal"}}, %W: memref<8x40xf32> {moe_tile.test = {init = "normal"}},
    %Y: memref<4x8xf32> {moe_tile.test = {init = "undefined"}},
    %P: memref<?x4x4xf32> {moe_tile.test = {shape = array<i64: 6, 4, 4>, init = "zero"}},
    %ctr: memref<2xi32> {moe_tile.test = {init = "zero"}},
    // expert (here: number of the tile), row0, rows, n0, k0, k1, part, parts
    %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[
      [0, 0, 4, 0, 0, 16, 0, 3], [0, 0, 4, 0, 16, 24, 1, 3], [1, 0, 4, 4, 0, 24, 0, 2],
      [0, 0, 4, 0, 24, 40, 2, 3], [1, 0, 4, 4, 24, 40, 1, 2]]> : tensor<5x8xi32>}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %c40 = arith.constant 40 : index
  scf.for %n = %c0 to %c8 step %c4 {
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c40 step 8 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %X[%c0, %k] : memref<4x40xf32> -> !B
        %b = moe_tile.load %W[%n, %k] : memref<8x40xf32> -> !B
        moe_tile.yield %a, %b : !B, !B
      } compute(%k: index, %a: !B, %b: !B, %c: !ACC) {
        %d = moe_tile.mma %a, %b, %c : !B, !B, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    moe_tile.store %f to %Y[%c0, %n] : !F to memref<4x8xf32>
  }
  // What the split version leaves in its workspace: the partial sums and the counts.
  %i3 = arith.constant 3 : i32
  %i2 = arith.constant 2 : i32
  memref.store %i3, %ctr[%c0] : memref<2xi32>
  memref.store %i2, %ctr[%c1] : memref<2xi32>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %k0, %k1, %part, %parts = moe_tile.k_range %t : index
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %k0 to %k1 step 8 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %X[%c0, %k] : memref<4x40xf32> -> !B
        %b = moe_tile.load %W[%n0, %k] : memref<8x40xf32> -> !B
        moe_tile.yield %a, %b : !B, !B
      } compute(%k: index, %a: !B, %b: !B, %c: !ACC) {
        %d = moe_tile.mma %a, %b, %c : !B, !B, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    %c3 = arith.constant 3 : index
    %first = arith.muli %e, %c3 : index
    %at = arith.addi %first, %part : index
    moe_tile.store %f to %P[%at, %c0, %c0] : !F to memref<?x4x4xf32>
  }
  moe_tile.return
}

moe_tile.kernel @explicit(%X: memref<4x40xf32> {moe_tile.test = {init = "normal"}}, %W: memref<8x40xf32> {moe_tile.test = {init = "normal"}},
    %Y: memref<4x8xf32> {moe_tile.test = {init = "undefined"}},
    %P: memref<?x4x4xf32> {moe_tile.test = {shape = array<i64: 6, 4, 4>, init = "zero"}},
    %ctr: memref<2xi32> {moe_tile.test = {init = "zero"}},
    %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[
      [0, 0, 4, 0, 0, 16, 0, 3], [0, 0, 4, 0, 16, 24, 1, 3], [1, 0, 4, 4, 0, 24, 0, 2],
      [0, 0, 4, 0, 24, 40, 2, 3], [1, 0, 4, 4, 24, 40, 1, 2]]> : tensor<5x8xi32>}}) attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %c8 = arith.constant 8 : index
  %a = moe_tile.buf_alloc : !B
  %b = moe_tile.buf_alloc : !B
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %k0, %k1, %part, %parts = moe_tile.k_range %t : index
    %z = moe_tile.acc_zero : !ACC
    %acc = scf.for %k = %k0 to %k1 step %c8 iter_args(%c = %z) -> (!ACC) {
      %ta = moe_tile.fetch %X[%c0, %k] : memref<4x40xf32> -> !T
      %tb = moe_tile.fetch %W[%n0, %k] : memref<8x40xf32> -> !T
      moe_tile.group_sync block
      moe_tile.deposit %ta to %a : !T to !B
      moe_tile.deposit %tb to %b : !T to !B
      moe_tile.group_sync block
      %d = moe_tile.mma %a, %b, %c : !B, !B, !ACC
      moe_tile.mma_wait 0
      scf.yield %d : !ACC
    }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    %first = arith.muli %e, %c3 : index
    %at = arith.addi %first, %part : index
    moe_tile.partial_put %f to %P[%at] : !F, memref<?x4x4xf32>
    moe_tile.signal %ctr[%e] : memref<2xi32>
    %next = arith.addi %part, %c1 : index
    %last = arith.cmpi eq, %next, %parts : index
    scf.if %last {
      %n = arith.index_cast %parts : index to i32
      moe_tile.await %ctr[%e] ge %n : memref<2xi32>
      %s = moe_tile.partial_take %P[%first] parts(%parts) : memref<?x4x4xf32> -> !F
      moe_tile.store %s to %Y[%c0, %n0] : !F to memref<4x8xf32>
    }
  }
  moe_tile.return
}
