// Bytes of two's complement: products are added in i32 and converted once, behind the wait.
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe-tile-to-explicit{target=sm_90a},convert-moe-tile-to-nvvm)" | FileCheck %s --check-prefix=HOPPER
// RUN: sed 's/b = "desc"/b = "vector"/' %s > %t.warps.mlir
// RUN: moe-opt %t.warps.mlir -pass-pipeline="builtin.module(moe-tile-to-explicit{target=sm_80},convert-moe-tile-to-nvvm)" | FileCheck %s --check-prefix=WARPS --implicit-check-not=wgmma

// Products of 64 weight rows by 8 to 64 tokens, four steps of 32 columns.
// HOPPER-LABEL: llvm.func @bytes
// HOPPER: nvvm.wgmma.mma_async {{.*}} <m = 64, n = 8, k = 32>, D[<s32>, <zero>], A[<s8>, <one>, <row>], B[<s8>, <one>, <col>]
// HOPPER-COUNT-3: nvvm.wgmma.mma_async {{.*}} <m = 64, n = 8, k = 32>, D[<s32>, <one>]
// HOPPER: moe_nv.wgmma_wait 0({{.*}} : !llvm.struct<(i32, i32, i32, i32)>, !llvm.struct<(i32, i32, i32, i32)>)
// HOPPER: arith.sitofp %{{.*}} : i32 to f32
// HOPPER: nvvm.wgmma.mma_async {{.*}} <m = 64, n = 64, k = 32>, D[<s32>, <zero>]

// WARPS-LABEL: llvm.func @bytes
// WARPS: nvvm.mma.sync {{.*}}intOverflowBehavior = #nvvm.mma_int_overflow<wrapped>{{.*}}multiplicandAPtxType = #nvvm.mma_type<s8>{{.*}}shape = #nvvm.shape<m = 16, n = 8, k = 32>}{{.*}} -> !llvm.struct<(i32, i32, i32, i32)>
// WARPS: arith.sitofp %{{.*}} : i32 to f32
moe_tile.kernel @bytes(%A: memref<?x256xi8>, %B: memref<4x128x256xi8>, %table: memref<?x4xi32>, %count: memref<1xi32>, %Y: memref<?x128xf32>)
    attributes {moe.config = #moe.config<block = [64, 128, 128], stages = 3, swap = true, a = "gather", b = "desc", claim = "stride">} {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %n32 = memref.load %count[%c0] : memref<1xi32>
  %n = arith.index_cast %n32 : i32 to index
  %l = moe_tile.block_list %table count(%n) columns 128 by 128 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %at = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !moe_tile.acc<64x128xi32>
    %acc = moe_tile.k_loop %c0 to %c256 step 128 init(%z : !moe_tile.acc<64x128xi32>)
      load(%k: index) {
        %a = moe_tile.load %A[%at : !moe_tile.rows<64>, %k] : memref<?x256xi8> -> !moe_tile.buf<64x128xi8>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x128x256xi8> -> !moe_tile.buf<128x128xi8>
        moe_tile.yield %a, %b : !moe_tile.buf<64x128xi8>, !moe_tile.buf<128x128xi8>
      } compute(%k: index, %a: !moe_tile.buf<64x128xi8>, %b: !moe_tile.buf<128x128xi8>, %c: !moe_tile.acc<64x128xi32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x128xi8>, !moe_tile.buf<128x128xi8>, !moe_tile.acc<64x128xi32>
        moe_tile.yield %d : !moe_tile.acc<64x128xi32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x128xi32> -> !moe_tile.frag<64x128xi32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x128xi32>) -> !moe_tile.frag<64x128xf32> {
    ^bb0(%x: i32):
      %p = arith.sitofp %x : i32 to f32
      moe_tile.yield %p : f32
    }
    moe_tile.store %q to %Y[%row0, %n0] limit(%rows) : !moe_tile.frag<64x128xf32> to memref<?x128xf32>
  }
  moe_tile.return
}
