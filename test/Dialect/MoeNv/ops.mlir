// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt | FileCheck %s

// CHECK-LABEL: @all
llvm.func @all(%a: !llvm.struct<(f32, f32)>, %g: !llvm.ptr<1>, %s: !llvm.ptr<3>, %n: i32,
               %f: f32, %v: vector<4xf32>, %h: vector<8xbf16>) {
  // CHECK: %{{.*}}:2 = moe_nv.wgmma_wait 1(%{{.*}}, %{{.*}} : !llvm.struct<(f32, f32)>, !llvm.struct<(f32, f32)>)
  %r:2 = moe_nv.wgmma_wait 1 (%a, %a : !llvm.struct<(f32, f32)>, !llvm.struct<(f32, f32)>)
  // CHECK: moe_nv.wgmma_wait 0{{$}}
  moe_nv.wgmma_wait 0
  // CHECK: moe_nv.mma_f8[%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}], [%{{.*}}, %{{.*}}], [%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}] of f8E4M3FN, f8E5M2 : !llvm.struct<(f32, f32, f32, f32)>
  %p = moe_nv.mma_f8 [%n, %n, %n, %n], [%n, %n], [%f, %f, %f, %f] of f8E4M3FN, f8E5M2 : !llvm.struct<(f32, f32, f32, f32)>
  // CHECK: moe_nv.load_nc %{{.*}} no_allocate : !llvm.ptr<1> -> vector<4xi32>
  %l = moe_nv.load_nc %g no_allocate : !llvm.ptr<1> -> vector<4xi32>
  // CHECK: moe_nv.load_nc %{{.*}} : !llvm.ptr<1> -> i32
  %l1 = moe_nv.load_nc %g : !llvm.ptr<1> -> i32
  // CHECK: moe_nv.red_add %{{.*}}, %{{.*}} : !llvm.ptr<1>, f32
  moe_nv.red_add %g, %f : !llvm.ptr<1>, f32
  // CHECK: moe_nv.red_add %{{.*}}, %{{.*}} : !llvm.ptr<1>, vector<4xf32>
  moe_nv.red_add %g, %v : !llvm.ptr<1>, vector<4xf32>
  // CHECK: moe_nv.red_add %{{.*}}, %{{.*}} : !llvm.ptr<1>, vector<8xbf16>
  moe_nv.red_add %g, %h : !llvm.ptr<1>, vector<8xbf16>
  // CHECK: moe_nv.bulk_reduce_add %{{.*}}, %{{.*}}, %{{.*}} of f32 : !llvm.ptr<1>, !llvm.ptr<3>
  moe_nv.bulk_reduce_add %g, %s, %n of f32 : !llvm.ptr<1>, !llvm.ptr<3>
  // CHECK: moe_nv.wait_parity %{{.*}}, %{{.*}} : !llvm.ptr<3>
  moe_nv.wait_parity %s, %n : !llvm.ptr<3>
  // CHECK: moe_nv.signal %{{.*}}, %{{.*}} : !llvm.ptr<1>
  moe_nv.signal %g, %n : !llvm.ptr<1>
  // CHECK: moe_nv.await %{{.*}}, %{{.*}} : !llvm.ptr<1>
  moe_nv.await %g, %n : !llvm.ptr<1>
  llvm.return
}
