// Sorting rows by expert: one cluster counts, all clusters write.
// RUN: moe-opt %s -convert-moe-tile-rows-to-nvvm | FileCheck %s

// 128 blocks in clusters of 8; counters of 32 warps and 128 experts, and what is made of them.
// CHECK-LABEL: llvm.func @many(
// CHECK-SAME:    block = array<i64: 1024, 1, 1>, cluster = array<i64: 8, 1, 1>, early_start, grid = [128, 1, 1]
// CHECK-SAME:    params = [{operand = 1 : i64, type = i32}, {operand = 0 : i64}, {operand = 2 : i64}
// CHECK-SAME:    {dim = 0 : i64, operand = 5 : i64, type = i32}, {dim = 0 : i64, operand = 2 : i64, type = i32}]
// CHECK-SAME:    smem = 19200 : i64
// CHECK-SAME:    nvvm.cluster_dim = array<i32: 8, 1, 1>, nvvm.kernel, nvvm.reqntid = array<i32: 1024>
// Counters are cleared before the ids are there.
// CHECK:         nvvm.griddepcontrol launch_dependents
// CHECK-NEXT:    nvvm.griddepcontrol wait
// CHECK-NEXT:    nvvm.barrier
// Four slots in flight, each expert counted by its first lane.
// CHECK:         scf.for
// CHECK-COUNT-32:  nvvm.vote.sync ballot
// CHECK:           nvvm.bar.warp.sync
// CHECK:         nvvm.cluster.arrive {aligned}
// CHECK-NEXT:    nvvm.cluster.wait {aligned}
// CHECK-COUNT-8: nvvm.mapa
// CHECK:         nvvm.cluster.arrive {aligned}
// CHECK:         nvvm.shfl.sync  up
// No block ends before its counts are read.
// CHECK:         nvvm.cluster.wait {aligned}
// CHECK-NEXT:    llvm.return
// CHECK-NOT:     atomicrmw
moe_tile.kernel @many(%ids: memref<?x8xi32>, %t: index, %slots: memref<?xi32>, %places: memref<?xi32>,
                      %valid: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  moe_tile.await_launch
  moe_tile.align ids(%ids : memref<?x8xi32>) tokens(%t)
    to(%slots, %places, %valid, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 128 topk 8 block_m 64
  moe_tile.return
}

// One block needs no cluster. The map's length is an extent of its operand.
// CHECK-LABEL: llvm.func @few(
// CHECK-SAME:    block = array<i64: 256, 1, 1>, cluster = array<i64: 1, 1, 1>, grid = [1, 1, 1]
// CHECK-SAME:    {dim = 0 : i64, operand = 1 : i64, type = i32}
// CHECK-NOT:     early_start
// CHECK-NOT:     nvvm.cluster
// CHECK-NOT:     griddepcontrol
// CHECK:         llvm.return
moe_tile.kernel @few(%ids: memref<?x2xi32>, %map: memref<?xi32>, %n: memref<1xi32>, %slots: memref<?xi32>,
                     %places: memref<?xi32>, %valid: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>)
    attributes {exec = #moe_tile.exec<threads = 256>} {
  %c0 = arith.constant 0 : index
  %t = memref.dim %ids, %c0 : memref<?x2xi32>
  moe_tile.align ids(%ids : memref<?x2xi32>) map(%map : memref<?xi32>) tokens(%t) device_tokens(%n : memref<1xi32>)
    to(%slots, %places, %valid, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 8 topk 2 block_m 16 pad 16
  moe_tile.return
}
