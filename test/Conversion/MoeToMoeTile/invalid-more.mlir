// Scales, routers, vectors and arguments that have no tile form, with the numbers.
// RUN: moe-opt %s --moe-to-tile --split-input-file --verify-diagnostics

#q = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @two_groups(%x: tensor<?x384xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x128x384xf8E4M3FN>,
                      %s: tensor<8x1x3xf32>, %o: tensor<?x128xf32>) -> tensor<?x128xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{block k of 192 spans two scale groups of 128 columns of b}}
  %y = moe.grouped_gemm a(%x : tensor<?x384xbf16>) b(%w : tensor<8x128x384xf8E4M3FN> scale %s : tensor<8x1x3xf32> quant #q)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = none, b = promote 128>
         config [#moe.config<block = [16, 64, 192]>] outs(%o : tensor<?x128xf32>) {
    ^bb0(%g: f32):
      moe.yield %g : f32
  } -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

// -----

// All of K is one group, so that its scale belongs to the epilogue: one number per row there.
#q = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @rows_of_scales(%x: tensor<?x128xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x128x128xf8E4M3FN>,
                          %s: tensor<8x1x1xf32>, %o: tensor<?x128xf32>) -> tensor<?x128xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{scales of 128 rows of b have no tile form in the epilogue}}
  %y = moe.grouped_gemm a(%x : tensor<?x128xbf16>) b(%w : tensor<8x128x128xf8E4M3FN> scale %s : tensor<8x1x1xf32> quant #q)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x128xf32>) {
    ^bb0(%g: f32):
      moe.yield %g : f32
  } -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @straddles(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x384x256xf8E4M3FN>,
                     %s: tensor<8x3x2xf32>, %o: tensor<?x384xf32>) -> tensor<?x384xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{block n of 192 straddles scale blocks of 128 rows of b}}
  %y = moe.grouped_gemm a(%x : tensor<?x256xbf16>) b(%w : tensor<8x384x256xf8E4M3FN> scale %s : tensor<8x3x2xf32> quant #q)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = none, b = promote 128>
         config [#moe.config<block = [16, 192, 0]>] outs(%o : tensor<?x384xf32>) {
    ^bb0(%g: f32):
      moe.yield %g : f32
  } -> tensor<?x384xf32>
  return %y : tensor<?x384xf32>
}

// -----

// Gate and up rows alternate in blocks of 32: both fill one tile, which then holds one and a half scale blocks.
#q = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @alternating(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x384x256xf8E4M3FN>,
                       %s: tensor<8x3x2xf32>, %o: tensor<?x192xf32>) -> tensor<?x192xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  // expected-error @+1 {{block n of 96 straddles scale blocks of 128 rows of b}}
  %y = moe.grouped_gemm a(%x : tensor<?x256xbf16>) b(%w : tensor<8x384x256xf8E4M3FN> scale %s : tensor<8x3x2xf32> quant #q)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         gate_up <blocks 32> scales <a = none, b = promote 128>
         config [#moe.config<block = [16, 96, 0]>] outs(%o : tensor<?x192xf32>) {
    ^bb0(%g: f32, %u: f32):
      moe.yield %g : f32
  } -> tensor<?x192xf32>
  return %y : tensor<?x192xf32>
}

// -----

// expected-error @+1 {{argument 2 must be a ranked tensor, got 'f32'}}
func.func @scalar(%d: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %x: f32, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = flat_topk outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// A vector of a number that is computed.
func.func @splat(%d: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %x: tensor<4xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0.0 : f32
  // expected-error @+1 {{has no tile form but for a value of a tensor along a static vector}}
  %v = tensor.splat %c0 : tensor<8xf32>
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = flat_topk outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Of a matrix.
func.func @splat_matrix(%d: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %x: tensor<4xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %e = tensor.extract %x[%c0] : tensor<4xf32>
  // expected-error @+1 {{has no tile form but for a value of a tensor along a static vector}}
  %v = tensor.splat %e : tensor<8x8xf32>
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = flat_topk outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// At a place that depends on the tokens.
func.func @splat_place(%d: tensor<?x64xf32>, %ids: tensor<?x2xi32>, %x: tensor<4xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %d, %c0 : tensor<?x64xf32>
  // expected-error @+1 {{needs constant indices to become a kernel}}
  %e = tensor.extract %x[%n] : tensor<4xf32>
  %v = tensor.splat %e : tensor<8xf32>
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.combine %d : tensor<?x64xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = flat_topk outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
