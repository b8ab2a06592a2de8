// RUN: moe-opt %s -moe-tile-interpret="functions=block_major print" -o /dev/null | FileCheck %s --check-prefix=BLOCK
// RUN: moe-opt %s -moe-tile-interpret="functions=n_major print" -o /dev/null | FileCheck %s --check-prefix=N
// RUN: moe-opt %s -moe-tile-interpret="functions=expert_major print" -o /dev/null | FileCheck %s --check-prefix=EXPERT
// RUN: moe-opt %s -moe-tile-interpret="functions=parallel print" -o /dev/null | FileCheck %s --check-prefix=PARALLEL
// RUN: not moe-opt %s -moe-tile-interpret="functions=two_dimensions" -o /dev/null 2>&1 | FileCheck %s --check-prefix=TWO

// The order of a list of row blocks with two column blocks: 100 * first row + first column of each entry.
// Experts 0 (two row blocks), 2 (one), 3 (three).

// BLOCK:  argument 1 = [0, 8, 400, 408, 800, 808, 1200, 1208, 1600, 1608, 2000, 2008]
// N:      argument 1 = [0, 400, 800, 1200, 1600, 2000, 8, 408, 808, 1208, 1608, 2008]
// Row blocks of one expert side by side, for one column block after the other.
// EXPERT: argument 1 = [0, 400, 8, 408, 800, 808, 1200, 1600, 2000, 1208, 1608, 2008]
// PARALLEL: argument 0 = [7, 7, 9, 7, 9, 7, 9, 7]
// TWO: the tile interpreter runs parallel loops of one dimension without reductions

moe_tile.kernel @block_major(
    %list: !moe_tile.tiles<blocks> {moe_tile.test = {columns = 16 : i64, block_n = 8 : i64, values = dense<[[0, 0, 4], [0, 4, 1], [2, 8, 3], [3, 12, 4], [3, 16, 4], [3, 20, 2]]> : tensor<6x3xi32>}},
    %out: memref<12xi32> {moe_tile.test = {init = "undefined"}}, %count: memref<1xi32> {moe_tile.test = {init = "zero"}}) {
  %c0 = arith.constant 0 : index
  %c100 = arith.constant 100 : index
  %one = arith.constant 1 : i32
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %hundred = arith.muli %row0, %c100 : index
    %sum = arith.addi %hundred, %n0 : index
    %number = arith.index_cast %sum : index to i32
    %at = memref.load %count[%c0] : memref<1xi32>
    %place = arith.index_cast %at : i32 to index
    memref.store %number, %out[%place] : memref<12xi32>
    %next = arith.addi %at, %one : i32
    memref.store %next, %count[%c0] : memref<1xi32>
  }
  moe_tile.return
}

moe_tile.kernel @n_major(
    %list: !moe_tile.tiles<blocks> {moe_tile.test = {columns = 16 : i64, block_n = 8 : i64, values = dense<[[0, 0, 4], [0, 4, 1], [2, 8, 3], [3, 12, 4], [3, 16, 4], [3, 20, 2]]> : tensor<6x3xi32>}},
    %out: memref<12xi32> {moe_tile.test = {init = "undefined"}}, %count: memref<1xi32> {moe_tile.test = {init = "zero"}}) {
  %c0 = arith.constant 0 : index
  %c100 = arith.constant 100 : index
  %one = arith.constant 1 : i32
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(n_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %hundred = arith.muli %row0, %c100 : index
    %sum = arith.addi %hundred, %n0 : index
    %number = arith.index_cast %sum : index to i32
    %at = memref.load %count[%c0] : memref<1xi32>
    %place = arith.index_cast %at : i32 to index
    memref.store %number, %out[%place] : memref<12xi32>
    %next = arith.addi %at, %one : i32
    memref.store %next, %count[%c0] : memref<1xi32>
  }
  moe_tile.return
}

moe_tile.kernel @expert_major(
    %list: !moe_tile.tiles<blocks> {moe_tile.test = {columns = 16 : i64, block_n = 8 : i64, values = dense<[[0, 0, 4], [0, 4, 1], [2, 8, 3], [3, 12, 4], [3, 16, 4], [3, 20, 2]]> : tensor<6x3xi32>}},
    %out: memref<12xi32> {moe_tile.test = {init = "undefined"}}, %count: memref<1xi32> {moe_tile.test = {init = "zero"}}) {
  %c0 = arith.constant 0 : index
  %c100 = arith.constant 100 : index
  %one = arith.constant 1 : i32
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %hundred = arith.muli %row0, %c100 : index
    %sum = arith.addi %hundred, %n0 : index
    %number = arith.index_cast %sum : index to i32
    %at = memref.load %count[%c0] : memref<1xi32>
    %place = arith.index_cast %at : i32 to index
    memref.store %number, %out[%place] : memref<12xi32>
    %next = arith.addi %at, %one : i32
    memref.store %next, %count[%c0] : memref<1xi32>
  }
  moe_tile.return
}

moe_tile.kernel @parallel(%out: memref<8xi32> {moe_tile.test = {values = dense<7> : tensor<8xi32>}}) {
  %c2 = arith.constant 2 : index
  %c7 = arith.constant 7 : index
  %nine = arith.constant 9 : i32
  scf.parallel (%i) = (%c2) to (%c7) step (%c2) {
    memref.store %nine, %out[%i] : memref<8xi32>
    scf.reduce
  }
  moe_tile.return
}

moe_tile.kernel @two_dimensions(%out: memref<8xi32> {moe_tile.test = {values = dense<7> : tensor<8xi32>}}) {
  %c2 = arith.constant 2 : index
  %c7 = arith.constant 7 : index
  scf.parallel (%i, %j) = (%c2, %c2) to (%c7, %c7) step (%c2, %c2) {
    scf.reduce
  }
  moe_tile.return
}
