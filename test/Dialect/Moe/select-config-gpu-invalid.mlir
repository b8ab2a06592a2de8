// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_89" -verify-diagnostics

func.func @shared_memory(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x512xbf16>,
                         %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{moe-select-config: rule shared_memory: 4 stages need 131072 bytes, sm_89 has 101376}}
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x256x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [128, 128, 64], stages = 4>] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}

// -----

func.func @block(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x512xbf16>,
                 %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{moe-select-config: rule block: block m 24 is not a multiple of the instruction's 16}}
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x256x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [24, 128, 64]>] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}

// -----

func.func @alignment(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x256xi8>,
                     %s: tensor<8x256x1xf32>, %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{moe-select-config: rule alignment: a row of 16 values has 8 bytes, not a multiple of 16}}
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>)
         b(%w : tensor<8x256x256xi8> scale %s : tensor<8x256x1xf32> quant #moe.quant<i4, granule = [1, *], scale = f32, zero = 8, packing = low_even>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [16, 128, 16]>] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}

// -----

// No candidate is left: a scale group of 48 columns meets no k step.
func.func @none(%x: tensor<?x96xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x96xf8E4M3FN>,
                %s: tensor<8x256x2xf32>, %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{moe-select-config: no candidate is legal on sm_89, the last was refused by rule scale_group: k step 64 straddles scale groups of 48}}
  %a = moe.grouped_gemm a(%x : tensor<?x96xbf16>)
         b(%w : tensor<8x256x96xf8E4M3FN> scale %s : tensor<8x256x2xf32> quant #moe.quant<f8E4M3FN, granule = [1, 48], scale = f32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}
