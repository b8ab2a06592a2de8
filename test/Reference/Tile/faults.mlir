// Broken programs that the interpreter catches while it runs them; moe-tile-verify-sync is not asked here.
// RUN: moe-opt %s -split-input-file -verify-diagnostics -moe-tile-interpret="functions=k schedules=20"
// RUN: not moe-opt %S/scalars.mlir -moe-tile-interpret 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: error: moe-tile-interpret needs functions=NAME,...

// Sound.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32> {moe_tile.test = {shape = array<i64: 8, 32>, init = "normal"}}, %W: memref<8x32xf32> {moe_tile.test = {init = "normal"}}, %Y: memref<?x8xf32> {moe_tile.test = {shape = array<i64: 8, 8>, init = "undefined"}}, %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0], [0, 4, 3, 4], [0, 0, 4, 4]]> : tensor<3x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %y = scf.for %k = %c0 to %c32 step %c8 iter_args(%c = %ct) -> (!P) {
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(32) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = moe_tile.acc_zero : !ACC
        %r:2 = scf.for %k = %c0 to %c32 step %c8 iter_args(%acc = %z, %c = %ct) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !A
          %d = moe_tile.mma %a, %b, %acc : !A, !A, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x8xf32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// Read after the release: the slot is poisoned, and the read itself is caught.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32> {moe_tile.test = {shape = array<i64: 8, 32>, init = "normal"}}, %W: memref<8x32xf32> {moe_tile.test = {init = "normal"}}, %Y: memref<?x8xf32> {moe_tile.test = {shape = array<i64: 8, 8>, init = "undefined"}}, %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0], [0, 4, 3, 4], [0, 0, 4, 4]]> : tensor<3x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %y = scf.for %k = %c0 to %c32 step %c8 iter_args(%c = %ct) -> (!P) {
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(32) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = moe_tile.acc_zero : !ACC
        %r:2 = scf.for %k = %c0 to %c32 step %c8 iter_args(%acc = %z, %c = %ct) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !A
          %d = moe_tile.mma %a, %b, %acc : !A, !A, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          // expected-error @below {{reads a buffer of a slot that has been released}}
          %late = moe_tile.frag_load %a : !A -> !moe_tile.frag<4x8xf32>
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x8xf32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// Released while the product reads the slot.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32> {moe_tile.test = {shape = array<i64: 8, 32>, init = "normal"}}, %W: memref<8x32xf32> {moe_tile.test = {init = "normal"}}, %Y: memref<?x8xf32> {moe_tile.test = {shape = array<i64: 8, 8>, init = "undefined"}}, %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0], [0, 4, 3, 4], [0, 0, 4, 4]]> : tensor<3x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %y = scf.for %k = %c0 to %c32 step %c8 iter_args(%c = %ct) -> (!P) {
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(32) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = moe_tile.acc_zero : !ACC
        %r:2 = scf.for %k = %c0 to %c32 step %c8 iter_args(%acc = %z, %c = %ct) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !A
          %d = moe_tile.mma %a, %b, %acc : !A, !A, !ACC
          // expected-error @below {{releases a slot that an mma in flight reads}}
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x8xf32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// One step less than the producer: somebody waits for ever.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
// expected-error-re @below {{{{deadlock: all roles are blocked: @load at moe_tile.acquire|a ring ends with 12 steps published and 9 released}}}}
moe_tile.kernel @k(%X: memref<?x32xf32> {moe_tile.test = {shape = array<i64: 8, 32>, init = "normal"}}, %W: memref<8x32xf32> {moe_tile.test = {init = "normal"}}, %Y: memref<?x8xf32> {moe_tile.test = {shape = array<i64: 8, 8>, init = "undefined"}}, %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0], [0, 4, 3, 4], [0, 0, 4, 4]]> : tensor<3x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %y = scf.for %k = %c0 to %c32 step %c8 iter_args(%c = %ct) -> (!P) {
          // expected-note @below {{@load waits here}}
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(32) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = moe_tile.acc_zero : !ACC
        %r:2 = scf.for %k = %c0 to %c24 step %c8 iter_args(%acc = %z, %c = %ct) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !A
          %d = moe_tile.mma %a, %b, %acc : !A, !A, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x8xf32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// The producer reads what it fills.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32> {moe_tile.test = {shape = array<i64: 8, 32>, init = "normal"}}, %W: memref<8x32xf32> {moe_tile.test = {init = "normal"}}, %Y: memref<?x8xf32> {moe_tile.test = {shape = array<i64: 8, 8>, init = "undefined"}}, %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0], [0, 4, 3, 4], [0, 0, 4, 4]]> : tensor<3x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %y = scf.for %k = %c0 to %c32 step %c8 iter_args(%c = %ct) -> (!P) {
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          // expected-error @below {{reads a buffer of a slot that has not been published}}
          %early = moe_tile.frag_load %a : !A -> !moe_tile.frag<4x8xf32>
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(32) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = moe_tile.acc_zero : !ACC
        %r:2 = scf.for %k = %c0 to %c32 step %c8 iter_args(%acc = %z, %c = %ct) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !A
          %d = moe_tile.mma %a, %b, %acc : !A, !A, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x8xf32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// The consumer writes into a full slot.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32> {moe_tile.test = {shape = array<i64: 8, 32>, init = "normal"}}, %W: memref<8x32xf32> {moe_tile.test = {init = "normal"}}, %Y: memref<?x8xf32> {moe_tile.test = {shape = array<i64: 8, 8>, init = "undefined"}}, %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0], [0, 4, 3, 4], [0, 0, 4, 4]]> : tensor<3x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %y = scf.for %k = %c0 to %c32 step %c8 iter_args(%c = %ct) -> (!P) {
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(32) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = moe_tile.acc_zero : !ACC
        %r:2 = scf.for %k = %c0 to %c32 step %c8 iter_args(%acc = %z, %c = %ct) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !A
          %s = moe_tile.fetch %W[%n0, %k] : memref<8x32xf32> -> !moe_tile.staged<4x8xf32>
          // expected-error @below {{deposits into a slot that is not being filled}}
          moe_tile.deposit %s to %b : !moe_tile.staged<4x8xf32> to !A
          %d = moe_tile.mma %a, %b, %acc : !A, !A, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x8xf32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// Only one role meets the block-wide barrier.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
// expected-error @below {{deadlock: all roles are blocked: }}
moe_tile.kernel @k(%X: memref<?x32xf32> {moe_tile.test = {shape = array<i64: 8, 32>, init = "normal"}}, %W: memref<8x32xf32> {moe_tile.test = {init = "normal"}}, %Y: memref<?x8xf32> {moe_tile.test = {shape = array<i64: 8, 8>, init = "undefined"}}, %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0], [0, 4, 3, 4], [0, 0, 4, 4]]> : tensor<3x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %y = scf.for %k = %c0 to %c32 step %c8 iter_args(%c = %ct) -> (!P) {
          // expected-note @below {{@load waits here}}
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %y : !P
      }
    }
    moe_tile.role @compute threads(32) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %z = moe_tile.acc_zero : !ACC
        %r:2 = scf.for %k = %c0 to %c32 step %c8 iter_args(%acc = %z, %c = %ct) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !A
          %d = moe_tile.mma %a, %b, %acc : !A, !A, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x8xf32>
        // expected-note @below {{@compute waits here}}
        moe_tile.group_sync block
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// An await whose signal comes later in the list of the same worker.
!F = !moe_tile.frag<4x4xf32>
// expected-error @below {{deadlock: all roles are blocked: the kernel at moe_tile.await}}
moe_tile.kernel @k(%ctr: memref<4xi32> {moe_tile.test = {init = "zero"}}, %list: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0], [1, 4, 3, 4]]> : tensor<2x4xi32>}})
    attributes {form = #moe_tile.form<explicit>} {
  %one = arith.constant 1 : i32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %next = arith.subi %c1, %e : index
    // expected-note @below {{the kernel waits here}}
    moe_tile.await %ctr[%next] ge %one : memref<4xi32>
    moe_tile.signal %ctr[%e] : memref<4xi32>
  }
  moe_tile.return
}

