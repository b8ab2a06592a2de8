// Rows and weights of bytes with a scale per row of each: where copies fill the tiles the product is of bytes, summed in
// i32, and converted before the scales; elsewhere both are decoded when they are loaded.
// RUN: moe-opt %s --moe-decompose-layer --moe-fuse-epilogue --moe-fold-scales "--moe-select-config=target=sm_90a tokens=16" --moe-to-tile | FileCheck %s --implicit-check-not=moe_tile.dequant
// RUN: moe-opt %s --moe-decompose-layer --moe-fuse-epilogue --moe-fold-scales "--moe-select-config=target=cpu tokens=16" --moe-to-tile | FileCheck %s --check-prefix=PLAIN

// CHECK-LABEL: moe_tile.kernel @layer_gemm(
// CHECK:       moe_tile.acc_zero : !moe_tile.acc<[[TILE:[0-9]+x[0-9]+]]xi32>
// CHECK:       moe_tile.mma {{.*}} : !moe_tile.buf<{{[0-9]+}}x128xi8>, !moe_tile.buf<{{[0-9]+}}x128xi8>, !moe_tile.acc<[[TILE]]xi32>
// CHECK:       %[[SUM:.+]] = moe_tile.acc_read {{.*}} -> !moe_tile.frag<[[TILE]]xi32>
// CHECK-NEXT:  %[[REAL:.+]] = moe_tile.map ins(%[[SUM]] : !moe_tile.frag<[[TILE]]xi32>) -> !moe_tile.frag<[[TILE]]xf32>
// CHECK:         arith.sitofp
// CHECK:       moe_tile.split %[[REAL]]
// Hidden rows are quantised in whole, by a kernel of their own.
// CHECK-LABEL: moe_tile.kernel @layer_quantize_0(
// CHECK:         math.roundeven
// CHECK-LABEL: moe_tile.kernel @layer_gemm_1(
// CHECK:       moe_tile.acc_zero : !moe_tile.acc<{{[0-9]+x[0-9]+}}xi32>
// CHECK:         arith.sitofp

// PLAIN-LABEL: moe_tile.kernel @layer_gemm(
// PLAIN-COUNT-2: moe_tile.dequant
// PLAIN:       moe_tile.mma {{.*}}xbf16>, {{.*}}xbf16>, {{.*}}xf32>
#q = #moe.quant<i8, granule = [1, *], scale = f32>
func.func @layer(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %weights: tensor<?x2xf32>, %w1: tensor<8x512x256xi8>,
                 %s1: tensor<8x512x1xf32>, %w2: tensor<8x256x256xi8>, %s2: tensor<8x256x1xf32>, %out: tensor<?x256xbf16>)
    -> tensor<?x256xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x256xbf16>) topk(%ids, %weights : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x512x256xi8> scale %s1 : tensor<8x512x1xf32> quant #q)
         w2(%w2 : tensor<8x256x256xi8> scale %s2 : tensor<8x256x1xf32> quant #q)
         activation <swiglu> gate_up <halves> act_quant #q outs(%out : tensor<?x256xbf16>) -> tensor<?x256xbf16>
  return %y : tensor<?x256xbf16>
}
