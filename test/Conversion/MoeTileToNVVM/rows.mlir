// Row kernels: vectors of all rows numbered through, loads of a sum in flight together.
// RUN: moe-opt %s -convert-moe-tile-rows-to-nvvm -canonicalize -cse | FileCheck %s

// CHECK-LABEL: llvm.func @combine(
// CHECK-SAME:    block = array<i64: 128, 1, 1>, cluster = array<i64: 1, 1, 1>, early_start
// 512 vectors of 4 f32 per row.
// CHECK-SAME:    grid = [{add = 0 : i64, dim = 0 : i64, div = 128 : i64, mul = 512 : i64, operand = 2 : i64}, 1, 1]
// CHECK:         nvvm.griddepcontrol wait
// Both row numbers, then both rows, without a branch between them.
// CHECK:         scf.if
// CHECK:           llvm.load {{.*}} : !llvm.ptr<1> -> i32
// CHECK:           llvm.load {{.*}} : !llvm.ptr<1> -> i32
// CHECK:           scf.if
// CHECK-NOT:         scf.if
// CHECK:             llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK-NOT:         scf.if
// CHECK:             llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK:           arith.addf {{.*}} : vector<4xf32>
// CHECK:           arith.truncf {{.*}} : vector<4xf32> to vector<4xbf16>
// CHECK:           llvm.store {{.*}} {alignment = 8 : i64}
moe_tile.kernel @combine(%d: memref<?x2048xf32>, %places: memref<?xi32>, %out: memref<?x2048xbf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  moe_tile.await_launch
  %t = memref.dim %out, %c0 : memref<?x2048xbf16>
  scf.parallel (%i) = (%c0) to (%t) step (%c1) {
    %s0 = arith.muli %i, %c2 : index
    %r0 = moe_tile.row_index %places[%s0] : memref<?xi32> -> !moe_tile.rows<1>
    %x0 = moe_tile.load %d[%r0 : !moe_tile.rows<1>, %c0] : memref<?x2048xf32> -> !moe_tile.frag<1x2048xf32>
    %s1 = arith.addi %s0, %c1 : index
    %r1 = moe_tile.row_index %places[%s1] : memref<?xi32> -> !moe_tile.rows<1>
    %x1 = moe_tile.load %d[%r1 : !moe_tile.rows<1>, %c0] : memref<?x2048xf32> -> !moe_tile.frag<1x2048xf32>
    %y = moe_tile.map ins(%x0, %x1 : !moe_tile.frag<1x2048xf32>, !moe_tile.frag<1x2048xf32>) -> !moe_tile.frag<1x2048xbf16> {
    ^bb0(%a: f32, %b: f32):
      %sum = arith.addf %a, %b : f32
      %small = arith.truncf %sum : f32 to bf16
      moe_tile.yield %small : bf16
    }
    moe_tile.store %y to %out[%i, %c0] : !moe_tile.frag<1x2048xbf16> to memref<?x2048xbf16>
    scf.reduce
  }
  moe_tile.return
}

// A vector of 33 columns is one element; a row scale is repeated along the row.
// CHECK-LABEL: llvm.func @narrow(
// CHECK-SAME:    mul = 33 : i64
// CHECK:         llvm.load {{.*}} {alignment = 2 : i64} : !llvm.ptr<1> -> bf16
// CHECK:         math.exp2 {{.*}} fastmath<afn> : f32
// CHECK:         llvm.store {{.*}} {alignment = 4 : i64} : f32
moe_tile.kernel @narrow(%x: memref<?x33xbf16>, %w: memref<?xf32>, %y: memref<?x33xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = memref.dim %x, %c0 : memref<?x33xbf16>
  scf.parallel (%i) = (%c0) to (%t) step (%c1) {
    %a = moe_tile.load %x[%i, %c0] : memref<?x33xbf16> -> !moe_tile.frag<1x33xbf16>
    %b = moe_tile.load %w[%i] dims [-1, -1] : memref<?xf32> -> !moe_tile.frag<1x1xf32>
    %c = moe_tile.map ins(%a, %b : !moe_tile.frag<1x33xbf16>, !moe_tile.frag<1x1xf32>) -> !moe_tile.frag<1x33xf32> {
    ^bb0(%u: bf16, %v: f32):
      %wide = arith.extf %u : bf16 to f32
      %e = math.exp %wide : f32
      %p = arith.mulf %e, %v : f32
      moe_tile.yield %p : f32
    }
    moe_tile.store %c to %y[%i, %c0] : !moe_tile.frag<1x33xf32> to memref<?x33xf32>
    scf.reduce
  }
  moe_tile.return
}

// Groups of 128 columns: 16 lanes each, the largest by butterflies.
// CHECK-LABEL: llvm.func @groups(
// CHECK-SAME:    block = array<i64: 128, 1, 1>
// CHECK-SAME:    mul = 256 : i64
// CHECK-COUNT-4: nvvm.shfl.sync  bfly
// CHECK-NOT:     nvvm.shfl.sync
// CHECK-NOT:     nvvm.barrier
// CHECK-LABEL: llvm.func @whole(
// A whole row: one block, partly by shared memory.
// CHECK-SAME:    block = array<i64: 896, 1, 1>
// CHECK-SAME:    div = 1 : i64, mul = 1 : i64
// CHECK-COUNT-5: nvvm.shfl.sync  bfly
// CHECK:         nvvm.barrier
// CHECK-COUNT-5: nvvm.shfl.sync  bfly
moe_tile.kernel @groups(%x: memref<?x2048xbf16>, %m: memref<?x16xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c128 = arith.constant 128 : index
  %t = memref.dim %x, %c0 : memref<?x2048xbf16>
  scf.parallel (%i) = (%c0) to (%t) step (%c1) {
    scf.for %g = %c0 to %c16 step %c1 {
      %c = arith.muli %g, %c128 : index
      %a = moe_tile.load %x[%i, %c] : memref<?x2048xbf16> -> !moe_tile.frag<1x128xbf16>
      %f = moe_tile.map ins(%a : !moe_tile.frag<1x128xbf16>) -> !moe_tile.frag<1x128xf32> {
      ^bb0(%u: bf16):
        %wide = arith.extf %u : bf16 to f32
        moe_tile.yield %wide : f32
      }
      %r = moe_tile.row_reduce absmax %f group 128 : !moe_tile.frag<1x128xf32> -> !moe_tile.frag<1x1xf32>
      moe_tile.store %r to %m[%i, %g] dims [-1, -1] : !moe_tile.frag<1x1xf32> to memref<?x16xf32>
    }
    scf.reduce
  }
  moe_tile.return
}

moe_tile.kernel @whole(%x: memref<?x7168xbf16>, %m: memref<?x1xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = memref.dim %x, %c0 : memref<?x7168xbf16>
  scf.parallel (%i) = (%c0) to (%t) step (%c1) {
    %a = moe_tile.load %x[%i, %c0] : memref<?x7168xbf16> -> !moe_tile.frag<1x7168xbf16>
    %f = moe_tile.map ins(%a : !moe_tile.frag<1x7168xbf16>) -> !moe_tile.frag<1x7168xf32> {
    ^bb0(%u: bf16):
      %wide = arith.extf %u : bf16 to f32
      moe_tile.yield %wide : f32
    }
    %r = moe_tile.row_reduce absmax %f group 7168 : !moe_tile.frag<1x7168xf32> -> !moe_tile.frag<1x1xf32>
    moe_tile.store %r to %m[%i, %c0] dims [-1, -1] : !moe_tile.frag<1x1xf32> to memref<?x1xf32>
    scf.reduce
  }
  moe_tile.return
}
