// Warps share a tile in a grid: mma.sync on chips without warpgroups.
// RUN: moe-opt %s -split-input-file -verify-diagnostics -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-atoms{target=sm_80},moe-tile-assign-copies,moe-tile-form-rings))" | FileCheck %s

// Eight warps, four along 128 rows, two along the columns; gate and up of a column, 64 apart, are in one thread.
// CHECK-LABEL: @gated
// CHECK-SAME:    target = "sm_80"
// CHECK:         moe_tile.load %{{.*}} how(gather) : memref<?x64xbf16> -> !moe_tile.buf<128x64xbf16, swizzle = 128>
// CHECK:         moe_tile.load %{{.*}} how(vector) : memref<4x128x64xbf16> -> !moe_tile.buf<128x64xbf16, swizzle = 128>
// CHECK:         moe_tile.mma {{.*}} atom(#moe_tile.atom<mma_sync 16x8x16>)
// CHECK:         moe_tile.acc_read {{.*}} -> !moe_tile.frag<128x128xf32, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, m * 2 by 16, n * 4 by 8, n * 2 by 64], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 32, n * 2 by 32]>>
// CHECK:         moe_tile.split {{.*}} -> !moe_tile.frag<128x64xf32, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, m * 2 by 16, n * 4 by 8, n * 1 by 64], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 32, n * 2 by 32]>>
moe_tile.kernel @gated(%A: memref<?x64xbf16>, %B: memref<4x128x64xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [128, 64, 64], stages = 3, a = "gather", b = "vector">} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %rows = moe_tile.row_iota %c0 limit(%c64) -> !moe_tile.rows<128>
    %z = moe_tile.acc_zero : !moe_tile.acc<128x128xf32>
    %acc = moe_tile.k_loop %c0 to %c64 step 64 init(%z : !moe_tile.acc<128x128xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%rows : !moe_tile.rows<128>, %k] : memref<?x64xbf16> -> !moe_tile.buf<128x64xbf16>
        %b = moe_tile.load %B[%c0, %c0, %k] boxes [0, 64] : memref<4x128x64xbf16> -> !moe_tile.buf<128x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<128x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<128x64xbf16>, %b: !moe_tile.buf<128x64xbf16>, %c: !moe_tile.acc<128x128xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<128x64xbf16>, !moe_tile.buf<128x64xbf16>, !moe_tile.acc<128x128xf32>
        moe_tile.yield %d : !moe_tile.acc<128x128xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<128x128xf32> -> !moe_tile.frag<128x128xf32>
    %g, %u = moe_tile.split %f block 64 : !moe_tile.frag<128x128xf32> -> !moe_tile.frag<128x64xf32>, !moe_tile.frag<128x64xf32>
    %q = moe_tile.map ins(%g, %u : !moe_tile.frag<128x64xf32>, !moe_tile.frag<128x64xf32>) -> !moe_tile.frag<128x64xbf16> {
    ^bb0(%x: f32, %y: f32):
      %p = arith.mulf %x, %y : f32
      %h = arith.truncf %p : f32 to bf16
      moe_tile.yield %h : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<128x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

// Sixteen tokens: all warps side by side along the columns. The configuration names the number of warps.
// CHECK-LABEL: @few
// CHECK:         moe_tile.acc_read {{.*}} -> !moe_tile.frag<16x64xf32, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 2 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [n * 4 by 16]>>
moe_tile.kernel @few(%A: memref<64x64xf16>, %B: memref<64x64xf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64], stages = 4, compute_threads = 128>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<64x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<64x64xf16>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}
