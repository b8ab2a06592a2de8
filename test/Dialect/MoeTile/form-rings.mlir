// RUN: moe-opt %s -split-input-file -verify-diagnostics -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-form-rings))" | FileCheck %s

// The swizzle is the row of a slot.

// -----

// Direct stores need no staging.
// CHECK-LABEL: @plain
// CHECK-SAME:    smem_limit = 232448
// CHECK:         moe_tile.k_loop {{.*}} step 64 {{.*}} {stages = 4 : i64}
// CHECK:           moe_tile.load {{.*}} -> !moe_tile.buf<64x64xbf16, swizzle = 128>
// CHECK:           moe_tile.load {{.*}} -> !moe_tile.buf<64x64xbf16, swizzle = 128>
// CHECK:         compute({{.*}}!moe_tile.buf<64x64xbf16, swizzle = 128>, {{.*}}!moe_tile.buf<64x64xbf16, swizzle = 128>
moe_tile.kernel @plain(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
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

// CHECK-LABEL: @narrow
// CHECK:           moe_tile.load {{.*}} -> !moe_tile.buf<64x16xbf16, swizzle = 32>
moe_tile.kernel @narrow(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 16], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 16 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x16xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x16xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x16xbf16>, !moe_tile.buf<64x16xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x16xbf16>, %b: !moe_tile.buf<64x16xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x16xbf16>, !moe_tile.buf<64x16xbf16>, !moe_tile.acc<64x64xf32>
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

// 13 * 16384 + 8192 + 8192 with one staging buffer of one piece and barriers.
// CHECK-LABEL: @most
moe_tile.kernel @most(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 13, store = "staged">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
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

// expected-error @below {{a ring of 14 slots of 16384 bytes, 8192 bytes of staging and 1024 bytes of barriers: 232448 bytes hold at most 13 slots, 2 are needed}}
moe_tile.kernel @too_many(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 14, store = "staged">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
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

// expected-error @below {{a ring of 1 slots of 16384 bytes, 0 bytes of staging and 1024 bytes of barriers: 232448 bytes hold at most 14 slots, 2 are needed}}
moe_tile.kernel @one(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
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

// A smaller limit that stands on the kernel is obeyed.
// expected-error @below {{65536 bytes hold at most 3 slots}}
moe_tile.kernel @smaller_limit(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", smem_limit = 65536 : i64, moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
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

moe_tile.kernel @row_bytes(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 48], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 48 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        // expected-error @below {{a row of a slot has 32, 64 or 128 bytes, the period of a swizzle; 48 columns have 96}}
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x48xbf16>
        // expected-error @below {{a row of a slot has 32, 64 or 128 bytes}}
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x48xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x48xbf16>, !moe_tile.buf<64x48xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x48xbf16>, %b: !moe_tile.buf<64x48xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x48xbf16>, !moe_tile.buf<64x48xbf16>, !moe_tile.acc<64x64xf32>
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

moe_tile.kernel @rows_of_8(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [12, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<12x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<12x64xf32>)
      load(%k: index) {
        // expected-error @below {{a slot has whole groups of 8 rows, got 12}}
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<12x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<12x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<12x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<12x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<12x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<12x64xf32>
        moe_tile.yield %d : !moe_tile.acc<12x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<12x64xf32> -> !moe_tile.frag<12x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<12x64xf32>) -> !moe_tile.frag<12x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<12x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @pieces(%A: memref<?x128xbf16>, %B: memref<4x192x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x192xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 192, 64], stages = 2, store = "staged">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x192xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x192xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x192x128xbf16> -> !moe_tile.buf<192x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<192x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<192x64xbf16>, %c: !moe_tile.acc<64x192xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<192x64xbf16>, !moe_tile.acc<64x192xf32>
        moe_tile.yield %d : !moe_tile.acc<64x192xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x192xf32> -> !moe_tile.frag<64x192xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x192xf32>) -> !moe_tile.frag<64x192xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    // expected-error @below {{a staged store goes in pieces of 64 columns, 1, 2, 4, ... of them; the tile has 192 columns, use store = "vector"}}
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x192xbf16> to memref<?x192xbf16>
  }
  moe_tile.return
}

// -----

// expected-error @below {{has no target; run moe-tile-assign-atoms first}}
moe_tile.kernel @no_target(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] how(desc) : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] how(desc) : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
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
