// arith, math, scf and memref operations, with values that can be checked by hand.
// RUN: moe-opt %s -moe-tile-interpret="functions=ints print" -o /dev/null | FileCheck %s --check-prefix=INTS
// RUN: moe-opt %s -moe-tile-interpret="functions=narrow print" -o /dev/null | FileCheck %s --check-prefix=NARROW
// RUN: moe-opt %s -moe-tile-interpret="functions=least print" -o /dev/null | FileCheck %s --check-prefix=LEAST
// RUN: moe-opt %s -moe-tile-interpret="functions=floats print" -o /dev/null | FileCheck %s --check-prefix=FLOATS
// RUN: moe-opt %s -moe-tile-interpret="functions=maths print" -o /dev/null | FileCheck %s --check-prefix=MATHS
// RUN: moe-opt %s -moe-tile-interpret="functions=casts print" -o /dev/null | FileCheck %s --check-prefix=CASTS
// RUN: moe-opt %s -moe-tile-interpret="functions=control print" -o /dev/null | FileCheck %s --check-prefix=CONTROL
// RUN: moe-opt %s -moe-tile-interpret="functions=poison print" -o /dev/null | FileCheck %s --check-prefix=POISON

// -7 and 2: sums, quotients to zero, to minus and to plus infinity, bits, extremes, comparisons.
// INTS: argument 1 = [-5, -9, -14, -3, -1, -4, -3, 0, -5, -5, -28, -2, 2, -7, -7, 2, 7]
// INTS: argument 2 = [0, 1, 1, 1, 0, 0, 0, 0, 1, 1]
moe_tile.kernel @ints(%a: memref<2xi64> {moe_tile.test = {values = dense<[-7, 2]> : tensor<2xi64>}},
                      %o: memref<17xi64> {moe_tile.test = {init = "undefined"}},
                      %p: memref<10xi1> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %c6 = arith.constant 6 : index
  %c7 = arith.constant 7 : index
  %c8 = arith.constant 8 : index
  %c9 = arith.constant 9 : index
  %c10 = arith.constant 10 : index
  %c11 = arith.constant 11 : index
  %c12 = arith.constant 12 : index
  %c13 = arith.constant 13 : index
  %c14 = arith.constant 14 : index
  %c15 = arith.constant 15 : index
  %c16 = arith.constant 16 : index
  %x = memref.load %a[%c0] : memref<2xi64>
  %y = memref.load %a[%c1] : memref<2xi64>
  %0 = arith.addi %x, %y : i64
  memref.store %0, %o[%c0] : memref<17xi64>
  %1 = arith.subi %x, %y : i64
  memref.store %1, %o[%c1] : memref<17xi64>
  %2 = arith.muli %x, %y : i64
  memref.store %2, %o[%c2] : memref<17xi64>
  %3 = arith.divsi %x, %y : i64
  memref.store %3, %o[%c3] : memref<17xi64>
  %4 = arith.remsi %x, %y : i64
  memref.store %4, %o[%c4] : memref<17xi64>
  %5 = arith.floordivsi %x, %y : i64
  memref.store %5, %o[%c5] : memref<17xi64>
  %6 = arith.ceildivsi %x, %y : i64
  memref.store %6, %o[%c6] : memref<17xi64>
  %7 = arith.andi %x, %y : i64
  %and = arith.andi %7, %1 : i64
  memref.store %and, %o[%c7] : memref<17xi64>
  %8 = arith.ori %x, %y : i64
  memref.store %8, %o[%c8] : memref<17xi64>
  %9 = arith.xori %x, %y : i64
  memref.store %9, %o[%c9] : memref<17xi64>
  %10 = arith.shli %x, %y : i64
  memref.store %10, %o[%c10] : memref<17xi64>
  %11 = arith.shrsi %x, %y : i64
  memref.store %11, %o[%c11] : memref<17xi64>
  %12 = arith.maxsi %x, %y : i64
  memref.store %12, %o[%c12] : memref<17xi64>
  %13 = arith.minsi %x, %y : i64
  memref.store %13, %o[%c13] : memref<17xi64>
  // Unsigned, -7 is very large.
  %14 = arith.maxui %x, %y : i64
  memref.store %14, %o[%c14] : memref<17xi64>
  %15 = arith.minui %x, %y : i64
  memref.store %15, %o[%c15] : memref<17xi64>
  %16 = math.absi %x : i64
  memref.store %16, %o[%c16] : memref<17xi64>
  %q0 = arith.cmpi eq, %x, %y : i64
  memref.store %q0, %p[%c0] : memref<10xi1>
  %q1 = arith.cmpi ne, %x, %y : i64
  memref.store %q1, %p[%c1] : memref<10xi1>
  %q2 = arith.cmpi slt, %x, %y : i64
  memref.store %q2, %p[%c2] : memref<10xi1>
  %q3 = arith.cmpi sle, %x, %y : i64
  memref.store %q3, %p[%c3] : memref<10xi1>
  %q4 = arith.cmpi sgt, %x, %y : i64
  memref.store %q4, %p[%c4] : memref<10xi1>
  %q5 = arith.cmpi sge, %x, %y : i64
  memref.store %q5, %p[%c5] : memref<10xi1>
  %q6 = arith.cmpi ult, %x, %y : i64
  memref.store %q6, %p[%c6] : memref<10xi1>
  %q7 = arith.cmpi ule, %x, %y : i64
  memref.store %q7, %p[%c7] : memref<10xi1>
  %q8 = arith.cmpi ugt, %x, %y : i64
  memref.store %q8, %p[%c8] : memref<10xi1>
  %q9 = arith.cmpi uge, %x, %y : i64
  memref.store %q9, %p[%c9] : memref<10xi1>
  moe_tile.return
}

