// A list of stored tiles, of 4 and of 8 numbers each.
// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt | FileCheck %s

// CHECK-LABEL: moe_tile.kernel @lists
moe_tile.kernel @lists(%four: memref<?x4xi32>, %eight: memref<9x8xi32>, %n: index, %m: i32) {
  // CHECK: moe_tile.record_list %{{.*}} count(%{{.*}}) : memref<?x4xi32> -> !moe_tile.tiles<records>
  %a = moe_tile.record_list %four count(%n) : memref<?x4xi32> -> !moe_tile.tiles<records>
  // CHECK: moe_tile.record_list %{{.*}} count(%{{.*}} : i32) : memref<9x8xi32> -> !moe_tile.tiles<records>
  %b = moe_tile.record_list %eight count(%m : i32) : memref<9x8xi32> -> !moe_tile.tiles<records>
  moe_tile.return
}
