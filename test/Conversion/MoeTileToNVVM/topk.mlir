// The router of a token is the work of a warp.
// RUN: moe-opt %s -convert-moe-tile-rows-to-nvvm | FileCheck %s

// CHECK-LABEL: llvm.func @softmax(
// Four warps, four tokens.
// CHECK-SAME:    block = array<i64: 128, 1, 1>
// CHECK-SAME:    grid = [{add = 0 : i64, dim = 0 : i64, div = 4 : i64, mul = 1 : i64, operand = 0 : i64}, 1, 1]
// CHECK-COUNT-4: llvm.load {{.*}} -> f32
// CHECK:         math.exp2 {{.*}} fastmath<afn>
// Eight choices: the largest key, the lowest expert that has it.
// CHECK:         scf.for
// CHECK:           nvvm.redux.sync  max
// CHECK:           nvvm.redux.sync  min
// CHECK:           nvvm.shfl.sync  idx
// CHECK:         llvm.store {{.*}} : i32, !llvm.ptr<1>
// CHECK:         llvm.store {{.*}} : f32, !llvm.ptr<1>
moe_tile.kernel @softmax(%l: memref<?x128xf32>, %i: memref<?x8xi32>, %w: memref<?x8xf32>) {
  moe_tile.topk logits(%l : memref<?x128xf32>) to(%i, %w : memref<?x8xi32>, memref<?x8xf32>) renormalize
  moe_tile.return
}

// CHECK-LABEL: llvm.func @grouped(
// A loop over groups, two of the best in each, then a loop over choices.
// CHECK:         scf.for
// CHECK-COUNT-2:   nvvm.redux.sync  max
// CHECK:         scf.for
moe_tile.kernel @grouped(%l: memref<?x256xbf16>, %b: memref<256xf32>, %i: memref<?x8xi32>, %w: memref<?x8xf32>) {
  moe_tile.topk logits(%l : memref<?x256xbf16>) bias(%b : memref<256xf32>) to(%i, %w : memref<?x8xi32>, memref<?x8xf32>)
    scoring(sigmoid) groups 8 of 4 top2_sum renormalize scale 2.5
  moe_tile.return
}
