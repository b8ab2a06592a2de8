// RUN: moe-opt %s --moe-to-tile --split-input-file --verify-each | FileCheck %s

#cfg = #moe.config<block = [16, 64, 0]>

// A routed pair of GEMMs: align once, two kernels, a combine, in this order.

// CHECK-LABEL: moe_tile.plan @layer
// CHECK-SAME:    moe.name = "x", moe.role = "input"
// CHECK-SAME:    moe.name = "y", moe.role = "output"
// CHECK:         %[[H:.+]] = moe_tile.workspace(%{{.+}}) align 64 : memref<?x128xbf16>
// CHECK:         moe_tile.workspace() align 64 : memref<8xi32>
// CHECK:         moe_tile.launch @layer_align
// CHECK:         moe_tile.workspace() align 64 zero : memref<1xi64>
// CHECK:         moe_tile.launch @layer_gemm(
// CHECK-SAME:      %[[H]])
// CHECK:         moe_tile.launch @layer_gemm_0(%[[H]]
// CHECK:         moe_tile.launch @layer_combine(
// CHECK-NOT:     moe_tile.launch @layer_align

// The align kernel is serial code.
// CHECK-LABEL: moe_tile.kernel @layer_align
// CHECK-NOT:     moe_tile.for_tiles
// CHECK:         scf.for

// Gate and up rows are two boxes of one B tile; its product is split.
// CHECK-LABEL: moe_tile.kernel @layer_gemm(
// CHECK-SAME:    moe_tile.claim_counter
// CHECK:         moe_tile.block_list {{.*}} columns 128 by 64
// CHECK:         moe_tile.for_tiles {{.*}} order(block_major)
// CHECK:           moe_tile.row_index {{.*}} div 2
// CHECK:           moe_tile.k_loop {{.*}} step 64
// CHECK:             moe_tile.load {{.*}}!moe_tile.buf<16x64xbf16>
// CHECK:             moe_tile.load {{.*}} boxes [0, 128] {{.*}}!moe_tile.buf<128x64xbf16>
// CHECK:             moe_tile.mma
// CHECK:           moe_tile.split {{.*}} block 64
// CHECK:           moe_tile.map
// CHECK:             arith.truncf
// CHECK:           moe_tile.store {{.*}} limit

// The router weight is a row operand in flat slot order; rows go back there.
// CHECK-LABEL: moe_tile.kernel @layer_gemm_0
// CHECK:         moe_tile.row_iota
// CHECK:         memref.collapse_shape {{.*}} memref<?x2xf32> into memref<?xf32>
// CHECK:         moe_tile.store {{.*}}!moe_tile.rows<16>

