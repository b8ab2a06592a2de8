// RUN: moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation | FileCheck %s --check-prefix=AUTO
// RUN: moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation="formulation=dense" | FileCheck %s
// RUN: moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation="formulation=grouped" | FileCheck %s --check-prefix=GROUPED
// RUN: moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -o %t.before
// RUN: moe-opt %t.before -moe-choose-formulation="formulation=open" | diff %t.before -

// Dense equals routed by execution: with duplicates, dropped ids, an expert
// map, every row order, the sum in the GEMM, and scales folded afterwards.
// RUN: rm -rf %t && mkdir -p %t
// RUN: moe-opt %s --moe-interpret="tokens=7 seed=1 dump=%t" -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation="formulation=dense" --moe-interpret="expect=%t tolerance=1e-6" -moe-fold-scales --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null
// RUN: moe-opt %s --moe-interpret="tokens=5 seed=2 ids=skewed dump=%t" -moe-decompose-layer -moe-fuse-epilogue="layout=expert_sorted_padded reduce=token" -moe-choose-formulation="formulation=dense" --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null
// RUN: moe-opt %s --moe-interpret="tokens=3 seed=3 ids=one dump=%t" -moe-decompose-layer -moe-fuse-epilogue="layout=flat_topk" -moe-choose-formulation="formulation=dense" --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null
// RUN: moe-opt %s --moe-interpret="tokens=2 seed=4 ids=none dump=%t" -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation="formulation=dense" --moe-interpret="expect=%t tolerance=1e-6" -o /dev/null

// CHECK-LABEL: func.func @many
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x16xbf16>, %[[IDS:[a-z0-9]+]]: tensor<?x2xi32>, %[[TW:[a-z0-9]+]]: tensor<?x2xf32>
// CHECK-NOT: moe.align
// CHECK: %[[T:.*]] = tensor.dim %[[IDS]]
// CHECK: %[[ALL:.*]] = moe.route_all %[[T]] : <experts = 4, topk = 4>
// CHECK: %[[ALPHA:.*]] = moe.dense_weights topk(%[[IDS]], %[[TW]] : tensor<?x2xi32>, tensor<?x2xf32>) map(
// CHECK-SAME: -> tensor<?x4xf32>
// CHECK: moe.grouped_gemm {{.*}} routing(%[[ALL]] {{.*}} rows = gather {{.*}} formulation = dense
// CHECK: moe.grouped_gemm {{.*}} routing(%[[ALL]] {{.*}} row(%[[ALPHA]] : tensor<?x4xf32>) {{.*}}formulation = dense
// CHECK: moe.combine {{.*}} routing(%[[ALL]]
// AUTO-LABEL: func.func @many
// AUTO: moe.align
// AUTO: formulation = grouped
// AUTO: formulation = grouped
// GROUPED-LABEL: func.func @many
// GROUPED: formulation = grouped
func.func @many(%x: tensor<?x16xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                %w1: tensor<4x24x16xbf16>, %b1: tensor<4x24xf32>,
                %w2: tensor<4x16x12xbf16>, %b2: tensor<4x16xf32>, %map: tensor<8xi32>,
                %out: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.fused_experts x(%x : tensor<?x16xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<4x24x16xbf16>) w2(%w2 : tensor<4x16x12xbf16>)
         b1(%b1 : tensor<4x24xf32>) b2(%b2 : tensor<4x16xf32>) map(%map : tensor<8xi32>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// Nearly all experts are chosen: the rule itself takes dense. The weights of
// the combine spread as those of the GEMM do.
// CHECK-LABEL: func.func @few
// AUTO-LABEL: func.func @few
// AUTO: moe.route_all %{{.*}} : <experts = 2, topk = 2>
// AUTO: %[[ALPHA:.*]] = moe.dense_weights
// AUTO: tensor.empty() : tensor<6x12xf8E4M3FN>
// AUTO: formulation = dense
// AUTO: moe.combine {{.*}} weights(%[[ALPHA]] : tensor<3x2xf32>) keep
// GROUPED-LABEL: func.func @few
// GROUPED: formulation = grouped
#aq = #moe.quant<f8E4M3FN, granule = [1, 4], scale = f32>
#bq = #moe.quant<f8E4M3FN, granule = [1, *], scale = f32>
func.func @few(%x: tensor<3x16xbf16>, %ids: tensor<3x2xi32>, %tw: tensor<3x2xf32>,
               %w1: tensor<2x24x16xf8E4M3FN>, %s1: tensor<2x24x1xf32>,
               %w2: tensor<2x16x12xf8E4M3FN>, %s2: tensor<2x16x1xf32>,
               %out: tensor<3x16xf32>) -> tensor<3x16xf32> {
  %y = moe.fused_experts x(%x : tensor<3x16xbf16>)
         topk(%ids, %tw : tensor<3x2xi32>, tensor<3x2xf32>)
         w1(%w1 : tensor<2x24x16xf8E4M3FN> scale %s1 : tensor<2x24x1xf32> quant #bq)
         w2(%w2 : tensor<2x16x12xf8E4M3FN> scale %s2 : tensor<2x16x1xf32> quant #bq)
         activation <swiglu> gate_up <halves> act_quant #aq weight_place = combine
         outs(%out : tensor<3x16xf32>) -> tensor<3x16xf32>
  return %y : tensor<3x16xf32>
}

// What the layer asks for comes before the option.
// GROUPED-LABEL: func.func @asked
// GROUPED: moe.route_all
// GROUPED: formulation = dense
// AUTO-LABEL: func.func @asked
// AUTO: formulation = dense
// CHECK-LABEL: func.func @asked
func.func @asked(%x: tensor<?x16xf32>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<8x12x16xf32>, %w2: tensor<8x16x12xf32>,
                 %out: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.fused_experts x(%x : tensor<?x16xf32>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x12x16xf32>) w2(%w2 : tensor<8x16x12xf32>)
         activation <gelu> formulation = dense
         outs(%out : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}
