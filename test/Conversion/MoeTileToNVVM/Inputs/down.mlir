// The second GEMM of a layer for few tokens: 16 rows per tile, four slots, K = 128. The list of tiles and the weights
// are settled when the kernel starts, its rows are not.
!A = !moe_tile.buf<16x64xbf16, swizzle = 128>
!B = !moe_tile.buf<64x64xbf16, swizzle = 128>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
!ACC = !moe_tile.acc<16x64xf32, #moe_tile.atom<wgmma 16x64x16, swap>>
!RING = !moe_tile.ring<4 x (a: !moe_tile.buf<16x64xbf16, swizzle = 128>, b: !moe_tile.buf<64x64xbf16, swizzle = 128>), sync = tx>
!F0 = !moe_tile.frag<16x64xf32, #moe_tile.digits<reg = [m * 2 by 1, n * 2 by 8, m * 2 by 8], lane = [m * 4 by 2, n * 8 by 1], warp = [n * 4 by 16]>>
!F1 = !moe_tile.frag<16x1xf32, #moe_tile.digits<reg = [m * 2 by 1, n * 2 by 0, m * 2 by 8], lane = [m * 4 by 2, n * 8 by 0], warp = [n * 4 by 0]>>

moe_tile.kernel @down(%h: memref<?x128xbf16>, %w: memref<4x128x128xbf16> {moe_tile.settled}, %weights: memref<?x2xf32> {moe_tile.settled}, %slots: memref<?xi32> {moe_tile.settled}, %table: memref<?x4xi32> {moe_tile.settled}, %count: memref<1xi32> {moe_tile.settled}, %out: memref<?x128xf32> {moe_tile.settled})
    attributes {exec = #moe_tile.exec<threads = 256, cluster = 1, grid = persistent>, form = #moe_tile.form<explicit>, smem_limit = 232448 : i64, target = "sm_90a"} {
  %c0 = arith.constant 0 : index
  moe_tile.await_launch
  %0 = memref.load %count[%c0] : memref<1xi32>
  %1 = arith.index_cast %0 : i32 to index
  %2 = moe_tile.block_list %table count(%1) columns 128 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  %collapse_shape = memref.collapse_shape %weights [[0, 1]] : memref<?x2xf32> into memref<?xf32>
  %c128 = arith.constant 128 : index
  %c64 = arith.constant 64 : index
  %3 = moe_tile.ring_alloc : !RING
  moe_tile.roles {
    moe_tile.role @load threads(128) {
      %4 = moe_tile.cursor %3 : !RING -> !P
      %5 = moe_tile.for_tiles %arg7 in %2 : !moe_tile.tiles<blocks> order(expert_major) claim(stride) iter(%arg8 = %4 : !P) {
        %expert, %row0, %rows, %n0 = moe_tile.coords %arg7 : index
        %6 = scf.for %arg9 = %c0 to %c128 step %c64 iter_args(%arg10 = %arg8) -> (!P) {
          %7:2 = moe_tile.acquire %3[%arg10] : !RING, !P -> !A, !B
          moe_tile.copy %w[%expert, %n0, %arg9] how(desc) to %7#1 : memref<4x128x128xbf16>, !B
          moe_tile.copy %h[%row0, %arg9] how(desc) to %7#0 : memref<?x128xbf16>, !A
          %8 = moe_tile.publish %3[%arg10] : !RING, !P
          scf.yield %8 : !P
        }
        moe_tile.yield %6 : !P
      }
    }
    moe_tile.role @compute threads(128) {
      %4 = moe_tile.cursor %3 : !RING -> !C
      %5 = moe_tile.for_tiles %arg7 in %2 : !moe_tile.tiles<blocks> order(expert_major) claim(stride) iter(%arg8 = %4 : !C) {
        %expert, %row0, %rows, %n0 = moe_tile.coords %arg7 : index
        %6 = moe_tile.row_index %slots[%row0] limit(%rows) : memref<?xi32> -> !moe_tile.rows<16>
        %7:2 = moe_tile.wait %3[%arg8] : !RING, !C -> !A, !B
        %8 = moe_tile.mma %7#0, %7#1 atom(#moe_tile.atom<wgmma 16x64x16, swap>) : !A, !B -> !ACC
        moe_tile.mma_wait 0
        %9 = moe_tile.release %3[%arg8] : !RING, !C
        %10:2 = scf.for %arg9 = %c64 to %c128 step %c64 iter_args(%arg10 = %8, %arg11 = %9) -> (!ACC, !C) {
          %14:2 = moe_tile.wait %3[%arg11] : !RING, !C -> !A, !B
          %15 = moe_tile.mma %14#0, %14#1, %arg10 atom(#moe_tile.atom<wgmma 16x64x16, swap>) : !A, !B, !ACC
          moe_tile.mma_wait 0
          %16 = moe_tile.release %3[%arg11] : !RING, !C
          scf.yield %15, %16 : !ACC, !C
        }
        %11 = moe_tile.acc_read %10#0 : !ACC -> !F0
        %12 = moe_tile.load %collapse_shape[%6 : !moe_tile.rows<16>] dims [0, -1] how(element) : memref<?xf32> -> !F1
        %13 = moe_tile.map ins(%11, %12 : !F0, !F1) -> !F0 {
        ^bb0(%arg9: f32, %arg10: f32):
          %14 = arith.mulf %arg9, %arg10 : f32
          moe_tile.yield %14 : f32
        }
        moe_tile.store %13 to %out[%6 : !moe_tile.rows<16>, %n0] how(vector) : !F0 to memref<?x128xf32>
        moe_tile.yield %10#1 : !C
      }
    }
  }
  moe_tile.return
}
