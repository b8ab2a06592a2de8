// The plugin in Debian's own mlir-opt: the dialects parse, verify and print,
// and passes run by a textual pipeline.
// REQUIRES: plugin
// RUN: %stock_mlir_opt --load-dialect-plugin=%moec_bin/lib/MoePlugin.so \
// RUN:   --load-pass-plugin=%moec_bin/lib/MoePlugin.so \
// RUN:   --pass-pipeline='builtin.module(canonicalize,cse)' %s | FileCheck %s
// RUN: not %stock_mlir_opt %s 2>&1 | FileCheck %s --check-prefix=WITHOUT

// WITHOUT: Dialect `moe' not found

// CHECK-LABEL: func.func @layer
// CHECK-NOT: arith.constant
// CHECK: moe.fused_experts x(%{{.*}} : tensor<?x64xbf16>)
func.func @layer(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>,
                 %tw: tensor<?x2xf32>, %w1: tensor<8x64x64xbf16>,
                 %w2: tensor<8x64x32xbf16>, %out: tensor<?x64xbf16>)
    -> tensor<?x64xbf16> {
  %unused = arith.constant 1 : index
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x64x64xbf16>) w2(%w2 : tensor<8x64x32xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}
