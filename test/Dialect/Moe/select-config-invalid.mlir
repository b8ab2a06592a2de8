// RUN: moe-opt %s -split-input-file -moe-select-config -verify-diagnostics
// RUN: moe-opt %s -split-input-file -moe-select-config="target=cpu tokens=7" -verify-diagnostics

func.func @shared_block_m(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x512xbf16>,
                          %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2, block_m = 48>
  // expected-error @+1 {{moe-select-config: rule shared_block_m: block m 32 does not divide block_m 48 of the routing}}
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x256x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 48>)
         rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [32, 64, 0]>] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}

// -----

func.func @k_step(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x512xbf16>,
                  %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{moe-select-config: rule k_step: k step 64 of a CPU tile must be all of K (0) or at least 128}}
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x256x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [64, 64, 64]>] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}
