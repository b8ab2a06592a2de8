// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// DeepSeek-V3's first product on one of 8 ranks, 32 experts, rows in the experts' order: 4096 for each.
// tokens: 131072
#row = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
#block = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @ep8_up_fp8(
    %x: tensor<?x7168xf8E4M3FN> {moe.name = "x"}, %xs: tensor<?x56xf32> {moe.name = "x_scale"},
    %ids: tensor<?x1xi32> {moe.name = "topk_ids"},
    %w: tensor<32x4096x7168xf8E4M3FN> {moe.name = "w1"},
    %ws: tensor<32x32x56xf32> {moe.name = "w1_scale"},
    %out: tensor<?x4096xbf16> {moe.name = "out"}) -> tensor<?x4096xbf16> {
  %r = moe.align %ids : tensor<?x1xi32> -> <experts = 32, topk = 1>
  %y = moe.grouped_gemm a(%x : tensor<?x7168xf8E4M3FN> scale %xs : tensor<?x56xf32> quant #row)
      b(%w : tensor<32x4096x7168xf8E4M3FN> scale %ws : tensor<32x32x56xf32> quant #block)
      routing(%r : <experts = 32, topk = 1>) rows = slots a_layout = expert_sorted out = expert_sorted
      outs(%out : tensor<?x4096xbf16>) {
  ^bb0(%v: f32):
    moe.yield %v : f32
  } -> tensor<?x4096xbf16>
  return %y : tensor<?x4096xbf16>
}
