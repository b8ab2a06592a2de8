// Products by warps: operands by ldmatrix from swizzled slots that threads fill, nothing that came with sm_90.
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe-tile-to-explicit{target=sm_80},convert-moe-tile-to-nvvm)" | FileCheck %s --implicit-check-not=wgmma --implicit-check-not=try_wait --implicit-check-not=stmatrix --implicit-check-not=fence --implicit-check-not=setmaxregister --implicit-check-not=cp.async.bulk
// RUN: moe-opt %s -pass-pipeline="builtin.module(moe-tile-to-explicit{target=sm_89},convert-moe-tile-to-nvvm)" | FileCheck %s

// CHECK-LABEL: llvm.func @gated
// Full barriers count the threads of the load role, empty ones the warps that multiply.
// CHECK: nvvm.mbarrier.init %{{.*}}, %[[LOADS:.*]] : !llvm.ptr<3>, i32
// CHECK: nvvm.mbarrier.init %{{.*}}, %[[WARPS:.*]] : !llvm.ptr<3>, i32
// CHECK: nvvm.barrier
// The load role: weights of both boxes by 128 threads, 16 rows at a time, then the rows of the list.
// CHECK: nvvm.mbarrier.test.wait
// CHECK-COUNT-8: nvvm.cp.async.shared.global %{{.*}}, %{{.*}}, 16, cache =  cg
// CHECK-COUNT-4: nvvm.cp.async.shared.global %{{.*}}, %{{.*}}, 16, cache =  cg, %{{.*}} :
// CHECK: nvvm.cp.async.mbarrier.arrive %{{.*}} {noinc = true}
// The compute role: a warp has 32 of 64 rows and 2 x 16 of 128 columns; four steps of 16 columns of k.
// CHECK: nvvm.mbarrier.test.wait
// CHECK-COUNT-4: nvvm.ldmatrix %{{.*}} {{.*}}num = 4 : i32
// CHECK: nvvm.mma.sync {{.*}}multiplicandAPtxType = #nvvm.mma_type<bf16>{{.*}}shape = #nvvm.shape<m = 16, n = 8, k = 16>
// The other lanes have read the slot before one gives it back.
// CHECK: nvvm.bar.warp.sync
// CHECK: nvvm.mbarrier.arrive
moe_tile.kernel @gated(%A: memref<?x256xbf16>, %B: memref<4x128x256xbf16>, %table: memref<?x4xi32>, %count: memref<1xi32>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 3, a = "gather", b = "vector", claim = "stride">} {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %n32 = memref.load %count[%c0] : memref<1xi32>
  %n = arith.index_cast %n32 : i32 to index
  %l = moe_tile.block_list %table count(%n) columns 64 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %at = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !moe_tile.acc<64x128xf32>
    %acc = moe_tile.k_loop %c0 to %c256 step 64 init(%z : !moe_tile.acc<64x128xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%at : !moe_tile.rows<64>, %k] : memref<?x256xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] boxes [0, 64] : memref<4x128x256xbf16> -> !moe_tile.buf<128x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<128x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<128x64xbf16>, %c: !moe_tile.acc<64x128xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<128x64xbf16>, !moe_tile.acc<64x128xf32>
        moe_tile.yield %d : !moe_tile.acc<64x128xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x128xf32> -> !moe_tile.frag<64x128xf32>
    %g, %u = moe_tile.split %f block 64 : !moe_tile.frag<64x128xf32> -> !moe_tile.frag<64x64xf32>, !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%g, %u : !moe_tile.frag<64x64xf32>, !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32, %y: f32):
      %p = arith.mulf %x, %y : f32
      %h = arith.truncf %p : f32 to bf16
      moe_tile.yield %h : bf16
    }
    moe_tile.store %q to %Y[%row0, %n0] limit(%rows) : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}
