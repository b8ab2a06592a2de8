// Few tokens: weights on the instruction's M side, eight tokens on its N side. One team holds 64 gate and 64 up
// rows as two instructions, so that gate and up of an element lie in one thread.
// RUN: moe-opt %s -convert-moe-tile-to-nvvm | FileCheck %s

#full = #moe_tile.digits<reg = [m * 2 by 1, n * 2 by 8, n * 2 by 64], lane = [m * 4 by 2, n * 8 by 1], warp = [n * 4 by 16]>
#half = #moe_tile.digits<reg = [m * 2 by 1, n * 2 by 8], lane = [m * 4 by 2, n * 8 by 1], warp = [n * 4 by 16]>
!A = !moe_tile.buf<8x64xbf16, swizzle = 128>
!B = !moe_tile.buf<128x64xbf16, swizzle = 128>
!ACC = !moe_tile.acc<8x128xf32, #moe_tile.atom<wgmma 8x64x16, swap>>
!F = !moe_tile.frag<8x128xf32, #full>
!H = !moe_tile.frag<8x64xf32, #half>
!HB = !moe_tile.frag<8x64xbf16, #half>
!RG = !moe_tile.ring<12 x (a: !moe_tile.buf<8x64xbf16, swizzle = 128>, b: !moe_tile.buf<128x64xbf16, swizzle = 128>), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>

// CHECK-LABEL: llvm.func @decode1
// Half of the load role's threads copy the eight rows.
// CHECK: arith.cmpi ult, %{{.*}}, %c8_i32
// CHECK: nvvm.cp.async.shared.global
// CHECK-COUNT-8: nvvm.wgmma.mma_async {{.*}}<m = 64, n = 8, k = 16>
// CHECK: moe_nv.wgmma_wait 0(%{{.*}}#0, %{{.*}}#1 :
moe_tile.kernel @decode1(%X: memref<?x2048xbf16>, %W: memref<128x1536x2048xbf16>, %slots: memref<?xi32>, %table: memref<?x4xi32>,
                       %count: memref<1xi32>, %Y: memref<?x768xbf16>)
    attributes {form = #moe_tile.form<explicit>, target = "sm_90a", smem_limit = 232448 : i64,
                exec = #moe_tile.exec<threads = 256, cluster = 1, grid = persistent>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c2048 = arith.constant 2048 : index
  %one = arith.constant 1.0 : f32
  %n32 = memref.load %count[%c0] : memref<1xi32>
  %n = arith.index_cast %n32 : i32 to index
  %list = moe_tile.block_list %table count(%n) columns 768 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  %ring = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(128) {
      %cp = moe_tile.cursor %ring : !RG -> !P
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) claim(stride) iter(%ct = %cp : !P) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<8>
        %z = scf.for %k = %c0 to %c2048 step %c64 iter_args(%c = %ct) -> (!P) {
          %a, %b = moe_tile.acquire %ring[%c] : !RG, !P -> !A, !B
          moe_tile.copy %W[%e, %n0, %k] boxes [0, 768] how(desc) to %b : memref<128x1536x2048xbf16>, !B
          moe_tile.copy %X[%idx : !moe_tile.rows<8>, %k] how(gather) to %a : memref<?x2048xbf16>, !A
          %nx = moe_tile.publish %ring[%c] : !RG, !P
          scf.yield %nx : !P
        }
        moe_tile.yield %z : !P
      }
    }
    moe_tile.role @compute threads(128) {
      %cc = moe_tile.cursor %ring : !RG -> !C
      %end = moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) claim(stride) iter(%ct = %cc : !C) {
        %e, %row0, %rows, %n0 = moe_tile.coords %t : index
        %a0, %b0 = moe_tile.wait %ring[%ct] : !RG, !C -> !A, !B
        %acc0 = moe_tile.mma %a0, %b0 : !A, !B -> !ACC
        moe_tile.mma_wait 0
        %ct1 = moe_tile.release %ring[%ct] : !RG, !C
        %r:2 = scf.for %k = %c64 to %c2048 step %c64 iter_args(%acc = %acc0, %c = %ct1) -> (!ACC, !C) {
          %a, %b = moe_tile.wait %ring[%c] : !RG, !C -> !A, !B
          %d = moe_tile.mma %a, %b, %acc : !A, !B, !ACC
          moe_tile.mma_wait 0
          %nx = moe_tile.release %ring[%c] : !RG, !C
          scf.yield %d, %nx : !ACC, !C
        }
        %f = moe_tile.acc_read %r#0 : !ACC -> !F
        %g, %u = moe_tile.split %f block 64 : !F -> !H, !H
        %h = moe_tile.map ins(%g, %u : !H, !H) -> !HB {
        ^bb0(%gate: f32, %up: f32):
          %neg = arith.negf %gate : f32
          %ex = math.exp %neg : f32
          %den = arith.addf %ex, %one : f32
          %si = arith.divf %gate, %den : f32
          %v = arith.mulf %si, %up : f32
          %w = arith.truncf %v : f32 to bf16
          moe_tile.yield %w : bf16
        }
        moe_tile.store %h to %Y[%row0, %n0] limit(%rows) : !HB to memref<?x768xbf16>
        moe_tile.yield %r#1 : !C
      }
    }
  }
  moe_tile.return
}
