func.func @layer(%x: tensor<?x128xbf16> {moe.name = "x"}, %ids: tensor<?x2xi32> {moe.name = "topk_ids"}, %tw: tensor<?x2xf32> {moe.name = "topk_weights"}, %w1: tensor<4x256x128xbf16> {moe.name = "w1"}, %out: tensor<?x256xbf16> {moe.name = "out"}) -> tensor<?x256xbf16> {
  %r = moe.align %ids : tensor<?x2xi32> -> <experts = 4, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x128xbf16>) b(%w1 : tensor<4x256x128xbf16>) routing(%r : <experts = 4, topk = 2>) rows = gather a_layout = token out = token row(%tw : tensor<?x2xf32>)
      config [#moe.config<block = [16, 128, 64], stages = 4, swap = true, a = "gather", b = "desc", order = "expert_major", store = "vector", reduce_by = "add_f32", claim = "stride">] outs(%out : tensor<?x256xbf16>) {
  ^bb0(%v: f32, %w: f32):
    %z = arith.mulf %v, %w : f32
    moe.yield %z : f32
  } -> tensor<?x256xbf16>
  return %y : tensor<?x256xbf16>
}
