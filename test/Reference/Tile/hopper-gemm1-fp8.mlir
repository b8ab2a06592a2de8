// GEMM1 of a fp8 block-scaled layer: gathered rows, gate and up in one tile, promotion per 8 columns of k,
// SwiGLU, requantisation per row of 16 columns. @seq is the sequential form; @explicit is what it becomes
// on Hopper: a load role and a compute role around a ring, two passes over n written as one rolled loop
// in the load role and as two loops in the compute role.
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-verify-sync),moe-tile-interpret{functions=seq,explicit schedules=20})" -o /dev/null
// RUN: moe-opt %s -moe-tile-interpret="functions=seq,explicit schedules=5 workers=3" -o /dev/null
// The list is not empty for nothing: the reference writes rows.
// RUN: moe-opt %s -moe-tile-interpret="functions=seq print" -o /dev/null | FileCheck %s
// CHECK: argument 5 = [
// CHECK: argument 6 = [

!A = !moe_tile.buf<8x8xf8E4M3FN>
!B = !moe_tile.buf<16x8xf8E4M3FN>
!SA = !moe_tile.buf<8x1xf32>
!SB = !moe_tile.buf<1x2xf32>
!ACC = !moe_tile.acc<8x16xf32>
!F = !moe_tile.frag<8x16xf32>
!H = !moe_tile.frag<8x8xf32>
!Q = !moe_tile.frag<8x8xf8E4M3FN>
!R = !moe_tile.frag<8x1xf32>
!RB = !moe_tile.frag<1x2xf32>
!OUT = !moe_tile.buf<8x16xf8E4M3FN>
!RG = !moe_tile.ring<3 x (a: !A, b: !B, sa: !SA, sb: !SB), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>

