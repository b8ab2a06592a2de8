// What the row lowering does not take, by name.
// RUN: moe-opt %s -convert-moe-tile-rows-to-nvvm -split-input-file -verify-diagnostics

moe_tile.kernel @k(%t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>)
    attributes {exec = #moe_tile.exec<threads = 256>} {
  // expected-error @below {{takes a multiple of 128 threads, at least one per expert: exec has 256 threads, there are 300 experts}}
  moe_tile.align tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 300 topk 2 block_m 16
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>)
    attributes {exec = #moe_tile.exec<threads = 1024, cluster = 16>} {
  // expected-error @below {{takes clusters of at most 8 blocks, exec has 16}}
  moe_tile.align tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 300 topk 2 block_m 16
  moe_tile.return
}

// -----

moe_tile.kernel @k(%x: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  // expected-error @below {{works on 16 rows at once; the row lowering to NVVM takes one}}
  %a = moe_tile.load %x[%c0, %c0] : memref<?x64xf32> -> !moe_tile.frag<16x64xf32>
  moe_tile.store %a to %x[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%x: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %a = moe_tile.load %x[%c0, %c0] : memref<?x64xf32> -> !moe_tile.frag<1x64xf32>
  // expected-error @below {{adding stores have no row lowering to NVVM}}
  moe_tile.store %a to %x[%c0, %c0] mode(add) : !moe_tile.frag<1x64xf32> to memref<?x64xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%x: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %a = moe_tile.load %x[%c0, %c0] : memref<?x64xf32> -> !moe_tile.frag<1x64xf32>
  %b = moe_tile.map ins(%a : !moe_tile.frag<1x64xf32>) -> !moe_tile.frag<1x64xf32> {
  ^bb0(%u: f32):
    // expected-error @below {{'math.sin' op has no lowering to NVVM}}
    %v = math.sin %u : f32
    moe_tile.yield %v : f32
  }
  moe_tile.store %b to %x[%c0, %c0] : !moe_tile.frag<1x64xf32> to memref<?x64xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: memref<?x2048xf32>, %i: memref<?x8xi32>, %w: memref<?x8xf32>) {
  // expected-error @below {{takes up to 1024 experts, 32 choices and 32 groups on GPUs, got 2048, 8 and 1}}
  moe_tile.topk logits(%l : memref<?x2048xf32>) to(%i, %w : memref<?x8xi32>, memref<?x8xf32>)
  moe_tile.return
}
