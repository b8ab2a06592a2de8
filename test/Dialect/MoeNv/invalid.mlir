// RUN: moe-opt %s --split-input-file --verify-diagnostics

// wgmma_wait_c1
llvm.func @mixed(%a: !llvm.struct<(f32, i32)>) {
  // expected-error @+1 {{takes accumulators that are structs of f32 or i32 fields, got '!llvm.struct<(f32, i32)>'}}
  %r = moe_nv.wgmma_wait 0 (%a : !llvm.struct<(f32, i32)>)
  llvm.return
}

// -----

// wgmma_wait_c1
llvm.func @half(%a: !llvm.struct<(f16)>) {
  // expected-error @+1 {{takes accumulators that are structs of f32 or i32 fields}}
  %r = moe_nv.wgmma_wait 0 (%a : !llvm.struct<(f16)>)
  llvm.return
}

// -----

// wgmma_wait_c2
llvm.func @types(%a: !llvm.struct<(f32)>) {
  // expected-error @+1 {{has results of other types than its accumulators}}
  %r = "moe_nv.wgmma_wait"(%a) {pending = 0 : i32} : (!llvm.struct<(f32)>) -> !llvm.struct<(i32)>
  llvm.return
}

// -----

// wgmma_wait_c3
llvm.func @pending() {
  // expected-error @+1 {{expects pending in [0, 7], got 8}}
  moe_nv.wgmma_wait 8
  llvm.return
}

// -----

// wgmma_wait_c3
llvm.func @negative() {
  // expected-error @+1 {{expects pending in [0, 7], got -1}}
  moe_nv.wgmma_wait -1
  llvm.return
}

// -----

// bulk_reduce_add_c1
llvm.func @element(%g: !llvm.ptr<1>, %s: !llvm.ptr<3>, %n: i32) {
  // expected-error @+1 {{adds f32, bf16 or f16, got 'i32'}}
  moe_nv.bulk_reduce_add %g, %s, %n of i32 : !llvm.ptr<1>, !llvm.ptr<3>
  llvm.return
}

// -----

llvm.func @vector(%g: !llvm.ptr<1>, %v: vector<3xf32>) {
  // expected-error @+1 {{operand #1 must be}}
  moe_nv.red_add %g, %v : !llvm.ptr<1>, vector<3xf32>
  llvm.return
}

// -----

llvm.func @space(%s: !llvm.ptr<3>, %n: i32) {
  // expected-error @+1 {{operand #0 must be}}
  moe_nv.signal %s, %n : !llvm.ptr<3>
  llvm.return
}

// -----

// wgmma_registers_c1
llvm.func @fields(%c: !llvm.struct<(f32, f32)>, %a: i32, %d: i64) {
  // expected-error @+1 {{wgmma_registers_c1: takes accumulators of 4, 8, ..., 128 f32 fields, got '!llvm.struct<(f32, f32)>'}}
  %r = moe_nv.wgmma_registers %c, [%a, %a, %a, %a], %d of bf16 : !llvm.struct<(f32, f32)>
  llvm.return
}

// -----

// wgmma_registers_c1
llvm.func @other_result(%c: !llvm.struct<(f32, f32, f32, f32)>, %a: i32, %d: i64) {
  // expected-error @+1 {{wgmma_registers_c1: result of type '!llvm.struct<(f32, f32)>', accumulators '!llvm.struct<(f32, f32, f32, f32)>'}}
  %r = "moe_nv.wgmma_registers"(%c, %a, %a, %a, %a, %d) {elt = bf16}
      : (!llvm.struct<(f32, f32, f32, f32)>, i32, i32, i32, i32, i64) -> !llvm.struct<(f32, f32)>
  llvm.return
}

// -----

// wgmma_registers_c2
llvm.func @registers(%c: !llvm.struct<(f32, f32, f32, f32)>, %a: i32, %d: i64) {
  // expected-error @+1 {{wgmma_registers_c2: takes 4, 8, 12 or 16 registers of a, got 3}}
  %r = moe_nv.wgmma_registers %c, [%a, %a, %a], %d of bf16 : !llvm.struct<(f32, f32, f32, f32)>
  llvm.return
}

// -----

// wgmma_registers_c2
llvm.func @element(%c: !llvm.struct<(f32, f32, f32, f32)>, %a: i32, %d: i64) {
  // expected-error @+1 {{wgmma_registers_c2: multiplies bf16 or f16, got 'f32'}}
  %r = moe_nv.wgmma_registers %c, [%a, %a, %a, %a], %d of f32 : !llvm.struct<(f32, f32, f32, f32)>
  llvm.return
}

// -----

// mma_f8_c1
llvm.func @few_registers(%a: i32, %c: f32) {
  // expected-error @+1 {{mma_f8_c1: takes 4 registers of a, 2 of b and 4 accumulators, gives 4 f32 fields; got 3, 2, 4 and '!llvm.struct<(f32, f32, f32, f32)>'}}
  %r = moe_nv.mma_f8 [%a, %a, %a], [%a, %a], [%c, %c, %c, %c] of f8E4M3FN, f8E4M3FN : !llvm.struct<(f32, f32, f32, f32)>
  llvm.return
}

// -----

// mma_f8_c2
llvm.func @not_f8(%a: i32, %c: f32) {
  // expected-error @+1 {{mma_f8_c2: multiplies f8E4M3FN and f8E5M2, got 'bf16'}}
  %r = moe_nv.mma_f8 [%a, %a, %a, %a], [%a, %a], [%c, %c, %c, %c] of f8E4M3FN, bf16 : !llvm.struct<(f32, f32, f32, f32)>
  llvm.return
}
