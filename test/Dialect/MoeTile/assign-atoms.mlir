// RUN: moe-opt %s -split-input-file -verify-diagnostics -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-atoms))" | FileCheck %s
// RUN: not moe-opt %s -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-atoms{target=sm_100a}))" 2>&1 | FileCheck %s --check-prefix=TARGET
// TARGET: moe-tile-assign-atoms: no explicit form for target 'sm_100a'

// Two teams side by side in m; a row of operands that lie as the weight rows do
// takes the accumulator's slice and is split with it.
// CHECK-LABEL: @column_operand
// CHECK-SAME:    target = "sm_90a"
// CHECK:         moe_tile.load {{.*}} -> !moe_tile.frag<1x64xbf16, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 0, n * 8 by 8], lane = [n * 4 by 2, m * 8 by 0], warp = [m * 4 by 0], group = [m * 2 by 0]>>
// CHECK:         moe_tile.split {{.*}} -> !moe_tile.frag<1x32xbf16, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 0, n * 4 by 8], {{.*}}
moe_tile.kernel @column_operand(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %bias: memref<1x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x32xbf16>)
    attributes {moe.config = #moe.config<block = [128, 32, 64], compute_groups = 2>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<128x64xf32>
    %acc = moe_tile.k_loop %c0 to %c64 step 64 init(%z : !moe_tile.acc<128x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<128x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<128x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<128x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<128x64xf32>
        moe_tile.yield %d : !moe_tile.acc<128x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<128x64xf32> -> !moe_tile.frag<128x64xf32>
    %g, %u = moe_tile.split %f block 32 : !moe_tile.frag<128x64xf32> -> !moe_tile.frag<128x32xf32>, !moe_tile.frag<128x32xf32>
    %v = moe_tile.load %bias[%c0, %c0] : memref<1x64xbf16> -> !moe_tile.frag<1x64xbf16>
    %vg, %vu = moe_tile.split %v block 32 : !moe_tile.frag<1x64xbf16> -> !moe_tile.frag<1x32xbf16>, !moe_tile.frag<1x32xbf16>
    %q = moe_tile.map ins(%g, %vu : !moe_tile.frag<128x32xf32>, !moe_tile.frag<1x32xbf16>) -> !moe_tile.frag<128x32xbf16> {
    ^bb0(%x: f32, %s: bf16):
      moe_tile.yield %s : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<128x32xbf16> to memref<?x32xbf16>
  }
  moe_tile.return
}

// -----

// Two instructions of one team: one more digit of m in registers.
// CHECK-LABEL: @two_instructions
// CHECK:         moe_tile.acc_read {{.*}} -> !moe_tile.frag<128x64xf32, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 8 by 8, m * 2 by 64], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>>

moe_tile.kernel @two_instructions(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [128, 64, 64]>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<128x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<128x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<128x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<128x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<128x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<128x64xf32>
        moe_tile.yield %d : !moe_tile.acc<128x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<128x64xf32> -> !moe_tile.frag<128x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<128x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// The instruction that the configuration names.
// CHECK-LABEL: @named
// CHECK:         moe_tile.mma {{.*}} atom(#moe_tile.atom<wgmma 64x32x16>)

moe_tile.kernel @named(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], atom = "wgmma 64x32x16">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// More weight rows than one instruction takes; f8 has k = 32.
// CHECK-LABEL: @wide_f8
// CHECK:         moe_tile.mma {{.*}} atom(#moe_tile.atom<wgmma 64x160x32>)

moe_tile.kernel @wide_f8(%A: memref<?x64xf8E4M3FN>, %B: memref<320x64xf8E4M3FN>, %l: !moe_tile.tiles<records>, %Y: memref<?x320xf32>)
    attributes {moe.config = #moe.config<block = [64, 320, 64], compute_groups = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x320xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x320xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xf8E4M3FN> -> !moe_tile.buf<64x64xf8E4M3FN>
        %b = moe_tile.load %B[%c0, %k] : memref<320x64xf8E4M3FN> -> !moe_tile.buf<320x64xf8E4M3FN>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xf8E4M3FN>, !moe_tile.buf<320x64xf8E4M3FN>
      } compute(%k: index, %a: !moe_tile.buf<64x64xf8E4M3FN>, %b: !moe_tile.buf<320x64xf8E4M3FN>, %c: !moe_tile.acc<64x320xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xf8E4M3FN>, !moe_tile.buf<320x64xf8E4M3FN>, !moe_tile.acc<64x320xf32>
        moe_tile.yield %d : !moe_tile.acc<64x320xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x320xf32> -> !moe_tile.frag<64x320xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x320xf32> to memref<?x320xf32>
  }
  moe_tile.return
}

// -----

// Alternating gate and up columns: the lowest register digit.
// CHECK-LABEL: @alternating
// CHECK:         moe_tile.split {{.*}} -> !moe_tile.frag<64x32xf32, #moe_tile.digits<reg = [n * 1 by 1, m * 2 by 8, n * 8 by 4], lane = [n * 4 by 1, m * 8 by 1], warp = [m * 4 by 16]>>

moe_tile.kernel @alternating(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x32xf32>)
    attributes {moe.config = #moe.config<block = [64, 32, 64]>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %g, %u = moe_tile.split %f block 1 : !moe_tile.frag<64x64xf32> -> !moe_tile.frag<64x32xf32>, !moe_tile.frag<64x32xf32>
    moe_tile.store %g to %Y[%c0, %c0] : !moe_tile.frag<64x32xf32> to memref<?x32xf32>
  }
  moe_tile.return
}