// i8: 100 + 100 wraps to -56; 200 unsigned is -56; -56 / 7 unsigned is 28; shifts by the width give 0.
// NARROW: argument 1 = [-56, 28, 4, 29, 50, 0, 0]
moe_tile.kernel @narrow(%a: memref<2xi8> {moe_tile.test = {values = dense<[100, 7]> : tensor<2xi8>}},
                        %o: memref<7xi8> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %c6 = arith.constant 6 : index
  %two = arith.constant 2 : i8
  %eight = arith.constant 8 : i8
  %x = memref.load %a[%c0] : memref<2xi8>
  %y = memref.load %a[%c1] : memref<2xi8>
  %0 = arith.addi %x, %x : i8
  memref.store %0, %o[%c0] : memref<7xi8>
  %1 = arith.divui %0, %y : i8
  memref.store %1, %o[%c1] : memref<7xi8>
  %2 = arith.remui %0, %y : i8
  memref.store %2, %o[%c2] : memref<7xi8>
  %3 = arith.ceildivui %0, %y : i8
  memref.store %3, %o[%c3] : memref<7xi8>
  %4 = arith.shrui %0, %two : i8
  memref.store %4, %o[%c4] : memref<7xi8>
  %5 = arith.shrui %0, %eight : i8
  memref.store %5, %o[%c5] : memref<7xi8>
  %6 = arith.shli %0, %eight : i8
  memref.store %6, %o[%c6] : memref<7xi8>
  moe_tile.return
}

// The least i64 and -1, which unsigned are 2^63 and 2^64 - 1: 2^63 is smaller, the
// quotient is 0, rounded up 1, the rest 2^63. The absolute value wraps.
// LEAST: argument 1 = [0, 1, -9223372036854775808, -9223372036854775808, 1]
moe_tile.kernel @least(%a: memref<2xi64> {moe_tile.test = {values = dense<[-9223372036854775808, -1]> : tensor<2xi64>}},
                       %o: memref<5xi64> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %x = memref.load %a[%c0] : memref<2xi64>
  %y = memref.load %a[%c1] : memref<2xi64>
  %0 = arith.divui %x, %y : i64
  memref.store %0, %o[%c0] : memref<5xi64>
  %1 = arith.ceildivui %x, %y : i64
  memref.store %1, %o[%c1] : memref<5xi64>
  %2 = arith.remui %x, %y : i64
  memref.store %2, %o[%c2] : memref<5xi64>
  %3 = math.absi %x : i64
  memref.store %3, %o[%c3] : memref<5xi64>
  %4 = math.absi %y : i64
  memref.store %4, %o[%c4] : memref<5xi64>
  moe_tile.return
}

