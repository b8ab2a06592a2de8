#w = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
#a = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @fp8(%x: tensor<?x384xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
               %w1: tensor<2x256x384xf8E4M3FN>, %s1: tensor<2x2x3xf32>,
               %w2: tensor<2x384x128xf8E4M3FN>, %s2: tensor<2x3x1xf32>,
               %map: tensor<6xi32>, %out: tensor<?x384xbf16>) -> tensor<?x384xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x384xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<2x256x384xf8E4M3FN> scale %s1 : tensor<2x2x3xf32> quant #w)
         w2(%w2 : tensor<2x384x128xf8E4M3FN> scale %s2 : tensor<2x3x1xf32> quant #w)
         map(%map : tensor<6xi32>)
         activation <swiglu> gate_up <halves> act_quant #a
         outs(%out : tensor<?x384xbf16>) -> tensor<?x384xbf16>
  return %y : tensor<?x384xbf16>
}
