// Kernels in nvvm, arith, math and scf become the LLVM dialect, and math becomes what has an instruction.

// RUN: moe-opt %s --moe-nvvm-to-llvm | FileCheck %s --implicit-check-not=math. --implicit-check-not=arith. --implicit-check-not=scf.
// RUN: moe-opt %s --moe-nvvm-math | FileCheck %s --check-prefix=MATH
// RUN: moe-opt %s --pass-pipeline="builtin.module(moe-nvvm-to-llvm)" | mlir-translate --mlir-to-llvmir | llc -mtriple=nvptx64-nvidia-cuda -mcpu=sm_90a -mattr=+ptx86 -O3 -o - | FileCheck %s --check-prefix=PTX

// CHECK-LABEL: llvm.func @kernel
// CHECK-SAME: nvvm.kernel
// The retry loop of a barrier's wait is inline assembly; a barrier is an intrinsic.
// CHECK: llvm.inline_asm {{.*}}mbarrier.try_wait.parity
// CHECK: llvm.intr.exp2
// CHECK: llvm.br
// CHECK: nvvm.barrier

// MATH-LABEL: llvm.func @kernel
// MATH: arith.constant 1.44269502
// MATH: math.exp2
// MATH: arith.divf {{.*}} fastmath<afn> : f32
// An exact division stays one; tanh is a polynomial, bf16 is computed in f32.
// MATH: arith.divf %{{.*}}, %{{.*}} : f32
// MATH-NOT: math.tanh
// MATH: arith.extf {{.*}} : bf16 to f32
// MATH: math.exp2 {{.*}} : f32
// MATH: arith.truncf {{.*}} : f32 to bf16
// MATH: math.exp2 {{.*}} : vector<4xf32>

// PTX: .visible .entry kernel
// PTX: mbarrier.try_wait.parity
// PTX: ex2.approx
// PTX-NOT: call

llvm.mlir.global external @dyn_smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>
llvm.func @kernel(%p: !llvm.ptr<1>, %n: i32) attributes {nvvm.kernel} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %ticks = arith.constant 1000 : i32
  %s = llvm.mlir.addressof @dyn_smem : !llvm.ptr<3>
  nvvm.mbarrier.try_wait.parity %s, %zero, %ticks : !llvm.ptr<3>, i32, i32
  %x = llvm.load %p : !llvm.ptr<1> -> f32
  %c1 = arith.constant 1.0 : f32
  %e = math.exp %x : f32
  %d = arith.addf %e, %c1 : f32
  %silu = arith.divf %x, %d : f32
  %exact = arith.divf %silu, %x : f32
  %t = math.tanh %exact : f32
  %b = arith.truncf %t : f32 to bf16
  %eb = math.exp %b : bf16
  %f = arith.extf %eb : bf16 to f32
  %v = vector.broadcast %f : f32 to vector<4xf32>
  %ev = math.exp %v : vector<4xf32>
  %sum = scf.for %i = %zero to %n step %one iter_args(%a = %f) -> (f32) : i32 {
    %next = arith.addf %a, %x : f32
    scf.yield %next : f32
  }
  nvvm.barrier0
  llvm.store %ev, %p : vector<4xf32>, !llvm.ptr<1>
  %q = llvm.getelementptr %p[4] : (!llvm.ptr<1>) -> !llvm.ptr<1>, f32
  llvm.store %sum, %q : f32, !llvm.ptr<1>
  llvm.return
}
