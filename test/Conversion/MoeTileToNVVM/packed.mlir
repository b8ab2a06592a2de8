// Weights of four bits: a ring for the operands and one for the factors of a tile, decoded rows that put gate and up
// of a column into one thread, products with the instruction's first operand in registers. For few tokens the products
// are scaled into a sum, for many the weights.
// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-to-nvvm{tokens=64})' | FileCheck %s --check-prefixes=CHECK,FEW
// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-to-nvvm{tokens=1024})' | FileCheck %s --check-prefixes=CHECK,MANY
// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-to-nvvm{tokens=64})' -mlir-print-ir-after=moe-tile-specialize -o /dev/null 2>&1 | FileCheck %s --check-prefix=SUM
// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-to-nvvm{tokens=1024})' -mlir-print-ir-after=moe-tile-specialize -o /dev/null 2>&1 | FileCheck %s --check-prefix=TILE

// The scales of 128 gate and 128 up rows for all of K come by one copy per tile, in front of the product.
// TILE-LABEL: moe_tile.kernel @layer_gemm(
// TILE: moe_tile.ring_alloc : !moe_tile.ring<{{[0-9]+}} x (a: !moe_tile.buf<64x128xbf16, swizzle = 128>, b: !moe_tile.buf<256x64xi8, swizzle = 64>), sync = tx>
// TILE: %[[F:.*]] = moe_tile.ring_alloc : !moe_tile.ring<2 x (scale: !moe_tile.buf<256x3xbf16>), sync = tx>
// TILE: moe_tile.role @load
// TILE: acquire %[[F]]
// TILE: moe_tile.copy %{{.*}} dims [1, 2] granule [1, 1, 128] boxes [0, 256] how(bulk) to
// TILE: scf.for
// TILE: moe_tile.role @compute threads(128) copies(2) divide(n)
// TILE: wait %[[F]]
// TILE: moe_tile.dequant %{{.*}} scale(%{{.*}} : !moe_tile.buf<256x3xbf16>) at(%{{.*}}) granule [1, 128] zero_value 8 format(low_even)
// Rows eight apart in the instruction are 128 apart in the tile.
// TILE-SAME: m * 2 by 128

// A step is a granule; its column of the scales is read in front of the product.
// SUM-LABEL: moe_tile.kernel @layer_gemm(
// SUM: moe_tile.ring_alloc : !moe_tile.ring<{{[0-9]+}} x (a: !moe_tile.buf<16x128xbf16, swizzle = 128>, b: !moe_tile.buf<256x64xi8, swizzle = 64>), sync = tx>
// SUM: moe_tile.ring_alloc : !moe_tile.ring<2 x (scale: !moe_tile.buf<256x3xbf16>), sync = tx>
// SUM: moe_tile.role @compute threads(128) copies(4) divide(n) regs(104)
// SUM: %[[SCALES:.*]] = moe_tile.wait
// SUM: scf.for %[[K:[a-z0-9]+]] =
// SUM: %[[COLUMN:.*]] = arith.divui %[[K]], %c128
// SUM: %[[S:.*]] = moe_tile.frag_load %[[SCALES]] at %[[COLUMN]] : !moe_tile.buf<256x3xbf16> -> !moe_tile.frag<1x256xbf16
// SUM: %[[W:.*]] = moe_tile.dequant %{{.*}} zero_value 8 format(low_even)
// SUM: %[[ACC:.*]] = moe_tile.mma %{{.*}}, %[[W]]
// SUM: %[[PART:.*]] = moe_tile.acc_read %[[ACC]]
// SUM: moe_tile.promote %[[PART]], {{.*}}col(%[[S]]

// CHECK-LABEL: llvm.func @layer_gemm(
// CHECK: nvvm.cp.async.bulk.shared.cluster.global
// FEW: llvm.load %{{.*}} : !llvm.ptr<3> -> bf16
// 16 bytes by a thread: 32 columns of a row.
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
// CHECK: nvvm.prmt
// CHECK: arith.muli %{{.*}}, %c4097_i32
// CHECK: arith.subf {{.*}} : vector<2xbf16>
// MANY: arith.mulf {{.*}} : vector<2xbf16>
// FEW-NOT: arith.mulf {{.*}} : vector<2xbf16>
// FEW: moe_nv.wgmma_registers {{.*}} of bf16 from_zero : !llvm.struct<(f32, f32, f32, f32)>
// MANY: moe_nv.wgmma_registers {{.*}} of bf16 from_zero
// CHECK: nvvm.wgmma.commit.group.sync.aligned
// CHECK: nvvm.wgmma.wait.group.sync.aligned 1
// FEW: moe_nv.wgmma_wait
// FEW-COUNT-4: math.fma
func.func @layer(%x: tensor<?x384xbf16> {moe.name = "x"}, %ids: tensor<?x3xi32>, %tw: tensor<?x3xf32>,
                 %w1: tensor<64x512x192xi8>, %s1: tensor<64x512x3xbf16>, %w2: tensor<64x384x128xi8>, %s2: tensor<64x384x2xbf16>,
                 %out: tensor<?x384xbf16> {moe.name = "out"}) -> tensor<?x384xbf16> {
  %0 = moe.fused_experts x(%x : tensor<?x384xbf16>) topk(%ids, %tw : tensor<?x3xi32>, tensor<?x3xf32>)
    w1(%w1 : tensor<64x512x192xi8> scale %s1 : tensor<64x512x3xbf16> quant #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>)
    w2(%w2 : tensor<64x384x128xi8> scale %s2 : tensor<64x384x2xbf16> quant #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>)
    activation <swiglu> gate_up <halves> outs(%out : tensor<?x384xbf16>) -> tensor<?x384xbf16>
  return %0 : tensor<?x384xbf16>
}