// -----

// A deposit is read before the barrier.
!B = !moe_tile.buf<4x8xf32>
moe_tile.kernel @k(%X: memref<4x8xf32> {moe_tile.test = {init = "normal"}}) attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %b = moe_tile.buf_alloc : !B
  %s = moe_tile.fetch %X[%c0, %c0] : memref<4x8xf32> -> !moe_tile.staged<4x8xf32>
  moe_tile.deposit %s to %b : !moe_tile.staged<4x8xf32> to !B
  // expected-error @below {{reads a deposit before a group_sync}}
  %f = moe_tile.frag_load %b : !B -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

// The next deposit overtakes the product that still reads.
!B = !moe_tile.buf<4x8xf32>
moe_tile.kernel @k(%X: memref<4x8xf32> {moe_tile.test = {init = "normal"}}) attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %b = moe_tile.buf_alloc : !B
  %s = moe_tile.fetch %X[%c0, %c0] : memref<4x8xf32> -> !moe_tile.staged<4x8xf32>
  moe_tile.deposit %s to %b : !moe_tile.staged<4x8xf32> to !B
  moe_tile.group_sync block
  %p = moe_tile.mma %b, %b : !B, !B -> !moe_tile.acc<4x4xf32>
  %f = moe_tile.acc_read %p : !moe_tile.acc<4x4xf32> -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{deposits into a buffer that was read since the last group_sync}}
  moe_tile.deposit %s to %b : !moe_tile.staged<4x8xf32> to !B
  moe_tile.return
}

