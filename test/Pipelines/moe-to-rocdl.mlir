// A whole layer for AMD chips: four kernels, tile sizes by the token count.
// RUN: moe-opt %s -moe-to-rocdl="tokens=16" | FileCheck %s --check-prefixes=CHECK,CDNA
// RUN: moe-opt %s -moe-to-rocdl="chip=gfx1201 tokens=8192" | FileCheck %s --check-prefixes=CHECK,RDNA
// RUN: not moe-opt %s -moe-to-rocdl="chip=gfx90a" 2>&1 | FileCheck %s --check-prefix=CHIP
// Down to instructions.
// RUN: moe-opt %s -moe-to-rocdl="chip=gfx1100" -moe-rocdl-to-llvm=chip=gfx1100 | sed -E "/moe_tile.plan/,/^  }/d; s/moe.config = #moe.config<[^>]*>, //" | mlir-translate --mlir-to-llvmir | opt -S -mtriple=amdgcn-amd-amdhsa -mcpu=gfx1100 -passes="default<O3>" | llc -O3 -mtriple=amdgcn-amd-amdhsa -mcpu=gfx1100 | FileCheck %s --check-prefix=ISA
// CHIP: unknown target 'gfx90a', known are

// CHECK: moe_tile.plan @layer
// CHECK: moe_tile.launch @layer_align
// CHECK: moe_tile.launch @layer_gemm(
// CHECK: moe_tile.launch @layer_gemm_0(
// CHECK: moe_tile.launch @layer_combine
// CHECK: llvm.func @layer_align
// CHECK: llvm.func @layer_gemm(
// CDNA-SAME: moe.chip = "gfx942"
// RDNA-SAME: moe.chip = "gfx1201"
// CHECK-SAME: rocdl.kernel
// CDNA: amdgpu.mfma 16x16x16
// RDNA: amdgpu.wmma 16x16x16
// CHECK: llvm.func @layer_gemm_0
// CHECK: llvm.func @layer_combine

// ISA-NOT: ScratchSize: {{[1-9]}}
// ISA: layer_align:
// ISA: layer_gemm:
// ISA: v_wmma_f32_16x16x16_bf16
// ISA: layer_combine:
// ISA-NOT: ScratchSize: {{[1-9]}}
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
