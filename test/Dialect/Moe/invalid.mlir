// RUN: moe-opt %s -split-input-file -verify-diagnostics -o /dev/null

// Every rule of the verifiers, broken once or more; the numbers are part of the message.

func.func @f(%x: tensor<4xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c1: x must be [?, ?], got [4]}}
  %y = moe.fused_experts x(%x : tensor<4xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x?xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c1: the hidden size must be static}}
  %y = moe.fused_experts x(%x : tensor<?x?xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x3xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c1: topk weights must be [?, 2], got [?, 3]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x3xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x?xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c1: top-k must be static and positive, got ?}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x?xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi64>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c1: topk ids must be i32, got 'i64'}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi64>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xi32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c1: x and topk weights must be floats}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xi32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<7x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c2: w2 must be [8, ?, ?], got [7, 64, 128]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<7x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x?x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c2: weight extents must be static}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x?x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x32xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c3: columns of w1 (32) and rows of w2 (64) must equal the hidden size 64}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x32xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x250x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c4: w1 has 250 rows, expected 256}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x250x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

#b = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xf8E4M3FN>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c5: quantised w1 needs a scale}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xf8E4M3FN> quant #b) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

#b = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xf8E4M3FN>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s: tensor<8x2x2xf32>) {
  // expected-error @+1 {{fused_c5: scale of w1 must be [8, 2, 1], got [8, 2, 2]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xf8E4M3FN> scale %s : tensor<8x2x2xf32> quant #b) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

#b = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xf8E4M3FN>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s: tensor<8x2x1xbf16>) {
  // expected-error @+1 {{fused_c5: scale of w1 must be 'f32', got 'bf16'}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xf8E4M3FN> scale %s : tensor<8x2x1xbf16> quant #b) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

#b = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s: tensor<8x2x1xf32>) {
  // expected-error @+1 {{fused_c5: w1 must be stored as 'f8E4M3FN', got 'bf16'}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16> scale %s : tensor<8x2x1xf32> quant #b) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s: tensor<8x1x1xf32>) {
  // expected-error @+1 {{fused_c5: w2 has a scale or zero point but no quant}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16> scale %s : tensor<8x1x1xf32>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xi8>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c5: w2 of type 'i8' needs a quant}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xi8>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c6: activation swiglu needs gate_up}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x128x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c6: activation relu has no gate, gate_up is not allowed}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x128x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <relu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c6: gate_up blocks of 48 do not divide the intermediate size 128}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <blocks 48> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %b1: tensor<8x128xf32>) {
  // expected-error @+1 {{fused_c7: b1 must be [8, 256], got [8, 128]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         b1(%b1 : tensor<8x128xf32>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %b2: tensor<4x64xf32>) {
  // expected-error @+1 {{fused_c7: b2 must be [8, 64], got [4, 64]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         b2(%b2 : tensor<4x64xf32>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %g: tensor<7xf32>) {
  // expected-error @+1 {{fused_c7: w1 global must be [8], got [7]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16> global %g : tensor<7xf32>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %m: tensor<4x4xi32>) {
  // expected-error @+1 {{fused_c7: expert map must be [?], got [4, 4]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         map(%m : tensor<4x4xi32>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<90x64xbf16>, %s2: tensor<64x48xbf16>) {
  // expected-error @+1 {{fused_c7: shared w1 must be [96, 64], got [90, 64]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<90x64xbf16>, %s2 : tensor<64x48xbf16>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>) {
  // expected-error @+1 {{fused_c7: gate_up blocks of 32 do not divide the shared intermediate size 48}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<96x64xbf16>, %s2 : tensor<64x48xbf16>) activation <swiglu> gate_up <blocks 32> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>, %sg: tensor<32xbf16>) {
  // expected-error @+1 {{fused_c7: shared gate must be [64], got [32]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<96x64xbf16>, %s2 : tensor<64x48xbf16> gate %sg : tensor<32xbf16>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c8: weight_place = input needs top-k 1, got 2}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> weight_place = input outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

#a = #moe.quant<f8E4M3FN, granule = [1, 96], scale = f32>
func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c9: act_quant granule of 96 columns must divide the hidden size 64 and the intermediate size 128}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> act_quant #a outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

#a = #moe.quant<f8E4M3FN, granule = [2, 64], scale = f32>
func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c9: act_quant must be symmetric with granules of one row}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> act_quant #a outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

#a = #moe.quant<i4, granule = [1, 64], scale = f32, packing = low_even>
func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @+1 {{fused_c9: cannot quantise activations to 'i4'}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> act_quant #a outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x32xbf16>) {
  // expected-error @+1 {{fused_c10: result must be [?, 64], got [?, 32]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x32xbf16>) -> tensor<?x32xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xi32>) {
  // expected-error @+1 {{fused_c10: result must be a float type, got 'i32'}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xi32>) -> tensor<?x64xi32>
  return
}