// Tokens 6 rows of k = 32; weights 3 experts of 16 gate and 16 up rows; scales per 8 of k, per 16 rows of n.
moe_tile.kernel @seq(
    %X: memref<?x32xf8E4M3FN> {moe_tile.test = {shape = array<i64: 6, 32>, init = "normal"}},
    %SX: memref<4x?xf32> {moe_tile.test = {shape = array<i64: 4, 6>, init = "normal"}},
    %W: memref<3x32x32xf8E4M3FN> {moe_tile.test = {init = "normal"}},
    %SW: memref<3x2x4xf32> {moe_tile.test = {init = "normal", scale = 0.1}},
    // Two slots per token; 3 expert rows padded to blocks of 8.
    %slots: memref<?xi32> {moe_tile.test = {values = dense<[0, 5, 11, -1, -1, -1, -1, -1, 2, 3, 7, 8, 9, 10, 1, 4, 6, -1, -1, -1, -1, -1, -1, -1]> : tensor<24xi32>}},
    %Y: memref<?x16xf8E4M3FN> {moe_tile.test = {shape = array<i64: 24, 16>, init = "undefined"}},
    %SY: memref<1x?xf32> {moe_tile.test = {shape = array<i64: 1, 24>, init = "undefined"}},
    // Full and ragged blocks; one entry; no entry.
    %list: !moe_tile.tiles<records> {moe_tile.test = [
      {values = dense<[[0, 0, 3, 0], [2, 8, 8, 0], [2, 16, 1, 0]]> : tensor<3x4xi32>},
      {values = dense<[[1, 8, 7, 0]]> : tensor<1x4xi32>},
      {shape = array<i64: 0, 4>, init = "zero"}]}) attributes {form = #moe_tile.form<seq>} {
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %c32 = arith.constant 32 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %nlog2e = arith.constant -1.44269502 : f32
  %tiny = arith.constant 1.0e-12 : f32
  %inv448 = arith.constant 2.23214296E-3 : f32
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(expert_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %n1 = arith.addi %n0, %c8 : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 2 : memref<?xi32> -> !moe_tile.rows<8>
    %z = moe_tile.frag_splat %zero : f32 -> !F
    %f0 = moe_tile.k_loop %c0 to %c32 step 8 init(%z : !F)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<8>, %k] : memref<?x32xf8E4M3FN> -> !A
        %b = moe_tile.load %W[%e, %n0, %k] boxes [0, 16] : memref<3x32x32xf8E4M3FN> -> !B
        %sa = moe_tile.load %SX[%k, %idx : !moe_tile.rows<8>] granule [8, 1] : memref<4x?xf32> -> !SA
        %sb = moe_tile.load %SW[%e, %n0, %k] dims [2, 1] granule [1, 16, 8] boxes [0, 1] on 1 : memref<3x2x4xf32> -> !SB
        moe_tile.yield %a, %b, %sa, %sb : !A, !B, !SA, !SB
      } compute(%k: index, %a: !A, %b: !B, %sa: !SA, %sb: !SB, %main: !F) {
        %p = moe_tile.mma %a, %b : !A, !B -> !ACC
        %pf = moe_tile.acc_read %p : !ACC -> !F
        %m = moe_tile.promote %pf, %main row(%sa : !SA) col(%sb : !SB) : !F
        moe_tile.yield %m : !F
      }
    %g0, %u0 = moe_tile.split %f0 block 8 : !F -> !H, !H
    %s0 = moe_tile.map ins(%g0, %u0 : !H, !H) -> !H {
    ^bb0(%g: f32, %u: f32):
      %x = arith.mulf %g, %nlog2e : f32
      %ex = math.exp2 %x : f32
      %d = arith.addf %ex, %one : f32
      %si = arith.divf %g, %d : f32
      %r = arith.mulf %si, %u : f32
      moe_tile.yield %r : f32
    }
    %f1 = moe_tile.k_loop %c0 to %c32 step 8 init(%z : !F)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<8>, %k] : memref<?x32xf8E4M3FN> -> !A
        %b = moe_tile.load %W[%e, %n1, %k] boxes [0, 16] : memref<3x32x32xf8E4M3FN> -> !B
        %sa = moe_tile.load %SX[%k, %idx : !moe_tile.rows<8>] granule [8, 1] : memref<4x?xf32> -> !SA
        %sb = moe_tile.load %SW[%e, %n1, %k] dims [2, 1] granule [1, 16, 8] boxes [0, 1] on 1 : memref<3x2x4xf32> -> !SB
        moe_tile.yield %a, %b, %sa, %sb : !A, !B, !SA, !SB
      } compute(%k: index, %a: !A, %b: !B, %sa: !SA, %sb: !SB, %main: !F) {
        %p = moe_tile.mma %a, %b : !A, !B -> !ACC
        %pf = moe_tile.acc_read %p : !ACC -> !F
        %m = moe_tile.promote %pf, %main row(%sa : !SA) col(%sb : !SB) : !F
        moe_tile.yield %m : !F
      }
    %g1, %u1 = moe_tile.split %f1 block 8 : !F -> !H, !H
    %s1 = moe_tile.map ins(%g1, %u1 : !H, !H) -> !H {
    ^bb0(%g: f32, %u: f32):
      %x = arith.mulf %g, %nlog2e : f32
      %ex = math.exp2 %x : f32
      %d = arith.addf %ex, %one : f32
      %si = arith.divf %g, %d : f32
      %r = arith.mulf %si, %u : f32
      moe_tile.yield %r : f32
    }
    %am = moe_tile.row_reduce absmax %s0, %s1 group 16 : !H, !H -> !R
    %sc = moe_tile.map ins(%am : !R) -> !R {
    ^bb0(%v: f32):
      %w = arith.maximumf %v, %tiny : f32
      %q = arith.mulf %w, %inv448 : f32
      moe_tile.yield %q : f32
    }
    %q0, %q1 = moe_tile.map ins(%s0, %s1, %sc : !H, !H, !R) -> !Q, !Q {
    ^bb0(%v: f32, %w: f32, %s: f32):
      %d0 = arith.divf %v, %s : f32
      %d1 = arith.divf %w, %s : f32
      %b0 = arith.truncf %d0 : f32 to f8E4M3FN
      %b1 = arith.truncf %d1 : f32 to f8E4M3FN
      moe_tile.yield %b0, %b1 : f8E4M3FN, f8E4M3FN
    }
    moe_tile.store %q0, %q1 to %Y[%row0, %n0] limit(%rows) : !Q, !Q to memref<?x16xf8E4M3FN>
    moe_tile.store %sc to %SY[%n0, %row0] limit(%rows) dims [1, 0] granule [16, 1] : !R to memref<1x?xf32>
  }
  moe_tile.return
}

