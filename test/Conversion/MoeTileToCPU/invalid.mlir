// RUN: moe-opt %s --convert-moe-tile-to-cpu=isa=avx2 --split-input-file --verify-diagnostics

moe_tile.kernel @step(%A: memref<?x256xbf16>, %B: memref<64x256xbf16>, %D: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %z = moe_tile.acc_zero : !moe_tile.acc<8x64xf32>
  // expected-error @+1 {{needs a k step of at least 128 or all of K, got step 64 of 256}}
  %acc = moe_tile.k_loop %c0 to %c256 step 64 init(%z : !moe_tile.acc<8x64xf32>)
    load(%k: index) {
      %a = moe_tile.load %A[%c0, %k] : memref<?x256xbf16> -> !moe_tile.buf<8x64xbf16>
      %b = moe_tile.load %B[%c0, %k] : memref<64x256xbf16> -> !moe_tile.buf<64x64xbf16>
      moe_tile.yield %a, %b : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<64x64xbf16>
    } compute(%k: index, %a: !moe_tile.buf<8x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<8x64xf32>) {
      %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<8x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<8x64xf32>
      moe_tile.yield %d : !moe_tile.acc<8x64xf32>
    }
  %f = moe_tile.acc_read %acc : !moe_tile.acc<8x64xf32> -> !moe_tile.frag<8x64xf32>
  moe_tile.store %f to %D[%c0, %c0] : !moe_tile.frag<8x64xf32> to memref<?x64xf32>
  moe_tile.return
}

// -----

// expected-error @+1 {{is in explicit form, the CPU lowering takes the sequential one}}
moe_tile.kernel @explicit(%x: memref<?x64xf32>) attributes {form = #moe_tile.form<explicit>} {
  moe_tile.return
}

// -----

moe_tile.kernel @buffer(%x: memref<?x64xi8>) {
  %c0 = arith.constant 0 : index
  // expected-error @+1 {{the CPU lowering takes buffers inside of a k_loop only}}
  %f = moe_tile.load %x[%c0, %c0] : memref<?x64xi8> -> !moe_tile.buf<4x64xi8>
  moe_tile.return
}

// -----

moe_tile.kernel @beside(%x: memref<?xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %v = arith.constant 1 : i32
  // expected-error @+1 {{stands beside a distributed loop: every worker would execute it}}
  memref.store %v, %x[%c0] : memref<?xi32>
  scf.parallel (%i) = (%c0) to (%c1) step (%c1) {
  }
  moe_tile.return
}

// -----

// expected-error @+1 {{argument 0: the CPU lowering takes row-major memory only}}
moe_tile.kernel @strided(%x: memref<4x4xf32, strided<[1, 4]>>) {
  moe_tile.return
}

// -----

// expected-error @+1 {{argument 0: the CPU lowering takes memrefs and integers, got 'f32'}}
moe_tile.kernel @scalar(%x: f32) {
  moe_tile.return
}

// -----

moe_tile.kernel @dies(%table: memref<?x4xi32>, %n: index) {
  %list = moe_tile.block_list %table count(%n) columns 64 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  // expected-error @+1 {{cpu: rule dies: tiles are shared by 8 dies (xcd), the target has 1}}
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(stride) dies(8) { }
  moe_tile.return
}