// 3 and -0.5, then a NaN.
// FLOATS: argument 1 = [2.5, 3.5, -1.5, -6, 0, -3, 3, -0.5, nan, nan, 3, 3, 0.5]
// FLOATS: argument 2 = [0, 1, 0, 1, 1]
moe_tile.kernel @floats(%a: memref<2xf32> {moe_tile.test = {values = dense<[3.0, -0.5]> : tensor<2xf32>}},
                        %o: memref<13xf32> {moe_tile.test = {init = "undefined"}},
                        %p: memref<5xi1> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %c6 = arith.constant 6 : index
  %c7 = arith.constant 7 : index
  %c8 = arith.constant 8 : index
  %c9 = arith.constant 9 : index
  %c10 = arith.constant 10 : index
  %c11 = arith.constant 11 : index
  %c12 = arith.constant 12 : index
  %nan = arith.constant 0x7FC00000 : f32
  %x = memref.load %a[%c0] : memref<2xf32>
  %y = memref.load %a[%c1] : memref<2xf32>
  %0 = arith.addf %x, %y : f32
  memref.store %0, %o[%c0] : memref<13xf32>
  %1 = arith.subf %x, %y : f32
  memref.store %1, %o[%c1] : memref<13xf32>
  %2 = arith.mulf %x, %y : f32
  memref.store %2, %o[%c2] : memref<13xf32>
  %3 = arith.divf %x, %y : f32
  memref.store %3, %o[%c3] : memref<13xf32>
  %4 = arith.remf %x, %y : f32
  memref.store %4, %o[%c4] : memref<13xf32>
  %5 = arith.negf %x : f32
  memref.store %5, %o[%c5] : memref<13xf32>
  %6 = arith.maximumf %x, %y : f32
  memref.store %6, %o[%c6] : memref<13xf32>
  %7 = arith.minimumf %x, %y : f32
  memref.store %7, %o[%c7] : memref<13xf32>
  // maximumf hands a NaN on, maxnumf drops it.
  %8 = arith.maximumf %x, %nan : f32
  memref.store %8, %o[%c8] : memref<13xf32>
  %9 = arith.minimumf %nan, %x : f32
  memref.store %9, %o[%c9] : memref<13xf32>
  %10 = arith.maxnumf %x, %nan : f32
  memref.store %10, %o[%c10] : memref<13xf32>
  %11 = arith.minnumf %nan, %x : f32
  memref.store %11, %o[%c11] : memref<13xf32>
  %12 = math.absf %y : f32
  memref.store %12, %o[%c12] : memref<13xf32>
  %q0 = arith.cmpf olt, %x, %y : f32
  memref.store %q0, %p[%c0] : memref<5xi1>
  %q1 = arith.cmpf ogt, %x, %y : f32
  memref.store %q1, %p[%c1] : memref<5xi1>
  %q2 = arith.cmpf ogt, %x, %nan : f32
  memref.store %q2, %p[%c2] : memref<5xi1>
  %q3 = arith.cmpf ugt, %x, %nan : f32
  memref.store %q3, %p[%c3] : memref<5xi1>
  %q4 = arith.cmpf uno, %x, %nan : f32
  memref.store %q4, %p[%c4] : memref<5xi1>
  moe_tile.return
}

// MATHS: argument 1 = [2.71828, 2, 1.71828, 0, 1, 0, 0.693147, 1, 1, 0.761594, 0.842701, 0.841471, 0.540302, 2, 3, 2, 3, 2, 9, 10.5, -2.5]
moe_tile.kernel @maths(%a: memref<3xf32> {moe_tile.test = {values = dense<[1.0, 2.5, 3.0]> : tensor<3xf32>}},
                       %o: memref<21xf32> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %c6 = arith.constant 6 : index
  %c7 = arith.constant 7 : index
  %c8 = arith.constant 8 : index
  %c9 = arith.constant 9 : index
  %c10 = arith.constant 10 : index
  %c11 = arith.constant 11 : index
  %c12 = arith.constant 12 : index
  %c13 = arith.constant 13 : index
  %c14 = arith.constant 14 : index
  %c15 = arith.constant 15 : index
  %c16 = arith.constant 16 : index
  %c17 = arith.constant 17 : index
  %c18 = arith.constant 18 : index
  %c19 = arith.constant 19 : index
  %c20 = arith.constant 20 : index
  %x = memref.load %a[%c0] : memref<3xf32>
  %y = memref.load %a[%c1] : memref<3xf32>
  %z = memref.load %a[%c2] : memref<3xf32>
  %two = arith.constant 2.0 : f32
  %neg = arith.constant -1.0 : f32
  %0 = math.exp %x : f32
  memref.store %0, %o[%c0] : memref<21xf32>
  %1 = math.exp2 %x : f32
  memref.store %1, %o[%c1] : memref<21xf32>
  %2 = math.expm1 %x : f32
  memref.store %2, %o[%c2] : memref<21xf32>
  %3 = math.log %x : f32
  memref.store %3, %o[%c3] : memref<21xf32>
  %4 = math.log2 %two : f32
  memref.store %4, %o[%c4] : memref<21xf32>
  %5 = math.log10 %x : f32
  memref.store %5, %o[%c5] : memref<21xf32>
  %6 = math.log1p %x : f32
  memref.store %6, %o[%c6] : memref<21xf32>
  %7 = math.sqrt %x : f32
  memref.store %7, %o[%c7] : memref<21xf32>
  %8 = math.rsqrt %x : f32
  memref.store %8, %o[%c8] : memref<21xf32>
  %9 = math.tanh %x : f32
  memref.store %9, %o[%c9] : memref<21xf32>
  %10 = math.erf %x : f32
  memref.store %10, %o[%c10] : memref<21xf32>
  %11 = math.sin %x : f32
  memref.store %11, %o[%c11] : memref<21xf32>
  %12 = math.cos %x : f32
  memref.store %12, %o[%c12] : memref<21xf32>
  %13 = math.floor %y : f32
  memref.store %13, %o[%c13] : memref<21xf32>
  %14 = math.ceil %y : f32
  memref.store %14, %o[%c14] : memref<21xf32>
  %15 = math.trunc %y : f32
  memref.store %15, %o[%c15] : memref<21xf32>
  %16 = math.round %y : f32
  memref.store %16, %o[%c16] : memref<21xf32>
  %17 = math.roundeven %y : f32
  memref.store %17, %o[%c17] : memref<21xf32>
  %18 = math.powf %z, %two : f32
  memref.store %18, %o[%c18] : memref<21xf32>
  %19 = math.fma %y, %z, %z : f32
  memref.store %19, %o[%c19] : memref<21xf32>
  %20 = math.copysign %y, %neg : f32
  memref.store %20, %o[%c20] : memref<21xf32>
  moe_tile.return
}

