// Weights of four bits: a ring for the operands and one for the factors of a tile, decoded rows that put gate and up
// of a column into one thread, products with the instruction's first operand in registers.
// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-to-nvvm{tokens=1})' | FileCheck %s
// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-to-nvvm{tokens=1})' -mlir-print-ir-after=moe-tile-specialize -o /dev/null 2>&1 | FileCheck %s --check-prefix=TILE

// The scales of 64 gate and 64 up rows for all of K come by one copy per tile, in front of the product.
// TILE-LABEL: moe_tile.kernel @layer_gemm(
// TILE: moe_tile.ring_alloc : !moe_tile.ring<10 x (a: !moe_tile.buf<8x256xbf16, swizzle = 128>, b: !moe_tile.buf<128x128xi8, swizzle = 128>), sync = tx>
// TILE: %[[F:.*]] = moe_tile.ring_alloc : !moe_tile.ring<2 x (scale: !moe_tile.buf<128x3xbf16>), sync = tx>
// TILE: moe_tile.role @load
// TILE: acquire %[[F]]
// TILE: moe_tile.copy %{{.*}} dims [1, 2] granule [1, 1, 128] boxes [0, 256] how(bulk) to
// TILE: scf.for
// TILE: moe_tile.role @compute threads(128) copies(2) divide(n)
// TILE: wait %[[F]]
// TILE: moe_tile.dequant %{{.*}} scale(%{{.*}} : !moe_tile.buf<128x3xbf16>) at(%{{.*}}) granule [1, 128] zero_value 8 format(low_even)
// Rows eight apart in the instruction are 64 apart in the tile.
// TILE-SAME: !moe_tile.frag<128x256xbf16, #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 64, n * 32 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 8], group = [m * 2 by 32]>>

// CHECK-LABEL: llvm.func @layer_gemm(
// CHECK: nvvm.cp.async.bulk.shared.cluster.global
// 16 bytes by a thread: 32 columns of a row.
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
// CHECK: nvvm.prmt
// CHECK: arith.muli %{{.*}}, %c4097_i32
// CHECK: arith.subf {{.*}} : vector<2xbf16>
// CHECK: arith.mulf {{.*}} : vector<2xbf16>
// CHECK: moe_nv.wgmma_registers {{.*}} of bf16 from_zero : !llvm.struct<(f32, f32, f32, f32)>
// CHECK: nvvm.wgmma.commit.group.sync.aligned
// CHECK: nvvm.wgmma.wait.group.sync.aligned 1
func.func @layer(%x: tensor<?x384xbf16> {moe.name = "x"}, %ids: tensor<?x3xi32>, %tw: tensor<?x3xf32>,
                 %w1: tensor<8x512x192xi8>, %s1: tensor<8x512x3xbf16>, %w2: tensor<8x384x128xi8>, %s2: tensor<8x384x2xbf16>,
                 %out: tensor<?x384xbf16> {moe.name = "out"}) -> tensor<?x384xbf16> {
  %0 = moe.fused_experts x(%x : tensor<?x384xbf16>) topk(%ids, %tw : tensor<?x3xi32>, tensor<?x3xf32>)
    w1(%w1 : tensor<8x512x192xi8> scale %s1 : tensor<8x512x3xbf16> quant #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>)
    w2(%w2 : tensor<8x384x128xi8> scale %s2 : tensor<8x384x2xbf16> quant #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>)
    activation <swiglu> gate_up <halves> outs(%out : tensor<?x384xbf16>) -> tensor<?x384xbf16>
  return %0 : tensor<?x384xbf16>
}
