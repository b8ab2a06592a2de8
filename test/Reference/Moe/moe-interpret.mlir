// RUN: rm -rf %t && mkdir -p %t
// RUN: moe-opt %s --moe-interpret="functions=sums" -o /dev/null | FileCheck %s --check-prefix=PRINT
// RUN: moe-opt %s --moe-interpret="compare=@layer,by_hand seed=3 tokens=0,1,2,7,33 tolerance=1e-6" -o /dev/null | FileCheck %s --check-prefix=EQUAL
// RUN: moe-opt %s --moe-interpret="compare=layer,by_hand seed=4 tokens=7 ids=skewed accumulate=f32 threads=1 tolerance=1e-5" -o /dev/null
// RUN: moe-opt %s --moe-interpret="compare=layer,by_hand seed=5 tokens=7 ids=one tolerance=1e-6" -o /dev/null
// RUN: moe-opt %s --moe-interpret="compare=layer,by_hand seed=6 tokens=7 ids=unique rows=6,0,3 tolerance=1e-6" -o /dev/null | FileCheck %s --check-prefix=ROWS
// RUN: moe-opt %s --moe-interpret="compare=layer,by_hand tokens=3 ids=none" -o /dev/null
// RUN: not moe-opt %s --moe-interpret="compare=layer,wrong seed=3 tokens=7 tolerance=1e-6" -o /dev/null 2>&1 | FileCheck %s --check-prefix=DIFFER
// RUN: moe-opt %s --moe-interpret="functions=layer tokens=5 dump=%t" --moe-decompose-layer --moe-interpret="functions=layer expect=%t tolerance=1e-6" -o /dev/null | FileCheck %s --check-prefix=EXPECT
// RUN: not moe-opt %s --moe-interpret="functions=none" 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not moe-opt %s --moe-interpret="compare=layer" 2>&1 | FileCheck %s --check-prefix=TWO
// RUN: not moe-opt %s --moe-interpret="functions=layer tokens=1,2 dump=%t" 2>&1 | FileCheck %s --check-prefix=ONE
// RUN: not moe-opt %s --moe-interpret="functions=layer tokens=-1" 2>&1 | FileCheck %s --check-prefix=NEGATIVE
// RUN: not moe-opt %s --moe-interpret="functions=layer ids=random" 2>&1 | FileCheck %s --check-prefix=STYLE
// RUN: not moe-opt %s --moe-interpret="functions=layer accumulate=f16" 2>&1 | FileCheck %s --check-prefix=ACCUMULATE
// RUN: not moe-opt %s --moe-interpret="functions=layer rows=9 tokens=7" 2>&1 | FileCheck %s --check-prefix=ROW

// NAME: no function @none
// TWO: a comparison needs two functions, got 1
// ONE: inputs, dump and expect take one token count, got 2
// NEGATIVE: a token count cannot be negative, got -1
// STYLE: ids must be mixed, unique, skewed, one or none, got 'random'
// ACCUMULATE: accumulate must be f64 or f32, got 'f16'
// ROW: row 9 is outside [0, 7)