// -----

// The barrier is there, but nobody waited for the product.
!B = !moe_tile.buf<4x8xf32>
moe_tile.kernel @k(%X: memref<4x8xf32> {moe_tile.test = {init = "normal"}}) attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %b = moe_tile.buf_alloc : !B
  %s = moe_tile.fetch %X[%c0, %c0] : memref<4x8xf32> -> !moe_tile.staged<4x8xf32>
  moe_tile.deposit %s to %b : !moe_tile.staged<4x8xf32> to !B
  moe_tile.group_sync block
  %p = moe_tile.mma %b, %b : !B, !B -> !moe_tile.acc<4x4xf32>
  moe_tile.group_sync block
  // expected-error @below {{deposits into a buffer that an mma in flight reads}}
  moe_tile.deposit %s to %b : !moe_tile.staged<4x8xf32> to !B
  moe_tile.return
}

// -----

// An undefined row number.
moe_tile.kernel @k(%X: memref<4xi32> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  // expected-error @below {{reads the undefined slot 0}}
  %r = moe_tile.row_index %X[%c0] : memref<4xi32> -> !moe_tile.rows<4>
  moe_tile.return
}

// -----

// A router on numbers that nobody has written, and one whose results are too few.
moe_tile.kernel @k(%l: memref<3x8xf32> {moe_tile.test = {init = "undefined"}}, %i: memref<3x2xi32> {moe_tile.test = {init = "undefined"}},
                   %w: memref<3x2xf32> {moe_tile.test = {init = "undefined"}}) {
  // expected-error @below {{reads an undefined logit or bias}}
  moe_tile.topk logits(%l : memref<3x8xf32>) to(%i, %w : memref<3x2xi32>, memref<3x2xf32>)
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: memref<?x8xf32> {moe_tile.test = {shape = array<i64: 3, 8>, init = "normal"}},
                   %i: memref<?x2xi32> {moe_tile.test = {shape = array<i64: 3, 2>, init = "undefined"}},
                   %w: memref<?x2xf32> {moe_tile.test = {shape = array<i64: 2, 2>, init = "undefined"}}) {
  // expected-error @below {{token 2 has no row in the results}}
  moe_tile.topk logits(%l : memref<?x8xf32>) to(%i, %w : memref<?x2xi32>, memref<?x2xf32>)
  moe_tile.return
}

// -----

// An undefined bound.
moe_tile.kernel @k(%X: memref<4xi32> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %v = memref.load %X[%c0] : memref<4xi32>
  %i = arith.index_cast %v : i32 to index
  // expected-error @below {{uses an undefined value as an index, bound or condition}}
  %r = memref.load %X[%i] : memref<4xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%X: memref<4xi32> {moe_tile.test = {init = "zero"}}, %i: index {moe_tile.test = {value = 4 : index}}) {
  // expected-error @below {{index out of bounds}}
  %r = memref.load %X[%i] : memref<4xi32>
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: needs a dictionary moe_tile.test}}
moe_tile.kernel @k(%X: memref<4xi32>) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: init must be normal (floats), bits (integers), undefined, zero or iota}}
moe_tile.kernel @k(%X: memref<4xi32> {moe_tile.test = {init = "normal"}}) {
  moe_tile.return
}