// -----

// Teams side by side in n.
// CHECK-LABEL: @teams_in_n
// CHECK:         moe_tile.acc_read {{.*}}group = [n * 2 by 64]

moe_tile.kernel @teams_in_n(%A: memref<?x64xbf16>, %B: memref<128x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x128xf32>)
    attributes {moe.config = #moe.config<block = [8, 128, 64], swap = true, compute_groups = 2, compute_split = "n">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<8x128xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<8x128xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<8x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<128x64xbf16> -> !moe_tile.buf<128x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<128x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<8x64xbf16>, %b: !moe_tile.buf<128x64xbf16>, %c: !moe_tile.acc<8x128xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<128x64xbf16>, !moe_tile.acc<8x128xf32>
        moe_tile.yield %d : !moe_tile.acc<8x128xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<8x128xf32> -> !moe_tile.frag<8x128xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<8x128xf32> to memref<?x128xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @swap_split(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x32xf32>)
    attributes {moe.config = #moe.config<block = [8, 32, 64], swap = true>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<8x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<8x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<8x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<8x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<8x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<8x64xf32>
        moe_tile.yield %d : !moe_tile.acc<8x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<8x64xf32> -> !moe_tile.frag<8x64xf32>
    // expected-error @below {{split_c2: columns 32 apart are held by different warp indices, not by reg; a tile with twice the weight rows per team or an unswapped one has them in registers}}
    %g, %u = moe_tile.split %f block 32 : !moe_tile.frag<8x64xf32> -> !moe_tile.frag<8x32xf32>, !moe_tile.frag<8x32xf32>
    moe_tile.store %g to %Y[%c0, %c0] : !moe_tile.frag<8x32xf32> to memref<?x32xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @teams_split(%A: memref<?x64xbf16>, %B: memref<128x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [8, 64, 64], swap = true, compute_groups = 2, compute_split = "n">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<8x128xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<8x128xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<8x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<128x64xbf16> -> !moe_tile.buf<128x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<128x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<8x64xbf16>, %b: !moe_tile.buf<128x64xbf16>, %c: !moe_tile.acc<8x128xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<128x64xbf16>, !moe_tile.acc<8x128xf32>
        moe_tile.yield %d : !moe_tile.acc<8x128xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<8x128xf32> -> !moe_tile.frag<8x128xf32>
    // expected-error @below {{split_c2: columns 64 apart are held by different group indices, not by reg; a tile with twice the weight rows per team or an unswapped one has them in registers}}
    %g, %u = moe_tile.split %f block 64 : !moe_tile.frag<8x128xf32> -> !moe_tile.frag<8x64xf32>, !moe_tile.frag<8x64xf32>
    moe_tile.store %g to %Y[%c0, %c0] : !moe_tile.frag<8x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{the token rows of one team are the instruction's M and must be a multiple of 64, got 32}}
moe_tile.kernel @rows(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [32, 64, 64]>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<32x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<32x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<32x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<32x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<32x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<32x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<32x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<32x64xf32>
        moe_tile.yield %d : !moe_tile.acc<32x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<32x64xf32> -> !moe_tile.frag<32x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<32x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{the weight rows of one team are the instruction's M and must be a multiple of 64, got 32}}
moe_tile.kernel @weights(%A: memref<?x64xbf16>, %B: memref<32x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x32xf32>)
    attributes {moe.config = #moe.config<block = [8, 32, 64], swap = true>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<8x32xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<8x32xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<8x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<32x64xbf16> -> !moe_tile.buf<32x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<32x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<8x64xbf16>, %b: !moe_tile.buf<32x64xbf16>, %c: !moe_tile.acc<8x32xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<32x64xbf16>, !moe_tile.acc<8x32xf32>
        moe_tile.yield %d : !moe_tile.acc<8x32xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<8x32xf32> -> !moe_tile.frag<8x32xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<8x32xf32> to memref<?x32xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{the token rows of one team are the instruction's N and must be a multiple of 8, got 12}}
moe_tile.kernel @tokens(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [12, 64, 64], swap = true>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<12x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<12x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<12x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<12x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<12x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<12x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<12x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<12x64xf32>
        moe_tile.yield %d : !moe_tile.acc<12x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<12x64xf32> -> !moe_tile.frag<12x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<12x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{3 compute teams do not divide 64 rows}}
moe_tile.kernel @teams(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], compute_groups = 3>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{a tile of 128x256 needs 256 accumulator registers and about 24 more in each of 128 threads, which have 255}}
moe_tile.kernel @registers(%A: memref<?x64xbf16>, %B: memref<256x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x256xf32>)
    attributes {moe.config = #moe.config<block = [128, 256, 64], compute_groups = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<128x256xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<128x256xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<128x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<256x64xbf16> -> !moe_tile.buf<256x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<256x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<128x64xbf16>, %b: !moe_tile.buf<256x64xbf16>, %c: !moe_tile.acc<128x256xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<256x64xbf16>, !moe_tile.acc<128x256xf32>
        moe_tile.yield %d : !moe_tile.acc<128x256xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<128x256xf32> -> !moe_tile.frag<128x256xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<128x256xf32> to memref<?x256xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{a tile of 64x256 needs 128 accumulator registers and about 24 more in each of 128 threads, which have 128}}
moe_tile.kernel @registers_given(%A: memref<?x64xbf16>, %B: memref<256x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x256xf32>)
    attributes {moe.config = #moe.config<block = [64, 256, 64], compute_regs = 128>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x256xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x256xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<256x64xbf16> -> !moe_tile.buf<256x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<256x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<256x64xbf16>, %c: !moe_tile.acc<64x256xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<256x64xbf16>, !moe_tile.acc<64x256xf32>
        moe_tile.yield %d : !moe_tile.acc<64x256xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x256xf32> -> !moe_tile.frag<64x256xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x256xf32> to memref<?x256xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{k step 8 is not a multiple of the instruction's 16}}
moe_tile.kernel @step(%A: memref<?x8xbf16>, %B: memref<64x8xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64]>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 8 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 8 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x8xbf16> -> !moe_tile.buf<64x8xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x8xbf16> -> !moe_tile.buf<64x8xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x8xbf16>, !moe_tile.buf<64x8xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x8xbf16>, %b: !moe_tile.buf<64x8xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x8xbf16>, !moe_tile.buf<64x8xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @types(%A: memref<?x64xf32>, %B: memref<64x64xf32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64]>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xf32> -> !moe_tile.buf<64x64xf32>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf32> -> !moe_tile.buf<64x64xf32>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xf32>, !moe_tile.buf<64x64xf32>
      } compute(%k: index, %a: !moe_tile.buf<64x64xf32>, %b: !moe_tile.buf<64x64xf32>, %c: !moe_tile.acc<64x64xf32>) {
        // expected-error @below {{has no explicit form: rule matrix_operand: no matrix instruction multiplies f32 by f32 but as tf32, with 10 of its 23 digits; use bf16 or f16}}
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xf32>, !moe_tile.buf<64x64xf32>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{atom wgmma 64x48x16 of the configuration does not fit a team's tile of 64x64 with k 16, not swapped}}
moe_tile.kernel @atom_text(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], atom = "wgmma 64x48x16">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{teams that take tiles in turn (compute_split = "tiles") have no explicit form yet}}
moe_tile.kernel @pingpong(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], compute_split = "tiles">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{a team that runs wgmma has 128 threads, the configuration says 64}}
moe_tile.kernel @threads(%A: memref<?x64xbf16>, %B: memref<64x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], compute_threads = 64>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x64xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}
