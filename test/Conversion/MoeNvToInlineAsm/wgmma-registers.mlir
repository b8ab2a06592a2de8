// One text for the fence and all products, so that no write of a register moves in between.
// RUN: moe-opt %s --convert-moe-nv-to-inline-asm | FileCheck %s --implicit-check-not=moe_nv.

!acc = !llvm.struct<(f32, f32, f32, f32)>

// CHECK-LABEL: @keep
llvm.func @keep(%c: !acc, %a: i32, %d: i64) -> !acc {
  // CHECK: %[[TWO:.*]] = llvm.mlir.constant(2 : i64)
  // CHECK: %[[NEXT:.*]] = llvm.add %arg2, %[[TWO]]
  // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "wgmma.fence.sync.aligned;
  // CHECK-SAME: wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, $16, 1, 1, 1, 0;
  // CHECK-SAME: wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {$0, $1, $2, $3}, {$12, $13, $14, $15}, $17, 1, 1, 1, 0;
  // CHECK-SAME: "=f,=f,=f,=f,0,1,2,3,r,r,r,r,r,r,r,r,l,l,~{memory}"
  %r = moe_nv.wgmma_registers %c, [%a, %a, %a, %a, %a, %a, %a, %a], %d of bf16 : !acc
  llvm.return %r : !acc
}

// The first one ignores the accumulators, which are then no inputs.
// CHECK-LABEL: @from_zero
llvm.func @from_zero(%c: !acc, %a: i32, %d: i64) -> !acc {
  // CHECK: m64n8k16.f32.f16.f16 {$0, $1, $2, $3}, {$4, $5, $6, $7}, $8, 0, 1, 1, 0;
  // CHECK-SAME: "=&f,=&f,=&f,=&f,r,r,r,r,l,~{memory}"
  %r = moe_nv.wgmma_registers %c, [%a, %a, %a, %a], %d of f16 from_zero : !acc
  llvm.return %r : !acc
}
