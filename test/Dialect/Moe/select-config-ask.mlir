// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_90a tokens=64 predict" -verify-diagnostics | FileCheck %s
// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_90a tokens=64 predict deterministic batch-invariant" -verify-diagnostics | FileCheck %s
// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_90a tokens=1 predict deterministic batch-invariant" | FileCheck %s --check-prefix=SAME
// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_90a tokens=8192 predict deterministic batch-invariant" | FileCheck %s --check-prefix=SAME
// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_90a tokens=64" | FileCheck %s --check-prefix=NONE
// NONE-NOT: predicted

// One time for each configuration of the list, and for what stands around once.
// CHECK-LABEL: func.func @layer
// CHECK: moe.grouped_gemm
// CHECK: moe.predicted_frame_us = {{[1-9][0-9.]*(e.*)?}} : f64, moe.predicted_us = array<f64: {{[0-9.e+]+}}, {{[0-9.e+]+}}, {{[0-9.e+]+}}>
// CHECK: moe.grouped_gemm
// CHECK-NOT: moe.predicted_frame_us
// CHECK: moe.predicted_us = array<f64: {{[0-9.e+]+}}, {{[0-9.e+]+}}, {{[0-9.e+]+}}>
// SAME-LABEL: func.func @layer
// SAME: moe.align {{.*}} block_m = [[M:[0-9]+]]>
// SAME: block = {{\[}}[[M]], {{[0-9]+}}, 64]
// SAME: moe.predicted_frame_us = [[FRAME:[0-9.e+]+]] : f64
func.func @layer(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w1: tensor<8x1024x512xbf16>,
                 %w2: tensor<8x512x1024xbf16>, %h: tensor<?x1024xbf16>, %o: tensor<?x512xf32>) -> tensor<?x512xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w1 : tensor<8x1024x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = expert_sorted outs(%h : tensor<?x1024xbf16>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x1024xbf16>
  %b = moe.grouped_gemm a(%a : tensor<?x1024xbf16>) b(%w2 : tensor<8x512x1024xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = slots a_layout = expert_sorted out = flat_topk outs(%o : tensor<?x512xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x512xf32>
  return %b : tensor<?x512xf32>
}

// -----

// A configuration that is given has a time of its own.
// CHECK-LABEL: func.func @given
// CHECK: config [#moe.config<block = [16, 64, 64], stages = 4, swap = true>]
// CHECK: moe.predicted_frame_us = {{.*}} : f64, moe.predicted_us = array<f64: {{[1-9][0-9.e+]*}}>
func.func @given(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x256x512xbf16>,
                 %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x256x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [16, 64, 64], stages = 4, swap = true>] outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}
