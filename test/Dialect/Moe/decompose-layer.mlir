// RUN: moe-opt %s -split-input-file -moe-decompose-layer -canonicalize -verify-diagnostics | FileCheck %s

// The plain layer: f32 between the ops, the cast to bf16 is activate's result.
// CHECK-LABEL: func.func @plain
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x64xbf16>, %[[IDS:.*]]: tensor<?x2xi32>, %[[TW:.*]]: tensor<?x2xf32>, %[[W1:.*]]: tensor<8x256x64xbf16>, %[[W2:.*]]: tensor<8x64x128xbf16>, %[[OUT:.*]]: tensor<?x64xbf16>
// CHECK-DAG: %[[C2:.*]] = arith.constant 2 : index
// CHECK: %[[T:.*]] = tensor.dim %[[X]]
// CHECK: %[[R:.*]] = moe.align %[[IDS]] : tensor<?x2xi32> -> <experts = 8, topk = 2>
// CHECK: %[[S:.*]] = arith.muli %[[T]], %[[C2]]
// CHECK: %[[E1:.*]] = tensor.empty(%[[S]]) : tensor<?x256xf32>
// CHECK: %[[G1:.*]] = moe.grouped_gemm a(%[[X]] : tensor<?x64xbf16>) b(%[[W1]] : tensor<8x256x64xbf16>)
// CHECK-SAME: rows = gather a_layout = token out = flat_topk outs(%[[E1]] : tensor<?x256xf32>)
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32):
// CHECK-NEXT: moe.yield %[[ACC]] : f32
// CHECK: %[[H:.*]] = moe.activate %[[G1]] : tensor<?x256xf32> gate_up <halves>
// CHECK-NEXT: ^bb0(%[[G:.*]]: f32, %[[U:.*]]: f32):
// CHECK: math.exp
// CHECK: %[[SI:.*]] = arith.divf %[[G]],
// CHECK-NEXT: %[[V:.*]] = arith.mulf %[[SI]], %[[U]]
// CHECK-NEXT: moe.yield %[[V]]
// CHECK-NEXT: } -> tensor<?x128xbf16>
// CHECK: %[[G2:.*]] = moe.grouped_gemm a(%[[H]] : tensor<?x128xbf16>) b(%[[W2]] : tensor<8x64x128xbf16>)
// CHECK-SAME: rows = slots a_layout = flat_topk out = flat_topk
// CHECK: } -> tensor<?x64xf32>
// CHECK: %[[Y:.*]] = moe.combine %[[G2]] : tensor<?x64xf32> weights(%[[TW]] : tensor<?x2xf32>)
// CHECK-SAME: layout = flat_topk outs(%[[OUT]] : tensor<?x64xbf16>)
// CHECK: return %[[Y]]
func.func @plain(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>,
                 %out: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// Quantised activations: x and the intermediate are quantised once each, the
// activation stays f32; scales are group-major as the attribute says.
#aq = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32, layout = group_major>
#bq = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
// CHECK-LABEL: func.func @fp8
// CHECK: %[[XQ:.*]]:2 = moe.quantize %{{.*}} : tensor<?x512xbf16>
// CHECK-SAME: -> tensor<?x512xf8E4M3FN>, tensor<4x?xf32>
// CHECK: moe.grouped_gemm a(%[[XQ]]#0 : tensor<?x512xf8E4M3FN> scale %[[XQ]]#1 : tensor<4x?xf32> quant
// CHECK: } -> tensor<?x512xf32>
// CHECK: %[[H:.*]] = moe.activate
// CHECK: } -> tensor<?x256xf32>
// CHECK: %[[HQ:.*]]:2 = moe.quantize %[[H]]
// CHECK-SAME: -> tensor<?x256xf8E4M3FN>, tensor<2x?xf32>
// CHECK: moe.grouped_gemm a(%[[HQ]]#0 : tensor<?x256xf8E4M3FN> scale %[[HQ]]#1
// CHECK: moe.combine
func.func @fp8(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
               %w1: tensor<8x512x512xf8E4M3FN>, %s1: tensor<8x4x4xf32>,
               %w2: tensor<8x512x256xf8E4M3FN>, %s2: tensor<8x4x2xf32>,
               %out: tensor<?x512xbf16>) -> tensor<?x512xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x512xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x512x512xf8E4M3FN> scale %s1 : tensor<8x4x4xf32> quant #bq)
         w2(%w2 : tensor<8x512x256xf8E4M3FN> scale %s2 : tensor<8x4x2xf32> quant #bq)
         activation <swiglu> gate_up <halves> act_quant #aq
         outs(%out : tensor<?x512xbf16>) -> tensor<?x512xbf16>
  return %y : tensor<?x512xbf16>
}

// -----

// Static tokens, biases and per-expert factors: (acc * global) + bias; the
// clamps of swiglu_oai and its (u + 1) factor.
// CHECK-LABEL: func.func @oai
// CHECK: moe.align %{{.*}} : tensor<16x2xi32> map(%{{.*}} : tensor<32xi32>)
// CHECK: tensor.empty() : tensor<32x128xf32>
// CHECK: moe.grouped_gemm {{.*}} col(%{{.*}} : tensor<8x128xbf16>) expert(%{{.*}} : tensor<8xf32>)
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32, %[[B:.*]]: f32, %[[G:.*]]: f32):
// CHECK-NEXT: %[[M:.*]] = arith.mulf %[[ACC]], %[[G]]
// CHECK-NEXT: %[[V:.*]] = arith.addf %[[M]], %[[B]]
// CHECK-NEXT: moe.yield %[[V]]
// CHECK: moe.activate {{.*}} gate_up <interleaved, up_first>
// CHECK-DAG: %[[SEVEN:.*]] = arith.constant 7.0
// CHECK-DAG: %[[MINUS:.*]] = arith.constant -7.0
// CHECK-DAG: %[[ALPHA:.*]] = arith.constant 1.702
// CHECK-DAG: %[[ONE:.*]] = arith.constant 1.000000e+00
// CHECK: %[[GC:.*]] = arith.minimumf %[[G0:.*]], %[[SEVEN]]
// CHECK: %[[UM:.*]] = arith.minimumf %[[U0:.*]], %[[SEVEN]]
// CHECK: %[[UC:.*]] = arith.maximumf %[[UM]], %[[MINUS]]
// CHECK: %[[U1:.*]] = arith.addf %[[UC]], %[[ONE]]
// CHECK: arith.mulf %[[GC]], %[[ALPHA]]
// CHECK: %[[SIL:.*]] = arith.divf %[[GC]]
// CHECK: arith.mulf %[[U1]], %[[SIL]]
// CHECK: moe.grouped_gemm {{.*}} col(%{{.*}} : tensor<8x64xbf16>) expert(%{{.*}} : tensor<8xf32>)
func.func @oai(%x: tensor<16x64xbf16>, %ids: tensor<16x2xi32>, %tw: tensor<16x2xf32>,
               %w1: tensor<8x128x64xbf16>, %g1: tensor<8xf32>, %b1: tensor<8x128xbf16>,
               %w2: tensor<8x64x64xbf16>, %g2: tensor<8xf32>, %b2: tensor<8x64xbf16>,
               %map: tensor<32xi32>, %out: tensor<16x64xbf16>) -> tensor<16x64xbf16> {
  %y = moe.fused_experts x(%x : tensor<16x64xbf16>)
         topk(%ids, %tw : tensor<16x2xi32>, tensor<16x2xf32>)
         w1(%w1 : tensor<8x128x64xbf16> global %g1 : tensor<8xf32>)
         w2(%w2 : tensor<8x64x64xbf16> global %g2 : tensor<8xf32>)
         b1(%b1 : tensor<8x128xbf16>) b2(%b2 : tensor<8x64xbf16>) map(%map : tensor<32xi32>)
         activation <swiglu_oai> gate_up <interleaved, up_first>
         outs(%out : tensor<16x64xbf16>) -> tensor<16x64xbf16>
  return %y : tensor<16x64xbf16>
}

