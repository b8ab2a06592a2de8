// What the reference does not execute, it names: the function, the operation and the numbers.
// RUN: moe-opt %s -split-input-file -verify-diagnostics --moe-interpret="tokens=3" -o /dev/null

// Control flow.
// expected-error @below {{@step: scf.for: its step must be positive, got 0}}
func.func @step(%x: tensor<2xf32>) -> tensor<2xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %c1 step %c0 iter_args(%y = %x) -> tensor<2xf32> {
    scf.yield %y : tensor<2xf32>
  }
  return %r : tensor<2xf32>
}

// -----

// expected-error @below {{@narrow: scf.for: its induction variable must be an index}}
func.func @narrow(%x: tensor<2xf32>) -> tensor<2xf32> {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r = scf.for %i = %c0 to %c1 step %c1 iter_args(%y = %x) -> tensor<2xf32> : i32 {
    scf.yield %y : tensor<2xf32>
  }
  return %r : tensor<2xf32>
}

// -----

// expected-error @below {{@whole: scf.if: the reference cannot execute it}}
func.func @whole(%x: tensor<2xf32>) -> tensor<2xf32> {
  %yes = arith.constant true
  %r = scf.if %yes -> tensor<2xf32> {
    scf.yield %x : tensor<2xf32>
  } else {
    scf.yield %x : tensor<2xf32>
  }
  return %r : tensor<2xf32>
}

// -----

// Numbers.
// expected-error @below {{@by_nothing: arith.divsi: the reference cannot execute it on 3 and 0}}
func.func @by_nothing(%x: tensor<?xf32>) -> index {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %r = arith.divsi %n, %c0 : index
  return %r : index
}

// -----

// expected-error @below {{@below: arith.divui: unsigned operation on -1}}
func.func @below(%x: tensor<?xf32>) -> index {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %m = arith.subi %n, %c4 : index
  %r = arith.divui %m, %c4 : index
  return %r : index
}

// -----

// Tensors.
// expected-error @below {{@less_than_none: tensor.empty: negative extent in [-1, 4]}}
func.func @less_than_none(%x: tensor<?xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %m = arith.subi %n, %c4 : index
  %r = tensor.empty(%m) : tensor<?x4xf32>
  return %r : tensor<?x4xf32>
}

// -----

// expected-error @below {{@no_such: tensor.dim: dimension 3 of f32[3]}}
func.func @no_such(%x: tensor<?xf32>) -> index {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %r = tensor.dim %x, %n : tensor<?xf32>
  return %r : index
}

// -----

// expected-error @below {{does not have the static shape [4]}}
func.func @four(%x: tensor<?xf32>) -> tensor<4xf32> {
  %r = tensor.cast %x : tensor<?xf32> to tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// Three tokens beside four rows.
// expected-error @below {{@unequal: arith.addf: operands have different extents}}
func.func @unequal(%x: tensor<?xf32>) -> tensor<?xf32> {
  %c4 = arith.constant dense<1.0> : tensor<4xf32>
  %y = tensor.cast %c4 : tensor<4xf32> to tensor<?xf32>
  %r = arith.addf %x, %y : tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

// expected-error @below {{@loops: linalg.add: loop 0 has extents 3 and 4}}
func.func @loops(%x: tensor<?xf32>) -> tensor<?xf32> {
  %c4 = arith.constant 4 : index
  %y = tensor.empty(%c4) : tensor<?xf32>
  %r = linalg.add ins(%x, %x : tensor<?xf32>, tensor<?xf32>) outs(%y : tensor<?xf32>) -> tensor<?xf32>
  return %r : tensor<?xf32>
}

// -----

// expected-error @below {{@two: linalg.generic: only one result is supported}}
func.func @two(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %r:2 = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      outs(%x, %y : tensor<4xf32>, tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %b, %a : f32, f32
  } -> (tensor<4xf32>, tensor<4xf32>)
  return %r#0, %r#1 : tensor<4xf32>, tensor<4xf32>
}

// -----

// Regions of scalars.
// expected-error @below {{an operand comes from outside the region}}
func.func @outside(%x: tensor<4xf32>, %s: f32) -> tensor<4xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      outs(%x : tensor<4xf32>) {
  ^bb0(%a: f32):
    %v = arith.addf %a, %s : f32
    linalg.yield %v : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// expected-error @below {{the reference cannot execute linalg.index}}
func.func @place(%x: tensor<4xf32>) -> tensor<4xf32> {
  %r = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      outs(%x : tensor<4xf32>) {
  ^bb0(%a: f32):
    %i = linalg.index 0 : index
    %j = arith.index_cast %i : index to i32
    %v = arith.sitofp %j : i32 to f32
    linalg.yield %v : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}

// -----

// expected-error @below {{the reference cannot execute math.atanh: it is not in the list of scalar operations}}
func.func @inverse(%x: tensor<4xf32>) -> tensor<4xf32> {
  %r = math.atanh %x : tensor<4xf32>
  return %r : tensor<4xf32>
}
