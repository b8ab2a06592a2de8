// Views of memory: collapsed and expanded dimensions, of a part as well.
// RUN: moe-opt %s -moe-tile-interpret="functions=views print" -o /dev/null | FileCheck %s
// RUN: not moe-opt %s -moe-tile-interpret="functions=misfit print" -o /dev/null 2>&1 | FileCheck %s --check-prefix=MISFIT

// [3, 0] of the 4x3 matrix; the last of its 12; row 1 of two rows of 2x3: its [1, 2]; [1, 1] of
// columns 1 and 2.
// CHECK: argument 1 = [9, 11, 11, 5, 12]
moe_tile.kernel @views(%a: memref<12xi32> {moe_tile.test = {init = "iota"}},
                       %o: memref<5xi32> {moe_tile.test = {init = "undefined"}},
                       %n: index {moe_tile.test = {value = 4 : index}}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c11 = arith.constant 11 : index
  %any = memref.cast %a : memref<12xi32> to memref<?xi32>
  %m = memref.expand_shape %any [[0, 1]] output_shape [%n, 3] : memref<?xi32> into memref<?x3xi32>
  %0 = memref.load %m[%c3, %c0] : memref<?x3xi32>
  memref.store %0, %o[%c0] : memref<5xi32>
  %flat = memref.collapse_shape %m [[0, 1]] : memref<?x3xi32> into memref<?xi32>
  %1 = memref.load %flat[%c11] : memref<?xi32>
  memref.store %1, %o[%c1] : memref<5xi32>
  %cube = memref.expand_shape %a [[0, 1, 2]] output_shape [2, 2, 3] : memref<12xi32> into memref<2x2x3xi32>
  %2 = memref.load %cube[%c1, %c1, %c2] : memref<2x2x3xi32>
  memref.store %2, %o[%c2] : memref<5xi32>
  %part = memref.subview %m[0, 1] [%n, 2] [1, 1] : memref<?x3xi32> to memref<?x2xi32, strided<[3, 1], offset: 1>>
  %wide = memref.expand_shape %part [[0], [1, 2]] output_shape [%n, 1, 2]
    : memref<?x2xi32, strided<[3, 1], offset: 1>> into memref<?x1x2xi32, strided<[3, 2, 1], offset: 1>>
  %3 = memref.load %wide[%c1, %c0, %c1] : memref<?x1x2xi32, strided<[3, 2, 1], offset: 1>>
  memref.store %3, %o[%c3] : memref<5xi32>
  %size = memref.dim %flat, %c0 : memref<?xi32>
  %4 = arith.index_cast %size : index to i32
  memref.store %4, %o[%c4] : memref<5xi32>
  moe_tile.return
}

// MISFIT: expands 12 elements to 15
moe_tile.kernel @misfit(%a: memref<12xi32> {moe_tile.test = {init = "iota"}},
                        %n: index {moe_tile.test = {value = 5 : index}}) {
  %any = memref.cast %a : memref<12xi32> to memref<?xi32>
  %m = memref.expand_shape %any [[0, 1]] output_shape [%n, 3] : memref<?xi32> into memref<?x3xi32>
  moe_tile.return
}
