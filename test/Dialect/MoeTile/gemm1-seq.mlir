// The sequential form of a quantised gated GEMM and of a 4-bit one: parses, prints, parses again.
// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt | FileCheck %s

!A = !moe_tile.buf<128x128xf8E4M3FN>
!SA = !moe_tile.buf<128x1xf32>
!SB = !moe_tile.buf<1x2xf32>
!ACC = !moe_tile.acc<128x128xf32>
!F = !moe_tile.frag<128x128xf32>
!H = !moe_tile.frag<128x64xf32>
!Q = !moe_tile.frag<128x64xf8E4M3FN>
!R = !moe_tile.frag<128x1xf32>

// CHECK-LABEL: moe_tile.kernel @gemm1
// CHECK-SAME: attributes {form = #moe_tile.form<seq>}
moe_tile.kernel @gemm1(%X: memref<?x7168xf8E4M3FN>, %SX: memref<56x?xf32>, %W: memref<256x512x7168xf8E4M3FN>,
                       %SW: memref<256x4x56xf32>, %slots: memref<?xi32>, %list: !moe_tile.tiles<records>,
                       %Y: memref<?x256xf8E4M3FN>, %SY: memref<2x?xf32>) attributes {form = #moe_tile.form<seq>} {
  %c0 = arith.constant 0 : index
  %c7168 = arith.constant 7168 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %tiny = arith.constant 1.0e-12 : f32
  %inv448 = arith.constant 0.002232142857 : f32
  // CHECK: moe_tile.for_tiles %[[T:.*]] in %{{.*}} : !moe_tile.tiles<records> order(expert_major) claim(stride) {
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<records> order(expert_major) claim(stride) {
    // CHECK: moe_tile.coords %[[T]] : index
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %n1 = arith.addi %n0, %c64 : index
    // CHECK: moe_tile.row_index %{{.*}}[%{{.*}}] limit(%{{.*}}) div 8 : memref<?xi32> -> !moe_tile.rows<128>
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<128>
    %z = moe_tile.frag_splat %zero : f32 -> !F
    // CHECK: moe_tile.k_loop %{{.*}} to %{{.*}} step 128 init(%{{.*}} : !moe_tile.frag<128x128xf32>)
    // CHECK-NEXT: load(%[[K:.*]]: index) {
    %f0 = moe_tile.k_loop %c0 to %c7168 step 128 init(%z : !F)
      load(%k: index) {
        // CHECK: moe_tile.load %{{.*}}[%{{.*}} : !moe_tile.rows<128>, %[[K]]] : memref<?x7168xf8E4M3FN> -> !moe_tile.buf<128x128xf8E4M3FN>
        %a = moe_tile.load %X[%idx : !moe_tile.rows<128>, %k] : memref<?x7168xf8E4M3FN> -> !A
        // CHECK: moe_tile.load %{{.*}} boxes [0, 256] :
        %b = moe_tile.load %W[%e, %n0, %k] boxes [0, 256] : memref<256x512x7168xf8E4M3FN> -> !A
        %sa = moe_tile.load %SX[%k, %idx : !moe_tile.rows<128>] granule [128, 1] : memref<56x?xf32> -> !SA
        // CHECK: moe_tile.load %{{.*}} dims [2, 1] granule [1, 128, 128] boxes [0, 2] on 1 :
        %sb = moe_tile.load %SW[%e, %n0, %k] dims [2, 1] granule [1, 128, 128] boxes [0, 2] on 1 : memref<256x4x56xf32> -> !SB
        moe_tile.yield %a, %b, %sa, %sb : !A, !A, !SA, !SB
      // CHECK: } compute(
      } compute(%k: index, %a: !A, %b: !A, %sa: !SA, %sb: !SB, %main: !F) {
        // CHECK: moe_tile.mma %{{.*}}, %{{.*}} atom(#moe_tile.atom<wgmma 64x128x32>) : !moe_tile.buf<128x128xf8E4M3FN>, !moe_tile.buf<128x128xf8E4M3FN> -> !moe_tile.acc<128x128xf32>
        %p = moe_tile.mma %a, %b atom(#moe_tile.atom<wgmma 64x128x32>) : !A, !A -> !ACC
        %pf = moe_tile.acc_read %p : !ACC -> !F
        // CHECK: moe_tile.promote %{{.*}}, %{{.*}} row(%{{.*}} : !moe_tile.buf<128x1xf32>) col(%{{.*}} : !moe_tile.buf<1x2xf32>) : !moe_tile.frag<128x128xf32>
        %m = moe_tile.promote %pf, %main row(%sa : !SA) col(%sb : !SB) : !F
        moe_tile.yield %m : !F
      }
    // CHECK: moe_tile.split %{{.*}} block 64
    %g, %u = moe_tile.split %f0 block 64 : !F -> !H, !H
    // CHECK: moe_tile.map ins(%{{.*}}, %{{.*}} : !moe_tile.frag<128x64xf32>, !moe_tile.frag<128x64xf32>) -> !moe_tile.frag<128x64xf32> {
    %s = moe_tile.map ins(%g, %u : !H, !H) -> !H {
    ^bb0(%gv: f32, %uv: f32):
      %n = arith.negf %gv : f32
      %ex = math.exp2 %n fastmath<afn> : f32
      %d = arith.addf %ex, %one : f32
      %si = arith.divf %gv, %d : f32
      %r = arith.mulf %si, %uv : f32
      moe_tile.yield %r : f32
    }
    // CHECK: moe_tile.row_reduce absmax %{{.*}}, %{{.*}} group 128
    %am = moe_tile.row_reduce absmax %s, %s group 128 : !H, !H -> !R
    %sc = moe_tile.map ins(%am : !R) -> !R {
    ^bb0(%v: f32):
      %w = arith.maximumf %v, %tiny : f32
      %q = arith.mulf %w, %inv448 : f32
      moe_tile.yield %q : f32
    }
    %q0, %q1 = moe_tile.map ins(%s, %s, %sc : !H, !H, !R) -> !Q, !Q {
    ^bb0(%v: f32, %w: f32, %x: f32):
      %d0 = arith.divf %v, %x : f32
      %d1 = arith.divf %w, %x : f32
      %b0 = arith.truncf %d0 : f32 to f8E4M3FN
      %b1 = arith.truncf %d1 : f32 to f8E4M3FN
      moe_tile.yield %b0, %b1 : f8E4M3FN, f8E4M3FN
    }
    // CHECK: moe_tile.store %{{.*}}, %{{.*}} to %{{.*}}[%{{.*}}, %{{.*}}] limit(%{{.*}}) :
    moe_tile.store %q0, %q1 to %Y[%row0, %n0] limit(%rows) : !Q, !Q to memref<?x256xf8E4M3FN>
    // CHECK: moe_tile.store %{{.*}} limit(%{{.*}}) dims [1, 0] granule [128, 1] :
    moe_tile.store %sc to %SY[%n0, %row0] limit(%rows) dims [1, 0] granule [128, 1] : !R to memref<2x?xf32>
  }
  moe_tile.return
}

// CHECK-LABEL: moe_tile.kernel @w4a16
moe_tile.kernel @w4a16(%X: memref<?x256xbf16>, %W: memref<8x64x128xi8>, %S: memref<8x64x2xbf16>,
                       %table: memref<?x3xi32>, %count: memref<1xi32>, %Y: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %n32 = memref.load %count[%c0] : memref<1xi32>
  // CHECK: moe_tile.block_list %{{.*}} count(%{{.*}} : i32) columns 64 by 64 : memref<?x3xi32> -> !moe_tile.tiles<blocks>
  %list = moe_tile.block_list %table count(%n32 : i32) columns 64 by 64 : memref<?x3xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(n_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %rs = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<16>
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %c256 step 128 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %X[%rs : !moe_tile.rows<16>, %k] how(gather) place(ring) : memref<?x256xbf16> -> !moe_tile.buf<16x128xbf16>
        %q = moe_tile.load %W[%e, %n0, %k] granule [1, 1, 2] width(i32) : memref<8x64x128xi8> -> !moe_tile.buf<64x64xi8>
        %s = moe_tile.load %S[%e, %n0, %k] granule [1, 1, 128] : memref<8x64x2xbf16> -> !moe_tile.buf<64x1xbf16>
        moe_tile.yield %a, %q, %s : !moe_tile.buf<16x128xbf16>, !moe_tile.buf<64x64xi8>, !moe_tile.buf<64x1xbf16>
      // CHECK: } transform(
      } transform(%k: index, %a: !moe_tile.buf<16x128xbf16>, %q: !moe_tile.buf<64x64xi8>, %s: !moe_tile.buf<64x1xbf16>) {
        // CHECK: moe_tile.dequant %{{.*}} scale(%{{.*}} : !moe_tile.buf<64x1xbf16>) zero_value 8 format(low_even) : !moe_tile.buf<64x64xi8> -> !moe_tile.buf<64x128xbf16>
        %b = moe_tile.dequant %q scale(%s : !moe_tile.buf<64x1xbf16>) zero_value 8 format(low_even) : !moe_tile.buf<64x64xi8> -> !moe_tile.buf<64x128xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x128xbf16>, !moe_tile.buf<64x128xbf16>
      } compute(%k: index, %a: !moe_tile.buf<16x128xbf16>, %b: !moe_tile.buf<64x128xbf16>, %c: !moe_tile.acc<16x64xf32>) {
        // CHECK: moe_tile.mma %{{.*}}, %{{.*}}, %{{.*}} : !moe_tile.buf<16x128xbf16>, !moe_tile.buf<64x128xbf16>, !moe_tile.acc<16x64xf32>
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x128xbf16>, !moe_tile.buf<64x128xbf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    // CHECK: moe_tile.store %{{.*}} limit(%{{.*}}) mode(add_f32) :
    moe_tile.store %f to %Y[%row0, %n0] limit(%rows) mode(add_f32) : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// CHECK-LABEL: moe_tile.plan @layer
moe_tile.plan @layer(%X: memref<?x256xbf16>, %W: memref<8x64x128xi8>, %S: memref<8x64x2xbf16>, %table: memref<?x3xi32>, %count: memref<1xi32>) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %X, %c0 : memref<?x256xbf16>
  // CHECK: moe_tile.workspace(%{{.*}}) align 256 zero : memref<?x64xf32>
  %y = moe_tile.workspace(%t) align 256 zero : memref<?x64xf32>
  // CHECK: %[[TOK:.*]] = moe_tile.launch @w4a16(
  %k0 = moe_tile.launch @w4a16(%X, %W, %S, %table, %count, %y) : (memref<?x256xbf16>, memref<8x64x128xi8>, memref<8x64x2xbf16>, memref<?x3xi32>, memref<1xi32>, memref<?x64xf32>) -> !moe_tile.token
  // CHECK: after(%[[TOK]])
  %k1 = moe_tile.launch @w4a16(%X, %W, %S, %table, %count, %y) after(%k0) : (memref<?x256xbf16>, memref<8x64x128xi8>, memref<8x64x2xbf16>, memref<?x3xi32>, memref<1xi32>, memref<?x64xf32>) -> !moe_tile.token
  moe_tile.return
}
