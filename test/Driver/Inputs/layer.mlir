func.func @tiny(%x: tensor<?x8xf32>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                %w1: tensor<4x8x8xf32>, %w2: tensor<4x8x4xf32>, %out: tensor<?x8xf32>)
    -> tensor<?x8xf32> {
  %y = moe.fused_experts x(%x : tensor<?x8xf32>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<4x8x8xf32>) w2(%w2 : tensor<4x8x4xf32>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
