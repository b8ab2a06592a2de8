// Views of buffers, values spread over experts, and the router.
// RUN: moe-opt %s --moe-to-tile --canonicalize --split-input-file | FileCheck %s

// Kernels get whole buffers and change their shape inside.
// CHECK-LABEL: moe_tile.plan @shared
// CHECK-NOT: shape
// CHECK: moe_tile.launch @shared_combine
// CHECK-LABEL: moe_tile.kernel @shared_combine
// CHECK-SAME: %[[GATE:[a-z0-9]+]]: memref<?x1xf32>
// CHECK: memref.collapse_shape %[[GATE]] {{.*}} : memref<?x1xf32> into memref<?xf32>
func.func @shared(%d: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %add: tensor<?x64xf32>, %g: tensor<?x1xf32>,
                  %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %gate = tensor.collapse_shape %g [[0, 1]] : tensor<?x1xf32> into tensor<?xf32>
  %y = moe.combine %d : tensor<?x64xf32> add(%add : tensor<?x64xf32>) add_gate(%gate : tensor<?xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk
         outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// CHECK-LABEL: moe_tile.kernel @expand_combine
// CHECK-SAME: %[[W:[a-z0-9]+]]: memref<?xf32>
// CHECK: %[[N:.+]] = memref.dim %[[W]]
// CHECK: %[[T:.+]] = arith.divui %[[N]]
// CHECK: memref.expand_shape %[[W]] {{\[\[}}0, 1]] output_shape [%[[T]], 2]
func.func @expand(%d: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<?xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %t = tensor.dim %ids, %c0 : tensor<?x2xi32>
  %tw = tensor.expand_shape %w [[0, 1]] output_shape [%t, 2] : tensor<?xf32> into tensor<?x2xf32>
  %y = moe.combine %d : tensor<?x64xf32> weights(%tw : tensor<?x2xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk
         outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// A scale of the whole tensor becomes one value per expert.
// CHECK-LABEL: moe_tile.kernel @spread_splat
// CHECK: moe_tile.load {{.*}} -> !moe_tile.frag<1x1xf32>
// CHECK: moe_tile.store {{.*}}!moe_tile.frag<1x8xf32>
func.func @spread(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %s: tensor<1x1xf32>, %w: tensor<8x64x64xf32>,
                  %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %one = tensor.extract %s[%c0, %c0] : tensor<1x1xf32>
  %all = tensor.splat %one : tensor<8xf32>
  %y = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x64x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         expert(%all : tensor<8xf32>) config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32, %e: f32):
      %m = arith.mulf %c, %e : f32
      moe.yield %m : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// The router works row by row; groups and bias have their own workspace.
// CHECK-LABEL: moe_tile.plan @router
// CHECK-COUNT-5: moe_tile.workspace
// CHECK: moe_tile.launch @router_topk
// CHECK-LABEL: moe_tile.kernel @router_topk
// CHECK: scf.parallel
func.func @router(%l: tensor<?x64xbf16>, %b: tensor<64xf32>, %i: tensor<?x4xi32>, %w: tensor<?x4xf32>)
    -> (tensor<?x4xi32>, tensor<?x4xf32>) {
  %y:2 = moe.topk logits(%l : tensor<?x64xbf16>) bias(%b : tensor<64xf32>) scoring = sigmoid groups = 8 of_groups = 3
    renormalize outs(%i, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return %y#0, %y#1 : tensor<?x4xi32>, tensor<?x4xf32>
}
