// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_90a tokens=64 deterministic" -verify-diagnostics
// RUN: moe-opt %s -split-input-file -moe-select-config="target=cpu tokens=64 deterministic" -verify-diagnostics -o /dev/null

func.func @adds(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x512xbf16>,
                %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{moe-select-config: rule deterministic: reduce_by = "add_f32", which adds rows in any order, is given, but the same bits on every run are asked for}}
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x256x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = token
         config [#moe.config<block = [64, 64, 128], reduce_by = "add_f32">] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}

// -----

func.func @says(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x512xbf16>,
                %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{moe-select-config: rule deterministic: deterministic = false is given, but the same bits on every run are asked for}}
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x256x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [64, 64, 128], deterministic = false>] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}

// -----

func.func @rows(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x512xbf16>,
                %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x256x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [64, 64, 128], reduce_by = "rows">] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}
