// Small kernels of the sequential form with results that can be computed by hand.
// RUN: moe-opt %s -moe-tile-interpret="functions=gemm print" -o /dev/null | FileCheck %s --check-prefix=GEMM
// RUN: moe-opt %s -moe-tile-interpret="functions=gather print" -o /dev/null | FileCheck %s --check-prefix=GATHER
// RUN: moe-opt %s -moe-tile-interpret="functions=int4 print" -o /dev/null | FileCheck %s --check-prefix=INT4
// RUN: moe-opt %s -moe-tile-interpret="functions=exllama print" -o /dev/null | FileCheck %s --check-prefix=EXLLAMA
// RUN: moe-opt %s -moe-tile-interpret="functions=epilogue print" -o /dev/null | FileCheck %s --check-prefix=EPILOGUE
// RUN: moe-opt %s -moe-tile-interpret="functions=layer print" -o /dev/null | FileCheck %s --check-prefix=LAYER
// RUN: moe-opt %s -moe-tile-interpret="functions=promote print" -o /dev/null | FileCheck %s --check-prefix=PROMOTE

!A = !moe_tile.buf<2x2xf32>
!ACC = !moe_tile.acc<2x2xf32>
!F = !moe_tile.frag<2x2xf32>

// The last k step is short and so are the columns: what does not exist is zero.
// GEMM: argument 0 = [1, 2, 3, 4, 5, 6]
// GEMM: argument 2 = [14, 32, 50, 32, 77, 122]
moe_tile.kernel @gemm(%A: memref<?x3xf32> {moe_tile.test = {values = dense<[[1., 2., 3.], [4., 5., 6.]]> : tensor<2x3xf32>}},
                      %B: memref<3x3xf32> {moe_tile.test = {values = dense<[[1., 2., 3.], [4., 5., 6.], [7., 8., 9.]]> : tensor<3x3xf32>}},
                      %D: memref<?x3xf32> {moe_tile.test = {shape = array<i64: 2, 3>, init = "undefined"}},
                      %list: !moe_tile.tiles<blocks> {moe_tile.test = {values = dense<[[0, 0, 2]]> : tensor<1x3xi32>, columns = 3, block_n = 2}}) {
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c3 step 2 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %A[%row0, %k] : memref<?x3xf32> -> !A
        %b = moe_tile.load %B[%n0, %k] : memref<3x3xf32> -> !A
        moe_tile.yield %a, %b : !A, !A
      } compute(%k: index, %a: !A, %b: !A, %c: !ACC) {
        %d = moe_tile.mma %a, %b, %c : !A, !A, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    moe_tile.store %f to %D[%row0, %n0] limit(%rows) : !F to memref<?x3xf32>
  }
  moe_tile.return
}

