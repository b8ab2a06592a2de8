// A whole layer for Hopper: four kernels, each launched before the one before has ended. A few tokens per expert
// put the weights on the row side of the matrix instruction; many use two teams and bf16 rows before the sum.
// RUN: moe-opt %s -moe-to-nvvm="tokens=16" | FileCheck %s --check-prefixes=CHECK,FEW
// RUN: moe-opt %s -moe-to-nvvm="tokens=8192" | FileCheck %s --check-prefixes=CHECK,MANY
// RUN: moe-opt %s -moe-to-nvvm="tokens=16 pdl=false" | FileCheck %s --check-prefix=PLAIN
// RUN: not moe-opt %s -moe-to-nvvm="chip=sm_12" 2>&1 | FileCheck %s --check-prefix=CHIP
// CHIP: unknown target 'sm_12', known are

// CHECK: moe_tile.plan @layer
// CHECK: moe_tile.launch @layer_align({{.*}} pdl
// CHECK: moe_tile.launch @layer_gemm({{.*}} pdl
// FEW: moe_tile.workspace{{.*}} : memref<?x512xf32>
// MANY: moe_tile.workspace{{.*}} : memref<?x512xbf16>
// CHECK: moe_tile.launch @layer_gemm_0({{.*}} pdl
// CHECK: moe_tile.launch @layer_combine({{.*}} pdl
// CHECK: llvm.func @layer_align
// CHECK-SAME: early_start
// CHECK: nvvm.griddepcontrol wait
// CHECK: llvm.func @layer_gemm(
// FEW-SAME: block = array<i64: 256, 1, 1>
// MANY-SAME: block = array<i64: 384, 1, 1>
// CHECK-SAME: early_start
// CHECK: nvvm.griddepcontrol wait
// CHECK-NEXT: nvvm.griddepcontrol launch_dependents
// FEW: <m = 64, n = 16, k = 16>
// MANY: <m = 64, n = 256, k = 16>
// CHECK: llvm.func @layer_gemm_0
// CHECK: llvm.func @layer_combine

// PLAIN-NOT: pdl
// PLAIN-NOT: early_start
// PLAIN-NOT: nvvm.griddepcontrol
func.func @layer(%x: tensor<?x512xbf16>, %ids: tensor<?x4xi32>, %tw: tensor<?x4xf32>, %w1: tensor<32x512x512xbf16>,
                 %w2: tensor<32x512x256xbf16>, %out: tensor<?x512xbf16>) -> tensor<?x512xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x512xbf16>)
    topk(%ids, %tw : tensor<?x4xi32>, tensor<?x4xf32>)
    w1(%w1 : tensor<32x512x512xbf16>)
    w2(%w2 : tensor<32x512x256xbf16>)
    activation <swiglu>
    gate_up <halves>
    outs(%out : tensor<?x512xbf16>) -> tensor<?x512xbf16>
  return %y : tensor<?x512xbf16>
}
