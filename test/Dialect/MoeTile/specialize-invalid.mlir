// RUN: moe-opt %s -split-input-file -verify-diagnostics -moe-tile-to-explicit -o /dev/null

// Kernels with a configuration that have no explicit form say why.

// -----

// expected-error @below {{clusters of 2x1 blocks have no explicit form yet}}
moe_tile.kernel @cluster(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 4, cluster = [2, 1]>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

// expected-error @below {{has no explicit form: it has 2 loops over tiles and 1 k loops, not one of each}}
moe_tile.kernel @two_loops(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) { }
  moe_tile.return
}

// -----

moe_tile.kernel @from(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    // expected-error @below {{has no explicit form: its bounds are not the constants 0 and K > 0}}
    %acc = moe_tile.k_loop %ck to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @two_stores(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
    // expected-error @below {{has no explicit form: one store of one fragment is expected}}
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @no_store(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  // expected-error @below {{has no explicit form: it stores no tile}}
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
  }
  moe_tile.return
}

// -----

!A = !moe_tile.buf<64x128xf8E4M3FN>
!F = !moe_tile.frag<64x64xf32>
moe_tile.kernel @promotes(%A: memref<?x256xf8E4M3FN>, %B: memref<64x256xf8E4M3FN>, %s: f32, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 128], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 256 : index
  %zero = arith.constant 0.0 : f32
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.frag_splat %zero : f32 -> !F
    // expected-error @below {{has no explicit form: only row and column factors are scaled in, no zero points}}
    %f = moe_tile.k_loop %c0 to %ck step 128 init(%z : !F)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x256xf8E4M3FN> -> !A
        %b = moe_tile.load %B[%c0, %k] : memref<64x256xf8E4M3FN> -> !A
        moe_tile.yield %a, %b : !A, !A
      } compute(%k: index, %a: !A, %b: !A, %c: !F) {
        %d = moe_tile.mma %a, %b : !A, !A -> !moe_tile.acc<64x64xf32>
        %p = moe_tile.acc_read %d : !moe_tile.acc<64x64xf32> -> !F
        %q = moe_tile.promote %p, %c scalar(%s : f32) : !F
        moe_tile.yield %q : !F
      }
    moe_tile.store %f to %Y[%c0, %c0] : !F to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

!A = !moe_tile.buf<64x128xf8E4M3FN>
!S = !moe_tile.buf<64x1xf32>
!F = !moe_tile.frag<64x64xf32>
moe_tile.kernel @promotes_from_one(%A: memref<?x256xf8E4M3FN>, %B: memref<64x256xf8E4M3FN>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 128], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 256 : index
  %one = arith.constant 1.0 : f32
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.frag_splat %one : f32 -> !F
    // expected-error @below {{has no explicit form: it does not start from zero}}
    %f = moe_tile.k_loop %c0 to %ck step 128 init(%z : !F)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x256xf8E4M3FN> -> !A
        %b = moe_tile.load %B[%c0, %k] : memref<64x256xf8E4M3FN> -> !A
        moe_tile.yield %a, %b : !A, !A
      } compute(%k: index, %a: !A, %b: !A, %c: !F) {
        %d = moe_tile.mma %a, %b : !A, !A -> !moe_tile.acc<64x64xf32>
        %p = moe_tile.acc_read %d : !moe_tile.acc<64x64xf32> -> !F
        %q = moe_tile.promote %p, %c : !F
        moe_tile.yield %q : !F
      }
    moe_tile.store %f to %Y[%c0, %c0] : !F to memref<?x64xf32>
  }
  moe_tile.return
}