moe_tile.kernel @explicit(%X: memref<?x32xf8E4M3FN>, %SX: memref<4x?xf32>, %W: memref<3x32x32xf8E4M3FN>, %SW: memref<3x2x4xf32>,
    %slots: memref<?xi32>, %Y: memref<?x16xf8E4M3FN>, %SY: memref<1x?xf32>, %list: !moe_tile.tiles<records>)
    attributes {form = #moe_tile.form<explicit>, target = "sm_90a", smem_limit = 232448 : i64,
                exec = #moe_tile.exec<threads = 384, cluster = 1, grid = persistent>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c8 = arith.constant 8 : index
  %c32 = arith.constant 32 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %nlog2e = arith.constant -1.44269502 : f32
  %tiny = arith.constant 1.0e-12 : f32
  %inv448 = arith.constant 2.23214296E-3 : f32
  %ring = moe_tile.ring_alloc : !RG
  %out = moe_tile.buf_alloc : !OUT
  moe_tile.roles {
    moe_tile.role @load threads(128) regs(40) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(expert_major) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 2 : memref<?xi32> -> !moe_tile.rows<8>
        %y = scf.for %p = %c0 to %c2 step %c1 iter_args(%cq = %ct) -> (!P) {
          %dn = arith.muli %p, %c8 : index
          %n = arith.addi %n0, %dn : index
          %zz = scf.for %k = %c0 to %c32 step %c8 iter_args(%c = %cq) -> (!P) {
            %a, %b, %sa, %sb = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !B, !SA, !SB
            moe_tile.copy %W[%e, %n, %k] boxes [0, 16] how(desc) to %b : memref<3x32x32xf8E4M3FN>, !B
            moe_tile.copy %SW[%e, %n, %k] dims [2, 1] granule [1, 16, 8] boxes [0, 1] on 1 how(element) to %sb : memref<3x2x4xf32>, !SB
            moe_tile.copy %X[%idx : !moe_tile.rows<8>, %k] how(gather) to %a : memref<?x32xf8E4M3FN>, !A
            moe_tile.copy %SX[%k, %idx : !moe_tile.rows<8>] granule [8, 1] how(gather) to %sa : memref<4x?xf32>, !SA
            %nx = moe_tile.publish %ring[%c] : !RG, !P
            scf.yield %nx : !P
          }
          scf.yield %zz : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(128) copies(2) divide(m) regs(232) {
      %zf = moe_tile.frag_splat %zero : f32 -> !F
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(expert_major) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %r0:2 = scf.for %k = %c0 to %c32 step %c8 iter_args(%main = %zf, %c = %ct) -> (!F, !C) {
          %a, %b, %sa, %sb = moe_tile.wait %ring[%c] : !RG, !C -> !A, !B, !SA, !SB
          %p = moe_tile.mma %a, %b : !A, !B -> !ACC
          %ra = moe_tile.frag_load %sa : !SA -> !R
          %rb = moe_tile.frag_load %sb : !SB -> !RB
          %pf = moe_tile.acc_read %p : !ACC -> !F
          %nx = moe_tile.release %ring[%c] : !RG, !C
          %m = moe_tile.promote %pf, %main row(%ra : !R) col(%rb : !RB) : !F
          scf.yield %m, %nx : !F, !C
        }
        %g0, %u0 = moe_tile.split %r0#0 block 8 : !F -> !H, !H
        %s0 = moe_tile.map ins(%g0, %u0 : !H, !H) -> !H {
        ^bb0(%g: f32, %u: f32):
          %x = arith.mulf %g, %nlog2e : f32
          %ex = math.exp2 %x : f32
          %d = arith.addf %ex, %one : f32
          %si = arith.divf %g, %d : f32
          %r = arith.mulf %si, %u : f32
          moe_tile.yield %r : f32
        }
        %r1:2 = scf.for %k = %c0 to %c32 step %c8 iter_args(%main = %zf, %c = %r0#1) -> (!F, !C) {
          %a, %b, %sa, %sb = moe_tile.wait %ring[%c] : !RG, !C -> !A, !B, !SA, !SB
          %p = moe_tile.mma %a, %b : !A, !B -> !ACC
          %ra = moe_tile.frag_load %sa : !SA -> !R
          %rb = moe_tile.frag_load %sb : !SB -> !RB
          %pf = moe_tile.acc_read %p : !ACC -> !F
          %nx = moe_tile.release %ring[%c] : !RG, !C
          %m = moe_tile.promote %pf, %main row(%ra : !R) col(%rb : !RB) : !F
          scf.yield %m, %nx : !F, !C
        }
        %g1, %u1 = moe_tile.split %r1#0 block 8 : !F -> !H, !H
        %s1 = moe_tile.map ins(%g1, %u1 : !H, !H) -> !H {
        ^bb0(%g: f32, %u: f32):
          %x = arith.mulf %g, %nlog2e : f32
          %ex = math.exp2 %x : f32
          %d = arith.addf %ex, %one : f32
          %si = arith.divf %g, %d : f32
          %r = arith.mulf %si, %u : f32
          moe_tile.yield %r : f32
        }
        %am = moe_tile.row_reduce absmax %s0, %s1 group 16 : !H, !H -> !R
        %sc = moe_tile.map ins(%am : !R) -> !R {
        ^bb0(%v: f32):
          %w = arith.maximumf %v, %tiny : f32
          %q = arith.mulf %w, %inv448 : f32
          moe_tile.yield %q : f32
        }
        %q0, %q1 = moe_tile.map ins(%s0, %s1, %sc : !H, !H, !R) -> !Q, !Q {
        ^bb0(%v: f32, %w: f32, %s: f32):
          %d0 = arith.divf %v, %s : f32
          %d1 = arith.divf %w, %s : f32
          %b0 = arith.truncf %d0 : f32 to f8E4M3FN
          %b1 = arith.truncf %d1 : f32 to f8E4M3FN
          moe_tile.yield %b0, %b1 : f8E4M3FN, f8E4M3FN
        }
        moe_tile.deposit %q0, %q1 to %out : !Q, !Q to !OUT
        moe_tile.group_sync team proxy
        moe_tile.store %out to %Y[%row0, %n0] limit(%rows) how(vector) : !OUT to memref<?x16xf8E4M3FN>
        moe_tile.store %sc to %SY[%n0, %row0] limit(%rows) dims [1, 0] granule [16, 1] how(vector) : !R to memref<1x?xf32>
        // The next tile's deposit must not overtake this tile's store.
        moe_tile.group_sync team
        moe_tile.yield %r1#1 : !C
      }
    }
  }
  moe_tile.return
}
