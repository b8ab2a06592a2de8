// Every pass keeps what the layers compute: the reference runs before the first
// pass and after each. Sums are f64, so that only a moved rounding point or a
// wrong rewrite can show.

// RUN: rm -rf %t && mkdir -p %t
// RUN: moe-opt %s --moe-interpret="tokens=7 seed=1 dump=%t" -moe-decompose-layer --moe-interpret="expect=%t tolerance=1e-6" -moe-fuse-epilogue --moe-interpret="expect=%t tolerance=1e-6" -moe-fold-scales --moe-interpret="expect=%t tolerance=1e-6" -canonicalize -cse --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null | FileCheck %s
// RUN: moe-opt %s --moe-interpret="tokens=33 seed=2 ids=skewed dump=%t" -moe-decompose-layer -moe-fuse-epilogue="layout=expert_sorted_padded reduce=token" -moe-fold-scales="zero=row_sum min-run=32" --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null
// RUN: moe-opt %s --moe-interpret="tokens=5 seed=3 ids=one dump=%t" -moe-decompose-layer -moe-fuse-epilogue="layout=flat_topk" -moe-fold-scales="zero=element min-run=256" --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null
// RUN: moe-opt %s --moe-interpret="tokens=1 seed=4 ids=none dump=%t" -moe-decompose-layer -moe-fuse-epilogue -moe-fold-scales --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null
// RUN: moe-opt %s --moe-interpret="tokens=0 seed=5 dump=%t" -moe-decompose-layer -moe-fuse-epilogue -moe-fold-scales --moe-interpret="expect=%t" -o /dev/null
// Without a decomposition of the layer, folding alone: scales before and after.
// RUN: moe-opt %s -moe-decompose-layer --moe-interpret="tokens=9 seed=6 dump=%t" -moe-fold-scales --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null

// CHECK-COUNT-36: equals the dump

#a128 = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32, layout = group_major>
#b128 = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
#token = #moe.quant<i8, granule = [1, *], scale = f32>
#channel = #moe.quant<i8, granule = [1, *], scale = bf16>
#whole = #moe.quant<f8E4M3FN, granule = [*, *], scale = f32>
#w4 = #moe.quant<i4, granule = [1, 64], scale = bf16, zero = 8, packing = low_even>
#w4z = #moe.quant<i4, granule = [1, 64], scale = bf16, zero = operand, packing = exllama>
#w4c = #moe.quant<i4, granule = [1, *], scale = f32, zero = operand, packing = low_even>
#mx = #moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx>

