// RUN: moe-opt %s --moe-to-tile --split-input-file --verify-diagnostics

func.func @no_config(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{has no config; run moe-select-config first}}
  %y = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x64x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
func.func @granule(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x128x64xf32>,
                   %o: tensor<?x128xf8E4M3FN>, %s: tensor<?x1xf32>) -> tensor<?x128xf8E4M3FN> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{block n of 64 must equal the quantize granule of 128 columns}}
  %y:2 = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x128x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk quantize #q
         config [#moe.config<block = [16, 64, 0]>]
         outs(%o, %s : tensor<?x128xf8E4M3FN>, tensor<?x1xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x128xf8E4M3FN>, tensor<?x1xf32>
  return %y#0 : tensor<?x128xf8E4M3FN>
}

// -----

// A shard of 192 rows per half with blocks of 128: the up half starts inside of
// a scale block.
#q = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @shard(%x: tensor<?x128xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x384x128xf8E4M3FN>,
                 %s: tensor<8x3x1xf32>, %o: tensor<?x192xf32>) -> tensor<?x192xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{up rows of b start at 192, inside of a scale block of 128 rows}}
  %y = moe.grouped_gemm a(%x : tensor<?x128xbf16>) b(%w : tensor<8x384x128xf8E4M3FN> scale %s : tensor<8x3x1xf32> quant #q)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         gate_up <halves> scales <a = none, b = promote 128>
         config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x192xf32>) {
    ^bb0(%g: f32, %u: f32):
      moe.yield %g : f32
  } -> tensor<?x192xf32>
  return %y : tensor<?x192xf32>
}

// -----

func.func @gate_blocks(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x268x64xf32>, %o: tensor<?x134xf32>) -> tensor<?x134xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{gate_up pieces of 67 columns have no block n that is a multiple of 4 and divides them, at most 64}}
  %y = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x268x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         gate_up <blocks 67> config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x134xf32>) {
    ^bb0(%g: f32, %u: f32):
      moe.yield %g : f32
  } -> tensor<?x134xf32>
  return %y : tensor<?x134xf32>
}

// -----

func.func @gate_unit(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x268x64xf32>, %o: tensor<?x134xf32>) -> tensor<?x134xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{gate_up pieces of 67 columns need a block n that is a multiple of 268, at most 256}}
  %y = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x268x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         gate_up <blocks 67> config [#moe.config<block = [16, 128, 0]>] outs(%o : tensor<?x134xf32>) {
    ^bb0(%g: f32, %u: f32):
      moe.yield %g : f32
  } -> tensor<?x134xf32>
  return %y : tensor<?x134xf32>
}

// -----

// expected-error @+1 {{result 0 must be written into a destination argument}}
func.func @lost(%d: tensor<?x64xf32>, %ids: tensor<?x2xi32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %ids, %c0 : tensor<?x2xi32>
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %e = tensor.empty(%t) : tensor<?x64xf32>
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = flat_topk outs(%e : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @no_form(%x: tensor<4x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  // expected-error @+1 {{has no tile form}}
  %c = tensor.cast %x : tensor<4x64xf32> to tensor<?x64xf32>
  %y = moe.activate %c : tensor<?x64xf32> outs(%o : tensor<?x64xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @columns(%x: tensor<4x?xf32>, %o: tensor<4x?xf32>) -> tensor<4x?xf32> {
  // expected-error @+1 {{has a tile form for static columns only}}
  %y = moe.activate %x : tensor<4x?xf32> outs(%o : tensor<4x?xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<4x?xf32>
  return %y : tensor<4x?xf32>
}

// -----

#q = #moe.quant<i4, granule = [1, 64], scale = f32, packing = low_even>
func.func @to_i4(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x64xf32>,
                 %o: tensor<?x32xi8>, %s: tensor<?x1xf32>) -> tensor<?x32xi8> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{cannot quantise to 'i4'}}
  %y:2 = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x64x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk quantize #q
         config [#moe.config<block = [16, 64, 0]>]
         outs(%o, %s : tensor<?x32xi8>, tensor<?x1xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x32xi8>, tensor<?x1xf32>
  return %y#0 : tensor<?x32xi8>
}

// -----

#q = #moe.quant<i8, granule = [1, 64], scale = f32, zero = 3>
func.func @asymmetric(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x64xf32>,
                      %o: tensor<?x64xi8>, %s: tensor<?x1xf32>) -> tensor<?x64xi8> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{fresh quantisation is symmetric with granules of one row, got #moe.quant<i8, granule = [1, 64], scale = f32, zero = 3>}}
  %y:2 = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x64x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk quantize #q
         config [#moe.config<block = [16, 64, 0]>]
         outs(%o, %s : tensor<?x64xi8>, tensor<?x1xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xi8>, tensor<?x1xf32>
  return %y#0 : tensor<?x64xi8>
}

// -----

// The sum of 256 columns goes with one zero point, not with two steps of 128.
#w4 = #moe.quant<i4, granule = [1, 256], scale = bf16, zero = 8, packing = low_even>
func.func @row_sum(%x: tensor<?x256xbf16>, %p: tensor<1x?xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x128xi8>,
                   %s: tensor<8x64x1xbf16>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{zero = row_sum needs the scale of b promoted by steps of its 256 columns or in the epilogue, got promote and a step of 128}}
  %y = moe.grouped_gemm a(%x : tensor<?x256xbf16> sums %p : tensor<1x?xf32>)
         b(%w : tensor<8x64x128xi8> scale %s : tensor<8x64x1xbf16> quant #w4)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = none, b = promote 256, zero = row_sum>
         config [#moe.config<block = [16, 64, 128]>] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @panel(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{reduce_by = panel needs a target whose tiles count arrivals (sm_90a), a routing of form sorted and rows that are only summed over top-k, into an argument of the function}}
  %y = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x64x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = token
         config [#moe.config<block = [16, 64, 0], reduce_by = "panel">] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @two_orders(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2, block_m = 16>
  // expected-error @+1 {{mixes expert_sorted and expert_sorted_padded rows}}
  %y = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x64x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 16>) rows = slots a_layout = expert_sorted out = expert_sorted_padded
         config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @order(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{order = explicit is none of a list of row blocks, use block_major, n_major or expert_major}}
  %y = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x64x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = expert_sorted
         config [#moe.config<block = [16, 64, 0], order = "explicit">] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

func.func @partial(%x: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %w: tensor<8x64x64xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{partial = f16 is no element type of rows that are summed, use f32 or bf16}}
  %y = moe.grouped_gemm a(%x : tensor<?x64xf32>) b(%w : tensor<8x64x64xf32>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = expert_sorted
         config [#moe.config<block = [16, 64, 0], partial = "f16">] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
