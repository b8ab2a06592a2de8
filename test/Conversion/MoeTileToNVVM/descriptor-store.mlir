// Results that leave by the copy engine: every warp stages 16 rows of its own and starts their copy; the threads
// write those of a tile that ends inside of them. A buffer is written again when the copies before last have read it.
// RUN: moe-opt %s -convert-moe-tile-to-nvvm -split-input-file -verify-diagnostics | FileCheck %s

#l = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 8 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16], group = [m * 2 by 64]>
!F = !moe_tile.frag<128x64xbf16, #l>
!S = !moe_tile.buf<128x64xbf16, swizzle = 128>

// CHECK-LABEL: llvm.func @pieces
// CHECK-SAME: %[[MAP:arg[0-9]+]]: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}
// CHECK-SAME: {box = array<i64: 64, 16>, l2 = 256 : i64, map = 2 : i64, swizzle = 128 : i64}
// The store of the other buffer may be under way, the one of this buffer not.
// CHECK: nvvm.cp.async.bulk.wait_group 1 {read}
// CHECK: nvvm.bar.warp.sync
// CHECK-COUNT-4: nvvm.stmatrix
// CHECK: nvvm.fence.proxy
// CHECK: nvvm.bar.warp.sync
// CHECK-NOT: nvvm.barrier
// CHECK: %[[WHOLE:.*]] = arith.cmpi sle, %{{.*}}, %arg3
// CHECK: scf.if %[[WHOLE]] {
// CHECK:   nvvm.cp.async.bulk.tensor.global.shared.cta %[[MAP]], %{{.*}}, box[%{{.*}}, %{{.*}}]
// CHECK: } else {
// CHECK-COUNT-4: llvm.store %{{.*}} {alignment = 16 : i64} : vector<4xi32>
// CHECK: }
// Also where threads write: the count of pending stores stays right.
// CHECK: nvvm.cp.async.bulk.commit.group
// CHECK: nvvm.cp.async.bulk.wait_group 1 {read}
// CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta %[[MAP]]
// CHECK: nvvm.cp.async.bulk.commit.group
// CHECK: nvvm.cp.async.bulk.wait_group 0{{$}}
moe_tile.kernel @pieces(%x: memref<128x64xbf16>, %z: memref<128x64xbf16>, %y: memref<?x128xbf16>, %rows: index, %row0: index)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 256>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %s = moe_tile.buf_alloc : !S
  %t = moe_tile.buf_alloc : !S
  moe_tile.roles {
    moe_tile.role @compute threads(128) copies(2) divide(m) {
      %f = moe_tile.load %x[%c0, %c0] : memref<128x64xbf16> -> !F
      %g = moe_tile.load %z[%c0, %c0] : memref<128x64xbf16> -> !F
      moe_tile.store_wait
      moe_tile.deposit %f to %s : !F to !S
      moe_tile.group_sync team proxy
      moe_tile.store %s to %y[%row0, %c0] limit(%rows) how(bulk) : !S to memref<?x128xbf16>
      moe_tile.store_wait
      moe_tile.deposit %g to %t : !F to !S
      moe_tile.group_sync team proxy
      moe_tile.store %t to %y[%row0, %c64] limit(%rows) how(bulk) : !S to memref<?x128xbf16>
      moe_tile.store_wait complete
    }
  }
  moe_tile.return
}

// -----

#l = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 8 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>
!F = !moe_tile.frag<64x64xbf16, #l>
!S = !moe_tile.buf<64x64xbf16, swizzle = 128>

// With one buffer every store is waited for; all rows exist, so no thread writes any.
// CHECK-LABEL: llvm.func @one
// CHECK: nvvm.cp.async.bulk.wait_group 0 {read}
// CHECK-NOT: llvm.store
// CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta
moe_tile.kernel @one(%x: memref<64x64xbf16>, %y: memref<?x64xbf16>, %row0: index)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128>} {
  %c0 = arith.constant 0 : index
  %s = moe_tile.buf_alloc : !S
  moe_tile.roles {
    moe_tile.role @compute threads(128) {
      %f = moe_tile.load %x[%c0, %c0] : memref<64x64xbf16> -> !F
      moe_tile.store_wait
      moe_tile.deposit %f to %s : !F to !S
      moe_tile.group_sync team proxy
      moe_tile.store %s to %y[%row0, %c0] how(bulk) : !S to memref<?x64xbf16>
      moe_tile.store_wait complete
    }
  }
  moe_tile.return
}

// -----

#l = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 8 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>
!F = !moe_tile.frag<64x64xbf16, #l>
!S = !moe_tile.buf<64x64xbf16, swizzle = 128>

// The map's rows must lie 16 bytes apart.
moe_tile.kernel @pitch(%x: memref<64x64xbf16>, %y: memref<?x68xbf16>, %row0: index)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128>} {
  %c0 = arith.constant 0 : index
  %s = moe_tile.buf_alloc : !S
  moe_tile.roles {
    moe_tile.role @compute threads(128) {
      %f = moe_tile.load %x[%c0, %c0] : memref<64x64xbf16> -> !F
      moe_tile.store_wait
      moe_tile.deposit %f to %s : !F to !S
      moe_tile.group_sync team proxy
      // expected-error @below {{a descriptor store writes rows side by side of an argument of rank 2, of whole 16 bytes, got 'memref<?x68xbf16>'}}
      moe_tile.store %s to %y[%row0, %c0] how(bulk) : !S to memref<?x68xbf16>
      moe_tile.store_wait complete
    }
  }
  moe_tile.return
}
