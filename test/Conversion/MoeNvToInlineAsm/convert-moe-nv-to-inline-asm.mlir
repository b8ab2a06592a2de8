// RUN: moe-opt %s --convert-moe-nv-to-inline-asm | FileCheck %s --implicit-check-not=moe_nv.

// Tied registers: input i is output i.
// CHECK-LABEL: @wait
llvm.func @wait(%a: !llvm.struct<(f32, f32)>, %b: !llvm.struct<(i32)>) -> !llvm.struct<(i32)> {
  // CHECK-DAG: %[[A0:.*]] = llvm.extractvalue %arg0[0]
  // CHECK-DAG: %[[A1:.*]] = llvm.extractvalue %arg0[1]
  // CHECK-DAG: %[[B0:.*]] = llvm.extractvalue %arg1[0]
  // CHECK: %[[ALL:.*]] = llvm.inline_asm has_side_effects asm_dialect = att
  // CHECK-SAME: "wgmma.wait_group.sync.aligned 1;", "=f,=f,=r,0,1,2,~{memory}" %[[A0]], %[[A1]], %[[B0]]
  // CHECK-SAME: -> !llvm.struct<(f32, f32, i32)>
  %r:2 = moe_nv.wgmma_wait 1 (%a, %b : !llvm.struct<(f32, f32)>, !llvm.struct<(i32)>)
  // CHECK: %[[LAST:.*]] = llvm.extractvalue %[[ALL]][2]
  // CHECK: %[[OUT:.*]] = llvm.insertvalue %[[LAST]]
  // CHECK: llvm.return %[[OUT]]
  llvm.return %r#1 : !llvm.struct<(i32)>
}

// CHECK-LABEL: @wait_nothing
llvm.func @wait_nothing() {
  // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "wgmma.wait_group.sync.aligned 0;", "~{memory}"  : () -> ()
  moe_nv.wgmma_wait 0
  llvm.return
}

// CHECK-LABEL: @memory
llvm.func @memory(%g: !llvm.ptr<1>, %s: !llvm.ptr<3>, %n: i32, %f: f32, %v: vector<4xf32>,
                  %h: vector<2xbf16>, %h4: vector<8xf16>) -> vector<4xi32> {
  // CHECK: "ld.global.nc.L1::no_allocate.v4.b32 {$0, $1, $2, $3}, [$4];", "=r,=r,=r,=r,l"
  %l = moe_nv.load_nc %g no_allocate : !llvm.ptr<1> -> vector<4xi32>
  // CHECK: "ld.global.nc.b32 $0, [$1];", "=r,l"
  %l1 = moe_nv.load_nc %g : !llvm.ptr<1> -> i32
  // CHECK: "red.relaxed.gpu.global.add.f32 [$0], $1;", "l,f,~{memory}"
  moe_nv.red_add %g, %f : !llvm.ptr<1>, f32
  // CHECK: "red.relaxed.gpu.global.add.v4.f32 [$0], {$1, $2, $3, $4};", "l,f,f,f,f,~{memory}"
  moe_nv.red_add %g, %v : !llvm.ptr<1>, vector<4xf32>
  // CHECK: llvm.bitcast %{{.*}} : vector<2xbf16> to i32
  // CHECK: "red.relaxed.gpu.global.add.noftz.bf16x2 [$0], $1;", "l,r,~{memory}"
  moe_nv.red_add %g, %h : !llvm.ptr<1>, vector<2xbf16>
  // CHECK: "red.relaxed.gpu.global.add.noftz.v4.f16x2 [$0], {$1, $2, $3, $4};", "l,r,r,r,r,~{memory}"
  moe_nv.red_add %g, %h4 : !llvm.ptr<1>, vector<8xf16>
  // CHECK: "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [$0], [$1], $2;", "l,r,r,~{memory}"
  moe_nv.bulk_reduce_add %g, %s, %n of f32 : !llvm.ptr<1>, !llvm.ptr<3>
  // CHECK: .add.noftz.bf16 [$0], [$1], $2;
  moe_nv.bulk_reduce_add %g, %s, %n of bf16 : !llvm.ptr<1>, !llvm.ptr<3>
  llvm.return %l : vector<4xi32>
}

// CHECK-LABEL: @hand_over
llvm.func @hand_over(%g: !llvm.ptr<1>, %s: !llvm.ptr<3>, %n: i32) {
  // CHECK: mbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1;
  moe_nv.wait_parity %s, %n : !llvm.ptr<3>
  // CHECK: fence.acq_rel.gpu;{{.*}}red.release.gpu.global.add.u32 [$0], $1;
  moe_nv.signal %g, %n : !llvm.ptr<1>
  // CHECK: ld.acquire.gpu.global.u32 count, [$0];{{.*}}setp.lt.u32
  moe_nv.await %g, %n : !llvm.ptr<1>
  llvm.return
}
