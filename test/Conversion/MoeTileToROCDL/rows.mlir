// Row kernels, the router and the sort of slots for waves of 64 and of 32 lanes.
// RUN: moe-opt %s -convert-moe-tile-rows-to-rocdl=chip=gfx942 -canonicalize -cse | FileCheck %s --check-prefixes=CHECK,W64
// RUN: moe-opt %s -convert-moe-tile-rows-to-rocdl=chip=gfx1100 -canonicalize -cse | FileCheck %s --check-prefixes=CHECK,W32
// RUN: not moe-opt %s -convert-moe-tile-rows-to-rocdl=chip=gfx90a 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: 'gfx90a' is no AMD chip that is known: gfx942, gfx950, gfx1100, gfx1151, gfx1201

// 16 lanes of a group are a row of lanes: DPP alone.
// CHECK-LABEL: llvm.func @groups(
// CHECK-SAME:    moe.chip = "gfx{{942|1100}}"
// CHECK-SAME:    block = array<i64: 256, 1, 1>, cluster = array<i64: 1, 1, 1>, grid =
// CHECK-SAME:    smem = 0 : i64
// W64-SAME:      moe.wave = 64 : i64
// W32-SAME:      moe.wave = 32 : i64
// CHECK-SAME:    rocdl.flat_work_group_size = "256,256", rocdl.kernel, rocdl.reqd_work_group_size = array<i32: 256, 1, 1>
// CHECK:         rocdl.workgroup.id.x
// CHECK:         rocdl.workitem.id.x
// CHECK-COUNT-4: rocdl.update.dpp
// CHECK-NOT:     rocdl.readlane
// CHECK-NOT:     rocdl.ds_
// CHECK-NOT:     amdgpu.lds_barrier
// CHECK:         llvm.return
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

// A whole row: its waves, then one value of each in LDS, of a size that is known.
// W64: llvm.mlir.global internal @lds_whole() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<64 x i8>
// W32: llvm.mlir.global internal @lds_whole() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<112 x i8>
// CHECK-LABEL: llvm.func @whole(
// CHECK-SAME:    block = array<i64: 896, 1, 1>
// CHECK-COUNT-4: rocdl.update.dpp
// W64-COUNT-4:   rocdl.readlane
// W32-COUNT-2:   rocdl.readlane
// CHECK-NOT:     rocdl.readlane
// CHECK:         amdgpu.lds_barrier
// CHECK-COUNT-4: rocdl.update.dpp
// CHECK:         llvm.return
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

// 32 lanes are half a wave of 64.
// CHECK-LABEL: llvm.func @half(
// CHECK-COUNT-4: rocdl.update.dpp
// W64:           rocdl.ds_swizzle
// W64-NOT:       rocdl.readlane
// W32-COUNT-2:   rocdl.readlane
// CHECK:         llvm.return
moe_tile.kernel @half(%x: memref<?x256xbf16>, %m: memref<?x1xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = memref.dim %x, %c0 : memref<?x256xbf16>
  scf.parallel (%i) = (%c0) to (%t) step (%c1) {
    %a = moe_tile.load %x[%i, %c0] : memref<?x256xbf16> -> !moe_tile.frag<1x256xbf16>
    %f = moe_tile.map ins(%a : !moe_tile.frag<1x256xbf16>) -> !moe_tile.frag<1x256xf32> {
    ^bb0(%u: bf16):
      %wide = arith.extf %u : bf16 to f32
      moe_tile.yield %wide : f32
    }
    %r = moe_tile.row_reduce sum %f group 256 : !moe_tile.frag<1x256xf32> -> !moe_tile.frag<1x1xf32>
    moe_tile.store %r to %m[%i, %c0] dims [-1, -1] : !moe_tile.frag<1x1xf32> to memref<?x1xf32>
    scf.reduce
  }
  moe_tile.return
}

// 128 experts are two registers of 64 lanes, four of 32. Four waves, four tokens.
// CHECK-LABEL: llvm.func @softmax(
// W64-SAME:      block = array<i64: 256, 1, 1>
// W32-SAME:      block = array<i64: 128, 1, 1>
// CHECK-SAME:    grid = [{add = 0 : i64, dim = 0 : i64, div = 4 : i64, mul = 1 : i64, operand = 0 : i64}, 1, 1]
// CHECK:         rocdl.readfirstlane
// W64-COUNT-2:   llvm.load {{.*}} -> f32
// W32-COUNT-4:   llvm.load {{.*}} -> f32
// CHECK-NOT:     llvm.load
// CHECK:         math.exp2 {{.*}} fastmath<afn>
// CHECK:         scf.for
// CHECK:           arith.maxsi
// CHECK:           arith.minsi
// CHECK:           rocdl.readlane
// CHECK:         llvm.store {{.*}} : i32, !llvm.ptr<1>
// CHECK:         llvm.store {{.*}} : f32, !llvm.ptr<1>
moe_tile.kernel @softmax(%l: memref<?x128xf32>, %i: memref<?x8xi32>, %w: memref<?x8xf32>) {
  moe_tile.topk logits(%l : memref<?x128xf32>) to(%i, %w : memref<?x8xi32>, memref<?x8xf32>) renormalize
  moe_tile.return
}

// W64: llvm.mlir.global internal @lds_many() {{.*}} : !llvm.array<11008 x i8>
// W32: llvm.mlir.global internal @lds_many() {{.*}} : !llvm.array<19200 x i8>
// No clusters: 16 workgroups that know nothing of each other. No early start.
// CHECK-LABEL: llvm.func @many(
// CHECK-SAME:    block = array<i64: 1024, 1, 1>, cluster = array<i64: 1, 1, 1>, grid = [16, 1, 1]
// CHECK-NOT:     early_start
// CHECK:         amdgpu.lds_barrier
// CHECK:         scf.for
// W64-COUNT-16:    rocdl.ballot {{.*}} : i64
// W32-COUNT-32:    rocdl.ballot {{.*}} : i32
// CHECK-NOT:       rocdl.ballot
// CHECK:           rocdl.ds_bpermute
// CHECK:           llvm.fence syncscope("wavefront") acq_rel
// CHECK-COUNT-4: rocdl.update.dpp {{.*}} with 273
// CHECK-NOT:     atomicrmw
// CHECK:         llvm.return
moe_tile.kernel @many(%ids: memref<?x8xi32>, %t: index, %slots: memref<?xi32>, %places: memref<?xi32>,
                      %valid: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  moe_tile.await_launch
  moe_tile.align ids(%ids : memref<?x8xi32>) tokens(%t)
    to(%slots, %places, %valid, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 128 topk 8 block_m 64
  moe_tile.return
}