// Rows -1 and beyond the limit read zero and are not written; scatter by the same rows.
// GATHER: argument 1 = [-1, 3, 5, 0]
// GATHER: argument 2 = [0, 1, undefined, undefined, undefined, undefined, 4, 6]
// GATHER: argument 3 = [0, 0, 2, 3, 4, 5, undefined, undefined]
moe_tile.kernel @gather(%X: memref<?x2xf32> {moe_tile.test = {shape = array<i64: 4, 2>, init = "iota"}},
                        %slots: memref<?xi32> {moe_tile.test = {values = dense<[-1, 3, 5, 0]> : tensor<4xi32>}},
                        %Y: memref<?x2xf32> {moe_tile.test = {shape = array<i64: 4, 2>, init = "undefined"}},
                        %Z: memref<?x2xf32> {moe_tile.test = {shape = array<i64: 4, 2>, init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  // Slots 3 and 5 are tokens 1 and 2; the fourth slot is beyond the limit.
  %tokens = moe_tile.row_index %slots[%c0] limit(%c3) div 2 : memref<?xi32> -> !moe_tile.rows<4>
  %x = moe_tile.load %X[%tokens : !moe_tile.rows<4>, %c0] : memref<?x2xf32> -> !moe_tile.frag<4x2xf32>
  moe_tile.store %x to %Z[%c0, %c0] limit(%c3) : !moe_tile.frag<4x2xf32> to memref<?x2xf32>
  %one = arith.constant 1 : index
  // Slots 3 and 5 are beyond the bound; 0 is row 0.
  %rows = moe_tile.row_index %slots[%one] bound(%c3) : memref<?xi32> -> !moe_tile.rows<3>
  %w = moe_tile.load %X[%rows : !moe_tile.rows<3>, %c0] : memref<?x2xf32> -> !moe_tile.frag<3x2xf32>
  %iota = moe_tile.row_iota %c3 -> !moe_tile.rows<1>
  %z = arith.constant 2 : index
  %u = moe_tile.load %X[%z, %c0] : memref<?x2xf32> -> !moe_tile.frag<1x2xf32>
  // Column 1 with a granule of 2 is column 0.
  %v = moe_tile.load %X[%c0, %one] granule [1, 2] : memref<?x2xf32> -> !moe_tile.frag<1x2xf32>
  %s = moe_tile.map ins(%u, %v : !moe_tile.frag<1x2xf32>, !moe_tile.frag<1x2xf32>) -> !moe_tile.frag<1x2xf32> {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    moe_tile.yield %c : f32
  }
  moe_tile.store %s to %Y[%iota : !moe_tile.rows<1>, %c0] : !moe_tile.frag<1x2xf32> to memref<?x2xf32>
  moe_tile.store %w to %Y[%rows : !moe_tile.rows<3>, %c0] : !moe_tile.frag<3x2xf32> to memref<?x2xf32>
  moe_tile.return
}

// 0x1f holds 15 and 1, 0x80 holds 0 and 8; zero point 8, two columns per scale.
// INT4: argument 2 = [14, -14, -80, 0]
moe_tile.kernel @int4(%W: memref<1x2xi8> {moe_tile.test = {values = dense<[[31, -128]]> : tensor<1x2xi8>}},
                      %S: memref<1x2xf32> {moe_tile.test = {values = dense<[[2., 10.]]> : tensor<1x2xf32>}},
                      %D: memref<1x4xbf16> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %q = moe_tile.load %W[%c0, %c0] granule [1, 2] : memref<1x2xi8> -> !moe_tile.frag<1x2xi8>
  %s = moe_tile.load %S[%c0, %c0] granule [1, 2] : memref<1x2xf32> -> !moe_tile.frag<1x2xf32>
  %d = moe_tile.dequant %q scale(%s : !moe_tile.frag<1x2xf32>) zero_value 8 format(low_even) : !moe_tile.frag<1x2xi8> -> !moe_tile.frag<1x4xbf16>
  moe_tile.store %d to %D[%c0, %c0] : !moe_tile.frag<1x4xbf16> to memref<1x4xbf16>
  moe_tile.return
}

// 0x76543210 holds, from bit 0 up, 0 1 2 3 4 5 6 7 for columns 0 2 4 6 1 3 5 7.
// EXLLAMA: argument 2 = [0, 4, 1, 5, 2, 6, 3, 7]
// EXLLAMA: argument 3 = [0, 4, 1, 5, 2, 6, 3, 7]
moe_tile.kernel @exllama(%W: memref<1x1xi32> {moe_tile.test = {values = dense<1985229328> : tensor<1x1xi32>}},
                         %V: memref<1x4xi8> {moe_tile.test = {values = dense<[[16, 50, 84, 118]]> : tensor<1x4xi8>}},
                         %D: memref<1x8xf32> {moe_tile.test = {init = "undefined"}},
                         %E: memref<1x8xf32> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %q = moe_tile.load %W[%c0, %c0] : memref<1x1xi32> -> !moe_tile.frag<1x1xi32>
  %d = moe_tile.dequant %q zero_value 0 format(exllama) : !moe_tile.frag<1x1xi32> -> !moe_tile.frag<1x8xf32>
  moe_tile.store %d to %D[%c0, %c0] : !moe_tile.frag<1x8xf32> to memref<1x8xf32>
  %r = moe_tile.load %V[%c0, %c0] : memref<1x4xi8> -> !moe_tile.frag<1x4xi8>
  %e = moe_tile.dequant %r zero_value 0 format(exllama) : !moe_tile.frag<1x4xi8> -> !moe_tile.frag<1x8xf32>
  moe_tile.store %e to %E[%c0, %c0] : !moe_tile.frag<1x8xf32> to memref<1x8xf32>
  moe_tile.return
}

// split, join, row_reduce, rows and columns that are repeated, add.
// EPILOGUE: argument 0 = [0, 1, 2, 3, 4, 5, 6, 7]
// EPILOGUE: argument 1 = [1, 9, 1, 9]
// EPILOGUE: argument 2 = [1, 3, 5, 7]
// EPILOGUE: argument 3 = [10, 11, 12, 13, 14, 15, 16, 17]
moe_tile.kernel @epilogue(%X: memref<2x4xf32> {moe_tile.test = {init = "iota"}},
                          %P: memref<2x2xf32> {moe_tile.test = {init = "undefined"}},
                          %R: memref<2x2xf32> {moe_tile.test = {init = "undefined"}},
                          %Z: memref<2x4xf32> {moe_tile.test = {values = dense<10.0> : tensor<2x4xf32>}}) {
  %c0 = arith.constant 0 : index
  %x = moe_tile.load %X[%c0, %c0] : memref<2x4xf32> -> !moe_tile.frag<2x4xf32>
  %even, %odd = moe_tile.split %x block 1 : !moe_tile.frag<2x4xf32> -> !F, !F
  %low, %high = moe_tile.split %x block 2 : !moe_tile.frag<2x4xf32> -> !F, !F
  // Sums of the even columns: 2 and 10.
  %row = moe_tile.row_reduce sum %even group 2 : !F -> !moe_tile.frag<2x1xf32>
  %wide = moe_tile.row_reduce max %low, %high group 2 : !F, !F -> !F
  // Columns 0 and 1 of the first row: 0 and 1.
  %col = moe_tile.load %X[%c0, %c0] : memref<2x4xf32> -> !moe_tile.frag<1x2xf32>
  %p = moe_tile.map ins(%row, %col, %odd, %high : !moe_tile.frag<2x1xf32>, !moe_tile.frag<1x2xf32>, !F, !F) -> !F {
  ^bb0(%r: f32, %c: f32, %o: f32, %h: f32):
    %0 = arith.subf %o, %h : f32
    %1 = arith.subf %r, %c : f32
    %2 = arith.addf %0, %1 : f32
    moe_tile.yield %2 : f32
  }
  %q = moe_tile.join %p, %p block 1 : !F, !F -> !moe_tile.frag<2x4xf32>
  %s, %t = moe_tile.split %q block 1 : !moe_tile.frag<2x4xf32> -> !F, !F
  // Stored transposed.
  moe_tile.store %s to %P[%c0, %c0] dims [1, 0] : !F to memref<2x2xf32>
  moe_tile.store %wide to %R[%c0, %c0] : !F to memref<2x2xf32>
  moe_tile.store %low, %high to %Z[%c0, %c0] mode(add) : !F, !F to memref<2x4xf32>
  moe_tile.return
}

// Two launches over a workspace; the second sees what the first wrote.
moe_tile.kernel @scale(%x: memref<?xf32>, %y: memref<?xf32>, %f: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : memref<?xf32>
  scf.for %i = %c0 to %n step %c1 {
    %v = memref.load %x[%i] : memref<?xf32>
    %w = arith.mulf %v, %f : f32
    memref.store %w, %y[%i] : memref<?xf32>
  }
  moe_tile.return
}
// LAYER: argument 0 = [0, 1, 2]
// LAYER: argument 1 = [0, 6, 12]
moe_tile.plan @layer(%x: memref<?xf32> {moe_tile.test = {shape = array<i64: 3>, init = "iota"}},
                     %y: memref<?xf32> {moe_tile.test = {shape = array<i64: 3>, init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?xf32>
  %w = moe_tile.workspace(%n) : memref<?xf32>
  %two = arith.constant 2.0 : f32
  %three = arith.constant 3.0 : f32
  %k0 = moe_tile.launch @scale(%x, %w, %two) : (memref<?xf32>, memref<?xf32>, f32) -> !moe_tile.token
  %k1 = moe_tile.launch @scale(%w, %y, %three) after(%k0) : (memref<?xf32>, memref<?xf32>, f32) -> !moe_tile.token
  moe_tile.return
}

// main + (part - sum * zero) * (row * col * scalar * factor), by hand:
// row 0: 100 + (0 - 1 * 5) * (2 * 10 * 1 * 0.5) = 50, 100 + (1 - 1 * 5) * (2 * 20 * 0.5) = 20
// row 1: 100 + (2 - 2 * 5) * (3 * 10 * 0.5) = -20, 100 + (3 - 2 * 5) * (3 * 20 * 0.5) = -110
// PROMOTE: argument 0 = [50, 20, -20, -110]
moe_tile.kernel @promote(%D: memref<2x2xf32> {moe_tile.test = {init = "iota"}},
                         %row: memref<2x1xf32> {moe_tile.test = {values = dense<[[2.], [3.]]> : tensor<2x1xf32>}},
                         %col: memref<1x2xf32> {moe_tile.test = {values = dense<[[10., 20.]]> : tensor<1x2xf32>}},
                         %sum: memref<2x1xf32> {moe_tile.test = {values = dense<[[1.], [2.]]> : tensor<2x1xf32>}},
                         %zero: memref<1x1xf32> {moe_tile.test = {values = dense<5.> : tensor<1x1xf32>}},
                         %one: f32 {moe_tile.test = {value = 1.0}}) {
  %c0 = arith.constant 0 : index
  %h = arith.constant 100.0 : f32
  %main = moe_tile.frag_splat %h : f32 -> !F
  %p = moe_tile.load %D[%c0, %c0] : memref<2x2xf32> -> !F
  %r = moe_tile.load %row[%c0, %c0] : memref<2x1xf32> -> !moe_tile.frag<2x1xf32>
  %c = moe_tile.load %col[%c0, %c0] : memref<1x2xf32> -> !moe_tile.frag<1x2xf32>
  %s = moe_tile.load %sum[%c0, %c0] : memref<2x1xf32> -> !moe_tile.frag<2x1xf32>
  %z = moe_tile.load %zero[%c0, %c0] : memref<1x1xf32> -> !moe_tile.frag<1x1xf32>
  %m = moe_tile.promote %p, %main row(%r : !moe_tile.frag<2x1xf32>) col(%c : !moe_tile.frag<1x2xf32>) scalar(%one : f32)
       row_sum(%s : !moe_tile.frag<2x1xf32>) zero(%z : !moe_tile.frag<1x1xf32>) factor 0.5 : !F
  moe_tile.store %m to %D[%c0, %c0] : !F to memref<2x2xf32>
  moe_tile.return
}
