// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// 128 experts of 1 to 32 rows each, in the experts' order; weights of 4 bits with a scale per 128.
// tokens: 128,256,512,1024,2048,4096
#group = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @few_w4(
    %x: tensor<?x2048xbf16> {moe.name = "x"}, %ids: tensor<?x1xi32> {moe.name = "topk_ids"},
    %w: tensor<128x1536x1024xi8> {moe.name = "w1"},
    %ws: tensor<128x1536x16xbf16> {moe.name = "w1_scale"},
    %out: tensor<?x1536xbf16> {moe.name = "out"}) -> tensor<?x1536xbf16> {
  %r = moe.align %ids : tensor<?x1xi32> -> <experts = 128, topk = 1>
  %y = moe.grouped_gemm a(%x : tensor<?x2048xbf16>)
      b(%w : tensor<128x1536x1024xi8> scale %ws : tensor<128x1536x16xbf16> quant #group)
      routing(%r : <experts = 128, topk = 1>) rows = slots a_layout = expert_sorted out = expert_sorted
      outs(%out : tensor<?x1536xbf16>) {
  ^bb0(%v: f32):
    moe.yield %v : f32
  } -> tensor<?x1536xbf16>
  return %y : tensor<?x1536xbf16>
}