// PRINT: @sums result 0 f32[2, 4]{{.*}}: {{\[}}[3, 11, 19, 27], [7, 15, 23, 31]]
func.func @sums(%x: tensor<4x4xbf16> {moe.init = "iota"}) -> tensor<2x4xf32> {
  %c1 = arith.constant dense<1.0> : tensor<4x4xbf16>
  %y = arith.addf %x, %c1 : tensor<4x4xbf16>
  %o = tensor.empty() : tensor<2x4xf32>
  %s = moe.group_sum %y : tensor<4x4xbf16> group = 2
         outs(%o : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %s : tensor<2x4xf32>
}

// EQUAL: @by_hand result 0 equals that of @layer with 0 tokens: rel_err=0 max_abs=0
// EQUAL: @by_hand result 0 equals that of @layer with 1 tokens
// EQUAL: @by_hand result 0 equals that of @layer with 2 tokens
// EQUAL: @by_hand result 0 equals that of @layer with 7 tokens
// EQUAL: @by_hand result 0 equals that of @layer with 33 tokens
// ROWS: 7 tokens: rel_err={{.*}} at [{{[0-2]}}, {{[0-9]+}}]
// DIFFER: error: result 0 of @wrong differs from that of @layer with 7 tokens: rel_err={{.*}}, tolerance
// EXPECT: @layer result 0 equals the dump: rel_err=0
func.func @layer(%x: tensor<?x16xbf16>, %ids: tensor<?x3xi32>, %tw: tensor<?x3xf32>,
                 %w1: tensor<5x24x16xbf16>, %w2: tensor<5x16x12xbf16>,
                 %out: tensor<?x16xbf16>) -> tensor<?x16xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x16xbf16>)
         topk(%ids, %tw : tensor<?x3xi32>, tensor<?x3xf32>)
         w1(%w1 : tensor<5x24x16xbf16>) w2(%w2 : tensor<5x16x12xbf16>)
         activation <swiglu> gate_up <blocks 4, up_first>
         outs(%out : tensor<?x16xbf16>) -> tensor<?x16xbf16>
  return %y : tensor<?x16xbf16>
}

func.func @by_hand(%x: tensor<?x16xbf16>, %ids: tensor<?x3xi32>, %tw: tensor<?x3xf32>,
                   %w1: tensor<5x24x16xbf16>, %w2: tensor<5x16x12xbf16>,
                   %out: tensor<?x16xbf16>) -> tensor<?x16xbf16> {
  %r = moe.align %ids : tensor<?x3xi32> -> !moe.routing<experts = 5, topk = 3, block_m = 4>
  %n = moe.num_slots %r layout = expert_sorted_padded : !moe.routing<experts = 5, topk = 3, block_m = 4>
  %h0 = tensor.empty(%n) : tensor<?x12xbf16>
  %h = moe.grouped_gemm a(%x : tensor<?x16xbf16>) b(%w1 : tensor<5x24x16xbf16>)
         routing(%r : !moe.routing<experts = 5, topk = 3, block_m = 4>)
         rows = gather a_layout = token out = expert_sorted_padded gate_up <blocks 4, up_first>
         outs(%h0 : tensor<?x12xbf16>) {
    ^bb0(%g: f32, %u: f32):
      %neg = arith.negf %g : f32
      %e = math.exp %neg : f32
      %one = arith.constant 1.0 : f32
      %d = arith.addf %e, %one : f32
      %s = arith.divf %g, %d : f32
      %v = arith.mulf %s, %u : f32
      moe.yield %v : f32
  } -> tensor<?x12xbf16>
  %y = moe.grouped_gemm a(%h : tensor<?x12xbf16>) b(%w2 : tensor<5x16x12xbf16>)
         routing(%r : !moe.routing<experts = 5, topk = 3, block_m = 4>)
         rows = slots a_layout = expert_sorted_padded out = token
         row(%tw : tensor<?x3xf32>) outs(%out : tensor<?x16xbf16>) {
    ^bb0(%acc: f32, %w: f32):
      %v = arith.mulf %acc, %w : f32
      moe.yield %v : f32
  } -> tensor<?x16xbf16>
  return %y : tensor<?x16xbf16>
}

// Like @layer, but gate and up are exchanged.
func.func @wrong(%x: tensor<?x16xbf16>, %ids: tensor<?x3xi32>, %tw: tensor<?x3xf32>,
                 %w1: tensor<5x24x16xbf16>, %w2: tensor<5x16x12xbf16>,
                 %out: tensor<?x16xbf16>) -> tensor<?x16xbf16> {
  %y = moe.fused_experts x(%x : tensor<?x16xbf16>)
         topk(%ids, %tw : tensor<?x3xi32>, tensor<?x3xf32>)
         w1(%w1 : tensor<5x24x16xbf16>) w2(%w2 : tensor<5x16x12xbf16>)
         activation <swiglu> gate_up <blocks 4>
         outs(%out : tensor<?x16xbf16>) -> tensor<?x16xbf16>
  return %y : tensor<?x16xbf16>
}
