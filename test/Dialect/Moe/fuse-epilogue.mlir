// RUN: moe-opt %s -split-input-file -moe-decompose-layer -moe-fuse-epilogue | FileCheck %s
// RUN: moe-opt %s -split-input-file -moe-decompose-layer -moe-fuse-epilogue="layout=expert_sorted_padded reduce=token" | FileCheck %s --check-prefix=PAD
// RUN: moe-opt %s -split-input-file -moe-decompose-layer -moe-fuse-epilogue="layout=flat_topk" | FileCheck %s --check-prefix=FLAT

#aq = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32, layout = group_major>
#bq = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>

// Five ops remain; nothing but what they read is left over.
// CHECK-LABEL: func.func @fp8
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x512xbf16>, %{{[a-z0-9]+}}: tensor<?x2xi32>, %[[TW:[a-z0-9]+]]: tensor<?x2xf32>
// CHECK: %[[R:.*]] = moe.align
// CHECK-COUNT-2: tensor.empty
// CHECK: %[[XQ:.*]]:2 = moe.quantize %[[X]]
// CHECK: tensor.empty(%{{.*}}) : tensor<?x256xf8E4M3FN>
// CHECK: tensor.empty(%{{.*}}) : tensor<2x?xf32>
// CHECK-NOT: tensor.empty
// CHECK: %[[H:.*]]:2 = moe.grouped_gemm a(%[[XQ]]#0
// CHECK-SAME: routing(%[[R]]
// CHECK-SAME: rows = gather a_layout = token out = expert_sorted gate_up <halves> quantize #moe.quant
// CHECK-NEXT: ^bb0(%[[G:.*]]: f32, %[[U:.*]]: f32):
// CHECK: math.exp
// CHECK: moe.yield
// CHECK-NEXT: } -> tensor<?x256xf8E4M3FN>, tensor<2x?xf32>
// CHECK: tensor.empty
// CHECK: %[[D:.*]] = moe.grouped_gemm a(%[[H]]#0 : tensor<?x256xf8E4M3FN> scale %[[H]]#1
// CHECK-SAME: routing(%[[R]]
// CHECK-SAME: rows = slots a_layout = expert_sorted out = flat_topk row(%[[TW]] : tensor<?x2xf32>)
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32, %[[W:.*]]: f32):
// CHECK-NEXT: %[[V:.*]] = arith.mulf %[[ACC]], %[[W]]
// CHECK-NEXT: moe.yield %[[V]]
// CHECK-NEXT: } -> tensor<?x512xf32>
// CHECK-NEXT: moe.combine %[[D]] : tensor<?x512xf32> routing(%[[R]]{{.*}} layout = flat_topk
// CHECK-NEXT: return

// PAD-LABEL: func.func @fp8
// PAD: %[[R:.*]] = moe.align
// PAD: %[[ROWS:.*]] = moe.num_slots %[[R]] layout = expert_sorted_padded
// PAD: tensor.empty(%[[ROWS]]) : tensor<?x256xf8E4M3FN>
// PAD: tensor.empty(%[[ROWS]]) : tensor<2x?xf32>
// PAD: moe.grouped_gemm {{.*}} out = expert_sorted_padded gate_up
// PAD: moe.grouped_gemm {{.*}} a_layout = expert_sorted_padded out = token row(
// PAD: } -> tensor<?x512xbf16>
// PAD-NOT: moe.combine
// PAD: return

// FLAT-LABEL: func.func @fp8
// FLAT: moe.grouped_gemm {{.*}} out = flat_topk gate_up
// FLAT: moe.grouped_gemm {{.*}} a_layout = flat_topk out = flat_topk row(
// FLAT: moe.combine
func.func @fp8(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
               %w1: tensor<8x512x512xf8E4M3FN>, %s1: tensor<8x4x4xf32>,
               %w2: tensor<8x512x256xf8E4M3FN>, %s2: tensor<8x4x2xf32>,
               %out: tensor<?x512xbf16>) -> tensor<?x512xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x512xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x512x512xf8E4M3FN> scale %s1 : tensor<8x4x4xf32> quant #bq)
         w2(%w2 : tensor<8x512x256xf8E4M3FN> scale %s2 : tensor<8x4x2xf32> quant #bq)
         activation <swiglu> gate_up <halves> act_quant #aq
         outs(%out : tensor<?x512xbf16>) -> tensor<?x512xbf16>
  return %y : tensor<?x512xbf16>
}

// -----

