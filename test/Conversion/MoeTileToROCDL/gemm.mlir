// One gated product of gathered rows for AMD chips: operands through registers to LDS with the XOR pattern, products by
// waves with the weights on the instruction's rows, stores of four or eight neighbours.
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx942 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefixes=CHECK,CDNA3
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx950 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefixes=CHECK,CDNA4
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx1100 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefixes=CHECK,RDNA3
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx1201 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefixes=CHECK,RDNA4
// Nothing of it needs a device library, and all of it has instructions.
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx942 -convert-moe-tile-to-rocdl -moe-rocdl-to-llvm=chip=gfx942 | FileCheck %s --check-prefix=LLVM --implicit-check-not=arith. --implicit-check-not=amdgpu. --implicit-check-not=unrealized
// Waves of a SIMD are the configuration's, as many as there can be.
// RUN: sed 's/store = "vector"/store = "vector", waves_per_eu = 2/' %s | moe-opt -moe-tile-to-explicit=target=gfx1100 -convert-moe-tile-to-rocdl | FileCheck %s --check-prefix=WAVES
// RUN: sed 's/store = "vector"/store = "vector", waves_per_eu = 9/' %s | not moe-opt -moe-tile-to-explicit=target=gfx950 -convert-moe-tile-to-rocdl 2>&1 | FileCheck %s --check-prefix=MANY
// WAVES: llvm.func @gated({{.*}} rocdl.waves_per_eu = 2 : i32
// MANY: gfx950: rule waves_per_eu: a SIMD has at most 8 waves at a time, the configuration asks for 9

// CHECK: llvm.mlir.global internal @lds_gated() {addr_space = 3 : i32, alignment = 128 : i64} : !llvm.array<24576 x i8>
// CHECK-LABEL: llvm.func @gated(
// CDNA3-SAME: moe.chip = "gfx942"
// CHECK-SAME: moe.launch = {block = array<i64: 256, 1, 1>, cluster = array<i64: 1, 1, 1>, grid = [{persistent = 2 : i64}, 1, 1], params = [{operand = 0 : i64}, {operand = 1 : i64}, {operand = 2 : i64}, {operand = 3 : i64}, {operand = 4 : i64, type = i32}, {operand = 5 : i64}], smem = 0 : i64}
// CDNA3-SAME: moe.wave = 64 : i64
// RDNA3-SAME: moe.wave = 32 : i64
// CHECK-SAME: rocdl.flat_work_group_size = "256,256", rocdl.kernel, rocdl.reqd_work_group_size = array<i32: 256, 1, 1>
// CHECK: %[[T:.+]] = rocdl.workitem.id.x
// The number of the wave is the same in all of its lanes.
// CHECK: rocdl.readfirstlane
// What is not said to be of dies is dealt out in turn.
// CHECK: %[[W:.+]] = rocdl.workgroup.id.x
// CHECK: %[[G:.+]] = rocdl.grid.dim.x
// CHECK: scf.for %{{.+}} = %[[W]] to %{{.+}} step %[[G]]
// CHECK: llvm.load %{{.+}} invariant {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// 16 bytes for each lane.
// CHECK-COUNT-6: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK: amdgpu.lds_barrier
// CHECK-COUNT-6: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
// CHECK: amdgpu.lds_barrier
// CHECK: scf.for
// CHECK-COUNT-6: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xi32>
// CHECK: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<8xbf16>
// CDNA3: llvm.shufflevector %{{.+}}, %{{.+}} [0, 1, 2, 3] : vector<8xbf16>
// CDNA3-COUNT-32: amdgpu.mfma 16x16x16 %{{.+}} blgp =  none : vector<4xbf16>, vector<4xbf16>, vector<4xf32>
// CDNA4-COUNT-16: amdgpu.mfma 16x16x32 %{{.+}} blgp =  none : vector<8xbf16>, vector<8xbf16>, vector<4xf32>
// Operands of one step along k at a time.
// RDNA3-COUNT-4: amdgpu.wmma 16x16x16 %{{.+}} : vector<16xbf16>, vector<16xbf16>, vector<8xf32>
// RDNA3: rocdl.sched.barrier 0
// RDNA4-COUNT-4: amdgpu.wmma 16x16x16 %{{.+}} : vector<8xbf16>, vector<8xbf16>, vector<8xf32>
// RDNA4: rocdl.sched.barrier 0
// CHECK: amdgpu.lds_barrier
// CHECK-COUNT-6: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
// CHECK: amdgpu.lds_barrier
// CHECK: scf.yield
// CHECK: arith.truncf
// CDNA3: llvm.store %{{.+}}, %{{.+}} {alignment = 8 : i64} : vector<4xbf16>, !llvm.ptr<1>
// RDNA3: llvm.store %{{.+}}, %{{.+}} {alignment = 16 : i64} : vector<8xbf16>, !llvm.ptr<1>

// LLVM: llvm.call_intrinsic "llvm.amdgcn.implicitarg.ptr"()
// LLVM: rocdl.mfma.f32.16x16x16bf16.1k
// LLVM: rocdl.s.barrier
!A = !moe_tile.buf<64x64xbf16>
!B = !moe_tile.buf<128x64xbf16>
!ACC = !moe_tile.acc<64x128xf32>
!F = !moe_tile.frag<64x128xf32>
!H = !moe_tile.frag<64x64xf32>
!Q = !moe_tile.frag<64x64xbf16>

moe_tile.kernel @gated(%X: memref<?x256xbf16>, %W: memref<8x384x256xbf16>, %slots: memref<?xi32>, %table: memref<?x4xi32>, %n: index, %Y: memref<?x192xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1, a = "gather", b = "vector", store = "vector">} {
  %list = moe_tile.block_list %table count(%n) columns 192 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(counter) {
    %c0 = arith.constant 0 : index
    %c256 = arith.constant 256 : index
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c256 step 64 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<64>, %k] : memref<?x256xbf16> -> !A
        %b = moe_tile.load %W[%e, %n0, %k] boxes [0, 192] : memref<8x384x256xbf16> -> !B
        moe_tile.yield %a, %b : !A, !B
      } compute(%k: index, %a: !A, %b: !B, %c: !ACC) {
        %d = moe_tile.mma %a, %b, %c : !A, !B, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    %g, %u = moe_tile.split %f block 64 : !F -> !H, !H
    %q = moe_tile.map ins(%g, %u : !H, !H) -> !Q {
    ^bb0(%x: f32, %y: f32):
      %p = arith.mulf %x, %y : f32
      %v = arith.truncf %p : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%row0, %n0] limit(%rows) : !Q to memref<?x192xbf16>
  }
  moe_tile.return
}
