// RUN: moe-opt %s --convert-moe-nv-to-inline-asm | FileCheck %s --implicit-check-not=moe_nv.
!d = !llvm.struct<(f32, f32, f32, f32)>

// CHECK-LABEL: @products
llvm.func @products(%a: i32, %b: i32, %c: f32) -> !d {
  // CHECK: llvm.inline_asm has_side_effects asm_dialect = att
  // CHECK-SAME: "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32 {$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
  // CHECK-SAME: "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f"
  %r = moe_nv.mma_f8 [%a, %a, %a, %a], [%b, %b], [%c, %c, %c, %c] of f8E4M3FN, f8E5M2 : !d
  llvm.return %r : !d
}
