// Products of integers have 8 and 24 columns or a multiple of 16: 40 tokens take five instructions, as bytes of floats
// they take one. Integers need no instruction for 8-bit floats.
// RUN: moe-opt %s -pass-pipeline="builtin.module(any(moe-tile-assign-atoms{target=sm_90a}))" | FileCheck %s
// RUN: sed -e 's/i8>/f8E4M3FN>/g' -e 's/xi32>/xf32>/g' -e 's/xi8/xf8E4M3FN/g' %s > %t.floats.mlir
// RUN: moe-opt %t.floats.mlir -pass-pipeline="builtin.module(any(moe-tile-assign-atoms{target=sm_90a}))" | FileCheck %s --check-prefix=FLOATS
// RUN: sed 's/b = "desc"/b = "vector"/' %s > %t.warps.mlir
// RUN: moe-opt %t.warps.mlir -pass-pipeline="builtin.module(any(moe-tile-assign-atoms{target=sm_80}))" | FileCheck %s --check-prefix=WARPS
// RUN: sed -e 's/block = .40, /block = [32, /' -e 's/<40x/<32x/g' %s > %t.amd.mlir
// RUN: moe-opt %t.amd.mlir -pass-pipeline="builtin.module(any(moe-tile-assign-atoms{target=gfx942}))" | FileCheck %s --check-prefix=CDNA3
// RUN: moe-opt %t.amd.mlir -pass-pipeline="builtin.module(any(moe-tile-assign-atoms{target=gfx950}))" | FileCheck %s --check-prefix=CDNA4
// RUN: moe-opt %t.amd.mlir -pass-pipeline="builtin.module(any(moe-tile-assign-atoms{target=gfx1201}))" | FileCheck %s --check-prefix=RDNA4

// CHECK: moe_tile.acc<40x64xi32, #moe_tile.atom<wgmma 8x64x32, swap>>
// FLOATS: moe_tile.acc<40x64xf32, #moe_tile.atom<wgmma 40x64x32, swap>>
// WARPS: moe_tile.acc<40x64xi32, #moe_tile.atom<mma_sync 8x16x32, swap>>
// CDNA3: moe_tile.acc<32x64xi32, #moe_tile.atom<mfma 16x16x32, swap>>
// CDNA4: moe_tile.acc<32x64xi32, #moe_tile.atom<mfma 16x16x64, swap>>
// RDNA4: moe_tile.acc<32x64xi32, #moe_tile.atom<wmma_gfx12 16x16x16, swap>>
moe_tile.kernel @forty(%A: memref<?x128xi8>, %B: memref<64x128xi8>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xi32>)
    attributes {moe.config = #moe.config<block = [40, 64, 128], swap = true, b = "desc">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<40x64xi32>
    %acc = moe_tile.k_loop %c0 to %ck step 128 init(%z : !moe_tile.acc<40x64xi32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xi8> -> !moe_tile.buf<40x128xi8>
        %b = moe_tile.load %B[%c0, %k] : memref<64x128xi8> -> !moe_tile.buf<64x128xi8>
        moe_tile.yield %a, %b : !moe_tile.buf<40x128xi8>, !moe_tile.buf<64x128xi8>
      } compute(%k: index, %a: !moe_tile.buf<40x128xi8>, %b: !moe_tile.buf<64x128xi8>, %c: !moe_tile.acc<40x64xi32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<40x128xi8>, !moe_tile.buf<64x128xi8>, !moe_tile.acc<40x64xi32>
        moe_tile.yield %d : !moe_tile.acc<40x64xi32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<40x64xi32> -> !moe_tile.frag<40x64xi32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<40x64xi32> to memref<?x64xi32>
  }
  moe_tile.return
}