// -----

func.func @f(%l: tensor<?x16xf32>, %i: tensor<?x4xi32>, %w: tensor<?x3xf32>) {
  // expected-error @+1 {{topk_c1: weights must be [?, 4], got [?, 3]}}
  %y:2 = moe.topk logits(%l : tensor<?x16xf32>)  outs(%i, %w : tensor<?x4xi32>, tensor<?x3xf32>) -> tensor<?x4xi32>, tensor<?x3xf32>
  return
}

// -----

func.func @f(%l: tensor<?x3xf32>, %i: tensor<?x4xi32>, %w: tensor<?x4xf32>) {
  // expected-error @+1 {{topk_c1: needs 1 <= k <= E, both static, got k 4 and E 3}}
  %y:2 = moe.topk logits(%l : tensor<?x3xf32>)  outs(%i, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// -----

func.func @f(%l: tensor<?x16xf32>, %i: tensor<?x4xi64>, %w: tensor<?x4xf32>) {
  // expected-error @+1 {{topk_c1: logits must be floats, ids i32, weights f32}}
  %y:2 = moe.topk logits(%l : tensor<?x16xf32>)  outs(%i, %w : tensor<?x4xi64>, tensor<?x4xf32>) -> tensor<?x4xi64>, tensor<?x4xf32>
  return
}

// -----

func.func @f(%l: tensor<?x16xf32>, %i: tensor<?x4xi32>, %w: tensor<?x4xf32>) {
  // expected-error @+1 {{topk_c2: 1 of 5 groups of 16 experts cannot give k = 4}}
  %y:2 = moe.topk logits(%l : tensor<?x16xf32>) groups = 5 outs(%i, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// -----

func.func @f(%l: tensor<?x16xf32>, %i: tensor<?x4xi32>, %w: tensor<?x4xf32>) {
  // expected-error @+1 {{topk_c2: 1 of 8 groups of 16 experts cannot give k = 4}}
  %y:2 = moe.topk logits(%l : tensor<?x16xf32>) groups = 8 outs(%i, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// -----

func.func @f(%l: tensor<?x16xf32>, %i: tensor<?x4xi32>, %w: tensor<?x4xf32>, %b: tensor<8xf32>) {
  // expected-error @+1 {{topk_c3: bias must be [16], got [8]}}
  %y:2 = moe.topk logits(%l : tensor<?x16xf32>) bias(%b : tensor<8xf32>)  outs(%i, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// -----

func.func @f(%l: tensor<?x16xf32>, %i: tensor<?x4xi32>, %w: tensor<?x4xf32>) {
  // expected-error @+1 {{topk_c4: top2_sum needs at least 2 experts per group, got 1}}
  %y:2 = moe.topk logits(%l : tensor<?x16xf32>) groups = 16 of_groups = 8 group_score = top2_sum outs(%i, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// -----

func.func @f(%ids: tensor<?x3xi32>) {
  // expected-error @+1 {{align_c1: ids must be [?, 2], got [?, 3]}}
  %y = moe.align %ids : tensor<?x3xi32> -> !moe.routing<experts = 8, topk = 2>
  return
}

// -----

func.func @f(%ids: tensor<?x2xi64>) {
  // expected-error @+1 {{align_c1: ids must be i32, got 'i64'}}
  %y = moe.align %ids : tensor<?x2xi64> -> !moe.routing<experts = 8, topk = 2>
  return
}

// -----

func.func @f(%ids: tensor<?x2xi32>, %m: tensor<2x2xi32>) {
  // expected-error @+1 {{align_c2: expert map must be [?], got [2, 2]}}
  %y = moe.align %ids : tensor<?x2xi32> map(%m : tensor<2x2xi32>) -> !moe.routing<experts = 8, topk = 2>
  return
}

// -----

func.func @f(%ids: tensor<?x2xi32>, %m: tensor<4xi64>) {
  // expected-error @+1 {{align_c2: expert map must be i32, got 'i64'}}
  %y = moe.align %ids : tensor<?x2xi32> map(%m : tensor<4xi64>) -> !moe.routing<experts = 8, topk = 2>
  return
}

// -----

func.func @f(%ids: tensor<?x2xi32>, %x: tensor<?x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{align_c3: form = direct: moe.dispatch needs sorted slots}}
  %r = moe.align %ids : tensor<?x2xi32> form = direct -> !moe.routing<experts = 8, topk = 2>
  %y = moe.dispatch %x : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk
         outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @f(%ids: tensor<?x2xi32>, %d: tensor<?x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{align_c3: form = direct: moe.combine has rows of layout expert_sorted_padded}}
  %r = moe.align %ids : tensor<?x2xi32> form = direct -> !moe.routing<experts = 8, topk = 2, block_m = 16>
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 16>)
         layout = expert_sorted_padded outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @f(%ids: tensor<?x2xi32>, %d: tensor<?x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{align_c3: form = direct: rows of layout expert_sorted of moe.combine are seen by others than products and sums of the routing}}
  %r = moe.align %ids : tensor<?x2xi32> form = direct -> !moe.routing<experts = 8, topk = 2>
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = expert_sorted outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @f(%t: index) {
  // expected-error @+1 {{route_all_c1: topk 2 must equal experts 8}}
  %y = moe.route_all %t : !moe.routing<experts = 8, topk = 2>
  return
}

// -----

func.func @f(%ids: tensor<?x2xi32>, %tw: tensor<?x4xf32>, %o: tensor<?x8xf32>) {
  // expected-error @+1 {{dense_weights_c1: weights must be [?, 2], got [?, 4]}}
  %y = moe.dense_weights topk(%ids, %tw : tensor<?x2xi32>, tensor<?x4xf32>) outs(%o : tensor<?x8xf32>) -> tensor<?x8xf32>
  return
}

// -----

func.func @f(%ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %o: tensor<?x8xbf16>) {
  // expected-error @+1 {{dense_weights_c2: needs one f32 result}}
  %y = moe.dense_weights topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>) outs(%o : tensor<?x8xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %o: tensor<?x8xf32>, %f: tensor<4xf32>) {
  // expected-error @+1 {{dense_weights_c2: factor must be [8], got [4]}}
  %y = moe.dense_weights topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>) factor(%f : tensor<4xf32>) outs(%o : tensor<?x8xf32>) -> tensor<?x8xf32>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xf32>) {
  // expected-error @+1 {{dispatch_c1: layout must hold one row per slot, got token}}
  %y = moe.dispatch %x : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = token outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x32xf32>) {
  // expected-error @+1 {{dispatch_c1: result must be [?, 64], got [?, 32]}}
  %y = moe.dispatch %x : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = expert_sorted outs(%o : tensor<?x32xf32>) -> tensor<?x32xf32>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xbf16>) {
  // expected-error @+1 {{dispatch_c1: result and input differ in element type}}
  %y = moe.dispatch %x : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = expert_sorted outs(%o : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%d: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x32xbf16>) {
  // expected-error @+1 {{combine_c1: result must be [?, 64], got [?, 32]}}
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk outs(%o : tensor<?x32xbf16>) -> tensor<?x32xbf16>
  return
}

// -----

func.func @f(%d: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xbf16>, %a: tensor<?x65xf32>) {
  // expected-error @+1 {{combine_c1: add must be [?, 64], got [?, 65]}}
  %y = moe.combine %d : tensor<?x64xf32> add(%a : tensor<?x65xf32>) routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk outs(%o : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%d: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xbf16>, %w: tensor<?x4xf32>) {
  // expected-error @+1 {{combine_c2: weights must be [?, 2], got [?, 4]}}
  %y = moe.combine %d : tensor<?x64xf32> weights(%w : tensor<?x4xf32>) routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk outs(%o : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%d: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xbf16>) {
  // expected-error @+1 {{combine_c3: layout must hold one row per slot, got token}}
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = token outs(%o : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%d: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xbf16>, %g: tensor<?xf32>) {
  // expected-error @+1 {{combine_c4: add_gate needs add}}
  %y = moe.combine %d : tensor<?x64xf32> add_gate(%g : tensor<?xf32>) routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk outs(%o : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%d: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<5x64xbf16>, %a: tensor<5x64xf32>, %g: tensor<4xf32>) {
  // expected-error @+1 {{combine_c4: add_gate must be [5], got [4]}}
  %y = moe.combine %d : tensor<?x64xf32> add(%a : tensor<5x64xf32>) add_gate(%g : tensor<4xf32>) routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk outs(%o : tensor<5x64xbf16>) -> tensor<5x64xbf16>
  return
}

// -----

func.func @f(%d: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xbf16>) {
  // expected-error @+1 {{combine_c5: keep needs weights}}
  %y = moe.combine %d : tensor<?x64xf32> keep routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk outs(%o : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%x: tensor<4xbf16>, %q: tensor<?x256xf8E4M3FN>, %s: tensor<?x2xf32>) {
  // expected-error @+1 {{quantize_c1: input must be [?, ?], got [4]}}
  %y:2 = moe.quantize %x : tensor<4xbf16> quant #q outs(%q, %s : tensor<?x256xf8E4M3FN>, tensor<?x2xf32>) -> tensor<?x256xf8E4M3FN>, tensor<?x2xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%x: tensor<?x256xi8>, %q: tensor<?x256xf8E4M3FN>, %s: tensor<?x2xf32>) {
  // expected-error @+1 {{quantize_c1: input must be floats, got 'i8'}}
  %y:2 = moe.quantize %x : tensor<?x256xi8> quant #q outs(%q, %s : tensor<?x256xf8E4M3FN>, tensor<?x2xf32>) -> tensor<?x256xf8E4M3FN>, tensor<?x2xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%x: tensor<?x256xbf16>, %q: tensor<?x128xf8E4M3FN>, %s: tensor<?x2xf32>) {
  // expected-error @+1 {{quantize_c2: values must be [?, 256], got [?, 128]}}
  %y:2 = moe.quantize %x : tensor<?x256xbf16> quant #q outs(%q, %s : tensor<?x128xf8E4M3FN>, tensor<?x2xf32>) -> tensor<?x128xf8E4M3FN>, tensor<?x2xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%x: tensor<?x256xbf16>, %q: tensor<?x256xf8E4M3FN>, %s: tensor<?x3xf32>) {
  // expected-error @+1 {{quantize_c2: scale of result must be [?, 2], got [?, 3]}}
  %y:2 = moe.quantize %x : tensor<?x256xbf16> quant #q outs(%q, %s : tensor<?x256xf8E4M3FN>, tensor<?x3xf32>) -> tensor<?x256xf8E4M3FN>, tensor<?x3xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [4, 128], scale = f32>
func.func @f(%x: tensor<?x256xbf16>, %q: tensor<?x256xf8E4M3FN>, %s: tensor<?x2xf32>) {
  // expected-error @+1 {{quantize_c3: dynamic quantisation is symmetric with granules of one row}}
  %y:2 = moe.quantize %x : tensor<?x256xbf16> quant #q outs(%q, %s : tensor<?x256xf8E4M3FN>, tensor<?x2xf32>) -> tensor<?x256xf8E4M3FN>, tensor<?x2xf32>
  return
}

// -----

#q = #moe.quant<i4, granule = [1, 128], scale = f32, packing = low_even>
func.func @f(%x: tensor<?x256xbf16>, %q: tensor<?x128xi8>, %s: tensor<?x2xf32>) {
  // expected-error @+1 {{quantize_c3: cannot quantise to 'i4'}}
  %y:2 = moe.quantize %x : tensor<?x256xbf16> quant #q outs(%q, %s : tensor<?x128xi8>, tensor<?x2xf32>) -> tensor<?x128xi8>, tensor<?x2xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%v: tensor<4x64x64xi8>, %s: tensor<4x64x1xbf16>, %o: tensor<4x64x64xf32>) {
  // expected-error @+1 {{dequantize_c1: result must be [4, 64, 128], got [4, 64, 64]}}
  %y = moe.dequantize %v : tensor<4x64x64xi8> scale(%s : tensor<4x64x1xbf16>) quant #w outs(%o : tensor<4x64x64xf32>) -> tensor<4x64x64xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%v: tensor<4x64x64xi8>, %s: tensor<4x64x2xbf16>, %o: tensor<4x64x128xf32>) {
  // expected-error @+1 {{dequantize_c1: scale of values must be [4, 64, 1], got [4, 64, 2]}}
  %y = moe.dequantize %v : tensor<4x64x64xi8> scale(%s : tensor<4x64x2xbf16>) quant #w outs(%o : tensor<4x64x128xf32>) -> tensor<4x64x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = operand, packing = low_even>
func.func @f(%v: tensor<4x64x64xi8>, %s: tensor<4x64x1xbf16>, %o: tensor<4x64x128xf32>) {
  // expected-error @+1 {{dequantize_c2: zero operand is missing}}
  %y = moe.dequantize %v : tensor<4x64x64xi8> scale(%s : tensor<4x64x1xbf16>) quant #w outs(%o : tensor<4x64x128xf32>) -> tensor<4x64x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%v: tensor<4x64x64xi8>, %s: tensor<4x64x1xbf16>, %o: tensor<4x64x128xf32>, %z: tensor<4x64x1xi8>) {
  // expected-error @+1 {{dequantize_c2: zero operand is not in the quant}}
  %y = moe.dequantize %v : tensor<4x64x64xi8> scale(%s : tensor<4x64x1xbf16>) zero(%z : tensor<4x64x1xi8>) quant #w outs(%o : tensor<4x64x128xf32>) -> tensor<4x64x128xf32>
  return
}

// -----

func.func @f(%x: tensor<?x256xbf16>, %o: tensor<2x?xf32>) {
  // expected-error @+1 {{group_sum_c1: group 96 must divide the static columns, got 256}}
  %y = moe.group_sum %x : tensor<?x256xbf16> group = 96 outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
  return
}

// -----

func.func @f(%x: tensor<?x256xbf16>, %o: tensor<4x?xf32>) {
  // expected-error @+1 {{group_sum_c1: result must be [2, ?], got [4, ?]}}
  %y = moe.group_sum %x : tensor<?x256xbf16> group = 128 outs(%o : tensor<4x?xf32>) -> tensor<4x?xf32>
  return
}

// -----

func.func @f(%x: tensor<?x256xbf16>, %o: tensor<2x?xbf16>) {
  // expected-error @+1 {{group_sum_c1: needs one f32 result}}
  %y = moe.group_sum %x : tensor<?x256xbf16> group = 128 outs(%o : tensor<2x?xbf16>) -> tensor<2x?xbf16>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#t = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>
func.func @f(%w: tensor<4x64x64xi8>, %o: tensor<4x64x32xi32>) {
  // expected-error @+1 {{repack_c1: result must be [4, 64, 16], got [4, 64, 32]}}
  %y = moe.repack %w : tensor<4x64x64xi8> from #w to #t outs(%o : tensor<4x64x32xi32>) -> tensor<4x64x32xi32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#t = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>
func.func @f(%w: tensor<4x64x2xi8>, %o: tensor<4x64x16xi32>) {
  // expected-error @+1 {{repack_c1: 4 columns do not fill stored elements of 8}}
  %y = moe.repack %w : tensor<4x64x2xi8> from #w to #t outs(%o : tensor<4x64x16xi32>) -> tensor<4x64x16xi32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#t = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>
func.func @f(%w: tensor<4x64x64xi8>, %o: tensor<4x64x16xi8>) {
  // expected-error @+1 {{repack_c1: storage must be 'i8' and 'i32', got 'i8' and 'i8'}}
  %y = moe.repack %w : tensor<4x64x64xi8> from #w to #t outs(%o : tensor<4x64x16xi8>) -> tensor<4x64x16xi8>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#t = #moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx>
func.func @f(%w: tensor<4x64x64xi8>, %o: tensor<4x64x64xi8>) {
  // expected-error @+1 {{repack_c2: cannot repack 'i4' to 'f4E2M1FN'}}
  %y = moe.repack %w : tensor<4x64x64xi8> from #w to #t outs(%o : tensor<4x64x64xi8>) -> tensor<4x64x64xi8>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x32xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c1: reduction sizes differ, a has 64 and b 32}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x32xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x?x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c1: the extents of b must be static}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x?x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x127x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x63xf32>) {
  // expected-error @+1 {{ggemm_c2: gate_up needs an even number of rows of b, got 127}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x127x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk gate_up <halves>
         outs(%o0 : tensor<?x63xf32>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x63xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x64xf32>) {
  // expected-error @+1 {{ggemm_c2: gate_up blocks of 48 do not divide 64}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk gate_up <blocks 48>
         outs(%o0 : tensor<?x64xf32>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x64xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 96], scale = f32>
func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf8E4M3FN>, %o1: tensor<?x2xf32>) {
  // expected-error @+1 {{ggemm_c3: quantize granule of 96 columns does not divide the 128 result columns}}
  %y:2 = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk quantize #q
         outs(%o0, %o1 : tensor<?x128xf8E4M3FN>, tensor<?x2xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf8E4M3FN>, tensor<?x2xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf8E4M3FN>, %o1: tensor<?x1xf32>) {
  // expected-error @+1 {{ggemm_c4: out = token sums slots and cannot quantize}}
  %y:2 = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = token quantize #q
         outs(%o0, %o1 : tensor<?x128xf8E4M3FN>, tensor<?x1xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf8E4M3FN>, tensor<?x1xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x64xf32>) {
  // expected-error @+1 {{ggemm_c4: result must be [?, 128], got [?, 64]}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = token
         outs(%o0 : tensor<?x64xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x64xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %w: tensor<?x3xf32>) {
  // expected-error @+1 {{ggemm_c5: a row operand must be [T] or [T, 2], got [?, 3]}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk row(%w : tensor<?x3xf32>)
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %w: tensor<?x2xf32>, %v: tensor<?xf32>) {
  // expected-error @+1 {{ggemm_c5: row operands mix the index spaces of tokens and slots (ranks 2 and 1)}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk row(%w, %v : tensor<?x2xf32>, tensor<?xf32>)
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32, %p1: f32, %p2: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xf8E4M3FN>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c6: quantised b needs a scale}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xf8E4M3FN> quant #q) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%a: tensor<?x64xf8E4M3FN>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<?x1xf32>) {
  // expected-error @+1 {{ggemm_c6: a has a scale, but the plan applies it in the epilogue}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xf8E4M3FN> scale %s : tensor<?x1xf32> quant #q) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = epilogue, b = none>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = operand, packing = low_even>
func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x32xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x1xbf16>) {
  // expected-error @+1 {{ggemm_c6: b needs a zero point operand}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x32xi8> scale %s : tensor<8x128x1xbf16> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = operand, packing = low_even>
func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x32xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x1xbf16>, %z: tensor<8x64x1xi8>) {
  // expected-error @+1 {{ggemm_c6: zero point of b must be [8, 128, 1], got [8, 64, 1]}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x32xi8> scale %s : tensor<8x128x1xbf16> zero %z : tensor<8x64x1xi8> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<4x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c7: b has 4 experts, routing 8}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<4x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %w: tensor<8x64xf32>) {
  // expected-error @+1 {{ggemm_c7: a col operand must be [8, 128], got [8, 64]}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk col(%w : tensor<8x64xf32>)
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %w: tensor<4xf32>) {
  // expected-error @+1 {{ggemm_c7: an expert operand must be [8], got [4]}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk expert(%w : tensor<4xf32>)
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %w: tensor<?x64xf32>) {
  // expected-error @+1 {{ggemm_c7: an elt operand must be [?, 128], got [?, 64]}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk elt(%w : tensor<?x64xf32>)
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %w: tensor<?x2xf32>) {
  // expected-error @+1 {{ggemm_c8: region has 1 arguments, expected 2}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk row(%w : tensor<?x2xf32>)
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c8: region may hold arith and math ops only, found tensor.empty}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      %e = tensor.empty() : tensor<1xf32>
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x64xf32>) {
  // expected-error @+1 {{ggemm_c9: result must be [?, 128], got [?, 64]}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x64xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x64xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf8E4M3FN>) {
  // expected-error @+1 {{ggemm_c9: quantisation needs two results (values, scales), got 1}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk quantize #q
         outs(%o0 : tensor<?x128xf8E4M3FN>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf8E4M3FN>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %o1: tensor<?x1xf32>) {
  // expected-error @+1 {{ggemm_c9: needs one result without quantize, got 2}}
  %y:2 = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0, %o1 : tensor<?x128xf32>, tensor<?x1xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>, tensor<?x1xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xi32>) {
  // expected-error @+1 {{ggemm_c9: result must be a float type, got 'i32'}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xi32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xi32>
  return
}

// -----

#b = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @f(%a: tensor<?x384xbf16>, %b: tensor<8x128x384xf8E4M3FN>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x1x3xf32>) {
  // expected-error @+1 {{ggemm_c10: block k of 192 spans two scale groups of 128 columns of b}}
  %y = moe.grouped_gemm a(%a : tensor<?x384xbf16>) b(%b : tensor<8x128x384xf8E4M3FN> scale %s : tensor<8x1x3xf32> quant #b) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk config [#moe.config<block = [64, 64, 192]>]
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#b = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @f(%a: tensor<?x512xbf16>, %b: tensor<8x128x512xf8E4M3FN>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x1x4xf32>) {
  // expected-error @+1 {{ggemm_c10: block k of 256 spans two scale groups of 128 columns of b}}
  %y = moe.grouped_gemm a(%a : tensor<?x512xbf16>) b(%b : tensor<8x128x512xf8E4M3FN> scale %s : tensor<8x1x4xf32> quant #b) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk config [#moe.config<block = [64, 64, 256]>]
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c11: rows = gather does not go with a_layout = expert_sorted}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = expert_sorted out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c11: rows = slots does not go with a_layout = token}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = slots a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%a: tensor<?x256xbf16>, %b: tensor<8x128x128xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x2xbf16>) {
  // expected-error @+1 {{ggemm_c12: sums are missing, the plan says zero = row_sum}}
  %y = moe.grouped_gemm a(%a : tensor<?x256xbf16>) b(%b : tensor<8x128x128xi8> scale %s : tensor<8x128x2xbf16> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = promote 128, zero = row_sum>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%a: tensor<?x256xbf16>, %b: tensor<8x128x128xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x2xbf16>, %m: tensor<2x?xf32>) {
  // expected-error @+1 {{ggemm_c12: sums need a plan with zero = row_sum}}
  %y = moe.grouped_gemm a(%a : tensor<?x256xbf16> sums %m : tensor<2x?xf32>) b(%b : tensor<8x128x128xi8> scale %s : tensor<8x128x2xbf16> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %m: tensor<2x?xf32>) {
  // expected-error @+1 {{ggemm_c12: row_sum needs a zero point of b and a plain a}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16> sums %m : tensor<2x?xf32>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = none, zero = row_sum>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 96], scale = bf16, zero = 8, packing = low_even>
func.func @f(%a: tensor<?x256xbf16>, %b: tensor<8x128x128xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x3xbf16>, %m: tensor<2x?xf32>) {
  // expected-error @+1 {{ggemm_c12: the K granule 96 of b does not divide K 256}}
  %y = moe.grouped_gemm a(%a : tensor<?x256xbf16> sums %m : tensor<2x?xf32>) b(%b : tensor<8x128x128xi8> scale %s : tensor<8x128x3xbf16> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = promote 96, zero = row_sum>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%a: tensor<?x256xbf16>, %b: tensor<8x128x128xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x2xbf16>, %m: tensor<2x?xbf16>) {
  // expected-error @+1 {{ggemm_c12: sums must be f32, got 'bf16'}}
  %y = moe.grouped_gemm a(%a : tensor<?x256xbf16> sums %m : tensor<2x?xbf16>) b(%b : tensor<8x128x128xi8> scale %s : tensor<8x128x2xbf16> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = promote 128, zero = row_sum>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%a: tensor<?x256xbf16>, %b: tensor<8x128x128xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x2xbf16>, %m: tensor<4x?xf32>) {
  // expected-error @+1 {{ggemm_c12: sums must be [2, ?], got [4, ?]}}
  %y = moe.grouped_gemm a(%a : tensor<?x256xbf16> sums %m : tensor<4x?xf32>) b(%b : tensor<8x128x128xi8> scale %s : tensor<8x128x2xbf16> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = promote 128, zero = row_sum>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%a: tensor<?x256xbf16>, %b: tensor<8x128x128xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x2xbf16>) {
  // expected-error @+1 {{ggemm_c13: b is quantised, but the plan says none}}
  %y = moe.grouped_gemm a(%a : tensor<?x256xbf16>) b(%b : tensor<8x128x128xi8> scale %s : tensor<8x128x2xbf16> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = none>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c13: a is not quantised, but the plan says operand}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = operand, b = none>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%a: tensor<?x256xbf16>, %b: tensor<8x128x128xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @+1 {{ggemm_c13: the scale of b has 2 groups along K, the plan's epilogue needs 1}}
  %y = moe.grouped_gemm a(%a : tensor<?x256xbf16>) b(%b : tensor<8x128x128xi8> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = epilogue>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%a: tensor<?x256xbf16>, %b: tensor<8x128x128xi8>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>, %s: tensor<8x128x2xbf16>) {
  // expected-error @+1 {{ggemm_c13: promote 96 does not divide the K granule 128 of b}}
  %y = moe.grouped_gemm a(%a : tensor<?x256xbf16>) b(%b : tensor<8x128x128xi8> scale %s : tensor<8x128x2xbf16> quant #w) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = promote 96>
         outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%x: tensor<?x63xf32>, %o: tensor<?x32xbf16>) {
  // expected-error @+1 {{activate_c1: gate_up needs an even number of columns, got 63}}
  %y = moe.activate %x : tensor<?x63xf32> gate_up <halves> outs(%o : tensor<?x32xbf16>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x32xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %o: tensor<?x32xbf16>) {
  // expected-error @+1 {{activate_c1: gate_up blocks of 12 do not divide 32}}
  %y = moe.activate %x : tensor<?x64xf32> gate_up <blocks 12> outs(%o : tensor<?x32xbf16>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x32xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %o: tensor<?x64xbf16>) {
  // expected-error @+1 {{activate_c1: result must be [?, 32], got [?, 64]}}
  %y = moe.activate %x : tensor<?x64xf32> gate_up <halves> outs(%o : tensor<?x64xbf16>) {
    ^bb0(%p0: f32, %p1: f32):
      moe.yield %p0 : f32
  } -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %o: tensor<?x32xbf16>) {
  // expected-error @+1 {{activate_c2: region has 1 arguments, expected 2}}
  %y = moe.activate %x : tensor<?x64xf32> gate_up <halves> outs(%o : tensor<?x32xbf16>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x32xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %o: tensor<?x32xbf16>) {
  // expected-error @+1 {{activate_c2: region may hold arith and math ops only, found tensor.empty}}
  %y = moe.activate %x : tensor<?x64xf32> gate_up <halves> outs(%o : tensor<?x32xbf16>) {
    ^bb0(%p0: f32, %p1: f32):
      %e = tensor.empty() : tensor<1xf32>
      moe.yield %p0 : f32
  } -> tensor<?x32xbf16>
  return
}

// -----

// expected-error @+1 {{routing needs experts >= 1 and topk >= 1, got 0 and 2}}
func.func private @f(!moe.routing<experts = 0, topk = 2>)

// -----

// expected-error @+1 {{routing needs block_m >= 1, got 0}}
func.func private @f(!moe.routing<experts = 8, topk = 2, block_m = 0>)

// -----

// expected-error @+1 {{blocks needs a positive size, got 0}}
func.func private @f() attributes {a = #moe.gate_up<blocks 0>}

// -----

// expected-error @+1 {{unknown arrangement 'thirds', expected halves, interleaved or blocks N}}
func.func private @f() attributes {a = #moe.gate_up<thirds>}

// -----

// expected-error @+1 {{unknown activation 'swish', expected identity}}
func.func private @f() attributes {a = #moe.activation<swish>}

// -----

// expected-error @+1 {{unknown field 'beta', expected alpha or limit}}
func.func private @f() attributes {a = #moe.activation<swiglu, beta = 1.0>}

// -----

// expected-error @+1 {{alpha belongs to swiglu_oai, activation swiglu got alpha 2.000000}}
func.func private @f() attributes {a = #moe.activation<swiglu, alpha = 2.0>}

// -----

// expected-error @+1 {{limit clamps gate and up; activation relu has no gate}}
func.func private @f() attributes {a = #moe.activation<relu, limit = 7.0>}

// -----

// expected-error @+1 {{activation needs a finite alpha and limit >= 0, got 1.000000 and -1.000000}}
func.func private @f() attributes {a = #moe.activation<swiglu, limit = -1.0>}

// -----

// expected-error @+1 {{unknown place 'late', expected none, epilogue, promote N or operand}}
func.func private @f() attributes {a = #moe.scale_plan<a = late, b = none>}

// -----

// expected-error @+1 {{unknown zero place 'never', expected none, element or row_sum}}
func.func private @f() attributes {a = #moe.scale_plan<a = none, b = none, zero = never>}

// -----

// expected-error @+1 {{promote needs a positive run of columns, got a 0 and b 0}}
func.func private @f() attributes {a = #moe.scale_plan<a = promote 0, b = none>}

// -----

// expected-error @+1 {{promotion runs must divide each other, got a 96 and b 128}}
func.func private @f() attributes {a = #moe.scale_plan<a = promote 96, b = promote 128>}

// -----

// expected-error @+1 {{granule extents must be positive or *, got [0, 128]}}
func.func private @f() attributes {a = #moe.quant<f8E4M3FN, granule = [0, 128], scale = f32>}

// -----

// expected-error @+1 {{element type must be i4, i8, f4E2M1FN or an 8-bit float, got 'f16'}}
func.func private @f() attributes {a = #moe.quant<f16, granule = [1, 128], scale = f32>}

// -----

// expected-error @+1 {{scale type must be f32, bf16, f16, f8E8M0FNU or f8E4M3FN, got 'i8'}}
func.func private @f() attributes {a = #moe.quant<i8, granule = [1, 128], scale = i8>}

// -----

// expected-error @+1 {{packing mx holds f4E2M1FN, got 'i4'}}
func.func private @f() attributes {a = #moe.quant<i4, granule = [1, 32], scale = f32, packing = mx>}

// -----

// expected-error @+1 {{packing low_even holds i4, got 'i8'}}
func.func private @f() attributes {a = #moe.quant<i8, granule = [1, 32], scale = f32, packing = low_even>}

// -----

// expected-error @+1 {{4-bit element type 'i4' needs a packing (low_even, exllama or mx)}}
func.func private @f() attributes {a = #moe.quant<i4, granule = [1, 32], scale = f32>}

// -----

// expected-error @+1 {{zero points need an integer element type, got 'f8E4M3FN'}}
func.func private @f() attributes {a = #moe.quant<f8E4M3FN, granule = [1, 32], scale = f32, zero = 8>}

// -----

// expected-error @+1 {{zero point 16 is outside [0, 15]}}
func.func private @f() attributes {a = #moe.quant<i4, granule = [1, 32], scale = f32, zero = 16, packing = low_even>}

// -----

// expected-error @+1 {{granule of 4 columns is not a multiple of the 8 columns of one stored element}}
func.func private @f() attributes {a = #moe.quant<i4, granule = [1, 4], scale = f32, packing = exllama>}

// -----

// expected-error @+1 {{unknown field 'tile' in #moe.config}}
func.func private @f() attributes {a = #moe.config<tile = [1, 2, 3]>}

// -----

// expected-error @+1 {{field 'stages' is given twice}}
func.func private @f() attributes {a = #moe.config<stages = 1, stages = 2>}

// -----

// expected-error @+1 {{field 'stages' of #moe.config is an integer, got "many"}}
func.func private @f() attributes {a = #moe.config<stages = "many">}

// -----

// expected-error @+1 {{field 'swap' of #moe.config is true or false, got 1}}
func.func private @f() attributes {a = #moe.config<swap = 1>}

// -----

// expected-error @+1 {{field 'a' of #moe.config is a string, got 1}}
func.func private @f() attributes {a = #moe.config<a = 1>}

// -----

// expected-error @+1 {{field 'block' of #moe.config is a list of integers, got 64}}
func.func private @f() attributes {a = #moe.config<block = 64>}

// -----

// expected-error @+1 {{field 'stages' of #moe.config must not be negative, got -1}}
func.func private @f() attributes {a = #moe.config<stages = -1>}

// -----

// expected-error @+1 {{field 'block' of #moe.config is [m >= 1, n >= 1, k >= 0], got [0, 64, 64]}}
func.func private @f() attributes {a = #moe.config<block = [0, 64, 64]>}

// -----

// expected-error @+1 {{field 'micro' of #moe.config has 2 entries, got 3}}
func.func private @f() attributes {a = #moe.config<micro = [1, 2, 3]>}

// -----

// expected-error @+1 {{field 'cluster' of #moe.config has 2 entries, got 1}}
func.func private @f() attributes {a = #moe.config<cluster = [1]>}
