// A result that leaves by whole rows: rows of the staging buffer are padded, not swizzled, one thread copies one
// row, and the buffer is written again only when the copies have read it.
// RUN: moe-opt %s -convert-moe-tile-to-nvvm | FileCheck %s

#l = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 8 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>
!F = !moe_tile.frag<64x64xbf16, #l>
!S = !moe_tile.buf<64x64xbf16, pad = 16>

// CHECK-LABEL: llvm.func @rows
// CHECK-SAME: smem = 9216 : i64
// The thread's row number is read first.
// CHECK: llvm.load %{{.*}} -> i32
// CHECK: %[[ROW:.*]] = arith.select %{{.*}}, %{{.*}}, %c-1_i32
// CHECK: nvvm.cp.async.bulk.wait_group 0 {read}
// CHECK-NEXT: arith.constant 1 : i32
// CHECK-NEXT: arith.constant 128 : i32
// CHECK-NEXT: nvvm.barrier id
// A row has 128 + 16 bytes.
// CHECK: arith.constant 144 : i32
// CHECK-COUNT-4: nvvm.stmatrix
// CHECK: nvvm.fence.proxy
// CHECK: nvvm.barrier id
// CHECK: %[[IS:.*]] = arith.cmpi sge, %[[ROW]]
// CHECK: scf.if %[[IS]]
// Columns 64 to 103 of 104 are in the second tile: 40 of 64.
// CHECK: arith.minsi
// CHECK: nvvm.cp.async.bulk.global.shared.cta %{{.*}}, %{{.*}}, %{{.*}} : <1>, <3>
// CHECK: nvvm.cp.async.bulk.commit.group
// CHECK: nvvm.cp.async.bulk.wait_group 0{{$}}
moe_tile.kernel @rows(%x: memref<64x104xbf16>, %slots: memref<?xi32>, %y: memref<?x104xbf16>, %n0: index)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128>} {
  %c0 = arith.constant 0 : index
  %s = moe_tile.buf_alloc : !S
  moe_tile.roles {
    moe_tile.role @compute threads(128) {
      %idx = moe_tile.row_index %slots[%c0] : memref<?xi32> -> !moe_tile.rows<64>
      %f = moe_tile.load %x[%c0, %n0] : memref<64x104xbf16> -> !F
      moe_tile.store_wait
      moe_tile.deposit %f to %s : !F to !S
      moe_tile.group_sync team proxy
      moe_tile.store %s to %y[%idx : !moe_tile.rows<64>, %n0] how(bulk) : !S to memref<?x104xbf16>
      moe_tile.store_wait complete
    }
  }
  moe_tile.return
}
