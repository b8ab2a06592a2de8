// RUN: moe-opt %s --convert-moe-tile-to-cpu=isa=avx512bf16 --canonicalize --cse --verify-each | FileCheck %s --check-prefixes=CHECK,BF16
// RUN: moe-opt %s --convert-moe-tile-to-cpu=isa=avx512 --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,F32
// RUN: moe-opt %s --convert-moe-tile-to-cpu=isa=avx2 --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,AVX2
// RUN: moe-opt %s --convert-moe-tile-to-cpu=isa=x86-64 --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,SSE
// RUN: not moe-opt %s --convert-moe-tile-to-cpu=isa=avx9 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// UNKNOWN: unknown instruction set 'avx9', expected x86-64 avx2 avx512 avx512bf16

// The plan stays and may name what became of its kernels.
// CHECK: moe_tile.launch @gemm
moe_tile.plan @plan(%A: memref<?x256xbf16>, %B: memref<4x64x256xbf16>, %t: memref<?x4xi32>, %D: memref<?x64xf32>) {
  %k = moe_tile.launch @gemm(%A, %B, %t, %D) : (memref<?x256xbf16>, memref<4x64x256xbf16>, memref<?x4xi32>, memref<?x64xf32>) -> !moe_tile.token
  moe_tile.return
}

// The run time's kernel signature, scratch declared, dot products by the best
// instruction of the level, no matrix temporaries in global memory.
// CHECK-LABEL: func.func @gemm(%{{.*}}: !llvm.ptr, %{{.*}}: i64, %{{.*}}: i64)
// CHECK-SAME:    moe_tile.lowered
// CHECK-SAME:    moec.scratch_bytes = {{[1-9][0-9]*}} : i64
// BF16:          x86vector.avx512.dot {{.*}} : vector<32xbf16> -> vector<16xf32>
// BF16-NOT:      vector.fma
// F32:           vector.fma {{.*}} : vector<16xf32>
// F32-NOT:       x86vector
// AVX2:          vector.fma {{.*}} : vector<8xf32>
// SSE-NOT:       vector.fma
// SSE:           arith.mulf {{.*}} : vector<4xf32>
// CHECK-NOT:     moe_tile
moe_tile.kernel @gemm(%A: memref<?x256xbf16>, %B: memref<4x64x256xbf16>, %table: memref<?x4xi32>, %D: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %n = memref.dim %table, %c0 : memref<?x4xi32>
  %list = moe_tile.block_list %table count(%n) columns 64 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<8>
    %z = moe_tile.acc_zero : !moe_tile.acc<8x64xf32>
    %acc = moe_tile.k_loop %c0 to %c256 step 256 init(%z : !moe_tile.acc<8x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%idx : !moe_tile.rows<8>, %k] : memref<?x256xbf16> -> !moe_tile.buf<8x256xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x256xbf16> -> !moe_tile.buf<64x256xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<8x256xbf16>, !moe_tile.buf<64x256xbf16>
      } compute(%k: index, %a: !moe_tile.buf<8x256xbf16>, %b: !moe_tile.buf<64x256xbf16>, %c: !moe_tile.acc<8x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<8x256xbf16>, !moe_tile.buf<64x256xbf16>, !moe_tile.acc<8x64xf32>
        moe_tile.yield %d : !moe_tile.acc<8x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<8x64xf32> -> !moe_tile.frag<8x64xf32>
    moe_tile.store %f to %D[%row0, %n0] limit(%rows) : !moe_tile.frag<8x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// A serial kernel is the first worker's.
// CHECK-LABEL: func.func @serial
// CHECK:         arith.cmpi eq
// CHECK-NEXT:    scf.if
moe_tile.kernel @serial(%x: memref<4xi32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : i32
  memref.store %c1, %x[%c0] : memref<4xi32>
  moe_tile.return
}

// A parallel loop is dealt out by worker number, with the workers as stride.
// CHECK-LABEL: func.func @rows(
// CHECK-SAME:    %{{.*}}: !llvm.ptr, %[[W:.*]]: i64, %[[N:.*]]: i64)
// CHECK-DAG:     %[[WI:.*]] = arith.index_cast %[[W]]
// CHECK-DAG:     %[[NI:.*]] = arith.index_cast %[[N]]
// CHECK:         scf.for %{{.*}} = %[[WI]] to %{{.*}} step %[[NI]]
moe_tile.kernel @rows(%x: memref<?x64xf32>, %y: memref<?x64xbf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : memref<?x64xf32>
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %f = moe_tile.load %x[%i, %c0] : memref<?x64xf32> -> !moe_tile.frag<1x64xf32>
    %g = moe_tile.map ins(%f : !moe_tile.frag<1x64xf32>) -> !moe_tile.frag<1x64xbf16> {
    ^bb0(%v: f32):
      %w = arith.truncf %v : f32 to bf16
      moe_tile.yield %w : bf16
    }
    moe_tile.store %g to %y[%i, %c0] : !moe_tile.frag<1x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// An adding store: one atomic per element.
// CHECK-LABEL: func.func @adds
// CHECK:         memref.atomic_rmw addf {{.*}} : (f32, memref<?xf32>) -> f32
moe_tile.kernel @adds(%x: memref<4x64xf32>, %y: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %f = moe_tile.load %x[%c0, %c0] : memref<4x64xf32> -> !moe_tile.frag<4x64xf32>
  moe_tile.store %f to %y[%c0, %c0] mode(add_f32) : !moe_tile.frag<4x64xf32> to memref<?x64xf32>
  moe_tile.return
}

// Codes outside of a product: unsigned with a zero point.
// CHECK-LABEL: func.func @codes
// CHECK:         arith.andi {{.*}} : vector<{{[0-9]+}}xi8>
// CHECK:         vector.interleave
// CHECK:         arith.subf
// CHECK:         arith.mulf
moe_tile.kernel @codes(%q: memref<4x32xi8>, %s: memref<4x2xf32>, %y: memref<4x64xf32>) {
  %c0 = arith.constant 0 : index
  %f = moe_tile.load %q[%c0, %c0] : memref<4x32xi8> -> !moe_tile.frag<4x32xi8>
  %g = moe_tile.load %s[%c0, %c0] granule [1, 32] : memref<4x2xf32> -> !moe_tile.frag<4x2xf32>
  %d = moe_tile.dequant %f scale(%g : !moe_tile.frag<4x2xf32>) granule [1, 32] zero_value 8 format(low_even) : !moe_tile.frag<4x32xi8> -> !moe_tile.frag<4x64xf32>
  moe_tile.store %d to %y[%c0, %c0] : !moe_tile.frag<4x64xf32> to memref<4x64xf32>
  moe_tile.return
}
