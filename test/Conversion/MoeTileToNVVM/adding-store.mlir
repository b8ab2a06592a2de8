// Rows of one token are added where they meet: f32, relaxed, in any order; rows that do not exist add nothing.
// RUN: moe-opt %s -convert-moe-tile-to-nvvm -split-input-file -verify-diagnostics | FileCheck %s

#l = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>
!F = !moe_tile.frag<64x8xf32, #l>

// CHECK-LABEL: llvm.func @add
// CHECK: %[[SLOT:.*]] = llvm.load %{{.*}} : !llvm.ptr<1> -> i32
// CHECK: arith.cmpi sge, %[[SLOT]], %c0_i32
// CHECK: arith.divui %[[SLOT]], %c8_i32
// CHECK: scf.if
// CHECK-COUNT-2: llvm.atomicrmw fadd %{{.*}}, %{{.*}} syncscope("device") monotonic : !llvm.ptr<1>, f32
// CHECK: scf.if
// CHECK-COUNT-2: llvm.atomicrmw fadd
// CHECK-NOT: llvm.store
moe_tile.kernel @add(%x: memref<64x8xf32>, %slots: memref<?xi32>, %y: memref<?x8xf32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128>} {
  %c0 = arith.constant 0 : index
  moe_tile.roles {
    moe_tile.role @compute threads(128) {
      %tokens = moe_tile.row_index %slots[%c0] div 8 : memref<?xi32> -> !moe_tile.rows<64>
      %f = moe_tile.load %x[%c0, %c0] : memref<64x8xf32> -> !F
      moe_tile.store %f to %y[%tokens : !moe_tile.rows<64>, %c0] mode(add_f32) : !F to memref<?x8xf32>
    }
  }
  moe_tile.return
}

// -----

#row = #moe_tile.digits<reg = [n * 2 by 0, m * 2 by 8], lane = [n * 4 by 0, m * 8 by 1], warp = [m * 4 by 16]>
!R = !moe_tile.frag<64x1xf32, #row>

// Four lanes hold each value: it would be added four times.
moe_tile.kernel @twice(%x: memref<64x1xf32>, %y: memref<64x1xf32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128>} {
  %c0 = arith.constant 0 : index
  moe_tile.roles {
    moe_tile.role @compute threads(128) {
      %f = moe_tile.load %x[%c0, %c0] : memref<64x1xf32> -> !R
      // expected-error @below {{adds a fragment that several threads hold}}
      moe_tile.store %f to %y[%c0, %c0] mode(add_f32) : !R to memref<64x1xf32>
    }
  }
  moe_tile.return
}
