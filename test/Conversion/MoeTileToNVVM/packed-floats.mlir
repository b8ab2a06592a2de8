// Weights of f8E4M3FN with powers of two: two bytes become the upper bits of two bf16, all ones a NaN, 2^120 and the
// scale are multiplied in before the product.
// RUN: moe-opt %s "--moe-to-nvvm=chip=sm_90a tokens=8" | FileCheck %s --check-prefixes=CHECK,HOPPER
// RUN: moe-opt %s "--moe-to-nvvm=chip=sm_80 tokens=8" | FileCheck %s --check-prefixes=CHECK,WARPS --implicit-check-not=nvvm.convert

// Rows are rounded by a kernel of their own, which sm_80 does without conversions of such floats.
// CHECK-LABEL: llvm.func @layer_round(
// HOPPER:        nvvm.convert.f32x2.to.f8x2
// WARPS:         arith.minui
// CHECK-LABEL: llvm.func @layer_gemm(
// CHECK-DAG:     %[[LOW:.+]] = arith.constant 8323199 : i32
// CHECK-DAG:     %[[SIGNS:.+]] = arith.constant -2147450880 : i32
// CHECK-DAG:     %[[ALL:.+]] = arith.constant 255 : i32
// CHECK-DAG:     %[[FAR:.+]] = arith.constant dense<1.329230e+36> : vector<2xbf16>
// CHECK:         nvvm.prmt
// CHECK:         arith.andi %{{.+}}, %[[LOW]]
// CHECK:         arith.andi %{{.+}}, %[[SIGNS]]
// CHECK:         arith.muli %{{.+}}, %[[ALL]]
// CHECK:         arith.mulf %{{.+}}, %[[FAR]] : vector<2xbf16>
// CHECK:         arith.mulf {{.*}} : vector<2xbf16>
// HOPPER:        moe_nv.wgmma_registers {{.*}} of bf16
// WARPS:         nvvm.mma.sync {{.*}}multiplicandAPtxType = #nvvm.mma_type<bf16>
#q = #moe.quant<f8E4M3FN, granule = [1, 32], scale = f8E8M0FNU>
func.func @layer(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>, %w1: tensor<8x512x256xf8E4M3FN>,
                 %s1: tensor<8x512x8xf8E8M0FNU>, %w2: tensor<8x256x256xf8E4M3FN>, %s2: tensor<8x256x8xf8E8M0FNU>,
                 %out: tensor<?x256xbf16>) -> tensor<?x256xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x256xbf16>) topk(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x512x256xf8E4M3FN> scale %s1 : tensor<8x512x8xf8E8M0FNU> quant #q)
         w2(%w2 : tensor<8x256x256xf8E4M3FN> scale %s2 : tensor<8x256x8xf8E8M0FNU> quant #q)
         activation <swiglu> gate_up <halves> act_quant #q outs(%out : tensor<?x256xbf16>) -> tensor<?x256xbf16>
  return %y : tensor<?x256xbf16>
}
