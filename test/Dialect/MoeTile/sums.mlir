// Every clause of the sums over top-k by tiles prints and parses again.
// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt | FileCheck %s

// CHECK-LABEL: moe_tile.kernel @panel
// CHECK:         moe_tile.clear %{{.*}} : memref<?x4xi32>
// CHECK:         moe_tile.clear_absent %{{.*}} places(%{{.*}}) topk 2 : memref<?x64xbf16>, memref<?xi32>
// CHECK:         moe_tile.sum_arrived %{{.*}}[%{{.*}}, %{{.*}}] by 16 to %{{.*}} counters(%{{.*}}) places(%{{.*}}) topk 2 : !moe_tile.rows<8>, memref<?x64xbf16> to memref<?x64xbf16>, memref<?x4xi32>, memref<?xi32>
moe_tile.kernel @panel(%table: memref<?x4xi32>, %slots: memref<?xi32>, %p: memref<?xi32>, %n: memref<?x4xi32>,
                       %other: memref<?x4xi32>, %d: memref<?x64xbf16>, %o: memref<?x64xbf16>, %count: index) {
  moe_tile.clear %other : memref<?x4xi32>
  moe_tile.clear_absent %o places(%p) topk 2 : memref<?x64xbf16>, memref<?xi32>
  %list = moe_tile.block_list %table count(%count) columns 64 by 16 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(n_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %s = moe_tile.row_index %slots[%row0] limit(%rows) : memref<?xi32> -> !moe_tile.rows<8>
    moe_tile.sum_arrived %d[%s, %n0] by 16 to %o counters(%n) places(%p) topk 2
      : !moe_tile.rows<8>, memref<?x64xbf16> to memref<?x64xbf16>, memref<?x4xi32>, memref<?xi32>
  }
  moe_tile.return
}

// CHECK-LABEL: moe_tile.kernel @added
// CHECK:         moe_tile.clear %{{.*}} : memref<?x64xf32>
// CHECK:         moe_tile.sum_arrived {{.*}} topk 2 teams 2 added : !moe_tile.rows<8>, memref<?x64xf32> to memref<?x64xbf16>
moe_tile.kernel @added(%table: memref<?x4xi32>, %slots: memref<?xi32>, %p: memref<?xi32>, %n: memref<?x4xi32>,
                       %other: memref<?x64xf32>, %d: memref<?x64xf32>, %o: memref<?x64xbf16>, %count: index) {
  moe_tile.clear %other : memref<?x64xf32>
  %list = moe_tile.block_list %table count(%count) columns 64 by 16 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %s = moe_tile.row_index %slots[%row0] limit(%rows) : memref<?xi32> -> !moe_tile.rows<8>
    moe_tile.sum_arrived %d[%s, %n0] by 16 to %o counters(%n) places(%p) topk 2 teams 2 added
      : !moe_tile.rows<8>, memref<?x64xf32> to memref<?x64xbf16>, memref<?x4xi32>, memref<?xi32>
  }
  moe_tile.return
}
