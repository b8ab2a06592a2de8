// Test data and programs that the tile interpreter refuses, with the rule and the numbers.
// RUN: moe-opt %s -split-input-file -verify-diagnostics -moe-tile-interpret="functions=k"

// A number without a value.
// expected-error @below {{argument 0: needs a value}}
moe_tile.kernel @k(%n: index {moe_tile.test = {init = "zero"}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: needs a shape}}
moe_tile.kernel @k(%x: memref<?x4xf32> {moe_tile.test = {init = "normal"}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: extent -1 of dimension 0 is not in [0, 268435456]}}
moe_tile.kernel @k(%x: memref<?x4xf32> {moe_tile.test = {shape = array<i64: -1, 4>, init = "normal"}}) {
  moe_tile.return
}

// -----

// Each extent would do, all of them together do not.
// expected-error @below {{argument 0: has more than 268435456 elements}}
moe_tile.kernel @k(%x: memref<?x65536xf32> {moe_tile.test = {shape = array<i64: 65536, 65536>, init = "zero"}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: extent 9223372036854775807 of dimension 0 is not in [0, 268435456]}}
moe_tile.kernel @k(%x: memref<9223372036854775807xi8> {moe_tile.test = {init = "zero"}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: no data of type 'complex<f32>'}}
moe_tile.kernel @k(%x: memref<4xcomplex<f32>> {moe_tile.test = {init = "zero"}}) {
  moe_tile.return
}

// -----

// Integers are not drawn from a normal distribution, floats are not bits.
// expected-error @below {{argument 0: init must be normal (floats), bits (integers), undefined, zero or iota}}
moe_tile.kernel @k(%x: memref<4xi32> {moe_tile.test = {init = "normal"}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: init must be normal (floats), bits (integers), undefined, zero or iota}}
moe_tile.kernel @k(%x: memref<4xf32> {moe_tile.test = {init = "bits"}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: values of 'f32' for 'i32'}}
moe_tile.kernel @k(%x: memref<2xi32> {moe_tile.test = {values = dense<[1.0, 2.0]> : tensor<2xf32>}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: values of 'i32' for 'bf16'}}
moe_tile.kernel @k(%x: memref<2xbf16> {moe_tile.test = {values = dense<[1, 2]> : tensor<2xi32>}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0 of type 'memref<2xi32>': extent 3 instead of 2}}
moe_tile.kernel @k(%x: memref<2xi32> {moe_tile.test = {values = dense<[1, 2, 3]> : tensor<3xi32>}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0 of type 'memref<2x2xi32>': buffer of rank 1}}
moe_tile.kernel @k(%x: memref<2x2xi32> {moe_tile.test = {values = dense<[1, 2, 3, 4]> : tensor<4xi32>}}) {
  moe_tile.return
}

// -----

// A list of records has 4 or 8 columns, one of row blocks 3 or 4 and a column block.
// expected-error @below {{argument 0 of type '!moe_tile.tiles<records>': table of 3 columns}}
moe_tile.kernel @k(%l: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4]]> : tensor<1x3xi32>}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0 of type '!moe_tile.tiles<records>': needs a table of two dimensions}}
moe_tile.kernel @k(%l: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[0, 0, 4, 0]> : tensor<4xi32>}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0 of type '!moe_tile.tiles<records>': needs a table of two dimensions}}
moe_tile.kernel @k(%l: !moe_tile.tiles<records> {moe_tile.test = {values = dense<[[0, 0, 4, 0]]> : tensor<1x4xi32>, block_n = 4}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0 of type '!moe_tile.tiles<blocks>': needs a table of two dimensions and a column block}}
moe_tile.kernel @k(%l: !moe_tile.tiles<blocks> {moe_tile.test = {values = dense<[[0, 0, 4]]> : tensor<1x3xi32>}}) {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0 of type '!moe_tile.tiles<blocks>': table of 5 columns}}
moe_tile.kernel @k(%l: !moe_tile.tiles<blocks> {moe_tile.test = {values = dense<[[0, 0, 4, 0, 0]]> : tensor<1x5xi32>, block_n = 4, columns = 8}}) {
  moe_tile.return
}

// -----

// Arithmetic.
moe_tile.kernel @k(%n: index {moe_tile.test = {value = 0 : index}}) {
  %c1 = arith.constant 1 : index
  // expected-error @below {{division by zero or overflow of a division}}
  %q = arith.divsi %c1, %n : index
  moe_tile.return
}

// -----

moe_tile.kernel @k(%x: memref<1x1xi32> {moe_tile.test = {values = dense<[[-2147483648]]> : tensor<1x1xi32>}}) {
  %c0 = arith.constant 0 : index
  %f = moe_tile.load %x[%c0, %c0] : memref<1x1xi32> -> !moe_tile.frag<1x1xi32>
  %g = moe_tile.map ins(%f : !moe_tile.frag<1x1xi32>) -> !moe_tile.frag<1x1xi32> {
  ^bb0(%a: i32):
    %m = arith.constant -1 : i32
    // expected-error @below {{division by zero or overflow of a division}}
    %q = arith.divsi %a, %m : i32
    moe_tile.yield %q : i32
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%n: index {moe_tile.test = {value = 0 : index}}) {
  %c1 = arith.constant 1 : index
  // expected-error @below {{step is not positive: 0}}
  scf.for %i = %n to %c1 step %n {
  }
  moe_tile.return
}

// -----

// Memory.
moe_tile.kernel @k(%x: memref<4x4xi32> {moe_tile.test = {init = "iota"}}, %n: index {moe_tile.test = {value = 2 : index}}) {
  // expected-error @below {{subview out of bounds in dimension 1}}
  %v = memref.subview %x[0, %n] [4, 3] [1, 1] : memref<4x4xi32> to memref<4x3xi32, strided<[4, 1], offset: ?>>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%x: memref<4xi32> {moe_tile.test = {init = "iota"}}) {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1 : i32
  // expected-error @below {{the tile interpreter knows addi, addf and assign}}
  %v = memref.atomic_rmw maxs %one, %x[%c0] : (i32, memref<4xi32>) -> i32
  moe_tile.return
}

// -----

moe_tile.kernel @k(%x: memref<4xi32> {moe_tile.test = {init = "iota"}}, %n: index {moe_tile.test = {value = 4 : index}}) {
  %one = arith.constant 1 : i32
  // expected-error @below {{index out of bounds}}
  %v = memref.atomic_rmw addi %one, %x[%n] : (i32, memref<4xi32>) -> i32
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: memref<2x4xi32> {moe_tile.test = {init = "zero"}}, %n: index {moe_tile.test = {value = 3 : index}}) {
  // expected-error @below {{list of 3 entries in a table of 2}}
  %l = moe_tile.record_list %t count(%n) : memref<2x4xi32> -> !moe_tile.tiles<records>
  moe_tile.return
}

// -----

// The fourth column of a row block may be undefined, the third may not.
moe_tile.kernel @k(%t: memref<1x4xi32> {moe_tile.test = {init = "undefined"}}, %n: index {moe_tile.test = {value = 1 : index}}) {
  %l = moe_tile.block_list %t count(%n) columns 8 by 4 : memref<1x4xi32> -> !moe_tile.tiles<blocks>
  // expected-error @below {{column 0 of entry 0 of the list is undefined}}
  moe_tile.for_tiles %i in %l : !moe_tile.tiles<blocks> order(block_major) {
  }
  moe_tile.return
}
