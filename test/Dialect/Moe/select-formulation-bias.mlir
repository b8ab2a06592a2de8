// RUN: moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation=formulation=open -moe-select-config="target=sm_90a tokens=8 fix=formulation=dense" --remarks-filter-analyse=moe-select-config 2>&1 | FileCheck %s
// RUN: not moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation=formulation=open -moe-select-config="target=sm_90a tokens=8 fix=formulation=dense_sum" 2>&1 | FileCheck %s --check-prefix=SUM

// A bias of the second product is weighted too: it cannot stand behind the sum.
// CHECK: dense_rows: {{[0-9.]+}} us, chosen; dense_sum: refused: the second product's region is no product
// SUM: error: moe-select-config: formulation dense_sum is not legal: the second product's region is no product

func.func @layer(%x: tensor<?x128xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<2x256x128xbf16>, %w2: tensor<2x128x128xbf16>, %b1: tensor<2x256xf32>, %b2: tensor<2x128xf32>,
                 %out: tensor<?x128xbf16>) -> tensor<?x128xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x128xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<2x256x128xbf16>) w2(%w2 : tensor<2x128x128xbf16>)
         b1(%b1 : tensor<2x256xf32>) b2(%b2 : tensor<2x128xf32>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x128xbf16>) -> tensor<?x128xbf16>
  return %y : tensor<?x128xbf16>
}
