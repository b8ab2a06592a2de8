// RUN: moe-opt %s --moe-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// Gate and up of a row, one program, one rounding.
// CHECK-LABEL: moe_tile.kernel @glu_activate
// CHECK:         scf.parallel
// CHECK:           %[[X:.*]] = moe_tile.load %{{.*}} -> !moe_tile.frag<1x90xf32>
// CHECK:           %[[U:.*]], %[[G:.*]] = moe_tile.split %[[X]] block 45
// CHECK:           moe_tile.map ins(%[[G]], %[[U]]
// CHECK:           moe_tile.store %{{.*}} : !moe_tile.frag<1x45xbf16>
func.func @glu(%x: tensor<?x90xf32>, %o: tensor<?x45xbf16>) -> tensor<?x45xbf16> {
  %y = moe.activate %x : tensor<?x90xf32> gate_up <halves, up_first> outs(%o : tensor<?x45xbf16>) {
    ^bb0(%g: f32, %u: f32):
      %v = arith.mulf %g, %u : f32
      moe.yield %v : f32
  } -> tensor<?x45xbf16>
  return %y : tensor<?x45xbf16>
}

// -----

// Rows of all experts in one loop; a scale per granule.
// CHECK-LABEL: moe_tile.kernel @deq_dequantize
// CHECK-SAME:    (%[[W:.*]]: memref<2x3x64x64xi8>, %[[S:.*]]: memref<2x3x64x4xbf16>, %[[Z:.*]]: memref<2x3x64x4xi8>,
// CHECK:         memref.collapse_shape %[[W]] {{\[}}[0, 1], [2], [3]]
// CHECK:         scf.parallel
// CHECK:           %[[Q:.*]] = moe_tile.load {{.*}} -> !moe_tile.frag<1x64xi8>
// CHECK:           %[[SC:.*]] = moe_tile.load {{.*}} dims [-1, 2] granule [1, 1, 32] {{.*}} -> !moe_tile.frag<1x4xbf16>
// CHECK:           %[[ZP:.*]] = moe_tile.load {{.*}} -> !moe_tile.frag<1x4xi8>
// CHECK:           moe_tile.dequant %[[Q]] scale(%[[SC]] {{.*}}) zero(%[[ZP]] {{.*}}) granule [1, 32] format(low_even)
#w4 = #moe.quant<i4, granule = [1, 32], scale = bf16, zero = operand, packing = low_even>
func.func @deq(%w: tensor<2x3x64x64xi8>, %s: tensor<2x3x64x4xbf16>, %z: tensor<2x3x64x4xi8>,
               %o: tensor<2x3x64x128xf32>) -> tensor<2x3x64x128xf32> {
  %y = moe.dequantize %w : tensor<2x3x64x64xi8> scale(%s : tensor<2x3x64x4xbf16>) zero(%z : tensor<2x3x64x4xi8>) quant #w4
         outs(%o : tensor<2x3x64x128xf32>) -> tensor<2x3x64x128xf32>
  return %y : tensor<2x3x64x128xf32>
}

// -----

// CHECK-LABEL: moe_tile.kernel @sums_group_sum
// CHECK:         scf.for
// CHECK:           moe_tile.row_reduce sum {{.*}} group 128
func.func @sums(%x: tensor<?x256xbf16>, %o: tensor<2x?xf32>) -> tensor<2x?xf32> {
  %s = moe.group_sum %x : tensor<?x256xbf16> group = 128 outs(%o : tensor<2x?xf32>) -> tensor<2x?xf32>
  return %s : tensor<2x?xf32>
}

// -----

// Four bytes become a word by two levels of splits.
// CHECK-LABEL: moe_tile.kernel @pack_repack
// CHECK-COUNT-3: moe_tile.split {{.*}} block 1
// CHECK:         moe_tile.map {{.*}} -> !moe_tile.frag<1x16xi32>
#a = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#b = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>
func.func @pack(%w: tensor<4x64x64xi8>, %o: tensor<4x64x16xi32>) -> tensor<4x64x16xi32> {
  %y = moe.repack %w : tensor<4x64x64xi8> from #a to #b outs(%o : tensor<4x64x16xi32>) -> tensor<4x64x16xi32>
  return %y : tensor<4x64x16xi32>
}

// -----

