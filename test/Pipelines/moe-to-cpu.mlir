// The whole way of a layer to CPU kernels; isa and tokens choose what they are made of. Plans are gone, since they
// are no code: moe-drop-plans alone erases them and nothing else.

// RUN: moe-opt %s --moe-to-cpu="isa=avx512 tokens=16" | FileCheck %s --check-prefixes=CHECK,WIDE
// RUN: moe-opt %s --moe-to-cpu="isa=x86-64" | FileCheck %s --check-prefixes=CHECK,BASE
// RUN: moe-opt %s --pass-pipeline="builtin.module(moe-to-cpu{isa=avx2})" | FileCheck %s
// RUN: moe-opt %s --moe-decompose-layer --moe-fuse-epilogue --moe-fold-scales --moe-select-config="target=cpu" --moe-to-tile --moe-drop-plans | FileCheck %s --check-prefix=DROP
// RUN: not moe-opt %s --moe-to-cpu="isa=sse9" -o /dev/null 2>&1 | FileCheck %s --check-prefix=ISA

// CHECK-NOT: moe_tile.plan
// CHECK-NOT: moe.
// CHECK-DAG: llvm.func @layer_align(%{{.*}}: !llvm.ptr, %{{.*}}: i64, %{{.*}}: i64)
// CHECK-DAG: llvm.func @layer_gemm(
// CHECK-DAG: llvm.func @layer_gemm_0(
// CHECK-DAG: llvm.func @layer_combine(
// WIDE: vector<16xf32>
// BASE-NOT: vector<16xf32>

// DROP-NOT: moe_tile.plan
// DROP: moe_tile.kernel @layer_align
// DROP: moe_tile.k_loop

// ISA: sse9

func.func @layer(%x: tensor<?x256xf32>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>, %w1: tensor<8x256x256xf32>,
                 %w2: tensor<8x256x128xf32>, %out: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %y = moe.fused_experts x(%x : tensor<?x256xf32>) topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x256x256xf32>) w2(%w2 : tensor<8x256x128xf32>) activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x256xf32>) -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