// -----

// The three other places of the router weight.
// CHECK-LABEL: func.func @places
// CHECK: moe.grouped_gemm {{.*}} rows = gather {{.*}} row(%[[TW:.*]] : tensor<4x1xf32>)
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32, %[[W:.*]]: f32):
// CHECK-NEXT: arith.mulf %[[ACC]], %[[W]]
// CHECK: moe.activate
// CHECK: moe.grouped_gemm {{.*}} rows = slots
// CHECK-NOT: row(
// CHECK: moe.combine %{{[0-9]+}} : tensor<4x8xf32> routing
// CHECK: moe.combine %{{[0-9]+}} : tensor<4x8xf32> weights(%[[TW]] : tensor<4x1xf32>) keep routing
// CHECK: moe.combine %{{[0-9]+}} : tensor<4x8xf32> routing
func.func @places(%x: tensor<4x8xf32>, %ids: tensor<4x1xi32>, %tw: tensor<4x1xf32>,
                  %w1: tensor<2x16x8xf32>, %w2: tensor<2x8x16xf32>, %out: tensor<4x8xf32>)
    -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = moe.fused_experts x(%x : tensor<4x8xf32>)
         topk(%ids, %tw : tensor<4x1xi32>, tensor<4x1xf32>)
         w1(%w1 : tensor<2x16x8xf32>) w2(%w2 : tensor<2x8x16xf32>)
         activation <relu2> weight_place = input
         outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  %b = moe.fused_experts x(%x : tensor<4x8xf32>)
         topk(%ids, %tw : tensor<4x1xi32>, tensor<4x1xf32>)
         w1(%w1 : tensor<2x16x8xf32>) w2(%w2 : tensor<2x8x16xf32>)
         activation <gelu_tanh> weight_place = combine
         outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  %c = moe.fused_experts x(%x : tensor<4x8xf32>)
         topk(%ids, %tw : tensor<4x1xi32>, tensor<4x1xf32>)
         w1(%w1 : tensor<2x16x8xf32>) w2(%w2 : tensor<2x8x16xf32>)
         activation <gelu> weight_place = none
         outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %a, %b, %c : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// A shared expert of another width with its gate.
