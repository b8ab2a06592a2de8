// The comparison itself: a difference is found and located, a tolerance is obeyed, and workers share a list.
// RUN: not moe-opt %s -moe-tile-interpret="functions=one,two" 2>&1 | FileCheck %s --check-prefix=DIFF
// RUN: moe-opt %s -moe-tile-interpret="functions=one,two tolerance=0.6" -o /dev/null
// RUN: moe-opt %s -moe-tile-interpret="functions=chain schedules=20 workers=3 print" -o /dev/null | FileCheck %s --check-prefix=CHAIN
// RUN: moe-opt %s -moe-tile-interpret="functions=claim schedules=20 workers=3 print" -o /dev/null | FileCheck %s --check-prefix=CLAIM
// RUN: moe-opt %s -moe-tile-interpret="functions=dies schedules=3 workers=1 print" -o /dev/null | FileCheck %s --check-prefix=DIES
// RUN: moe-opt %s -moe-tile-interpret="functions=dies schedules=3 workers=5 print" -o /dev/null | FileCheck %s --check-prefix=DIES
// RUN: moe-opt %s -moe-tile-interpret="functions=dies schedules=3 workers=11 print" -o /dev/null | FileCheck %s --check-prefix=DIES
// RUN: not moe-opt %s -moe-tile-interpret="functions=none" 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: moe-opt %s -moe-tile-interpret="functions=third print" -o /dev/null | FileCheck %s --check-prefix=NARROW
// RUN: moe-opt %s -moe-tile-interpret="functions=third print wide" -o /dev/null | FileCheck %s --check-prefix=WIDE

// NONE: error: no kernel or plan 'none'
// DIFF: error: element 2 of argument 0 is 2, 'one' gives 1 (case 1, seed 1)
moe_tile.kernel @one(%x: memref<4xf32> {moe_tile.test = [{values = dense<1.0> : tensor<4xf32>}, {values = dense<2.0> : tensor<4xf32>}]}) {
  %c2 = arith.constant 2 : index
  %one = arith.constant 1.0 : f32
  memref.store %one, %x[%c2] : memref<4xf32>
  moe_tile.return
}
moe_tile.kernel @two(%x: memref<4xf32>) {
  moe_tile.return
}

// Entry i waits for the sum of entry i - 1, whoever has taken it.
// CHAIN: argument 1 = [1, 3, 6, 10, 15, 21, 28]
moe_tile.kernel @chain(%ctr: memref<8xi32> {moe_tile.test = {init = "zero"}},
                       %x: memref<7xf32> {moe_tile.test = {values = dense<[1., 2., 3., 4., 5., 6., 7.]> : tensor<7xf32>}},
                       %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0,0,1,0],[1,0,1,0],[2,0,1,0],[3,0,1,0],[4,0,1,0],[5,0,1,0],[6,0,1,0]]> : tensor<7x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1 : i32
  moe_tile.signal %ctr[%c0] : memref<8xi32>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    moe_tile.await %ctr[%e] ge %one : memref<8xi32>
    %first = arith.cmpi eq, %e, %c0 : index
    scf.if %first {
    } else {
      %p = arith.subi %e, %c1 : index
      %a = memref.load %x[%p] : memref<7xf32>
      %b = memref.load %x[%e] : memref<7xf32>
      %s = arith.addf %a, %b : f32
      memref.store %s, %x[%e] : memref<7xf32>
    }
    %n = arith.addi %e, %c1 : index
    moe_tile.signal %ctr[%n] : memref<8xi32>
  }
  moe_tile.return
}

// With a shared counter every entry is still taken exactly once, by both roles of the same worker.
// CLAIM: argument 0 = [5, 6, 7, 8, 9, 10, 11]
!B = !moe_tile.buf<1x1xf32>
!RG = !moe_tile.ring<2 x (a: !B), sync = tx>
moe_tile.kernel @claim(%x: memref<7x1xf32> {moe_tile.test = {init = "iota"}},
                       %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0,0,1,0],[0,1,1,0],[0,2,1,0],[0,3,1,0],[0,4,1,0],[0,5,1,0],[0,6,1,0]]> : tensor<7x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %five = arith.constant 5.0 : f32
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %c = moe_tile.cursor %ring : !RG -> !moe_tile.cursor<producer>
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) claim(counter) iter(%ct = %c : !moe_tile.cursor<producer>) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %a = moe_tile.acquire %ring[%ct] : !RG, !moe_tile.cursor<producer> -> !B
        moe_tile.copy %x[%row0, %c0] to %a : memref<7x1xf32>, !B
        %n = moe_tile.publish %ring[%ct] : !RG, !moe_tile.cursor<producer>
        moe_tile.yield %n : !moe_tile.cursor<producer>
      }
    }
    moe_tile.role @compute threads(32) {
      %c = moe_tile.cursor %ring : !RG -> !moe_tile.cursor<consumer>
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) claim(counter) iter(%ct = %c : !moe_tile.cursor<consumer>) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %a = moe_tile.wait %ring[%ct] : !RG, !moe_tile.cursor<consumer> -> !B
        %f = moe_tile.frag_load %a : !B -> !moe_tile.frag<1x1xf32>
        %n = moe_tile.release %ring[%ct] : !RG, !moe_tile.cursor<consumer>
        %g = moe_tile.map ins(%f : !moe_tile.frag<1x1xf32>) -> !moe_tile.frag<1x1xf32> {
        ^bb0(%v: f32):
          %w = arith.addf %v, %five : f32
          moe_tile.yield %w : f32
        }
        moe_tile.store %g to %x[%row0, %c0] : !moe_tile.frag<1x1xf32> to memref<7x1xf32>
        moe_tile.yield %n : !moe_tile.cursor<consumer>
      }
    }
  }
  moe_tile.return
}

// Dies share a list: every entry is taken once, by fewer workers than dies and by more than entries.
// DIES: argument 0 = [1, 2, 3, 4, 5, 6, 7]
moe_tile.kernel @dies(%x: memref<7xf32> {moe_tile.test = {init = "iota"}},
                      %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0,0,1,0],[1,0,1,0],[2,0,1,0],[3,0,1,0],[4,0,1,0],[5,0,1,0],[6,0,1,0]]> : tensor<7x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %one = arith.constant 1.0 : f32
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) claim(stride) dies(8) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %a = memref.load %x[%e] : memref<7xf32>
    %b = arith.addf %a, %one : f32
    memref.store %b, %x[%e] : memref<7xf32>
  }
  moe_tile.return
}

// (1 + 2^-24) - 1 in f32 is 0; wide keeps the bit.
// NARROW: argument 0 = [0]
// WIDE: argument 0 = [5.96046e-08]
moe_tile.kernel @third(%x: memref<1xf32> {moe_tile.test = {values = dense<5.9604644775390625E-8> : tensor<1xf32>}}) {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f32
  %v = memref.load %x[%c0] : memref<1xf32>
  %a = arith.addf %v, %one : f32
  %b = arith.subf %a, %one : f32
  memref.store %b, %x[%c0] : memref<1xf32>
  moe_tile.return
}
