// Every operation assembles, twice in one kernel where it has a label, and the
// wait keeps its accumulators in place: no register moves behind it.

// REQUIRES: ptxas
// RUN: moe-opt %s --convert-moe-nv-to-inline-asm --convert-nvvm-to-llvm --convert-arith-to-llvm --reconcile-unrealized-casts \
// RUN:   | mlir-translate --mlir-to-llvmir | opt -O3 -mtriple=nvptx64-nvidia-cuda -mcpu=sm_90a -S \
// RUN:   | llc -O3 -mtriple=nvptx64-nvidia-cuda -mcpu=sm_90a -mattr=+ptx86 -o %t.ptx
// RUN: FileCheck %s < %t.ptx
// RUN: ptxas -arch=sm_90a %t.ptx -o %t.cubin 2> %t.messages
// RUN: FileCheck %s --allow-empty --check-prefix=MESSAGES < %t.messages

// MESSAGES-NOT: C75

llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>

!acc = !llvm.struct<(f32, f32, f32, f32)>

// CHECK-LABEL: .entry all
llvm.func @all(%g: !llvm.ptr<1>, %n: i32, %da: i64, %db: i64) attributes {nvvm.kernel, nvvm.reqntid = array<i32: 128>} {
  %s = llvm.mlir.addressof @smem : !llvm.ptr<3>
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  // CHECK: WAIT_PARITY:
  moe_nv.wait_parity %s, %c0 : !llvm.ptr<3>
  // CHECK: WAIT_PARITY:
  moe_nv.wait_parity %s, %c1 : !llvm.ptr<3>
  // CHECK: AWAIT:
  moe_nv.await %g, %n : !llvm.ptr<1>
  // CHECK: AWAIT:
  moe_nv.await %g, %c1 : !llvm.ptr<1>
  %u = llvm.mlir.undef : !acc
  nvvm.wgmma.fence.aligned
  // CHECK: wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {[[REGS:.*]]}, %
  %d = nvvm.wgmma.mma_async %da, %db, %u, #nvvm.shape<m = 64, n = 8, k = 16>, D [<f32>, <zero>],
      A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
  nvvm.wgmma.commit.group.sync.aligned
  // CHECK: wgmma.wait_group.sync.aligned 0;
  %w = moe_nv.wgmma_wait 0 (%d : !acc)
  %e0 = llvm.extractvalue %w[0] : !acc
  %e1 = llvm.extractvalue %w[1] : !acc
  %e2 = llvm.extractvalue %w[2] : !acc
  %e3 = llvm.extractvalue %w[3] : !acc
  %p = llvm.mlir.poison : vector<4xf32>
  %i0 = llvm.mlir.constant(0 : i32) : i32
  %i1 = llvm.mlir.constant(1 : i32) : i32
  %i2 = llvm.mlir.constant(2 : i32) : i32
  %i3 = llvm.mlir.constant(3 : i32) : i32
  %v0 = llvm.insertelement %e0, %p[%i0 : i32] : vector<4xf32>
  %v1 = llvm.insertelement %e1, %v0[%i1 : i32] : vector<4xf32>
  %v2 = llvm.insertelement %e2, %v1[%i2 : i32] : vector<4xf32>
  %v = llvm.insertelement %e3, %v2[%i3 : i32] : vector<4xf32>
  // CHECK: red.relaxed.gpu.global.add.f32
  moe_nv.red_add %g, %e0 : !llvm.ptr<1>, f32
  // CHECK: red.relaxed.gpu.global.add.v4.f32
  moe_nv.red_add %g, %v : !llvm.ptr<1>, vector<4xf32>
  %half = llvm.shufflevector %v, %v [0, 1] : vector<4xf32>
  // CHECK: red.relaxed.gpu.global.add.v2.f32
  moe_nv.red_add %g, %half : !llvm.ptr<1>, vector<2xf32>
  // CHECK: ld.global.nc.L1::no_allocate.v4.b32
  %l = moe_nv.load_nc %g no_allocate : !llvm.ptr<1> -> vector<4xi32>
  %l2 = moe_nv.load_nc %g : !llvm.ptr<1> -> vector<2xi32>
  %l1 = moe_nv.load_nc %g no_allocate : !llvm.ptr<1> -> i32
  %b8 = llvm.bitcast %l : vector<4xi32> to vector<8xbf16>
  %b4 = llvm.bitcast %l2 : vector<2xi32> to vector<4xbf16>
  %h2 = llvm.bitcast %l1 : i32 to vector<2xf16>
  // CHECK: red.relaxed.gpu.global.add.noftz.v4.bf16x2
  moe_nv.red_add %g, %b8 : !llvm.ptr<1>, vector<8xbf16>
  // CHECK: red.relaxed.gpu.global.add.noftz.v2.bf16x2
  moe_nv.red_add %g, %b4 : !llvm.ptr<1>, vector<4xbf16>
  // CHECK: red.relaxed.gpu.global.add.noftz.f16x2
  moe_nv.red_add %g, %h2 : !llvm.ptr<1>, vector<2xf16>
  moe_nv.bulk_reduce_add %g, %s, %n of f32 : !llvm.ptr<1>, !llvm.ptr<3>
  moe_nv.bulk_reduce_add %g, %s, %n of bf16 : !llvm.ptr<1>, !llvm.ptr<3>
  moe_nv.bulk_reduce_add %g, %s, %n of f16 : !llvm.ptr<1>, !llvm.ptr<3>
  nvvm.cp.async.bulk.commit.group
  nvvm.cp.async.bulk.wait_group 0
  moe_nv.wgmma_wait 0
  // CHECK: fence.acq_rel.gpu;
  // CHECK: red.release.gpu.global.add.u32
  moe_nv.signal %g, %c1 : !llvm.ptr<1>
  llvm.return
}