// CHECK-LABEL: moe_tile.kernel @layer_combine
// CHECK:         scf.parallel
// CHECK-COUNT-2: moe_tile.row_index
func.func @layer(%x: tensor<?x64xbf16> {moe.name = "x"}, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>,
                 %out: tensor<?x64xbf16> {moe.name = "y"}) -> tensor<?x64xbf16> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = tensor.dim %x, %c0 : tensor<?x64xbf16>
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %n = arith.muli %t, %c2 : index
  %e1 = tensor.empty(%n) : tensor<?x128xbf16>
  %h = moe.grouped_gemm a(%x : tensor<?x64xbf16>) b(%w1 : tensor<8x256x64xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = expert_sorted
         gate_up <halves> config [#cfg] outs(%e1 : tensor<?x128xbf16>) {
    ^bb0(%g: f32, %u: f32):
      %v = arith.mulf %g, %u : f32
      moe.yield %v : f32
  } -> tensor<?x128xbf16>
  %e2 = tensor.empty(%n) : tensor<?x64xf32>
  %d = moe.grouped_gemm a(%h : tensor<?x128xbf16>) b(%w2 : tensor<8x64x128xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = slots a_layout = expert_sorted out = flat_topk
         row(%tw : tensor<?x2xf32>) config [#cfg] outs(%e2 : tensor<?x64xf32>) {
    ^bb0(%c: f32, %w: f32):
      %v = arith.mulf %c, %w : f32
      moe.yield %v : f32
  } -> tensor<?x64xf32>
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = flat_topk outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}

// -----

// fp8 blocks: the step is the scale group, both scales are promoted, the
// epilogue quantises with fresh scales of its 128 columns.

#aq = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
#bq = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>

// CHECK-LABEL: moe_tile.kernel @fp8_gemm
// CHECK:         moe_tile.k_loop {{.*}} step 128
// CHECK:           moe_tile.load {{.*}} granule [1, 128] {{.*}}!moe_tile.buf<16x1xf32>
// CHECK:           moe_tile.load {{.*}} dims [-1, 1] granule [1, 128, 128] boxes [0, 1] on 1 {{.*}}!moe_tile.buf<1x2xf32>
// CHECK:           moe_tile.mma
// CHECK:           moe_tile.promote {{.*}} row({{.*}} col(
// CHECK:         moe_tile.row_reduce absmax {{.*}} group 128
// CHECK:         arith.truncf %{{.*}} : f32 to f8E4M3FN
// CHECK:         moe_tile.store
// CHECK:         moe_tile.store
func.func @fp8(%x: tensor<?x256xf8E4M3FN>, %sx: tensor<?x2xf32>, %ids: tensor<?x2xi32>,
               %w: tensor<8x256x256xf8E4M3FN>, %s: tensor<8x2x2xf32>,
               %q: tensor<?x128xf8E4M3FN>, %sq: tensor<?x1xf32>) -> (tensor<?x128xf8E4M3FN>, tensor<?x1xf32>) {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y:2 = moe.grouped_gemm a(%x : tensor<?x256xf8E4M3FN> scale %sx : tensor<?x2xf32> quant #aq)
           b(%w : tensor<8x256x256xf8E4M3FN> scale %s : tensor<8x2x2xf32> quant #bq)
           routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = expert_sorted
           gate_up <halves> quantize #aq config [#moe.config<block = [16, 128, 0]>]
           outs(%q, %sq : tensor<?x128xf8E4M3FN>, tensor<?x1xf32>) {
    ^bb0(%g: f32, %u: f32):
      %v = arith.mulf %g, %u : f32
      moe.yield %v : f32
  } -> tensor<?x128xf8E4M3FN>, tensor<?x1xf32>
  return %y#0, %y#1 : tensor<?x128xf8E4M3FN>, tensor<?x1xf32>
}

// -----

// 4-bit weights: the zero point leaves on load, the scale waits for the group.

#w4 = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama>

// CHECK-LABEL: moe_tile.kernel @w4_gemm
// CHECK:         moe_tile.load {{.*}}!moe_tile.buf<64x16xi32>
// CHECK:         moe_tile.dequant {{.*}} zero_value 8 format(exllama) {{.*}}!moe_tile.buf<64x128xbf16>
// CHECK:         moe_tile.promote {{.*}} col(
func.func @w4(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x64x32xi32>,
              %s: tensor<8x64x2xbf16>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x256xbf16>) b(%w : tensor<8x64x32xi32> scale %s : tensor<8x64x2xbf16> quant #w4)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [32, 64, 0]>] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// A scale that is a power of two is rounded up by its bits.

#mx = #moe.quant<f8E4M3FN, granule = [1, 32], scale = f8E8M0FNU>

// CHECK-LABEL: moe_tile.kernel @mx_quantize
// CHECK:         arith.bitcast %{{.*}} : f32 to i32
// CHECK:         arith.bitcast %{{.*}} : i32 to f32
// CHECK:         arith.truncf %{{.*}} : f32 to f8E8M0FNU
func.func @mx(%x: tensor<?x64xf32>, %q: tensor<?x64xf8E4M3FN>, %s: tensor<?x2xf8E8M0FNU>) -> (tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>) {
  %y:2 = moe.quantize %x : tensor<?x64xf32> quant #mx outs(%q, %s : tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>) -> tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>
  return %y#0, %y#1 : tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>
}