// 4-bit codes leave packed, at half of the column.
// CHECK-LABEL: moe_tile.kernel @mx_quantize
// CHECK:         moe_tile.row_reduce absmax {{.*}} group 32
// CHECK:         moe_tile.split {{.*}} block 1 : !moe_tile.frag<1x32xf32>
// CHECK:         moe_tile.map {{.*}} -> !moe_tile.frag<1x16xi8>
// CHECK:         moe_tile.store {{.*}} !moe_tile.frag<1x16xi8> to memref<?x32xi8>
#q = #moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx>
func.func @mx(%x: tensor<?x64xf32>, %o: tensor<?x32xi8>, %s: tensor<?x2xf8E8M0FNU>) -> (tensor<?x32xi8>, tensor<?x2xf8E8M0FNU>) {
  %y:2 = moe.quantize %x : tensor<?x64xf32> quant #q outs(%o, %s : tensor<?x32xi8>, tensor<?x2xf8E8M0FNU>) -> tensor<?x32xi8>, tensor<?x2xf8E8M0FNU>
  return %y#0, %y#1 : tensor<?x32xi8>, tensor<?x2xf8E8M0FNU>
}

// -----

// Zero points leave the product as codes and come back with the sums of A.
// CHECK-LABEL: moe_tile.kernel @zeros_gemm
// CHECK:         moe_tile.dequant {{.*}} zero_value 0 format(low_even)
// CHECK:         moe_tile.promote {{.*}} col({{.*}}) row_sum({{.*}}) zero({{.*}})
#w4 = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @zeros(%x: tensor<?x256xbf16>, %p: tensor<2x?xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x128xi8>,
                 %s: tensor<8x64x2xbf16>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x256xbf16> sums %p : tensor<2x?xf32>)
         b(%w : tensor<8x64x128xi8> scale %s : tensor<8x64x2xbf16> quant #w4)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = none, b = promote 128, zero = row_sum>
         config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Rows are added to their token's, in f32, then rounded once.
// CHECK-LABEL: moe_tile.plan @adds
// CHECK:         moe_tile.workspace({{.*}}) align 64 zero : memref<?x64xf32>
// CHECK-LABEL: moe_tile.kernel @adds_gemm
// CHECK:         moe_tile.store {{.*}} mode(add_f32) : !moe_tile.frag<16x64xf32>
// CHECK-LABEL: moe_tile.kernel @adds_cast
func.func @adds(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x64x64xbf16>, %o: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x64xbf16>) b(%w : tensor<8x64x64xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = token
         config [#moe.config<block = [16, 64, 0], reduce_by = "add_f32">] outs(%o : tensor<?x64xbf16>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// Gate and up pieces of 64 rows in blocks of 32 columns: scales and biases of
// the second block start at row 32, not 64; one scale block of 128 rows holds
// both pieces.
// CHECK-LABEL: moe_tile.kernel @pieces_gemm
// CHECK:         %[[PAIR:.*]] = arith.divui %[[N0:.*]], %c64
// CHECK:         %[[SHIFT:.*]] = arith.muli %[[PAIR]], %c64
// CHECK:         %[[ROW:.*]] = arith.addi %[[N0]], %[[SHIFT]]
// CHECK:         moe_tile.load {{.*}}[%{{.*}}, %[[ROW]], %{{.*}}] dims [-1, 1] granule [1, 128, 128] on 1 : memref<4x2x3xf32> -> !moe_tile.buf<1x1xf32>
// CHECK:         moe_tile.load {{.*}} dims [-1, 1] boxes [0, 64] on 1 : memref<4x256xf32> -> !moe_tile.frag<1x64xf32>
#w = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
#q = #moe.quant<f8E4M3FN, granule = [1, 32], scale = f8E8M0FNU>
func.func @pieces(%x: tensor<?x384xbf16>, %ids: tensor<?x2xi32>, %w: tensor<4x256x384xf8E4M3FN>, %s: tensor<4x2x3xf32>,
                  %bias: tensor<4x256xf32>, %o: tensor<?x128xf8E4M3FN>, %t: tensor<?x4xf8E8M0FNU>)
    -> (tensor<?x128xf8E4M3FN>, tensor<?x4xf8E8M0FNU>) {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 4, topk = 2>
  %y:2 = moe.grouped_gemm a(%x : tensor<?x384xbf16>) b(%w : tensor<4x256x384xf8E4M3FN> scale %s : tensor<4x2x3xf32> quant #w)
         routing(%r : !moe.routing<experts = 4, topk = 2>) rows = gather a_layout = token out = flat_topk
         gate_up <blocks 64> col(%bias : tensor<4x256xf32>) quantize #q
         config [#moe.config<block = [16, 32, 0]>]
         outs(%o, %t : tensor<?x128xf8E4M3FN>, tensor<?x4xf8E8M0FNU>) {
    ^bb0(%g: f32, %u: f32, %bg: f32, %bu: f32):
      %a = arith.addf %g, %bg : f32
      %b = arith.addf %u, %bu : f32
      %v = arith.mulf %a, %b : f32
      moe.yield %v : f32
  } -> tensor<?x128xf8E4M3FN>, tensor<?x4xf8E8M0FNU>
  return %y#0, %y#1 : tensor<?x128xf8E4M3FN>, tensor<?x4xf8E8M0FNU>
}
