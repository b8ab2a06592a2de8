// Products without matrix units: 16 bytes of weights per lane, sums over the lanes, no shared memory.
// RUN: moe-opt %s -split-input-file -convert-moe-tile-rows-to-nvvm -verify-diagnostics | FileCheck %s

// A warp has 2 columns of a block's 8; a lane 8 values of each row at a time, 256 a warp. The first tile's
// weights are loaded before the loop over tiles, the next tile's before the products of this one.
// CHECK-LABEL: llvm.func @two
// CHECK-SAME: block = array<i64: 128, 1, 1>
// CHECK-SAME: grid = [{persistent = 4 : i64}
// CHECK-SAME: smem = 0
// CHECK: scf.if
// CHECK: scf.if
// CHECK-COUNT-2: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK: scf.for %{{.*}} iter_args(%{{.*}}, %{{.*}}) -> (vector<4xi32>, vector<4xi32>)
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK: scf.if
// CHECK-COUNT-2: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK: math.fma
// CHECK-COUNT-5: nvvm.shfl.sync bfly
// CHECK: llvm.store %{{.*}} {alignment = 2 : i64} : bf16, !llvm.ptr<1>
#fma = #moe.config<block = [1, 8, 0], a = "direct", b = "direct", atom = "fma", warps = 4>
moe_tile.kernel @two(%x: memref<?x256xbf16>, %w: memref<4x64x256xbf16>, %table: memref<?x4xi32>, %n: index,
                     %y: memref<?x64xbf16>) attributes {moe.config = #fma} {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %list = moe_tile.block_list %table count(%n) columns 64 by 8 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<1>
    %z = moe_tile.acc_zero : !moe_tile.acc<1x8xf32>
    %acc = moe_tile.k_loop %c0 to %c256 step 256 init(%z : !moe_tile.acc<1x8xf32>)
      load(%k: index) {
        %a = moe_tile.load %x[%idx : !moe_tile.rows<1>, %k] : memref<?x256xbf16> -> !moe_tile.buf<1x256xbf16>
        %b = moe_tile.load %w[%e, %n0, %k] : memref<4x64x256xbf16> -> !moe_tile.buf<8x256xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<1x256xbf16>, !moe_tile.buf<8x256xbf16>
      } compute(%k: index, %a: !moe_tile.buf<1x256xbf16>, %b: !moe_tile.buf<8x256xbf16>, %c: !moe_tile.acc<1x8xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<1x256xbf16>, !moe_tile.buf<8x256xbf16>, !moe_tile.acc<1x8xf32>
        moe_tile.yield %d : !moe_tile.acc<1x8xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<1x8xf32> -> !moe_tile.frag<1x8xf32>
    %h = moe_tile.map ins(%f : !moe_tile.frag<1x8xf32>) -> !moe_tile.frag<1x8xbf16> {
    ^bb0(%v: f32):
      %r = arith.truncf %v : f32 to bf16
      moe_tile.yield %r : bf16
    }
    moe_tile.store %h to %y[%row0, %n0] limit(%rows) : !moe_tile.frag<1x8xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

#fma = #moe.config<block = [8, 8, 0], a = "direct", b = "direct", atom = "fma", warps = 4>
moe_tile.kernel @rows(%x: memref<?x256xbf16>, %w: memref<4x64x256xbf16>, %table: memref<?x4xi32>, %n: index,
                      %y: memref<?x64xf32>) attributes {moe.config = #fma} {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %list = moe_tile.block_list %table count(%n) columns 64 by 8 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<8x8xf32>
    %acc = moe_tile.k_loop %c0 to %c256 step 256 init(%z : !moe_tile.acc<8x8xf32>)
      load(%k: index) {
        %a = moe_tile.load %x[%row0, %k] : memref<?x256xbf16> -> !moe_tile.buf<8x256xbf16>
        %b = moe_tile.load %w[%e, %n0, %k] : memref<4x64x256xbf16> -> !moe_tile.buf<8x256xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<8x256xbf16>, !moe_tile.buf<8x256xbf16>
      } compute(%k: index, %a: !moe_tile.buf<8x256xbf16>, %b: !moe_tile.buf<8x256xbf16>, %c: !moe_tile.acc<8x8xf32>) {
        // expected-error @below {{has no form without matrix units: tiles of 8 rows, at most 4}}
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<8x256xbf16>, !moe_tile.buf<8x256xbf16>, !moe_tile.acc<8x8xf32>
        moe_tile.yield %d : !moe_tile.acc<8x8xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<8x8xf32> -> !moe_tile.frag<8x8xf32>
    moe_tile.store %f to %y[%row0, %n0] limit(%rows) : !moe_tile.frag<8x8xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// Weights of four bits by a slot list, both settled: they are under way before the wait. A code is one logic
// operation behind a shift, with a constant that the compiler does not know.
// CHECK-LABEL: llvm.func @packed
// CHECK: %[[BIG:.*]] = arith.constant 2147483647 : i32
// CHECK: %[[OTHER:.*]] = arith.cmpi eq, %{{.*}}, %[[BIG]] : i32
// CHECK: arith.select %[[OTHER]], %{{.*}}, %{{.*}} : i32
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK: llvm.load %{{.*}} {alignment = 2 : i64} : !llvm.ptr<1> -> bf16
// CHECK: nvvm.griddepcontrol wait
// CHECK-NEXT: nvvm.griddepcontrol launch_dependents
// CHECK: scf.for
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
#fma = #moe.config<block = [1, 8, 0], a = "direct", b = "direct", atom = "fma", warps = 4>
moe_tile.kernel @packed(%x: memref<?x256xbf16>, %w: memref<4x64x128xi8> {moe_tile.settled}, %s: memref<4x64x2xbf16> {moe_tile.settled},
                        %ids: memref<?x2xi32> {moe_tile.settled}, %y: memref<?x64xf32>) attributes {moe.config = #fma} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %c256 = arith.constant 256 : index
  moe_tile.await_launch
  %list = moe_tile.slot_list ids(%ids : memref<?x2xi32>) experts 4 columns 64 by 8 -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<1>
    %z = moe_tile.acc_zero : !moe_tile.acc<1x8xf32>
    %acc = moe_tile.k_loop %c0 to %c256 step 256 init(%z : !moe_tile.acc<1x8xf32>)
      load(%k: index) {
        %a = moe_tile.load %x[%idx : !moe_tile.rows<1>, %k] : memref<?x256xbf16> -> !moe_tile.buf<1x256xbf16>
        %h = arith.divui %k, %c2 : index
        %q = moe_tile.load %w[%e, %n0, %h] : memref<4x64x128xi8> -> !moe_tile.buf<8x128xi8>
        %f = moe_tile.load %s[%e, %n0, %k] dims [1, 2] granule [1, 1, 128] : memref<4x64x2xbf16> -> !moe_tile.buf<8x2xbf16>
        %b = moe_tile.dequant %q scale(%f : !moe_tile.buf<8x2xbf16>) granule [1, 128] zero_value 8 format(low_even) : !moe_tile.buf<8x128xi8> -> !moe_tile.buf<8x256xf32>
        moe_tile.yield %a, %b : !moe_tile.buf<1x256xbf16>, !moe_tile.buf<8x256xf32>
      } compute(%k: index, %a: !moe_tile.buf<1x256xbf16>, %b: !moe_tile.buf<8x256xf32>, %c: !moe_tile.acc<1x8xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<1x256xbf16>, !moe_tile.buf<8x256xf32>, !moe_tile.acc<1x8xf32>
        moe_tile.yield %d : !moe_tile.acc<1x8xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<1x8xf32> -> !moe_tile.frag<1x8xf32>
    moe_tile.store %f to %y[%row0, %n0] limit(%rows) : !moe_tile.frag<1x8xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// Weights that the launch before may still write are read after it.
// CHECK-LABEL: llvm.func @unsettled
// CHECK-NOT: alignment = 16
// CHECK: nvvm.griddepcontrol wait
// CHECK: llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
#fma = #moe.config<block = [1, 8, 0], a = "direct", b = "direct", atom = "fma", warps = 4>
moe_tile.kernel @unsettled(%x: memref<?x256xbf16>, %w: memref<4x64x256xbf16>, %ids: memref<?x2xi32> {moe_tile.settled},
                           %y: memref<?x64xf32>) attributes {moe.config = #fma} {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  moe_tile.await_launch
  %list = moe_tile.slot_list ids(%ids : memref<?x2xi32>) experts 4 columns 64 by 8 -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<1>
    %z = moe_tile.acc_zero : !moe_tile.acc<1x8xf32>
    %acc = moe_tile.k_loop %c0 to %c256 step 256 init(%z : !moe_tile.acc<1x8xf32>)
      load(%k: index) {
        %a = moe_tile.load %x[%idx : !moe_tile.rows<1>, %k] : memref<?x256xbf16> -> !moe_tile.buf<1x256xbf16>
        %b = moe_tile.load %w[%e, %n0, %k] : memref<4x64x256xbf16> -> !moe_tile.buf<8x256xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<1x256xbf16>, !moe_tile.buf<8x256xbf16>
      } compute(%k: index, %a: !moe_tile.buf<1x256xbf16>, %b: !moe_tile.buf<8x256xbf16>, %c: !moe_tile.acc<1x8xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<1x256xbf16>, !moe_tile.buf<8x256xbf16>, !moe_tile.acc<1x8xf32>
        moe_tile.yield %d : !moe_tile.acc<1x8xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<1x8xf32> -> !moe_tile.frag<1x8xf32>
    moe_tile.store %f to %y[%row0, %n0] limit(%rows) : !moe_tile.frag<1x8xf32> to memref<?x64xf32>
  }
  moe_tile.return
}
