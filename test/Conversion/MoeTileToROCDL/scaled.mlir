// Rows and weights of 8-bit floats, or weights of 4 bits, with a power of two for 32 columns each: chips whose matrix
// instruction scales its operands leave it to that, others decode in registers. The atom says which; the program is one.
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx950 | FileCheck %s --check-prefix=FORM
// RUN: sed 's/b_place = "compute"/b_place = "compute", atom = "mfma 16x16x128, swap"/' %s | moe-opt -moe-tile-to-explicit=target=gfx950 | FileCheck %s --check-prefix=FORM16
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx942 | FileCheck %s --check-prefix=FORM3
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx950 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefix=CDNA4
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx942 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefix=CDNA3
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx1100 -convert-moe-tile-to-rocdl -canonicalize -cse | FileCheck %s --check-prefix=RDNA3
// RUN: moe-opt %s -moe-tile-to-explicit=target=gfx950 -convert-moe-tile-to-rocdl -moe-rocdl-to-llvm=chip=gfx950 | FileCheck %s --check-prefix=LLVM

// A lane has the scale of its own group of 32 columns; without such an instruction those of all four.
// The part of a wave is whole larger instructions, of two groups each.
// FORM-LABEL: moe_tile.kernel @scaled(
// FORM: moe_tile.load {{.+}} -> !moe_tile.frag<128x4xf8E8M0FNU, #moe_tile.digits<reg = [n * 2 by 2], lane = [m * 32 by 1, n * 2 by 1], warp = [m * 4 by 32]>>
// FORM: moe_tile.load {{.+}} -> !moe_tile.frag<64x4xf8E8M0FNU, #moe_tile.digits<reg = [n * 2 by 2, m * 2 by 32], lane = [m * 32 by 1, n * 2 by 1], warp = [m * 4 by 0]>>
// FORM: moe_tile.mma {{.+}} atom(#moe_tile.atom<mfma 32x32x64, swap>)
// FORM16-LABEL: moe_tile.kernel @scaled(
// FORM16: moe_tile.load {{.+}} -> !moe_tile.frag<128x4xf8E8M0FNU, #moe_tile.digits<reg = [m * 2 by 64], lane = [m * 16 by 1, n * 4 by 1], warp = [m * 4 by 16]>>
// FORM16: moe_tile.mma {{.+}} atom(#moe_tile.atom<mfma 16x16x128, swap>)
// FORM3: moe_tile.load {{.+}} -> !moe_tile.frag<128x4xf8E8M0FNU, #moe_tile.digits<reg = [n * 4 by 1, m * 2 by 64], lane = [m * 16 by 1, m * 4 by 0], warp = [m * 4 by 16]>>
// FORM3: moe_tile.mma {{.+}} atom(#moe_tile.atom<mfma 16x16x16, swap>)

// CDNA4-LABEL: llvm.func @scaled(
// CDNA4: llvm.load %{{.+}} : !llvm.ptr<1> -> i8
// 32 neighbours of a row.
// CDNA4: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
// CDNA4: llvm.load %{{.+}} {alignment = 16 : i64} : !llvm.ptr<3> -> vector<4xi32>
// CDNA4: llvm.shufflevector %{{.+}}, %{{.+}} [0, 1, 2, 3, 4, 5, 6, 7] : vector<4xi32>
// CDNA4: arith.extui %{{.+}} : i8 to i32
// CDNA4: rocdl.mfma.scale.f32.32x32x64.f8f6f4 %{{.+}} : (vector<8xi32>, vector<8xi32>, vector<16xf32>, i32, i32, i32, i32, i32, i32) -> vector<16xf32>
// CDNA4-NOT: rocdl.cvt
// CDNA4-NOT: amdgpu.mfma
// CDNA4-LABEL: llvm.func @packed(
// Four bits each: half as many registers.
// CDNA4: rocdl.mfma.scale.f32.32x32x64.f8f6f4 %{{[0-9]+}}, %{{[0-9]+}}, %{{[a-z0-9_]+}}, %[[FP4:c4.*]], %[[FP8:c0[^ ]*]], %[[FP8]], %{{.+}}, %[[FP8]], %{{.+}} : (vector<4xi32>, vector<8xi32>, vector<16xf32>, i32, i32, i32, i32, i32, i32) -> vector<16xf32>

// The other bias halves both operands.
// CDNA3-LABEL: llvm.func @scaled(
// CDNA3: %[[FOUR:.+]] = arith.constant 4.000000e+00 : f32
// CDNA3: llvm.load %{{.+}} {alignment = 8 : i64} : !llvm.ptr<3> -> vector<2xi32>
// CDNA3: rocdl.cvt.pk.f32.fp8 %{{.+}}[false] : vector<2xf32>
// CDNA3: amdgpu.mfma 16x16x16 %{{.+}} : vector<4xbf16>, vector<4xbf16>, vector<4xf32>
// CDNA3: arith.mulf %{{.+}}, %[[FOUR]] : f32
// CDNA3-LABEL: llvm.func @packed(
// CDNA3: %[[TWO:.+]] = arith.constant 2.000000e+00 : f32
// CDNA3: arith.mulf %{{.+}}, %[[TWO]] : f32

