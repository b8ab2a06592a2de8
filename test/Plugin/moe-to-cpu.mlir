// The whole way to the LLVM dialect in Debian's own mlir-opt, in one pipeline and
// pass by pass; moe-opt prints the same.
// REQUIRES: plugin
// RUN: %stock_mlir_opt --load-dialect-plugin=%moec_bin/lib/MoePlugin.so \
// RUN:   --load-pass-plugin=%moec_bin/lib/MoePlugin.so \
// RUN:   --pass-pipeline='builtin.module(moe-to-cpu{isa=avx2 tokens=16})' %s -o %t.stock
// RUN: FileCheck %s < %t.stock
// RUN: not grep -E '(= |^ *)moe(_tile)?[.]' %t.stock
// RUN: moe-opt --pass-pipeline='builtin.module(moe-to-cpu{isa=avx2 tokens=16})' %s -o %t.own
// RUN: diff %t.stock %t.own
// RUN: %stock_mlir_opt --load-dialect-plugin=%moec_bin/lib/MoePlugin.so \
// RUN:   --load-pass-plugin=%moec_bin/lib/MoePlugin.so \
// RUN:   --pass-pipeline='builtin.module(moe-decompose-layer,moe-fuse-epilogue,moe-choose-formulation,moe-fold-scales,moe-select-config{target=cpu tokens=16},moe-to-tile)' \
// RUN:   %s | FileCheck %s --check-prefix=TILE
// RUN: not %stock_mlir_opt --load-pass-plugin=%moec_bin/lib/MoePlugin.so \
// RUN:   --load-dialect-plugin=%moec_bin/lib/MoePlugin.so \
// RUN:   --pass-pipeline='builtin.module(moe-to-cpu{isa=z80})' %s 2>&1 | FileCheck %s --check-prefix=ISA

// CHECK: llvm.func @{{[a-z0-9_]+}}(%{{.*}}: !llvm.ptr, %{{.*}}: i64, %{{.*}}: i64)

// TILE-DAG: moe_tile.kernel @
// TILE-DAG: moe_tile.plan @layer

// ISA: error: {{.*}}z80

func.func @layer(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>,
                 %tw: tensor<?x2xf32>, %w1: tensor<8x64x64xbf16>,
                 %w2: tensor<8x64x32xbf16>, %out: tensor<?x64xbf16>)
    -> tensor<?x64xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x64x64xbf16>) w2(%w2 : tensor<8x64x32xbf16>)
         activation <swiglu> gate_up <halves>
         outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}
