// RUN: moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -one-shot-bufferize="bufferize-function-boundaries" -canonicalize -cse | FileCheck %s
// RUN: moe-opt %s -moe-decompose-layer -one-shot-bufferize="bufferize-function-boundaries" -o /dev/null
// RUN: moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation="formulation=dense" -moe-fold-scales -one-shot-bufferize="bufferize-function-boundaries" -o /dev/null

// A fused layer allocates its two intermediates and writes the caller's result.
// CHECK-LABEL: func.func @layer
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<?x64xbf16
// CHECK-SAME: %[[OUT:[a-z0-9]+]]: memref<?x64xbf16
// CHECK: %[[R:.*]] = moe.align %{{.*}} : memref<?x2xi32
// CHECK: %[[H:.*]] = memref.alloc(%{{.*}}) {{.*}}: memref<?x128xbf16>
// CHECK: moe.grouped_gemm a(%[[X]] {{.*}} outs(%[[H]] : memref<?x128xbf16>)
// CHECK: %[[D:.*]] = memref.alloc(%{{.*}}) {{.*}}: memref<?x64xf32>
// CHECK: moe.grouped_gemm a(%[[H]] {{.*}} outs(%[[D]] : memref<?x64xf32>)
// CHECK: moe.combine %[[D]] {{.*}} outs(%[[OUT]] : memref<?x64xbf16
// CHECK-NOT: memref.copy
// CHECK: return %[[OUT]]
func.func @layer(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>,
                 %out: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// Two results, group-major scales, a shared expert with its gate.
#aq = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32, layout = group_major>
#bq = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
// CHECK-LABEL: func.func @fp8
// CHECK: moe.quantize {{.*}} outs(%{{.*}}, %{{.*}} : memref<?x256xf8E4M3FN>, memref<2x?xf32>)
// CHECK: moe.grouped_gemm {{.*}} outs(%{{.*}}, %{{.*}} : memref<?x128xf8E4M3FN>, memref<1x?xf32>)
// CHECK: memref.collapse_shape
// CHECK: moe.combine {{.*}} add(%{{.*}} : memref<?x256xf32>) add_gate(%{{.*}} : memref<?xf32>)
// CHECK-NOT: memref.copy
func.func @fp8(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
               %w1: tensor<3x256x256xf8E4M3FN>, %s1: tensor<3x2x2xf32>,
               %w2: tensor<3x256x128xf8E4M3FN>, %s2: tensor<3x2x1xf32>,
               %v1: tensor<256x256xf8E4M3FN>, %t1: tensor<2x2xf32>,
               %v2: tensor<256x128xf8E4M3FN>, %t2: tensor<2x1xf32>, %sg: tensor<256xbf16>,
               %out: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %y = moe.fused_experts x(%x : tensor<?x256xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<3x256x256xf8E4M3FN> scale %s1 : tensor<3x2x2xf32> quant #bq)
         w2(%w2 : tensor<3x256x128xf8E4M3FN> scale %s2 : tensor<3x2x1xf32> quant #bq)
         shared(%v1 : tensor<256x256xf8E4M3FN> scale %t1 : tensor<2x2xf32>,
                %v2 : tensor<256x128xf8E4M3FN> scale %t2 : tensor<2x1xf32>
                gate %sg : tensor<256xbf16> quant #bq)
         activation <swiglu> gate_up <halves> act_quant #aq
         outs(%out : tensor<?x256xf32>) -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}

// The result may not take the memory of what is still read: one copy for out,
// which the caller of the function needs afterwards.
// CHECK-LABEL: func.func @still_read
// CHECK: memref.alloc
// CHECK: moe.group_sum
// CHECK: moe.group_sum
func.func @still_read(%x: tensor<?x8xf32>, %o: tensor<2x?xf32>) -> (tensor<2x?xf32>, tensor<2x?xf32>) {
  %a = moe.group_sum %x : tensor<?x8xf32> group = 4 outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
  %b = moe.group_sum %x : tensor<?x8xf32> group = 4 outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
  return %a, %b : tensor<2x?xf32>, tensor<2x?xf32>
}
