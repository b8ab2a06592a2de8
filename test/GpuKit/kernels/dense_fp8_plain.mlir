// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// One product of 8-bit floats with one scale each, multiplied in at the end.
// tokens: 8192
#all = #moe.quant<f8E4M3FN, granule = [*, *], scale = f32>
func.func @dense_fp8_plain(
    %x: tensor<?x8192xf8E4M3FN> {moe.name = "x"}, %xs: tensor<1x1xf32> {moe.name = "x_scale"},
    %ids: tensor<?x1xi32> {moe.name = "topk_ids"},
    %w: tensor<1x8192x8192xf8E4M3FN> {moe.name = "w1"},
    %ws: tensor<1x1x1xf32> {moe.name = "w1_scale"},
    %out: tensor<?x8192xbf16> {moe.name = "out"}) -> tensor<?x8192xbf16> {
  %r = moe.align %ids : tensor<?x1xi32> -> <experts = 1, topk = 1>
  %y = moe.grouped_gemm a(%x : tensor<?x8192xf8E4M3FN> scale %xs : tensor<1x1xf32> quant #all)
      b(%w : tensor<1x8192x8192xf8E4M3FN> scale %ws : tensor<1x1x1xf32> quant #all)
      routing(%r : <experts = 1, topk = 1>) rows = slots a_layout = expert_sorted out = expert_sorted
      outs(%out : tensor<?x8192xbf16>) {
  ^bb0(%v: f32):
    moe.yield %v : f32
  } -> tensor<?x8192xbf16>
  return %y : tensor<?x8192xbf16>
}
