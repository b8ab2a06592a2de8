// RUN: moe-opt %s | FileCheck %s
// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt | FileCheck %s
// RUN: moe-opt %s --emit-bytecode | moe-opt | FileCheck %s
// The examples of the descriptions cover the tensor forms, see check-examples.py.

// Every attribute in every spelling.
// CHECK-LABEL: func.func private @attributes
// CHECK-SAME: q0 = #moe.quant<f8E4M3FN, granule = [*, *], scale = f32>
// CHECK-SAME: q1 = #moe.quant<i8, granule = [1, *], scale = f16, zero = 128>
// CHECK-SAME: q2 = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = operand, packing = exllama>
// CHECK-SAME: q3 = #moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx, layout = group_major>
func.func private @attributes() attributes {
  q0 = #moe.quant<f8E4M3FN, granule = [*, *], scale = f32, zero = none, layout = row_major>,
  q1 = #moe.quant<i8, granule = [1, *], scale = f16, zero = 128>,
  q2 = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = operand, packing = exllama>,
  q3 = #moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx, layout = group_major>
}
// CHECK-LABEL: func.func private @more
// CHECK-SAME: a0 = #moe.activation<identity>
// CHECK-SAME: a1 = #moe.activation<swiglu_oai>
// CHECK-SAME: a2 = #moe.activation<swiglu_oai, alpha = 1.5{{0*}}e+00, limit = 3.{{0*}}e+00>
// CHECK-SAME: a3 = #moe.activation<geglu, limit = 8.{{0*}}e+00>
// CHECK-SAME: c0 = #moe.config<>
// CHECK-SAME: c1 = #moe.config<block = [64, 128, 0], stages = 6, swap = true, a = "gather", micro = [8, 32], source = "user">
// CHECK-SAME: f0 = #moe<formulation one_launch>
// CHECK-SAME: g0 = #moe.gate_up<halves>
// CHECK-SAME: g1 = #moe.gate_up<interleaved, up_first>
// CHECK-SAME: g2 = #moe.gate_up<blocks 64>
// CHECK-SAME: p0 = #moe.scale_plan<a = none, b = operand>
// CHECK-SAME: p1 = #moe.scale_plan<a = epilogue, b = promote 128, zero = row_sum>
func.func private @more() attributes {
  a0 = #moe.activation<identity>,
  a1 = #moe.activation<swiglu_oai, alpha = 1.702, limit = 7.0>,
  a2 = #moe.activation<swiglu_oai, alpha = 1.5, limit = 3.0>,
  a3 = #moe.activation<geglu, limit = 8.0>,
  c0 = #moe.config<>,
  c1 = #moe.config<source = "user", swap = true, stages = 6, micro = [8, 32], a = "gather", block = [64, 128, 0]>,
  f0 = #moe<formulation one_launch>,
  g0 = #moe.gate_up<halves>, g1 = #moe.gate_up<interleaved, up_first>, g2 = #moe.gate_up<blocks 64>,
  p0 = #moe.scale_plan<a = none, b = operand, zero = none>,
  p1 = #moe.scale_plan<a = epilogue, b = promote 128, zero = row_sum>
}

