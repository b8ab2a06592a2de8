// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// 128 experts of 512 rows each, gathered from 8192 tokens and scattered to their slots.
// tokens: 8192
func.func @scattered(
    %x: tensor<?x2048xbf16> {moe.name = "x"}, %ids: tensor<?x8xi32> {moe.name = "topk_ids"},
    %w: tensor<128x1536x2048xbf16> {moe.name = "w1"},
    %out: tensor<?x8x1536xbf16> {moe.name = "out"}) -> tensor<?x8x1536xbf16> {
  %r = moe.align %ids : tensor<?x8xi32> -> <experts = 128, topk = 8>
  %flat = tensor.collapse_shape %out [[0, 1], [2]] : tensor<?x8x1536xbf16> into tensor<?x1536xbf16>
  %y = moe.grouped_gemm a(%x : tensor<?x2048xbf16>) b(%w : tensor<128x1536x2048xbf16>)
      routing(%r : <experts = 128, topk = 8>) rows = gather a_layout = token out = flat_topk
      outs(%flat : tensor<?x1536xbf16>) {
  ^bb0(%v: f32):
    moe.yield %v : f32
  } -> tensor<?x1536xbf16>
  %c0 = arith.constant 0 : index
  %tokens = tensor.dim %x, %c0 : tensor<?x2048xbf16>
  %z = tensor.expand_shape %y [[0, 1], [2]] output_shape [%tokens, 8, 1536]
      : tensor<?x1536xbf16> into tensor<?x8x1536xbf16>
  return %z : tensor<?x8x1536xbf16>
}
