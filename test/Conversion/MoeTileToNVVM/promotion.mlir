// Sums of scaled products: operands of 8 bits with a scale per row and 128 columns of A, per 128 x 128 block of B.
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe-to-nvvm{tokens=4096})" | FileCheck %s --check-prefixes=CHECK,MANY
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe-to-nvvm{tokens=2})" | FileCheck %s --check-prefixes=CHECK,FEW

#w = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
#a = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>

// CHECK-LABEL: llvm.func @layer_quantize

// CHECK-LABEL: llvm.func @layer_gemm(
// Gate and up rows in two copies, rows of A by 16 bytes, their scales by 4.
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// MANY-COUNT-8: nvvm.cp.async.shared.global {{.*}} 16, cache = cg
// FEW: nvvm.cp.async.shared.global {{.*}} 16, cache = cg
// CHECK: nvvm.cp.async.shared.global {{.*}} 4, cache = ca
// CHECK: nvvm.cp.async.shared.global {{.*}} 4, cache = ca
// CHECK: nvvm.cp.async.mbarrier.arrive

// Products of 128 columns in turn, in the same registers: the first is added before the second starts, the slot is
// released without a branch before the second is added. Beside the second the team waits for the slot of the next step,
// for the last step once more for its own, and reads its factors, which the loop carries.
// MANY: nvvm.mbarrier.try_wait.parity %{{.*}}, %{{.*}}, %{{.*}} : !llvm.ptr<3>
// MANY-NEXT: nvvm.fence.proxy
// MANY: %[[ROW0:.*]] = llvm.load {{.*}} !llvm.ptr<3> -> f32
// MANY: %[[ROW8:.*]] = llvm.load {{.*}} !llvm.ptr<3> -> f32
// MANY: %[[GATE:.*]] = llvm.load {{.*}} !llvm.ptr<3> -> f32
// MANY: %[[UP:.*]] = llvm.load {{.*}} !llvm.ptr<3> -> f32
// MANY: scf.for {{.*}} iter_args({{.*}} = %[[ROW0]], {{.*}} = %[[ROW8]], {{.*}} = %[[GATE]], {{.*}} = %[[UP]])
// MANY: %[[MORE:.*]] = arith.cmpi slt
// MANY-NOT: nvvm.mbarrier.try_wait
// MANY-NOT: llvm.load
// MANY: nvvm.wgmma.fence.aligned
// MANY-COUNT-4: nvvm.wgmma.mma_async {{.*}}<m = 64, n = 128, k = 32>{{.*}}<e4m3>{{.*}}<e4m3>
// MANY: %[[FIRST:.*]] = moe_nv.wgmma_wait 0
// MANY-COUNT-64: math.fma
// MANY-NOT: math.fma
// MANY: nvvm.wgmma.fence.aligned
// MANY: nvvm.wgmma.mma_async %{{.*}}, %{{.*}}, %[[FIRST]],
// MANY-COUNT-3: nvvm.wgmma.mma_async
// MANY: nvvm.wgmma.commit.group.sync.aligned
// MANY: %[[SLOT:.*]] = arith.select %[[MORE]]
// MANY: %[[PARITY:.*]] = arith.select %[[MORE]]
// MANY: nvvm.mbarrier.try_wait.parity %{{.*}}, %[[PARITY]],
// MANY-NEXT: nvvm.fence.proxy
// MANY-COUNT-4: llvm.load {{.*}} !llvm.ptr<3> -> f32
// MANY: moe_nv.wgmma_wait 0
// MANY-NOT: scf.if
// MANY: nvvm.mbarrier.arrive.expect_tx {{.*}}predicate
// MANY-COUNT-64: math.fma
// MANY-NOT: math.fma

// With few tokens the weights are on the instruction's M side: all four parts of 64 rows together, and every instruction
// for itself, as the matrix unit adds 8-bit floats with few bits.
// FEW: nvvm.wgmma.fence.aligned
// FEW-COUNT-16: nvvm.wgmma.mma_async {{.*}}<m = 64, n = 8, k = 32>, D[<f32>, <zero>]
// FEW: moe_nv.wgmma_wait 0
// FEW-COUNT-64: math.fma
// FEW-NOT: math.fma

// The largest value of a row: over the lanes that share it, and over the warps of a team if weights are rows.
// MANY: nvvm.shfl.sync bfly
// MANY-NOT: nvvm.barrier
// MANY-COUNT-32: nvvm.convert.f32x2.to.f8x2
// MANY: llvm.store {{.*}} : i16, !llvm.ptr<3>
// FEW-COUNT-3: nvvm.shfl.sync bfly
// FEW: nvvm.barrier
// FEW: nvvm.barrier
// FEW: nvvm.convert.f32x2.to.f8x2
// FEW: llvm.store {{.*}} : i8, !llvm.ptr<1>

// CHECK-LABEL: llvm.func @layer_gemm_0(
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK: nvvm.cp.async.shared.global {{.*}} 4, cache = ca
// Threads bring factors alone, which threads read: no fence before the products.
// MANY: nvvm.cp.async.mbarrier.arrive
// MANY-NOT: nvvm.fence.proxy
// MANY: nvvm.mbarrier.try_wait.parity
// MANY-NOT: nvvm.fence.proxy
// MANY: nvvm.wgmma.fence.aligned
// CHECK-NOT: f8E4M3FN
func.func @layer(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %tw: tensor<?x2xf32>,
                 %w1: tensor<8x768x512xf8E4M3FN>, %s1: tensor<8x6x4xf32>,
                 %w2: tensor<8x512x384xf8E4M3FN>, %s2: tensor<8x4x3xf32>, %out: tensor<?x512xbf16>) -> tensor<?x512xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x512xbf16>)
         topk(%ids, %tw : tensor<?x2xi32>, tensor<?x2xf32>)
         w1(%w1 : tensor<8x768x512xf8E4M3FN> scale %s1 : tensor<8x6x4xf32> quant #w)
         w2(%w2 : tensor<8x512x384xf8E4M3FN> scale %s2 : tensor<8x4x3xf32> quant #w)
         activation <swiglu> gate_up <halves> act_quant #a
         outs(%out : tensor<?x512xbf16>) -> tensor<?x512xbf16>
  return %y : tensor<?x512xbf16>
}
