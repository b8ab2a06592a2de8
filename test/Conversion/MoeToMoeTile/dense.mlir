// All tokens through all experts on a GPU: lists of tiles by arithmetic, no sort, rows side by side.
// DEFINE: %{form} = dense_rows
// DEFINE: %{lower} = moe-opt %s -moe-decompose-layer -moe-fuse-epilogue -moe-choose-formulation=formulation=open -moe-select-config="target=sm_90a tokens=16 limit=1 fix=formulation=%{form}" -cse -moe-to-tile="routing=op tokens=16" -canonicalize

// RUN: %{lower} | FileCheck %s --check-prefix=ROWS
// ROWS-LABEL: moe_tile.plan @layer
// ROWS-NOT: align
// ROWS: %[[T:.*]] = memref.dim
// ROWS: moe_tile.launch @layer_dense_weights
// ROWS: moe_tile.launch @layer_gemm(
// ROWS: moe_tile.launch @layer_gemm_0(
// ROWS: moe_tile.launch @layer_combine(%{{.*}}, %{{.*}}) : (memref<?x256xbf16>, memref<?x256xbf16>)

// A thread for every weight, those of one expert side by side.
// ROWS-LABEL: moe_tile.kernel @layer_dense_weights
// ROWS: scf.parallel (%[[I:.*]]) =
// ROWS: %[[E:.*]] = arith.divui %[[I]], %[[T:.*]] : index
// ROWS: %[[TOKEN:.*]] = arith.remui %[[I]], %[[T]] : index
// ROWS: scf.for
// ROWS: memref.load %{{.*}}[%[[TOKEN]], %{{.*}}]
// ROWS: memref.store %{{.*}}, %{{.*}}[%[[I]]] : memref<?xf32>

// ROWS-LABEL: moe_tile.kernel @layer_gemm(
// ROWS-SAME: %[[X:[a-z0-9]+]]: memref<?x256xbf16>, %[[W:[a-z0-9]+]]: memref<6x256x256xbf16>, %[[TOKENS:[a-z0-9]+]]: index
// ROWS: %[[LIST:.*]] = moe_tile.dense_list rows(%[[TOKENS]]) experts 6 by 64 columns 128 by
// ROWS: moe_tile.for_tiles %{{.*}} in %[[LIST]]
// ROWS: %[[E:.*]], %[[ROW:.*]], %[[COUNT:.*]], %{{.*}} = moe_tile.coords
// ROWS: %[[BEFORE:.*]] = arith.muli %[[E]], %[[TOKENS]]
// ROWS: %[[FIRST:.*]] = arith.subi %[[ROW]], %[[BEFORE]]
// ROWS: %[[LINES:.*]] = moe_tile.row_iota %[[FIRST]] limit(%[[COUNT]])
// ROWS: moe_tile.load %[[X]][%[[LINES]] :
// ROWS: moe_tile.store %{{.*}} to %{{.*}}[%[[ROW]], %{{.*}}] limit(%[[COUNT]])
// ROWS-LABEL: moe_tile.kernel @layer_combine
// ROWS-NOT: row_index

// REDEFINE: %{form} = dense_sum
// RUN: %{lower} | FileCheck %s --check-prefix=SUM
// SUM-LABEL: moe_tile.plan @layer
// SUM: moe_tile.launch @layer_dense_weights
// SUM: moe_tile.launch @layer_gemm(
// SUM: moe_tile.launch @layer_gemm_0(
// SUM-NOT: moe_tile.launch
// SUM-LABEL: moe_tile.kernel @layer_gemm_0(
// SUM-SAME: %[[A:[a-z0-9]+]]: memref<?x128xbf16>, %[[B:[a-z0-9]+]]: memref<6x256x128xbf16>, %[[TOKENS:[a-z0-9]+]]: index, %[[OUT:[a-z0-9]+]]: memref<?x256xbf16>
// SUM: moe_tile.dense_list rows(%[[TOKENS]]) experts 1 by 64
// SUM: %[[ROW:[a-z0-9_]+]], %{{[a-z0-9_]+}}, %[[N:[a-z0-9_]+]] = moe_tile.coords
// SUM: moe_tile.k_loop %{{.*}} to %c768 step 64
// SUM: load(%[[K:.*]]: index)
// SUM: %[[E:.*]] = arith.divui %[[K]], %c128
// SUM: %[[C:.*]] = arith.remui %[[K]], %c128
// SUM: %[[FIRST:.*]] = arith.muli %[[E]], %[[TOKENS]]
// SUM: %[[LINE:.*]] = arith.addi %[[FIRST]], %[[ROW]]
// SUM: moe_tile.load %[[A]][%[[LINE]], %[[C]]]
// SUM: moe_tile.load %[[B]][%{{.*}}, %[[N]], %{{.*}}]
// SUM: moe_tile.store %{{.*}} to %[[OUT]][%[[ROW]], %[[N]]]
func.func @layer(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<6x256x256xbf16>, %w2: tensor<6x256x128xbf16>,
                 %out: tensor<?x256xbf16>) -> tensor<?x256xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x256xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<6x256x256xbf16>) w2(%w2 : tensor<6x256x128xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x256xbf16>) -> tensor<?x256xbf16>
  return %y : tensor<?x256xbf16>
}
