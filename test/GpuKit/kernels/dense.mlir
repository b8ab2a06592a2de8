// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// One product of 8192 x 8192 by 8192 x 8192.
// tokens: 8192
func.func @dense(
    %x: tensor<?x8192xbf16> {moe.name = "x"}, %ids: tensor<?x1xi32> {moe.name = "topk_ids"},
    %w: tensor<1x8192x8192xbf16> {moe.name = "w1"},
    %out: tensor<?x8192xbf16> {moe.name = "out"}) -> tensor<?x8192xbf16> {
  %r = moe.align %ids : tensor<?x1xi32> -> <experts = 1, topk = 1>
  %y = moe.grouped_gemm a(%x : tensor<?x8192xbf16>) b(%w : tensor<1x8192x8192xbf16>)
      routing(%r : <experts = 1, topk = 1>) rows = slots a_layout = expert_sorted out = expert_sorted
      outs(%out : tensor<?x8192xbf16>) {
  ^bb0(%v: f32):
    moe.yield %v : f32
  } -> tensor<?x8192xbf16>
  return %y : tensor<?x8192xbf16>
}
