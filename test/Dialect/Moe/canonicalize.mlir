// RUN: moe-opt %s -canonicalize -cse | FileCheck %s
// RUN: moe-opt %s -resolve-ranked-shaped-type-result-dims -canonicalize | FileCheck %s --check-prefix=DIMS

#a = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#b = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>
#fn = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
#fnuz = #moe.quant<f8E4M3FNUZ, granule = [1, 128], scale = f32>

// There and back is nothing; one way stays; so does a change of element type.
// CHECK-LABEL: func.func @repack
// CHECK-SAME: %[[W:[a-z0-9]+]]: tensor<4x64x64xi8>
// CHECK: %[[E:.*]] = moe.repack %[[W]]
// CHECK-NOT: moe.repack
// CHECK: return %[[W]], %[[E]], %[[W]]
func.func @repack(%w: tensor<4x64x64xi8>, %o: tensor<4x64x16xi32>)
    -> (tensor<4x64x64xi8>, tensor<4x64x16xi32>, tensor<4x64x64xi8>) {
  %x = moe.repack %w : tensor<4x64x64xi8> from #a to #b outs(%o : tensor<4x64x16xi32>) -> tensor<4x64x16xi32>
  %y = moe.repack %x : tensor<4x64x16xi32> from #b to #a outs(%w : tensor<4x64x64xi8>) -> tensor<4x64x64xi8>
  %z = moe.repack %w : tensor<4x64x64xi8> from #a to #a outs(%w : tensor<4x64x64xi8>) -> tensor<4x64x64xi8>
  return %y, %x, %z : tensor<4x64x64xi8>, tensor<4x64x16xi32>, tensor<4x64x64xi8>
}

// CHECK-LABEL: func.func @fnuz
// CHECK: %[[F:.*]] = moe.repack
// CHECK: return %[[F]]
func.func @fnuz(%w: tensor<4x64xf8E4M3FN>, %o: tensor<4x64xf8E4M3FNUZ>) -> tensor<4x64xf8E4M3FNUZ> {
  %x = moe.repack %w : tensor<4x64xf8E4M3FN> from #fn to #fnuz outs(%o : tensor<4x64xf8E4M3FNUZ>) -> tensor<4x64xf8E4M3FNUZ>
  return %x : tensor<4x64xf8E4M3FNUZ>
}

// Regions keep their constants: neither hoisted nor shared with the function.
// CHECK-LABEL: func.func @constants
// CHECK: %[[OUTER:.*]] = arith.constant 2.0
// CHECK: moe.activate
// CHECK-NEXT: ^bb0(%[[V:.*]]: f32):
// CHECK-NEXT: %[[INNER:.*]] = arith.constant 2.0
// CHECK-NEXT: arith.mulf %[[V]], %[[INNER]]
func.func @constants(%x: tensor<?x8xf32>, %o: tensor<?x8xf32>) -> (tensor<?x8xf32>, f32) {
  %two = arith.constant 2.0 : f32
  %y = moe.activate %x : tensor<?x8xf32> outs(%o : tensor<?x8xf32>) {
    ^bb0(%v: f32):
      %c = arith.constant 2.0 : f32
      %p = arith.mulf %v, %c : f32
      moe.yield %p : f32
  } -> tensor<?x8xf32>
  return %y, %two : tensor<?x8xf32>, f32
}

// On tensors the ops have no effect: unused ones go, equal ones are one.
// CHECK-LABEL: func.func @effects
// CHECK: moe.group_sum
// CHECK-NOT: moe.
// CHECK: return
func.func @effects(%x: tensor<?x8xf32>, %o: tensor<2x?xf32>, %ids: tensor<?x2xi32>)
    -> (tensor<2x?xf32>, tensor<2x?xf32>) {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %a = moe.group_sum %x : tensor<?x8xf32> group = 4 outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
  %b = moe.group_sum %x : tensor<?x8xf32> group = 4 outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
  return %a, %b : tensor<2x?xf32>, tensor<2x?xf32>
}

// On buffers they write: nothing goes.
// CHECK-LABEL: func.func @writes
// CHECK-COUNT-2: moe.group_sum
func.func @writes(%x: memref<?x8xf32>, %o: memref<2x?xf32>) {
  moe.group_sum %x : memref<?x8xf32> group = 4 outs(%o : memref<2x?xf32>)
  moe.group_sum %x : memref<?x8xf32> group = 4 outs(%o : memref<2x?xf32>)
  return
}

// A cast that only forgets an extent is folded into the op.
// CHECK-LABEL: func.func @casts
// CHECK-NOT: tensor.cast %arg
// CHECK: moe.group_sum %{{.*}} : tensor<4x8xf32> group = 4 outs(%{{.*}} : tensor<2x4xf32>) -> tensor<2x4xf32>
func.func @casts(%x: tensor<4x8xf32>, %o: tensor<2x4xf32>) -> tensor<2x?xf32> {
  %x0 = tensor.cast %x : tensor<4x8xf32> to tensor<?x8xf32>
  %o0 = tensor.cast %o : tensor<2x4xf32> to tensor<2x?xf32>
  %a = moe.group_sum %x0 : tensor<?x8xf32> group = 4 outs(%o0 : tensor<2x?xf32>) -> tensor<2x?xf32>
  return %a : tensor<2x?xf32>
}

// The extent of a result is that of its init.
// DIMS-LABEL: func.func @dims
// DIMS-SAME: %[[X:[a-z0-9]+]]: tensor<?x8xf32>, %[[O:[a-z0-9]+]]: tensor<2x?xf32>
// DIMS: %[[D:.*]] = tensor.dim %[[O]]
// DIMS: return %[[D]]
func.func @dims(%x: tensor<?x8xf32>, %o: tensor<2x?xf32>) -> index {
  %c1 = arith.constant 1 : index
  %a = moe.group_sum %x : tensor<?x8xf32> group = 4 outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
  %d = tensor.dim %a, %c1 : tensor<2x?xf32>
  return %d : index
}
