// RUN: moe-opt %s -split-input-file -verify-diagnostics -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-prove-index-width{report}))" | FileCheck %s

// Qwen3-30B-A3B, bf16, 4096 tokens, GEMM1: everything fits.
// CHECK-LABEL: moe_tile.kernel @qwen3
// CHECK-COUNT-4: width(i32)
// CHECK: memref.load %{{.*}} {moe_tile.width = #moe_tile.width<i32>}
// expected-remark @below {{5 addresses are i32, 0 are i64}}
moe_tile.kernel @qwen3(%X: memref<?x2048xbf16> {moe_tile.max_sizes = array<i64: 4096, 2048>},
                       %W: memref<128x1536x2048xbf16>,
                       %slots: memref<?xi32> {moe_tile.max_sizes = array<i64: 65536>},
                       %Y: memref<?x768xbf16> {moe_tile.max_sizes = array<i64: 65536, 768>},
                       %F: memref<?x2048xf32> {moe_tile.max_sizes = array<i64: 32768, 2048>},
                       %list: !moe_tile.tiles<records>) {
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<64>
    %x = moe_tile.load %X[%idx : !moe_tile.rows<64>, %n0] : memref<?x2048xbf16> -> !moe_tile.frag<64x64xbf16>
    %w = moe_tile.load %W[%e, %n0, %n0] boxes [0, 768] : memref<128x1536x2048xbf16> -> !moe_tile.frag<64x64xbf16>
    moe_tile.store %x to %Y[%row0, %n0] limit(%rows) : !moe_tile.frag<64x64xbf16> to memref<?x768xbf16>
    %f = moe_tile.load %F[%row0, %n0] : memref<?x2048xf32> -> !moe_tile.frag<64x64xf32>
    %v = memref.load %slots[%row0] : memref<?xi32>
  }
  moe_tile.return
}

// -----

// The last byte of 2^31 bytes has offset 2^31 - 1; one element more flips that access and no other.
// CHECK-LABEL: moe_tile.kernel @boundary
// CHECK: load {{.*}} width(i32) : memref<?x8xi8>
// CHECK: load {{.*}} width(i64) : memref<?x8xi8>
// CHECK: load {{.*}} width(i32) : memref<?x8xi8>
// expected-remark @below {{2 addresses are i32, 1 are i64}}
moe_tile.kernel @boundary(%a: memref<?x8xi8> {moe_tile.max_sizes = array<i64: 268435456, 8>},
                          %b: memref<?x8xi8> {moe_tile.max_sizes = array<i64: 268435457, 8>},
                          %c: memref<?x8xi8> {moe_tile.max_sizes = array<i64: 268435455, 8>}, %i: index) {
  %x = moe_tile.load %a[%i, %i] : memref<?x8xi8> -> !moe_tile.frag<4x8xi8>
  %y = moe_tile.load %b[%i, %i] : memref<?x8xi8> -> !moe_tile.frag<4x8xi8>
  %z = moe_tile.load %c[%i, %i] : memref<?x8xi8> -> !moe_tile.frag<4x8xi8>
  moe_tile.return
}

// -----

// An index of known range bounds more than the extent: the first experts of a large tensor.
// CHECK-LABEL: moe_tile.kernel @ranges
// CHECK: load {{.*}} width(i32) : memref<256x4096x7168xi8>
// CHECK: load {{.*}} width(i64) : memref<256x4096x7168xi8>
// CHECK: load {{.*}} width(i32) : memref<256x4096x7168xi8>
// CHECK: load {{.*}} width(i64) : memref<?x7168xi8>
// expected-remark @below {{2 addresses are i32, 2 are i64}}
moe_tile.kernel @ranges(%w: memref<256x4096x7168xi8>, %u: memref<?x7168xi8>, %i: index) {
  // 73 experts of 4096 x 7168 bytes are below 2^31, 74 are not.
  %c72 = arith.constant 72 : index
  %c73 = arith.constant 73 : index
  %c586 = arith.constant 586 : index
  %x = moe_tile.load %w[%c72, %i, %i] : memref<256x4096x7168xi8> -> !moe_tile.frag<4x8xi8>
  %y = moe_tile.load %w[%c73, %i, %i] : memref<256x4096x7168xi8> -> !moe_tile.frag<4x8xi8>
  // A granule divides the index: floor(586 / 8) = 73, but with few rows and columns.
  %c0 = arith.constant 0 : index
  %z = moe_tile.load %w[%c586, %c0, %c0] granule [8, 1, 1] : memref<256x4096x7168xi8> -> !moe_tile.frag<4x8xi8>
  // No bound at all.
  %v = moe_tile.load %u[%i, %c0] : memref<?x7168xi8> -> !moe_tile.frag<4x8xi8>
  moe_tile.return
}

// -----

moe_tile.kernel @given(%u: memref<?x4xf32> {moe_tile.max_sizes = array<i64: 134217729, 4>}, %i: index) {
  // expected-error @below {{address width i32 is given, but byte 2147483663 may be touched}}
  %v = moe_tile.load %u[%i, %i] width(i32) : memref<?x4xf32> -> !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @unbounded(%u: memref<?x4xf32>, %i: index) {
  // expected-error @below {{address width i32 is given, but an extent has no bound (moe_tile.max_sizes)}}
  %v = moe_tile.load %u[%i, %i] width(i32) : memref<?x4xf32> -> !moe_tile.frag<4x4xf32>
  moe_tile.return
}
