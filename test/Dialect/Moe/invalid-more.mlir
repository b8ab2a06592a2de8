// Further ways to break the constraints of the moe dialect: the other half of a rule, the same rule on another operand.
// RUN: moe-opt %s -split-input-file -verify-diagnostics -o /dev/null

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @below {{fused_c2: w1 must be [?, ?, ?], got [256, 64]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<96xbf16>, %s2: tensor<64x48xbf16>) {
  // expected-error @below {{fused_c7: shared w1 must be [?, ?], got [96]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<96xbf16>, %s2 : tensor<64x48xbf16>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<96x64xbf16>, %s2: tensor<60x48xbf16>) {
  // expected-error @below {{fused_c7: shared w2 must be [64, ?], got [60, 48]}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<96x64xbf16>, %s2 : tensor<60x48xbf16>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<96x64xi8>, %s2: tensor<64x48xbf16>) {
  // expected-error @below {{fused_c7: shared w1 of type 'i8' needs a quant}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<96x64xi8>, %s2 : tensor<64x48xbf16>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<96x64xbf16>, %s2: tensor<64x48xi8>) {
  // expected-error @below {{fused_c7: shared w2 of type 'i8' needs a quant}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<96x64xbf16>, %s2 : tensor<64x48xi8>) activation <swiglu> gate_up <halves> outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>) {
  // expected-error @below {{fused_c10: needs one result, got 2}}
  %y:2 = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         activation <swiglu> gate_up <halves> outs(%out, %out : tensor<?x64xbf16>, tensor<?x64xbf16>) -> tensor<?x64xbf16>, tensor<?x64xbf16>
  return
}

// -----

#a = #moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx>
func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<94x64xbf16>, %s2: tensor<64x47xbf16>) {
  // expected-error @below {{fused_c9: act_quant stores 2 columns together, which must divide the hidden size 64 and the intermediate sizes 128 and 47}}
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<94x64xbf16>, %s2 : tensor<64x47xbf16>) activation <swiglu> gate_up <halves> act_quant #a outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>, %out: tensor<?x64xbf16>, %s1: tensor<96x64xbf16>) {
  // expected-error @below {{fused_c7: shared needs both weights}}
  %y = "moe.fused_experts"(%x, %ids, %tw, %w1, %w2, %s1, %out) <{activation = #moe.activation<swiglu>, gate_up = #moe.gate_up<halves>, operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1>, weight_place = #moe<weight_place epilogue>}>
       : (tensor<?x64xbf16>, tensor<?x2xi32>, tensor<?x2xf32>, tensor<8x256x64xbf16>, tensor<8x64x128xbf16>, tensor<96x64xbf16>, tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return
}

// -----

func.func @f(%l: tensor<16xf32>, %i: tensor<?x4xi32>, %w: tensor<?x4xf32>) {
  // expected-error @below {{topk_c1: logits must be [?, ?], got [16]}}
  %y:2 = moe.topk logits(%l : tensor<16xf32>) outs(%i, %w : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return
}

// -----

func.func @f(%l: tensor<?x16xf32>, %i: tensor<?x4xi32>) {
  // expected-error @below {{topk_c1: needs two results (ids, weights), got 1}}
  %y = moe.topk logits(%l : tensor<?x16xf32>) outs(%i : tensor<?x4xi32>) -> tensor<?x4xi32>
  return
}

// -----

func.func @f(%l: tensor<7x16xf32>, %i: tensor<8x4xi32>, %w: tensor<7x4xf32>) {
  // expected-error @below {{topk_c1: ids must be [7, ?], got [8, 4]}}
  %y:2 = moe.topk logits(%l : tensor<7x16xf32>) outs(%i, %w : tensor<8x4xi32>, tensor<7x4xf32>) -> tensor<8x4xi32>, tensor<7x4xf32>
  return
}

// -----

func.func @f(%ids: tensor<7x2xi32>, %tw: tensor<7x2xf32>, %o: tensor<6x8xf32>) {
  // expected-error @below {{dense_weights_c2: result must be [7, ?], got [6, 8]}}
  %y = moe.dense_weights topk(%ids, %tw : tensor<7x2xi32>, tensor<7x2xf32>) outs(%o : tensor<6x8xf32>) -> tensor<6x8xf32>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xf32>) {
  // expected-error @below {{dispatch_c1: needs one result, got 2}}
  %y:2 = moe.dispatch %x : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = expert_sorted outs(%o, %o : tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>, tensor<?x64xf32>
  return
}

// -----

func.func @f(%x: tensor<64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xf32>) {
  // expected-error @below {{dispatch_c1: input must be [?, ?], got [64]}}
  %y = moe.dispatch %x : tensor<64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = expert_sorted outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return
}

// -----

func.func @f(%d: tensor<?x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xf32>) {
  // expected-error @below {{combine_c1: needs one result, got 2}}
  %y:2 = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk outs(%o, %o : tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>, tensor<?x64xf32>
  return
}

// -----

func.func @f(%d: tensor<?x2x64xf32>, %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x2xf32>) {
  // expected-error @below {{combine_c1: d must be [?, ?], got [?, 2, 64]}}
  %y = moe.combine %d : tensor<?x2x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>) layout = flat_topk outs(%o : tensor<?x2xf32>) -> tensor<?x2xf32>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %o: tensor<?x64xf32>) {
  // expected-error @below {{activate_c1: needs one result, got 2}}
  %y:2 = moe.activate %x : tensor<?x64xf32> outs(%o, %o : tensor<?x64xf32>, tensor<?x64xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x64xf32>, tensor<?x64xf32>
  return
}

// -----

func.func @f(%x: tensor<2x?x64xf32>, %o: tensor<2x?xf32>) {
  // expected-error @below {{activate_c1: input must be [?, ?], got [2, ?, 64]}}
  %y = moe.activate %x : tensor<2x?x64xf32> outs(%o : tensor<2x?xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<2x?xf32>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %o: tensor<?x64xf32>) {
  // expected-error @below {{activate_c2: region argument 0 must be f32, got 'f64'}}
  %y = moe.activate %x : tensor<?x64xf32> outs(%o : tensor<?x64xf32>) {
    ^bb0(%p0: f64):
      %q = arith.truncf %p0 : f64 to f32
      moe.yield %q : f32
  } -> tensor<?x64xf32>
  return
}

// -----

func.func @f(%x: tensor<?x64xf32>, %o: tensor<?x64xf32>) {
  // expected-error @below {{activate_c2: region must yield one f32}}
  %y = moe.activate %x : tensor<?x64xf32> outs(%o : tensor<?x64xf32>) {
    ^bb0(%p0: f32):
      ub.unreachable
  } -> tensor<?x64xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%v: tensor<64xi8>, %s: tensor<1xbf16>, %o: tensor<128xf32>) {
  // expected-error @below {{dequantize_c1: values need rank >= 2, got 1}}
  %y = moe.dequantize %v : tensor<64xi8> scale(%s : tensor<1xbf16>) quant #w outs(%o : tensor<128xf32>) -> tensor<128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%v: tensor<4x64xi8>, %s: tensor<4x1xbf16>, %o: tensor<4x128xf32>) {
  // expected-error @below {{dequantize_c1: needs one result, got 2}}
  %y:2 = moe.dequantize %v : tensor<4x64xi8> scale(%s : tensor<4x1xbf16>) quant #w outs(%o, %o : tensor<4x128xf32>, tensor<4x128xf32>) -> tensor<4x128xf32>, tensor<4x128xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%v: tensor<4x64xi8>, %s: tensor<4x1xbf16>, %o: tensor<4x128xi32>) {
  // expected-error @below {{dequantize_c1: result must be floats, got 'i32'}}
  %y = moe.dequantize %v : tensor<4x64xi8> scale(%s : tensor<4x1xbf16>) quant #w outs(%o : tensor<4x128xi32>) -> tensor<4x128xi32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @f(%v: tensor<4x?xi8>, %s: tensor<4x1xbf16>, %o: tensor<4x?xf32>) {
  // expected-error @below {{dequantize_c1: columns of quantised values must be static}}
  %y = moe.dequantize %v : tensor<4x?xi8> scale(%s : tensor<4x1xbf16>) quant #w outs(%o : tensor<4x?xf32>) -> tensor<4x?xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = operand, packing = low_even>
func.func @f(%v: tensor<4x64xi8>, %s: tensor<4x1xbf16>, %z: tensor<4x1xf32>, %o: tensor<4x128xf32>) {
  // expected-error @below {{dequantize_c1: zero point of values must be integers, got 'f32'}}
  %y = moe.dequantize %v : tensor<4x64xi8> scale(%s : tensor<4x1xbf16>) zero(%z : tensor<4x1xf32>) quant #w outs(%o : tensor<4x128xf32>) -> tensor<4x128xf32>
  return
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @f(%x: tensor<?x?xf32>, %v: tensor<?x256xf8E4M3FN>, %s: tensor<?x2xf32>) {
  // expected-error @below {{quantize_c2: columns must be static}}
  %y:2 = moe.quantize %x : tensor<?x?xf32> quant #q outs(%v, %s : tensor<?x256xf8E4M3FN>, tensor<?x2xf32>) -> tensor<?x256xf8E4M3FN>, tensor<?x2xf32>
  return
}

// -----

#q = #moe.quant<f4E2M1FN, granule = [1, *], scale = f8E8M0FNU, packing = mx>
func.func @f(%x: tensor<?x25xf32>, %v: tensor<?x12xi8>, %s: tensor<?x1xf8E8M0FNU>) {
  // expected-error @below {{quantize_c2: 25 columns do not fill stored elements of 2}}
  %y:2 = moe.quantize %x : tensor<?x25xf32> quant #q outs(%v, %s : tensor<?x12xi8>, tensor<?x1xf8E8M0FNU>) -> tensor<?x12xi8>, tensor<?x1xf8E8M0FNU>
  return
}

// -----

func.func @f(%x: tensor<2x?x256xbf16>, %o: tensor<2x?xf32>) {
  // expected-error @below {{group_sum_c1: input must be [?, ?], got [2, ?, 256]}}
  %y = moe.group_sum %x : tensor<2x?x256xbf16> group = 128 outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#t = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>
func.func @f(%w: tensor<4x64xi8>, %o: tensor<4x16xi32>) {
  // expected-error @below {{repack_c1: needs one result, got 2}}
  %y:2 = moe.repack %w : tensor<4x64xi8> from #w to #t outs(%o, %o : tensor<4x16xi32>, tensor<4x16xi32>) -> tensor<4x16xi32>, tensor<4x16xi32>
  return
}

// -----

#w = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#t = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>
func.func @f(%w: tensor<64xi8>, %o: tensor<16xi32>) {
  // expected-error @below {{repack_c1: weights need rank >= 2, got 1}}
  %y = moe.repack %w : tensor<64xi8> from #w to #t outs(%o : tensor<16xi32>) -> tensor<16xi32>
  return
}

// -----

func.func @f(%a: tensor<64xbf16>, %b: tensor<8x128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @below {{ggemm_c1: a must be [?, ?], got [64]}}
  %y = moe.grouped_gemm a(%a : tensor<64xbf16>) b(%b : tensor<8x128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}

// -----

func.func @f(%a: tensor<?x64xbf16>, %b: tensor<128x64xbf16>, %r: !moe.routing<experts = 8, topk = 2>, %o0: tensor<?x128xf32>) {
  // expected-error @below {{ggemm_c1: b must be [?, ?, ?], got [128, 64]}}
  %y = moe.grouped_gemm a(%a : tensor<?x64xbf16>) b(%b : tensor<128x64xbf16>) routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk outs(%o0 : tensor<?x128xf32>) {
    ^bb0(%p0: f32):
      moe.yield %p0 : f32
  } -> tensor<?x128xf32>
  return
}
