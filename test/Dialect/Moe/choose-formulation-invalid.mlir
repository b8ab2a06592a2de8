// RUN: moe-opt %s -split-input-file -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation="formulation=dense" -verify-diagnostics

// A weight before the activation is not a factor of the sum.
func.func @input(%x: tensor<4x8xf32>, %ids: tensor<4x1xi32>, %tw: tensor<4x1xf32>,
                 %w1: tensor<2x16x8xf32>, %w2: tensor<2x8x16xf32>, %out: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-error @+1 {{moe-choose-formulation: dense is not legal: a value per slot enters before the activation}}
  %a = moe.fused_experts x(%x : tensor<4x8xf32>)
         topk(%ids, %tw : tensor<4x1xi32>, tensor<4x1xf32>)
         w1(%w1 : tensor<2x16x8xf32>) w2(%w2 : tensor<2x8x16xf32>)
         activation <silu> weight_place = input outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %a : tensor<4x8xf32>
}

// -----

func.func @none(%x: tensor<4x8xf32>, %ids: tensor<4x1xi32>, %tw: tensor<4x1xf32>,
                %w1: tensor<2x16x8xf32>, %w2: tensor<2x8x16xf32>, %out: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-error @+1 {{moe-choose-formulation: dense is not legal: no router weight stands on a GEMM or a combine}}
  %a = moe.fused_experts x(%x : tensor<4x8xf32>)
         topk(%ids, %tw : tensor<4x1xi32>, tensor<4x1xf32>)
         w1(%w1 : tensor<2x16x8xf32>) w2(%w2 : tensor<2x8x16xf32>)
         activation <silu> weight_place = none outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %a : tensor<4x8xf32>
}

// -----

// The weight squared: two slots of one expert would not add up.
func.func @squared(%x: tensor<4x8xf32>, %ids: tensor<4x2xi32>, %tw: tensor<4x2xf32>,
                   %w: tensor<2x8x8xf32>, %d: tensor<8x8xf32>, %out: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-error @+1 {{moe-choose-formulation: dense is not legal: a value per slot is not a factor of the summed rows}}
  %r = moe.align %ids : tensor<4x2xi32> -> !moe.routing<experts = 2, topk = 2>
  %a = moe.grouped_gemm a(%x : tensor<4x8xf32>) b(%w : tensor<2x8x8xf32>)
         routing(%r : !moe.routing<experts = 2, topk = 2>)
         rows = gather a_layout = token out = flat_topk row(%tw : tensor<4x2xf32>) outs(%d : tensor<8x8xf32>) {
    ^bb0(%v: f32, %s: f32):
      %q = arith.mulf %s, %s : f32
      %p = arith.mulf %v, %q : f32
      moe.yield %p : f32
  } -> tensor<8x8xf32>
  %y = moe.combine %a : tensor<8x8xf32> routing(%r : !moe.routing<experts = 2, topk = 2>) layout = flat_topk
         outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----

func.func @dispatched(%x: tensor<4x8xf32>, %ids: tensor<4x2xi32>, %o: tensor<8x8xf32>) -> tensor<8x8xf32> {
  // expected-error @+1 {{moe-choose-formulation: dense is not legal: the routing is also read by moe.dispatch}}
  %r = moe.align %ids : tensor<4x2xi32> -> !moe.routing<experts = 2, topk = 2>
  %a = moe.dispatch %x : tensor<4x8xf32> routing(%r : !moe.routing<experts = 2, topk = 2>) layout = flat_topk
         outs(%o : tensor<8x8xf32>) -> tensor<8x8xf32>
  return %a : tensor<8x8xf32>
}
