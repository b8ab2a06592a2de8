// What the row lowering to AMD chips does not take, by name.
// RUN: moe-opt %s -convert-moe-tile-rows-to-rocdl=chip=gfx1100 -split-input-file -verify-diagnostics

// 512 experts and waves of 32 take 512 threads; 1000 need more counters than there is LDS.
moe_tile.kernel @fits(%t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  moe_tile.align tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 512 topk 2 block_m 16
  moe_tile.return
}

moe_tile.kernel @k(%t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  // expected-error @below {{needs 148256 bytes of shared memory for 1000 experts and 1024 threads, the chip has 65536}}
  moe_tile.align tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 1000 topk 2 block_m 16
  moe_tile.return
}

// -----

moe_tile.kernel @k(%x: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %a = moe_tile.load %x[%c0, %c0] : memref<?x64xf32> -> !moe_tile.frag<1x64xf32>
  %b = moe_tile.map ins(%a : !moe_tile.frag<1x64xf32>) -> !moe_tile.frag<1x64xf32> {
  ^bb0(%u: f32):
    // expected-error @below {{'math.erf' op has no lowering to ROCDL}}
    %v = math.erf %u : f32
    moe_tile.yield %v : f32
  }
  moe_tile.store %b to %x[%c0, %c0] : !moe_tile.frag<1x64xf32> to memref<?x64xf32>
  moe_tile.return
}
