// The second product of a layer by itself.
func.func @second(%ids: tensor<?x2xi32>, %a: tensor<?x128xbf16>, %w: tensor<8x256x128xbf16>, %out: tensor<?x256xbf16>) -> tensor<?x256xbf16> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = tensor.dim %ids, %c0 : tensor<?x2xi32>
  %s = arith.muli %t, %c2 : index
  %r = moe.align %ids : tensor<?x2xi32> form = direct -> !moe.routing<experts = 8, topk = 2, block_m = 8>
  %e = tensor.empty(%s) : tensor<?x256xf32>
  %d = moe.grouped_gemm a(%a : tensor<?x128xbf16>) b(%w : tensor<8x256x128xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 8>) rows = slots a_layout = flat_topk out = flat_topk
         config [#moe.config<block = [8, 64, 64], stages = 4, swap = true, a = "desc", b = "desc", reduce_by = "last", claim = "stride">]
         outs(%e : tensor<?x256xf32>) {
  ^bb0(%x: f32):
    moe.yield %x : f32
  } -> tensor<?x256xf32>
  %y = moe.combine %d : tensor<?x256xf32> routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 8>) layout = flat_topk
         outs(%out : tensor<?x256xbf16>) -> tensor<?x256xbf16>
  return %y : tensor<?x256xbf16>
}
