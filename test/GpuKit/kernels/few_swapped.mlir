// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// As few.mlir, with the weights on the row side of the product for all counts.
// tokens: 128,256,512,1024,2048,4096
func.func @few_swapped(
    %x: tensor<?x2048xbf16> {moe.name = "x"}, %ids: tensor<?x1xi32> {moe.name = "topk_ids"},
    %w: tensor<128x1536x2048xbf16> {moe.name = "w1"},
    %out: tensor<?x1536xbf16> {moe.name = "out"}) -> tensor<?x1536xbf16> {
  %r = moe.align %ids : tensor<?x1xi32> -> <experts = 128, topk = 1>
  %y = moe.grouped_gemm a(%x : tensor<?x2048xbf16>) b(%w : tensor<128x1536x2048xbf16>)
      routing(%r : <experts = 128, topk = 1>) rows = slots a_layout = expert_sorted out = expert_sorted
      config [#moe.config<block = [64, 128, 64], stages = 8, swap = true, a = "desc", b = "desc", order = "expert_major", store = "vector", claim = "stride">]
      outs(%out : tensor<?x1536xbf16>) {
  ^bb0(%v: f32):
    moe.yield %v : f32
  } -> tensor<?x1536xbf16>
  return %y : tensor<?x1536xbf16>
}