// RDNA3-LABEL: llvm.func @scaled(
// RDNA3-NOT: rocdl.cvt
// RDNA3: amdgpu.wmma 16x16x16 %{{.+}} : vector<16xbf16>, vector<16xbf16>, vector<8xf32>

// LLVM: rocdl.mfma.scale.f32.32x32x64.f8f6f4

!A = !moe_tile.buf<64x128xf8E4M3FN>
!B = !moe_tile.buf<128x128xf8E4M3FN>
!P = !moe_tile.buf<128x64xi8>
!SA = !moe_tile.buf<64x4xf8E8M0FNU>
!SB = !moe_tile.buf<128x4xf8E8M0FNU>
!DA = !moe_tile.frag<64x128xbf16>
!DB = !moe_tile.frag<128x128xbf16>
!ACC = !moe_tile.acc<64x128xf32>
!F = !moe_tile.frag<64x128xf32>

moe_tile.kernel @scaled(%X: memref<?x256xf8E4M3FN>, %SX: memref<?x8xf8E8M0FNU>, %W: memref<8x384x256xf8E4M3FN>, %S: memref<8x384x8xf8E8M0FNU>, %slots: memref<?xi32>, %table: memref<?x4xi32>, %n: index, %Y: memref<?x384xf32>)
    attributes {moe.config = #moe.config<block = [64, 128, 128], stages = 1, a = "gather", b = "vector", a_place = "compute", b_place = "compute">} {
  %list = moe_tile.block_list %table count(%n) columns 384 by 128 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(counter) {
    %c0 = arith.constant 0 : index
    %c256 = arith.constant 256 : index
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c256 step 128 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %X[%idx : !moe_tile.rows<64>, %k] : memref<?x256xf8E4M3FN> -> !A
        %b = moe_tile.load %W[%e, %n0, %k] : memref<8x384x256xf8E4M3FN> -> !B
        %sb = moe_tile.load %S[%e, %n0, %k] granule [1, 1, 32] : memref<8x384x8xf8E8M0FNU> -> !SB
        %sa = moe_tile.load %SX[%idx : !moe_tile.rows<64>, %k] granule [1, 32] : memref<?x8xf8E8M0FNU> -> !SA
        moe_tile.yield %a, %b, %sb, %sa : !A, !B, !SB, !SA
      } compute(%k: index, %a: !A, %b: !B, %sb: !SB, %sa: !SA, %c: !ACC) {
        %w = moe_tile.dequant %b scale(%sb : !SB) granule [1, 32] : !B -> !DB
        %x = moe_tile.dequant %a scale(%sa : !SA) granule [1, 32] : !A -> !DA
        %d = moe_tile.mma %x, %w, %c : !DA, !DB, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x384xf32>
  }
  moe_tile.return
}

moe_tile.kernel @packed(%X: memref<?x256xf8E4M3FN>, %SX: memref<?x8xf8E8M0FNU>, %W: memref<8x384x128xi8>, %S: memref<8x384x8xf8E8M0FNU>, %slots: memref<?xi32>, %table: memref<?x4xi32>, %n: index, %Y: memref<?x384xf32>)
    attributes {moe.config = #moe.config<block = [64, 128, 128], stages = 1, a = "gather", b = "vector", a_place = "compute", b_place = "compute">} {
  %list = moe_tile.block_list %table count(%n) columns 384 by 128 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(counter) {
    %c0 = arith.constant 0 : index
    %c2 = arith.constant 2 : index
    %c256 = arith.constant 256 : index
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c256 step 128 init(%z : !ACC)
      load(%k: index) {
        %half = arith.divui %k, %c2 : index
        %a = moe_tile.load %X[%idx : !moe_tile.rows<64>, %k] : memref<?x256xf8E4M3FN> -> !A
        %b = moe_tile.load %W[%e, %n0, %half] : memref<8x384x128xi8> -> !P
        %sb = moe_tile.load %S[%e, %n0, %k] granule [1, 1, 32] : memref<8x384x8xf8E8M0FNU> -> !SB
        %sa = moe_tile.load %SX[%idx : !moe_tile.rows<64>, %k] granule [1, 32] : memref<?x8xf8E8M0FNU> -> !SA
        moe_tile.yield %a, %b, %sb, %sa : !A, !P, !SB, !SA
      } compute(%k: index, %a: !A, %b: !P, %sb: !SB, %sa: !SA, %c: !ACC) {
        %w = moe_tile.dequant %b scale(%sb : !SB) granule [1, 32] format(mx) : !P -> !DB
        %x = moe_tile.dequant %a scale(%sa : !SA) granule [1, 32] : !A -> !DA
        %d = moe_tile.mma %x, %w, %c : !DA, !DB, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    moe_tile.store %f to %Y[%row0, %n0] limit(%rows) : !F to memref<?x384xf32>
  }
  moe_tile.return
}
