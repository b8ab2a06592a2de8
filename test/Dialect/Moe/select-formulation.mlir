// How moe-select-config compares formulations, takes the one that is asked for and says why others lost.
// DEFINE: %{tokens} = 64
// DEFINE: %{fix} =
// DEFINE: %{target} = sm_90a
// DEFINE: %{first} = formulation=open
// DEFINE: %{select} = moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation=%{first} -moe-select-config="target=%{target} tokens=%{tokens} limit=1 fix=%{fix}" --remarks-filter-analyse=moe-select-config

// One of 64 experts is chosen: grouped by far.
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=OPEN
// OPEN: remark: [Analysis] formulation {{.*}}grouped: {{[0-9.]+}} us, chosen; gemv: {{[0-9.]+}} us, {{[0-9.]+ us more|less by no more than the model's error}}; dense_rows: {{[0-9.]+}} us, {{[0-9.]+}} us more; dense_sum: {{[0-9.]+}} us, {{[0-9.]+}} us more
// OPEN-LABEL: func.func @layer
// OPEN: moe.align
// OPEN: formulation = grouped
// OPEN: formulation = grouped

// All tokens through all experts, rows summed afterwards: weights on the second product.
// REDEFINE: %{fix} = formulation=dense_rows
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=ROWS
// ROWS: grouped: refused: another one is asked for; gemv: refused: another one is asked for; dense_rows: {{[0-9.]+}} us, chosen; dense_sum: refused: another one is asked for
// ROWS-LABEL: func.func @layer
// ROWS-NOT: moe.align
// ROWS: %[[ALL:.*]] = moe.route_all
// ROWS: %[[ALPHA:.*]] = moe.dense_weights
// ROWS: %[[FIRST:.*]] = moe.grouped_gemm {{.*}} rows = gather a_layout = token out = expert_sorted gate_up <halves> formulation = dense config [#moe.config<{{.*}} a = "desc"
// ROWS: %[[SECOND:.*]] = moe.grouped_gemm a(%[[FIRST]] {{.*}} out = flat_topk row(%[[ALPHA]] {{.*}}formulation = dense config [#moe.config<{{.*}} a = "desc"
// ROWS: moe.combine %[[SECOND]]

// The weights move to the first product, the sum over experts into the second.
// REDEFINE: %{fix} = formulation=dense_sum
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=SUM
// SUM: dense_rows: refused: another one is asked for; dense_sum: {{[0-9.]+}} us, chosen
// SUM-LABEL: func.func @layer
// SUM: %[[ALPHA:.*]] = moe.dense_weights
// SUM: %[[FIRST:.*]] = moe.grouped_gemm {{.*}} row(%[[ALPHA]]
// SUM: ^bb0(%{{.*}}: f32, %{{.*}}: f32, %[[W:.*]]: f32):
// SUM: %[[V:.*]] = arith.mulf %{{.*}}, %[[W]]
// SUM-NEXT: moe.yield %[[V]]
// SUM: moe.grouped_gemm a(%[[FIRST]] {{.*}} out = token formulation = dense config [#moe.config<{{.*}}reduce_by = "experts"
// SUM-NOT: moe.combine

// Either of the two.
// REDEFINE: %{fix} = formulation=dense
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=DENSE
// DENSE: grouped: refused: another one is asked for; gemv: refused: another one is asked for; dense_rows: {{[0-9.]+}} us, {{.*}}dense_sum: {{[0-9.]+}} us,
// DENSE: moe.route_all

// REDEFINE: %{fix} = formulation=gemv
// REDEFINE: %{tokens} = 1
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=GEMV
// GEMV: gemv: {{[0-9.]+}} us, chosen
// GEMV: formulation = gemv config [#moe.config<block = [1, 8, 0], {{.*}} atom = "fma", warps = 4
// GEMV: formulation = gemv config [#moe.config<block = [1, 16, 0], {{.*}} atom = "fma", warps = 4

// What is there decides: a choice that was made before, a block that is fixed.
// REDEFINE: %{first} = formulation=grouped
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=GIVEN
// GIVEN-NOT: ] formulation
// GIVEN: formulation = grouped
// REDEFINE: %{first} = formulation=open
// REDEFINE: %{fix} = formulation=gemv,block_m=16
// RUN: not %{select} 2>&1 | FileCheck %s --check-prefix=WIDE
// WIDE: error: moe-select-config: formulation gemv is not legal: rule vector_rows: block m 16 is more than 4 rows, for which matrix units are there
// REDEFINE: %{fix} = formulation=dense_sum
// REDEFINE: %{target} = sm_80
// RUN: not %{select} 2>&1 | FileCheck %s --check-prefix=OLD
// OLD: error: moe-select-config: formulation dense_sum is not legal: rule descriptors: the second product reads its rows by the copy engine, which sm_80 has not
// REDEFINE: %{fix} = formulation=magic
// RUN: not %{select} 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: fix: formulation is 'magic', not grouped, dense, dense_rows, dense_sum, gemv or one_launch

// A CPU asks nobody.
// REDEFINE: %{fix} =
// REDEFINE: %{target} = cpu
// RUN: %{select} 2>&1 | FileCheck %s --check-prefix=CPU
// CPU-NOT: ] formulation
// CPU-NOT: formulation =
func.func @layer(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<64x1024x512xbf16>, %w2: tensor<64x512x512xbf16>,
                 %out: tensor<?x512xbf16>) -> tensor<?x512xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x512xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<64x1024x512xbf16>) w2(%w2 : tensor<64x512x512xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x512xbf16>) -> tensor<?x512xbf16>
  return %y : tensor<?x512xbf16>
}