// 2.7 rounds to 2.703125 in bf16 and to 2.75 in f8E4M3FN; -1 as i1 is true; bits of 1.0 are 0x3f800000.
// CASTS: argument 1 = [2.70312, 2.75, 2, -1, 255, 1, -1, 3, 1, 2.7]
// CASTS: argument 2 = [1065353216, 255, -1, 2]
moe_tile.kernel @casts(%a: memref<1xf32> {moe_tile.test = {values = dense<2.7> : tensor<1xf32>}},
                       %o: memref<10xf32> {moe_tile.test = {init = "undefined"}},
                       %p: memref<4xi32> {moe_tile.test = {init = "undefined"}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %c6 = arith.constant 6 : index
  %c7 = arith.constant 7 : index
  %c8 = arith.constant 8 : index
  %c9 = arith.constant 9 : index
  %x = memref.load %a[%c0] : memref<1xf32>
  %m1 = arith.constant -1 : i8
  %true = arith.constant true
  %b = arith.truncf %x : f32 to bf16
  %0 = arith.extf %b : bf16 to f32
  memref.store %0, %o[%c0] : memref<10xf32>
  %f = arith.truncf %x : f32 to f8E4M3FN
  %1 = arith.extf %f : f8E4M3FN to f32
  memref.store %1, %o[%c1] : memref<10xf32>
  %i = arith.fptosi %x : f32 to i32
  %2 = arith.sitofp %i : i32 to f32
  memref.store %2, %o[%c2] : memref<10xf32>
  %3 = arith.sitofp %m1 : i8 to f32
  memref.store %3, %o[%c3] : memref<10xf32>
  %4 = arith.uitofp %m1 : i8 to f32
  memref.store %4, %o[%c4] : memref<10xf32>
  %5 = arith.uitofp %true : i1 to f32
  memref.store %5, %o[%c5] : memref<10xf32>
  %6 = arith.sitofp %true : i1 to f32
  memref.store %6, %o[%c6] : memref<10xf32>
  %ix = arith.index_cast %c3 : index to i32
  %7 = arith.sitofp %ix : i32 to f32
  memref.store %7, %o[%c7] : memref<10xf32>
  %one = arith.constant 1065353216 : i32
  %8 = arith.bitcast %one : i32 to f32
  memref.store %8, %o[%c8] : memref<10xf32>
  %9 = arith.select %true, %x, %8 : f32
  memref.store %9, %o[%c9] : memref<10xf32>
  %p0 = arith.bitcast %8 : f32 to i32
  memref.store %p0, %p[%c0] : memref<4xi32>
  %p1 = arith.extui %m1 : i8 to i32
  memref.store %p1, %p[%c1] : memref<4xi32>
  %p2 = arith.extsi %m1 : i8 to i32
  memref.store %p2, %p[%c2] : memref<4xi32>
  %p3 = arith.fptoui %x : f32 to i32
  memref.store %p3, %p[%c3] : memref<4xi32>
  moe_tile.return
}

// A sum by scf.for, a power of two by scf.while, a branch; a view, its extents, a copy through scratch memory; atomics.
// CONTROL: argument 0 = [10, 16, 7, 3, 5, 2]
// CONTROL: argument 1 = [0, 1, 2, 3, 104, 5, 106, 7]
moe_tile.kernel @control(%o: memref<6xi32> {moe_tile.test = {init = "zero"}},
                         %v: memref<2x4xi32> {moe_tile.test = {init = "iota"}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %ten = arith.constant 10 : i32
  %hundred = arith.constant 100 : i32
  %sum = scf.for %i = %c0 to %c5 step %c1 iter_args(%s = %zero) -> (i32) {
    %x = arith.index_cast %i : index to i32
    %n = arith.addi %s, %x : i32
    scf.yield %n : i32
  }
  memref.store %sum, %o[%c0] : memref<6xi32>
  %pow = scf.while (%p = %one) : (i32) -> i32 {
    %go = arith.cmpi slt, %p, %ten : i32
    scf.condition(%go) %p : i32
  } do {
  ^bb0(%p: i32):
    %n = arith.addi %p, %p : i32
    scf.yield %n : i32
  }
  memref.store %pow, %o[%c1] : memref<6xi32>
  %big = arith.cmpi sgt, %pow, %ten : i32
  %br = scf.if %big -> (i32) {
    %seven = arith.constant 7 : i32
    scf.yield %seven : i32
  } else {
    scf.yield %zero : i32
  }
  memref.store %br, %o[%c2] : memref<6xi32>
  %old = memref.atomic_rmw addi %br, %o[%c3] : (i32, memref<6xi32>) -> i32
  %old2 = memref.atomic_rmw assign %one, %o[%c3] : (i32, memref<6xi32>) -> i32
  %t = memref.alloc(%c2) : memref<?xi32>
  memref.store %old2, %t[%c1] : memref<?xi32>
  %back = memref.load %t[%c1] : memref<?xi32>
  memref.dealloc %t : memref<?xi32>
  %less = arith.subi %back, %one : i32
  %less2 = arith.subi %less, %one : i32
  %five = arith.index_cast %c5 : index to i32
  memref.store %five, %o[%c4] : memref<6xi32>
  %three = arith.subi %less2, %one : i32
  %threeb = arith.subi %three, %one : i32
  memref.store %threeb, %o[%c3] : memref<6xi32>
  // Row 1, columns 0 and 2.
  %row = memref.subview %v[1, 0] [1, %c2] [1, 2] : memref<2x4xi32> to memref<?xi32, strided<[2], offset: 4>>
  %dim = memref.dim %row, %c0 : memref<?xi32, strided<[2], offset: 4>>
  %d = arith.index_cast %dim : index to i32
  memref.store %d, %o[%c5] : memref<6xi32>
  scf.for %i = %c0 to %dim step %c1 {
    %x = memref.load %row[%i] : memref<?xi32, strided<[2], offset: 4>>
    %y = arith.addi %x, %hundred : i32
    memref.store %y, %row[%i] : memref<?xi32, strided<[2], offset: 4>>
  }
  moe_tile.return
}

// What is undefined stays so through arithmetic, products and reductions, but not where it is not chosen.
// POISON: argument 1 = [undefined, undefined, undefined, 2]
moe_tile.kernel @poison(%u: memref<1x2xf32> {moe_tile.test = {init = "undefined"}},
                        %o: memref<4xf32> {moe_tile.test = {init = "zero"}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %zero = arith.constant 0.0 : f32
  %two = arith.constant 2.0 : f32
  %true = arith.constant true
  %x = memref.load %u[%c0, %c0] : memref<1x2xf32>
  %0 = arith.mulf %x, %zero : f32
  memref.store %0, %o[%c0] : memref<4xf32>
  %b = moe_tile.load %u[%c0, %c0] : memref<1x2xf32> -> !moe_tile.buf<1x2xf32>
  %p = moe_tile.mma %b, %b : !moe_tile.buf<1x2xf32>, !moe_tile.buf<1x2xf32> -> !moe_tile.acc<1x1xf32>
  %f = moe_tile.acc_read %p : !moe_tile.acc<1x1xf32> -> !moe_tile.frag<1x1xf32>
  moe_tile.store %f to %o[%c1] : !moe_tile.frag<1x1xf32> to memref<4xf32>
  %g = moe_tile.load %u[%c0, %c0] : memref<1x2xf32> -> !moe_tile.frag<1x2xf32>
  %r = moe_tile.row_reduce absmax %g group 2 : !moe_tile.frag<1x2xf32> -> !moe_tile.frag<1x1xf32>
  moe_tile.store %r to %o[%c2] : !moe_tile.frag<1x1xf32> to memref<4xf32>
  %3 = arith.select %true, %two, %x : f32
  memref.store %3, %o[%c3] : memref<4xf32>
  moe_tile.return
}
