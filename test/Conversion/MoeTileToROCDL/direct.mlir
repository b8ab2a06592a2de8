// Operands that are copied straight to LDS: the configuration asks for it, the form has copies and waits, and a wave fills
// the bytes of its lanes in their order, so that the XOR pattern is in what a lane reads.
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx950 | FileCheck %s --check-prefix=FORM
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx950 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefixes=CHECK,CDNA4
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx942 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefixes=CHECK,CDNA3
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx950 -convert-moe-tile-to-rocdl -moe-rocdl-to-llvm=chip=gfx950 | FileCheck %s --check-prefix=LLVM
// RUN: not moe-opt %s -moe-tile-to-explicit=target=gfx1201 2>&1 | FileCheck %s --check-prefix=RDNA4
// RUN: sed 's/stages = 2/stages = 1/' %s | not moe-opt -moe-tile-to-explicit=target=gfx950 2>&1 | FileCheck %s --check-prefix=STAGES
// RUN: sed 's/a = "lds_direct"/a = "gather"/' %s | not moe-opt -moe-tile-to-explicit=target=gfx950 2>&1 | FileCheck %s --check-prefix=BOTH
// RUN: sed 's/%c256 = arith.constant 256/%c256 = arith.constant 200/' %s | not moe-opt -moe-tile-to-explicit=target=gfx950 2>&1 | FileCheck %s --check-prefix=WHOLE
// RUN: sed 's/stages = 2/stages = 2, compute_threads = 128/' %s | not moe-opt -moe-tile-to-explicit=target=gfx942 2>&1 | FileCheck %s --check-prefix=SWIZZLE
// RDNA4: error: 'moe_tile.kernel' op gfx1201: rule lds_direct: RDNA4, RX 9070 XT has no loads from memory to LDS
// STAGES: error: 'moe_tile.kernel' op gfx950: rule lds_direct: one of 2 stages is filled while the other is multiplied, got 1
// BOTH: error: 'moe_tile.kernel' op gfx950: rule lds_direct: both operands are copied straight to LDS, or none
// WHOLE: error: 'moe_tile.kernel' op gfx950: rule lds_direct: a last step is filled up with zeros in registers, 200 columns are not whole steps of 64
// SWIZZLE: error: 'moe_tile.kernel' op gfx942: rule lds_direct: 128 threads fill 512 bytes at once, not whole swizzles of 1024

// FORM: %[[A0:.+]] = moe_tile.buf_alloc
// FORM-NEXT: %[[B0:.+]] = moe_tile.buf_alloc
// FORM-NEXT: %[[A1:.+]] = moe_tile.buf_alloc
// FORM-NEXT: %[[B1:.+]] = moe_tile.buf_alloc
// The tile before has been read.
// FORM: moe_tile.group_sync block
// FORM: moe_tile.copy {{.+}} how(lds_direct) to %[[A0]]
// FORM: moe_tile.copy {{.+}} how(lds_direct) to %[[B0]]
// FORM: scf.for
// FORM: moe_tile.copy_wait
// FORM-NEXT: moe_tile.group_sync block
// FORM: moe_tile.copy {{.+}} how(lds_direct) to %[[A1]]
// FORM: moe_tile.copy {{.+}} how(lds_direct) to %[[B1]]
// FORM: moe_tile.mma %[[A0]], %[[B0]]
// FORM: moe_tile.copy_wait
// FORM-NEXT: moe_tile.group_sync block
// FORM: moe_tile.copy {{.+}} how(lds_direct) to %[[A0]]
// FORM: moe_tile.copy {{.+}} how(lds_direct) to %[[B0]]
// FORM: moe_tile.mma %[[A1]], %[[B1]]
// FORM: scf.yield
// FORM: moe_tile.copy_wait
// FORM: moe_tile.copy {{.+}} how(lds_direct) to %[[B1]]
// The last step has no successor.
// FORM: moe_tile.copy_wait
// FORM-NEXT: moe_tile.group_sync block
// FORM-NOT: moe_tile.copy
// FORM: moe_tile.mma
// FORM-NOT: moe_tile.deposit

// CHECK: #[[SCOPE:.+]] = #llvm.alias_scope<id = "copies to lds of gated"
// CHECK-LABEL: llvm.func @gated(
// CHECK: scf.for
// CHECK: amdgpu.lds_barrier
// Six vectors of 16 bytes for each lane, or four times as many of 4.
// CDNA4: rocdl.load.to.lds %{{.+}}, %{{.+}}, 16, 0, 0 {alias_scopes = [#[[SCOPE]]]} : <1>
// CDNA4: rocdl.load.to.lds
// CDNA4: rocdl.sched.barrier 0
// CDNA4-COUNT-4: rocdl.load.to.lds
// CDNA4: rocdl.sched.barrier 0
// CDNA3-COUNT-24: rocdl.load.to.lds %{{.+}}, %{{.+}}, 4, 0, 0 {alias_scopes = [#[[SCOPE]]]} : <1>
// CHECK: rocdl.sched.barrier 0
// CHECK: amdgpu.memory_counter_wait load(0)
// CHECK-NEXT: amdgpu.lds_barrier
// CDNA4-COUNT-6: rocdl.load.to.lds
// CDNA3-COUNT-24: rocdl.load.to.lds
// Reads do not wait for copies to the other stage.
// CHECK: llvm.load %{{.+}} {alignment = 16 : i64, noalias_scopes = [#[[SCOPE]]]} : !llvm.ptr<3> -> vector<8xbf16>
// CHECK-NOT: llvm.store {{.+}} !llvm.ptr<3>
// CHECK: llvm.return

// LLVM: rocdl.load.to.lds
// LLVM: rocdl.s.waitcnt
!A = !moe_tile.buf<64x64xbf16>
!B = !moe_tile.buf<128x64xbf16>
!ACC = !moe_tile.acc<64x128xf32>
!F = !moe_tile.frag<64x128xf32>
!H = !moe_tile.frag<64x64xf32>
!Q = !moe_tile.frag<64x64xbf16>

moe_tile.kernel @gated(%X: memref<?x256xbf16>, %W: memref<8x384x256xbf16>, %slots: memref<?xi32>, %table: memref<?x4xi32>, %n: index, %Y: memref<?x192xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 2, a = "lds_direct", b = "lds_direct", store = "vector">} {
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