func.func @plain(%x: tensor<?x16xbf16>, %ids: tensor<?x3xi32>, %tw: tensor<?x3xf32>,
                 %w1: tensor<5x24x16xbf16>, %w2: tensor<5x16x12xbf16>,
                 %out: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.fused_experts x(%x : tensor<?x16xbf16>)
         topk(%ids, %tw : tensor<?x3xi32>, tensor<?x3xf32>)
         w1(%w1 : tensor<5x24x16xbf16>) w2(%w2 : tensor<5x16x12xbf16>)
         activation <swiglu> gate_up <blocks 4, up_first>
         outs(%out : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

func.func @oai(%x: tensor<?x16xf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
               %w1: tensor<4x24x16xf16>, %g1: tensor<4xf32>, %b1: tensor<4x24xf32>,
               %w2: tensor<4x16x12xf16>, %g2: tensor<4xf32>, %b2: tensor<4x16xf32>,
               %map: tensor<8xi32>, %out: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.fused_experts x(%x : tensor<?x16xf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<4x24x16xf16> global %g1 : tensor<4xf32>)
         w2(%w2 : tensor<4x16x12xf16> global %g2 : tensor<4xf32>)
         b1(%b1 : tensor<4x24xf32>) b2(%b2 : tensor<4x16xf32>) map(%map : tensor<8xi32>)
         activation <swiglu_oai> gate_up <interleaved>
         outs(%out : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

func.func @input(%x: tensor<?x16xf32>, %ids: tensor<?x1xi32>, %tw: tensor<?x1xf32>,
                 %w1: tensor<4x12x16xf32>, %b1: tensor<4x12xf32>, %w2: tensor<4x16x12xf32>,
                 %out: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.fused_experts x(%x : tensor<?x16xf32>)
         topk(%ids, %tw : tensor<?x1xi32>, tensor<?x1xf32>)
         w1(%w1 : tensor<4x12x16xf32>) w2(%w2 : tensor<4x16x12xf32>) b1(%b1 : tensor<4x12xf32>)
         activation <gelu_tanh> weight_place = input
         outs(%out : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

func.func @combine(%x: tensor<?x16xf32>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                   %w1: tensor<4x12x16xf32>, %w2: tensor<4x16x12xf32>,
                   %out: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.fused_experts x(%x : tensor<?x16xf32>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<4x12x16xf32>) w2(%w2 : tensor<4x16x12xf32>)
         activation <relu2> weight_place = combine
         outs(%out : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

func.func @fp8_shared(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                      %w1: tensor<3x256x256xf8E4M3FN>, %s1: tensor<3x2x2xf32>,
                      %w2: tensor<3x256x128xf8E4M3FN>, %s2: tensor<3x2x1xf32>,
                      %v1: tensor<256x256xf8E4M3FN>, %t1: tensor<2x2xf32>,
                      %v2: tensor<256x128xf8E4M3FN>, %t2: tensor<2x1xf32>, %sg: tensor<256xbf16>,
                      %out: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %y = moe.fused_experts x(%x : tensor<?x256xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<3x256x256xf8E4M3FN> scale %s1 : tensor<3x2x2xf32> quant #b128)
         w2(%w2 : tensor<3x256x128xf8E4M3FN> scale %s2 : tensor<3x2x1xf32> quant #b128)
         shared(%v1 : tensor<256x256xf8E4M3FN> scale %t1 : tensor<2x2xf32>,
                %v2 : tensor<256x128xf8E4M3FN> scale %t2 : tensor<2x1xf32>
                gate %sg : tensor<256xbf16> quant #b128)
         activation <swiglu> gate_up <halves> act_quant #a128
         outs(%out : tensor<?x256xf32>) -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}

func.func @token_channel(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                         %w1: tensor<3x64x64xi8>, %s1: tensor<3x64x1xbf16>,
                         %w2: tensor<3x64x32xi8>, %s2: tensor<3x64x1xbf16>,
                         %out: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<3x64x64xi8> scale %s1 : tensor<3x64x1xbf16> quant #channel)
         w2(%w2 : tensor<3x64x32xi8> scale %s2 : tensor<3x64x1xbf16> quant #channel)
         activation <geglu> gate_up <halves> act_quant #token
         outs(%out : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

func.func @whole(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<3x64x64xf8E4M3FN>, %s1: tensor<3x1x1xf32>,
                 %w2: tensor<3x64x32xf8E4M3FN>, %s2: tensor<3x1x1xf32>,
                 %out: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<3x64x64xf8E4M3FN> scale %s1 : tensor<3x1x1xf32> quant #whole)
         w2(%w2 : tensor<3x64x32xf8E4M3FN> scale %s2 : tensor<3x1x1xf32> quant #whole)
         activation <reglu> gate_up <halves>
         outs(%out : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

func.func @w4(%x: tensor<?x128xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
              %w1: tensor<3x128x64xi8>, %s1: tensor<3x128x2xbf16>,
              %w2: tensor<3x128x8xi32>, %s2: tensor<3x128x1xbf16>, %z2: tensor<3x128x1xi8>,
              %out: tensor<?x128xf32>) -> tensor<?x128xf32> {
  %y = moe.fused_experts x(%x : tensor<?x128xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<3x128x64xi8> scale %s1 : tensor<3x128x2xbf16> quant #w4)
         w2(%w2 : tensor<3x128x8xi32> scale %s2 : tensor<3x128x1xbf16> zero %z2 : tensor<3x128x1xi8> quant #w4z)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x128xf32>) -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

func.func @mx_and_channel_zero(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                               %w1: tensor<3x64x32xi8>, %s1: tensor<3x64x1xf32>, %z1: tensor<3x64x1xi8>,
                               %w2: tensor<3x64x16xi8>, %s2: tensor<3x64x1xf8E8M0FNU>,
                               %out: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<3x64x32xi8> scale %s1 : tensor<3x64x1xf32> zero %z1 : tensor<3x64x1xi8> quant #w4c)
         w2(%w2 : tensor<3x64x16xi8> scale %s2 : tensor<3x64x1xf8E8M0FNU> quant #mx)
         activation <geglu_tanh> gate_up <interleaved, up_first>
         outs(%out : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
