// 14 broken programs that moe-tile-verify-sync rejects, and the sound one they come from.
// RUN: moe-opt %s -split-input-file -verify-diagnostics -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-verify-sync))"

// Sound.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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

// Released while the product reads the slot.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
          // expected-note @below {{this one; an acc_read or mma_wait must come before}}
          %d = moe_tile.mma %a, %b, %acc : !A, !A, !ACC
          // expected-error @below {{sync_c4: releases a slot that an mma in flight reads}}
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

// One step less than the producer.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  // expected-error @below {{sync_c3: producer and consumer differ: 4 steps against 3}}
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

// Roles walk the list in different order.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  // expected-error @below {{sync_c3: producer and consumer differ: tile order explicit against n_major}}
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
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(n_major) iter(%ct = %cc : !C) {
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

// The producer goes on with the old cursor.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
          // expected-error @below {{cursor_c1: a cursor is used once, got 1 openings, 1 closings and 1 other uses}}
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %c : !P
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

// Read after the release.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
          // expected-error @below {{sync_c2: uses buffer 0 after its release}}
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

// A buffer of the slot stays empty.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
          // expected-error @below {{sync_c2: buffer 1 is filled 0 times before publish, not once}}
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
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

// A buffer is filled twice.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
          // expected-error @below {{sync_c2: buffer 1 is filled 2 times before publish, not once}}
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !A
          moe_tile.copy %X[%row0, %k] to %a : memref<?x32xf32>, !A
          moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
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

// A copy only under a condition.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
          scf.if %true {
            // expected-error @below {{sync_c2: fills buffer 1 under scf.if}}
            moe_tile.copy %W[%n0, %k] to %b : memref<8x32xf32>, !A
          }
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
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
          // expected-error @below {{sync_c2: writes buffer 1 between wait and release}}
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

// The producer reads what it fills.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
          // expected-error @below {{sync_c2: reads buffer 0 before it has been published}}
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

// Only one role meets the block-wide barrier.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
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
    // expected-error @below {{sync_c6: block-wide group_sync differs between roles: one more loop}}
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
        moe_tile.group_sync block
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// A ring without a consumer.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
// expected-error @below {{sync_c1: a ring has one producer cursor, got 0}}
  %other = moe_tile.ring_alloc : !RG
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

// Nothing signals what is awaited.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  %n = arith.constant 1 : i32
  %ctr = memref.alloc() : memref<4xi32>
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
        // expected-error @below {{sync_c5: nothing signals these counters}}
        moe_tile.await %ctr[%c0] ge %n : memref<4xi32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}

// -----

// Await and signal in an order that nobody vouches for.
!A = !moe_tile.buf<4x8xf32>
!ACC = !moe_tile.acc<4x4xf32>
!F = !moe_tile.frag<4x4xf32>
!RG = !moe_tile.ring<2 x (a: !A, b: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %W: memref<8x32xf32>, %Y: memref<?x8xf32>, %list: !moe_tile.tiles<records>)
    attributes {form = #moe_tile.form<explicit>} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c24 = arith.constant 24 : index
  %c32 = arith.constant 32 : index
  %true = arith.constant true
  %ring = moe_tile.ring_alloc : !RG
  %n = arith.constant 1 : i32
  %ctr = memref.alloc() : memref<4xi32>
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(expert_major) iter(%ct = %cp : !P) {
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
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(expert_major) iter(%ct = %cc : !C) {
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
        // expected-error @below {{sync_c5: progress needs a resident grid}}
        moe_tile.await %ctr[%c0] ge %n : memref<4xi32>
        moe_tile.signal %ctr[%c0] : memref<4xi32>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}