// CHECK-LABEL: func.func @shared
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x64xbf16>
// CHECK: %[[T:.*]] = tensor.dim
// CHECK: %[[R:.*]] = moe.align
// CHECK: %[[D:.*]] = moe.grouped_gemm {{.*}} rows = slots
// CHECK: %[[ALL:.*]] = moe.route_all %[[T]] : <experts = 1, topk = 1>
// CHECK: %[[S1:.*]] = tensor.expand_shape {{.*}} into tensor<1x96x64xbf16>
// CHECK: %[[S2:.*]] = tensor.expand_shape {{.*}} into tensor<1x64x48xbf16>
// CHECK: moe.grouped_gemm a(%[[X]] : tensor<?x64xbf16>) b(%[[S1]] : tensor<1x96x64xbf16>) routing(%[[ALL]]
// CHECK: moe.activate {{.*}} : tensor<?x96xf32>
// CHECK: %[[ADD:.*]] = moe.grouped_gemm {{.*}} b(%[[S2]] : tensor<1x64x48xbf16>) routing(%[[ALL]]
// CHECK: %[[GATE:.*]] = moe.grouped_gemm a(%[[X]] : tensor<?x64xbf16>) b(%{{.*}} : tensor<1x1x64xbf16>) routing(%[[ALL]]
// CHECK: %[[LOGIT:.*]] = tensor.collapse_shape %[[GATE]] {{.*}} into tensor<?xf32>
// CHECK: moe.combine %[[D]] : tensor<?x64xf32> weights({{.*}}) add(%[[ADD]] : tensor<?x64xf32>) add_gate(%[[LOGIT]] : tensor<?xf32>) routing(%[[R]]
func.func @shared(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                  %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>,
                  %s1: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>, %sg: tensor<64xbf16>,
                  %out: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<96x64xbf16>, %s2 : tensor<64x48xbf16> gate %sg : tensor<64xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

func.func @buffers(%x: memref<4x8xf32>, %ids: memref<4x1xi32>, %tw: memref<4x1xf32>,
                   %w1: memref<2x16x8xf32>, %w2: memref<2x8x16xf32>, %out: memref<4x8xf32>) {
  // expected-error @+1 {{moe-decompose-layer works on tensors, this layer works on buffers: run it before bufferisation}}
  moe.fused_experts x(%x : memref<4x8xf32>)
    topk(%ids, %tw : memref<4x1xi32>, memref<4x1xf32>)
    w1(%w1 : memref<2x16x8xf32>) w2(%w2 : memref<2x8x16xf32>)
    activation <relu> outs(%out : memref<4x8xf32>)
  return
}
