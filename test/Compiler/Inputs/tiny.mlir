module {
  func.func @layer(%arg0: tensor<?x256xbf16> {moe.name = "x"}, %arg1: tensor<?x2xi32> {moe.name = "topk_ids"}, %arg2: tensor<?x2xf32> {moe.name = "topk_weights"}, %arg3: tensor<8x256x256xbf16> {moe.name = "w1"}, %arg4: tensor<8x256x128xbf16> {moe.name = "w2"}, %arg5: tensor<?x256xbf16> {moe.name = "out"}) -> tensor<?x256xbf16> attributes {moe.dtype = "bf16", moe.model = "tiny"} {
    %c0 = arith.constant 0 : index
    %dim = tensor.dim %arg0, %c0 : tensor<?x256xbf16>
    %0 = moe.align %arg1 : tensor<?x2xi32> -> <experts = 8, topk = 2>
    %c2 = arith.constant 2 : index
    %1 = arith.muli %dim, %c2 : index
    %2 = tensor.empty(%1) : tensor<?x128xbf16>
    %3 = moe.grouped_gemm a(%arg0 : tensor<?x256xbf16>) b(%arg3 : tensor<8x256x256xbf16>) routing(%0 : <experts = 8, topk = 2>) rows = gather a_layout = token out = expert_sorted gate_up <halves> config [#moe.config<block = [16, 64, 128]>] outs(%2 : tensor<?x128xbf16>) {
    ^bb0(%arg6: f32, %arg7: f32):
      %7 = arith.negf %arg6 : f32
      %8 = math.exp %7 : f32
      %cst = arith.constant 1.000000e+00 : f32
      %9 = arith.addf %8, %cst : f32
      %10 = arith.divf %arg6, %9 : f32
      %11 = arith.mulf %10, %arg7 : f32
      moe.yield %11 : f32
    } -> tensor<?x128xbf16>
    %4 = tensor.empty(%1) : tensor<?x256xf32>
    %5 = moe.grouped_gemm a(%3 : tensor<?x128xbf16>) b(%arg4 : tensor<8x256x128xbf16>) routing(%0 : <experts = 8, topk = 2>) rows = slots a_layout = expert_sorted out = flat_topk row(%arg2 : tensor<?x2xf32>) config [#moe.config<block = [16, 64, 128]>] outs(%4 : tensor<?x256xf32>) {
    ^bb0(%arg6: f32, %arg7: f32):
      %7 = arith.mulf %arg6, %arg7 : f32
      moe.yield %7 : f32
    } -> tensor<?x256xf32>
    %6 = moe.combine %5 : tensor<?x256xf32> routing(%0 : <experts = 8, topk = 2>) layout = flat_topk outs(%arg5 : tensor<?x256xbf16>) -> tensor<?x256xbf16>
    return %6 : tensor<?x256xbf16>
  }
}
