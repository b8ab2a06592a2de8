// The more of the experts a token chooses, the more the sort and the sum cost, and the less the other experts do.
// DEFINE: %{tokens} =
// DEFINE: %{select} = moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation=formulation=open -moe-select-config="target=sm_90a tokens=%{tokens} limit=1" --remarks-filter-analyse=moe-select-config

// REDEFINE: %{tokens} = 4096
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=MANY
// MANY-DAG: remark: [Analysis] formulation {{.*}}grouped: {{[0-9.]+}} us, {{[0-9.]+}} us more; {{.*}}dense_sum: {{[0-9.]+}} us, chosen
// MANY-DAG: remark: [Analysis] formulation {{.*}}grouped: {{[0-9.]+}} us, chosen; {{.*}}dense_sum: {{[0-9.]+}} us, {{[0-9.]+}} us more
// MANY-LABEL: func.func @all
// MANY-NOT: moe.align
// MANY: formulation = dense
// MANY-LABEL: func.func @one
// MANY: moe.align
// MANY: formulation = grouped

// One token: the sum over all experts has too few tiles, and nothing else to save; lanes wait for nobody.
// REDEFINE: %{tokens} = 1
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=FEW
// FEW-LABEL: func.func @all
// FEW: formulation = gemv
// FEW-LABEL: func.func @one
// FEW: formulation = gemv
func.func @all(%x: tensor<?x1024xbf16>, %ids: tensor<?x8xi32>, %tw: tensor<?x8xf32>,
               %w1: tensor<8x1024x1024xbf16>, %w2: tensor<8x1024x512xbf16>,
               %out: tensor<?x1024xbf16>) -> tensor<?x1024xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x1024xbf16>)
         topk(%ids, %tw : tensor<?x8xi32>, tensor<?x8xf32>)
         w1(%w1 : tensor<8x1024x1024xbf16>) w2(%w2 : tensor<8x1024x512xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x1024xbf16>) -> tensor<?x1024xbf16>
  return %y : tensor<?x1024xbf16>
}

func.func @one(%x: tensor<?x1024xbf16>, %ids: tensor<?x1xi32>, %tw: tensor<?x1xf32>,
               %w1: tensor<8x1024x1024xbf16>, %w2: tensor<8x1024x512xbf16>,
               %out: tensor<?x1024xbf16>) -> tensor<?x1024xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x1024xbf16>)
         topk(%ids, %tw : tensor<?x1xi32>, tensor<?x1xf32>)
         w1(%w1 : tensor<8x1024x1024xbf16>) w2(%w2 : tensor<8x1024x512xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x1024xbf16>) -> tensor<?x1024xbf16>
  return %y : tensor<?x1024xbf16>
}