// A layer with everything that a layer can have.
#b128 = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
#a128 = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32, layout = group_major>
// CHECK-LABEL: func.func @everything
// CHECK: moe.fused_experts x(%{{.*}} : tensor<?x256xbf16>) topk(%{{.*}}, %{{.*}} : tensor<?x1xi32>, tensor<?x1xf32>)
// CHECK-SAME: w1(%{{.*}} : tensor<3x256x256xf8E4M3FN> scale %{{.*}} : tensor<3x2x2xf32> global %{{.*}} : tensor<3xf32> quant #moe.quant
// CHECK-SAME: b1(%{{.*}} : tensor<3x256xf32>) b2(%{{.*}} : tensor<3x256xf32>) map(%{{.*}} : tensor<12xi32>)
// CHECK-SAME: shared(%{{.*}} : tensor<512x256xf8E4M3FN> scale %{{.*}} : tensor<4x2xf32>, %{{.*}} : tensor<256x256xf8E4M3FN> scale %{{.*}} : tensor<2x2xf32> gate %{{.*}} : tensor<256xbf16> quant #moe.quant
// CHECK-SAME: activation <swiglu, limit = 1.{{0*}}e+01> gate_up <blocks 64, up_first> act_quant #moe.quant
// CHECK-SAME: weight_place = input formulation = gemv {note = "kept"} outs(
func.func @everything(%x: tensor<?x256xbf16>, %ids: tensor<?x1xi32>, %tw: tensor<?x1xf32>,
                      %w1: tensor<3x256x256xf8E4M3FN>, %s1: tensor<3x2x2xf32>, %g: tensor<3xf32>,
                      %w2: tensor<3x256x128xf8E4M3FN>, %s2: tensor<3x2x1xf32>,
                      %b1: tensor<3x256xf32>, %b2: tensor<3x256xf32>, %map: tensor<12xi32>,
                      %v1: tensor<512x256xf8E4M3FN>, %t1: tensor<4x2xf32>,
                      %v2: tensor<256x256xf8E4M3FN>, %t2: tensor<2x2xf32>, %sg: tensor<256xbf16>,
                      %out: tensor<?x256xbf16>) -> tensor<?x256xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x256xbf16>)
         topk(%ids, %tw : tensor<?x1xi32>, tensor<?x1xf32>)
         w1(%w1 : tensor<3x256x256xf8E4M3FN> scale %s1 : tensor<3x2x2xf32> global %g : tensor<3xf32> quant #b128)
         w2(%w2 : tensor<3x256x128xf8E4M3FN> scale %s2 : tensor<3x2x1xf32> global %g : tensor<3xf32> quant #b128)
         b1(%b1 : tensor<3x256xf32>) b2(%b2 : tensor<3x256xf32>) map(%map : tensor<12xi32>)
         shared(%v1 : tensor<512x256xf8E4M3FN> scale %t1 : tensor<4x2xf32>,
                %v2 : tensor<256x256xf8E4M3FN> scale %t2 : tensor<2x2xf32>
                gate %sg : tensor<256xbf16> quant #b128)
         activation <swiglu, limit = 10.0> gate_up <blocks 64, up_first> act_quant #a128
         weight_place = input formulation = gemv {note = "kept"}
         outs(%out : tensor<?x256xbf16>) -> tensor<?x256xbf16>
  return %y : tensor<?x256xbf16>
}

// Buffers: no results.
// CHECK-LABEL: func.func @buffers
// CHECK: moe.topk logits(%{{.*}} : memref<?x8xf32>) scoring = softmax_selected renormalize outs(%{{.*}}, %{{.*}} : memref<?x2xi32>, memref<?x2xf32>)
// CHECK-NEXT: moe.align
// CHECK-NEXT: moe.grouped_gemm a(%{{.*}} : memref<?x64xbf16>) b(%{{.*}} : memref<8x64x64xbf16>)
// CHECK-SAME: rows = gather a_layout = token out = token row(%{{.*}} : memref<?x2xf32>) elt(%{{.*}} : memref<?x64xf32>) formulation = gemv
// CHECK: ^bb0(%{{.*}}: f32, %{{.*}}: f32, %{{.*}}: f32):
// CHECK: moe.yield
// CHECK-NEXT: }
// CHECK-NEXT: moe.activate %{{.*}} : memref<?x64xf32> outs(%{{.*}} : memref<?x64xbf16>) {
// CHECK: moe.dispatch %{{.*}} layout = expert_sorted_padded
// CHECK-NEXT: moe.combine %{{.*}} : memref<?x64xf32> weights(%{{.*}} : memref<?x2xf32>) keep add(%{{.*}} : memref<?x64xbf16>) add_gate(%{{.*}} : memref<?xf32>) routing
func.func @buffers(%l: memref<?x8xf32>, %i: memref<?x2xi32>, %tw: memref<?x2xf32>, %x: memref<?x64xbf16>,
                   %w: memref<8x64x64xbf16>, %d: memref<?x64xf32>, %g: memref<?xf32>, %o: memref<?x64xbf16>) {
  moe.topk logits(%l : memref<?x8xf32>) scoring = softmax_selected renormalize
    outs(%i, %tw : memref<?x2xi32>, memref<?x2xf32>)
  %r = moe.align %i : memref<?x2xi32> -> !moe.routing<experts = 8, topk = 2, block_m = 4>
  moe.grouped_gemm a(%x : memref<?x64xbf16>) b(%w : memref<8x64x64xbf16>)
    routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 4>)
    rows = gather a_layout = token out = token row(%tw : memref<?x2xf32>) elt(%d : memref<?x64xf32>)
    formulation = gemv outs(%o : memref<?x64xbf16>) {
    ^bb0(%a: f32, %s: f32, %e: f32):
      %v = math.fma %a, %s, %e : f32
      moe.yield %v : f32
  }
  moe.activate %d : memref<?x64xf32> outs(%o : memref<?x64xbf16>) {
    ^bb0(%a: f32):
      moe.yield %a : f32
  }
  moe.dispatch %x : memref<?x64xbf16> routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 4>)
    layout = expert_sorted_padded outs(%o : memref<?x64xbf16>)
  moe.combine %d : memref<?x64xf32> weights(%tw : memref<?x2xf32>) keep
    add(%x : memref<?x64xbf16>) add_gate(%g : memref<?xf32>)
    routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 4>) layout = flat_topk
    outs(%o : memref<?x64xbf16>)
  return
}

// How a routing is executed.
// CHECK-LABEL: func.func @forms
// CHECK: moe.align %{{.*}} : tensor<?x2xi32> form = direct -> <experts = 8, topk = 2>
// CHECK: moe.align %{{.*}} : tensor<?x2xi32> map(%{{.*}} : tensor<8xi32>) form = sorted -> <experts = 8, topk = 2>
func.func @forms(%ids: tensor<?x2xi32>, %map: tensor<8xi32>) {
  %d = moe.align %ids : tensor<?x2xi32> form = direct -> !moe.routing<experts = 8, topk = 2>
  %s = moe.align %ids : tensor<?x2xi32> map(%map : tensor<8xi32>) form = sorted -> !moe.routing<experts = 8, topk = 2>
  return
}