// Biases: each accumulator gets its own half of b1 before the activation; the
// down bias is weighted with the projection. Rounding to bf16 is the GEMM's cast.
// CHECK-LABEL: func.func @biases
// CHECK: moe.grouped_gemm {{.*}} gate_up <halves> col(%{{.*}} : tensor<4x64xf32>) expert(%{{.*}} : tensor<4xf32>)
// CHECK-NEXT: ^bb0(%[[G:.*]]: f32, %[[U:.*]]: f32, %[[BG:.*]]: f32, %[[BU:.*]]: f32, %[[E:.*]]: f32):
// CHECK-NEXT: %[[MG:.*]] = arith.mulf %[[G]], %[[E]]
// CHECK-NEXT: %[[VG:.*]] = arith.addf %[[MG]], %[[BG]]
// CHECK-NEXT: %[[MU:.*]] = arith.mulf %[[U]], %[[E]]
// CHECK-NEXT: %[[VU:.*]] = arith.addf %[[MU]], %[[BU]]
// CHECK: %[[M:.*]] = arith.maximumf %[[VG]]
// CHECK-NEXT: arith.mulf %[[M]], %[[VU]]
// CHECK: } -> tensor<?x32xbf16>
// CHECK: moe.grouped_gemm {{.*}} row(%{{.*}} : tensor<?x2xf32>) col(%{{.*}} : tensor<4x16xf32>)
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[W:.*]]: f32, %[[B2:.*]]: f32):
// CHECK-NEXT: %[[S:.*]] = arith.addf %[[A]], %[[B2]]
// CHECK-NEXT: arith.mulf %[[S]], %[[W]]
func.func @biases(%x: tensor<?x16xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                  %w1: tensor<4x64x16xbf16>, %g1: tensor<4xf32>, %b1: tensor<4x64xf32>,
                  %w2: tensor<4x16x32xbf16>, %b2: tensor<4x16xf32>,
                  %out: tensor<?x16xbf16>) -> tensor<?x16xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x16xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<4x64x16xbf16> global %g1 : tensor<4xf32>)
         w2(%w2 : tensor<4x16x32xbf16>)
         b1(%b1 : tensor<4x64xf32>) b2(%b2 : tensor<4x16xf32>)
         activation <reglu> gate_up <halves>
         outs(%out : tensor<?x16xbf16>) -> tensor<?x16xbf16>
  return %y : tensor<?x16xbf16>
}

// -----

// weight_place = input stays in the first GEMM, = combine stays on the combine.
// CHECK-LABEL: func.func @input
// CHECK: moe.grouped_gemm {{.*}} rows = gather {{.*}} row(
// CHECK: moe.grouped_gemm {{.*}} rows = slots
// CHECK-NOT: row(
// CHECK: moe.combine %{{[0-9]+}} : tensor<4x8xf32> routing
// CHECK-LABEL: func.func @combine
// CHECK: moe.grouped_gemm {{.*}} rows = slots
// CHECK-NOT: row(
// CHECK: moe.combine %{{[0-9]+}} : tensor<4x8xf32> weights({{.*}}) keep
// PAD-LABEL: func.func @combine
// PAD: moe.combine %{{[0-9]+}} : tensor<4x8xf32> weights({{.*}}) keep
func.func @input(%x: tensor<4x8xf32>, %ids: tensor<4x1xi32>, %tw: tensor<4x1xf32>,
                 %w1: tensor<2x16x8xf32>, %w2: tensor<2x8x16xf32>, %out: tensor<4x8xf32>)
    -> tensor<4x8xf32> {
  %a = moe.fused_experts x(%x : tensor<4x8xf32>)
         topk(%ids, %tw : tensor<4x1xi32>, tensor<4x1xf32>)
         w1(%w1 : tensor<2x16x8xf32>) w2(%w2 : tensor<2x8x16xf32>)
         activation <silu> weight_place = input
         outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %a : tensor<4x8xf32>
}
func.func @combine(%x: tensor<4x8xf32>, %ids: tensor<4x1xi32>, %tw: tensor<4x1xf32>,
                   %w1: tensor<2x16x8xf32>, %w2: tensor<2x8x16xf32>, %out: tensor<4x8xf32>)
    -> tensor<4x8xf32> {
  %a = moe.fused_experts x(%x : tensor<4x8xf32>)
         topk(%ids, %tw : tensor<4x1xi32>, tensor<4x1xf32>)
         w1(%w1 : tensor<2x16x8xf32>) w2(%w2 : tensor<2x8x16xf32>)
         activation <silu> weight_place = combine
         outs(%out : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %a : tensor<4x8xf32>
}

// -----

// A shared expert is fused like the routed ones, its sum stays on the combine.
// CHECK-LABEL: func.func @shared
// CHECK: moe.grouped_gemm {{.*}} out = expert_sorted gate_up
// CHECK: %[[ALL:.*]] = moe.route_all
// CHECK: moe.grouped_gemm {{.*}} routing(%[[ALL]]{{.*}} out = expert_sorted gate_up
// CHECK: %[[ADD:.*]] = moe.grouped_gemm {{.*}} routing(%[[ALL]]{{.*}} rows = slots a_layout = expert_sorted
// CHECK: moe.combine %{{[0-9]+}} : tensor<?x64xf32> add(%[[ADD]] : tensor<?x64xf32>) routing
// PAD-LABEL: func.func @shared
// PAD: moe.combine {{.*}} add(
func.func @shared(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                  %w1: tensor<8x256x64xbf16>, %w2: tensor<8x64x128xbf16>,
                  %s1: tensor<96x64xbf16>, %s2: tensor<64x48xbf16>,
                  %out: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x64xbf16>) w2(%w2 : tensor<8x64x128xbf16>)
         shared(%s1 : tensor<96x64xbf16>, %s2 : tensor<64x48xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}
