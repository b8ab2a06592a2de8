// Every clause of align prints and parses again.
// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt | FileCheck %s

// CHECK-LABEL: moe_tile.kernel @plain
// CHECK:         moe_tile.align ids(%{{.*}} : memref<?x8xi32>) tokens(%{{.*}}) to(
// CHECK-SAME:      experts 128 topk 8 block_m 64
// CHECK-NOT:       pad
moe_tile.kernel @plain(%ids: memref<?x8xi32>, %t: index, %slots: memref<?xi32>, %places: memref<?xi32>,
                       %valid: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  moe_tile.await_launch
  moe_tile.align ids(%ids : memref<?x8xi32>) tokens(%t)
    to(%slots, %places, %valid, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 128 topk 8 block_m 64
  moe_tile.return
}

// CHECK-LABEL: moe_tile.kernel @all
// CHECK:         moe_tile.align map(%{{.*}} : memref<4xi32>) tokens(%{{.*}} : i32) device_tokens(%{{.*}} : memref<1xi32>) to(
// CHECK-SAME:      experts 2 topk 2 block_m 16 pad 32
moe_tile.kernel @all(%map: memref<4xi32>, %t: i32, %n: memref<1xi32>, %slots: memref<?xi32>, %places: memref<?xi32>,
                     %valid: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  moe_tile.align map(%map : memref<4xi32>) tokens(%t : i32) device_tokens(%n : memref<1xi32>)
    to(%slots, %places, %valid, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 2 topk 2 block_m 16 pad 32
  moe_tile.return
}

// CHECK-LABEL: moe_tile.kernel @router
// CHECK:         moe_tile.topk logits(%{{.*}} : memref<?x8xbf16>) to(%{{.*}}, %{{.*}} : memref<?x2xi32>, memref<?x2xf32>){{$}}
moe_tile.kernel @router(%l: memref<?x8xbf16>, %i: memref<?x2xi32>, %w: memref<?x2xf32>) {
  moe_tile.topk logits(%l : memref<?x8xbf16>) to(%i, %w : memref<?x2xi32>, memref<?x2xf32>)
  moe_tile.return
}

// CHECK-LABEL: moe_tile.kernel @grouped
// CHECK:         moe_tile.topk {{.*}} bias(%{{.*}} : memref<8xf32>) {{.*}} scoring(sigmoid) groups 4 of 2 top2_sum renormalize scale 2.500000e+00
moe_tile.kernel @grouped(%l: memref<?x8xf32>, %b: memref<8xf32>, %i: memref<?x2xi32>, %w: memref<?x2xf32>) {
  moe_tile.topk logits(%l : memref<?x8xf32>) bias(%b : memref<8xf32>) to(%i, %w : memref<?x2xi32>, memref<?x2xf32>)
    scoring(sigmoid) groups 4 of 2 top2_sum renormalize scale 2.5
  moe_tile.return
}

// Slots that nobody sorts.
// CHECK-LABEL: moe_tile.kernel @slots
// CHECK:         moe_tile.clear %{{.*}} : memref<?x2xi32>
// CHECK:         moe_tile.slot_list ids(%{{.*}} : memref<?x2xi32>) map(%{{.*}} : memref<?xi32>) device_tokens(%{{.*}} : memref<1xi32>) experts 4 columns 16 by 8 -> !moe_tile.tiles<blocks>
// CHECK:         moe_tile.sum_last %{{.*}}[%{{.*}}, %{{.*}}] by 8 to %{{.*}} counters(%{{.*}}) ids(%{{.*}} : memref<?x2xi32>) experts 4 teams 2 : memref<?x16xf32> to memref<?x16xbf16>, memref<?x2xi32>
moe_tile.kernel @slots(%ids: memref<?x2xi32>, %map: memref<?xi32>, %n: memref<1xi32>, %other: memref<?x2xi32>,
                       %rows: memref<?x16xf32>, %out: memref<?x16xbf16>, %c: memref<?x2xi32>) {
  moe_tile.clear %other : memref<?x2xi32>
  %l = moe_tile.slot_list ids(%ids : memref<?x2xi32>) map(%map : memref<?xi32>) device_tokens(%n : memref<1xi32>)
    experts 4 columns 16 by 8 -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row, %count, %n0 = moe_tile.coords %t : index
    moe_tile.sum_last %rows[%row, %n0] by 8 to %out counters(%c) ids(%ids : memref<?x2xi32>) experts 4 teams 2
      : memref<?x16xf32> to memref<?x16xbf16>, memref<?x2xi32>
  }
  moe_tile.return
}

// CHECK-LABEL: moe_tile.kernel @row
// CHECK:         moe_tile.slot_row %{{.*}} : i32 of ids(%{{.*}} : memref<?x2xi32>) experts 4 -> !moe_tile.rows<1>
moe_tile.kernel @row(%ids: memref<?x2xi32>, %s: i32) {
  %r = moe_tile.slot_row %s : i32 of ids(%ids : memref<?x2xi32>) experts 4 -> !moe_tile.rows<1>
  moe_tile.return
}
