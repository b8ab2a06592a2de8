// RUN: moe-opt %s -split-input-file -moe-fold-scales -canonicalize | FileCheck %s
// RUN: moe-opt %s -split-input-file -moe-fold-scales="zero=row_sum min-run=32" | FileCheck %s --check-prefix=SUM
// RUN: moe-opt %s -split-input-file -moe-fold-scales="zero=row_sum" --remarks-filter-missed=moe-fold-scales -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: not moe-opt %s -split-input-file -moe-fold-scales="min-run=0" 2>&1 | FileCheck %s --check-prefix=BAD

// BAD: moe-fold-scales: min-run must be positive, got 0

// Per-token A and per-channel B leave the sum; gate and up have their own
// channel scales; the bias stays behind the scales.
#token = #moe.quant<i8, granule = [1, *], scale = f32>
#channel = #moe.quant<i8, granule = [1, *], scale = bf16>
// CHECK-LABEL: func.func @token_channel
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x64xi8>, %[[SX:[a-z0-9]+]]: tensor<?x1xf32>, %[[W:[a-z0-9]+]]: tensor<8x128x64xi8>, %[[SW:[a-z0-9]+]]: tensor<8x128x1xbf16>
// CHECK: %[[ROW:.*]] = tensor.collapse_shape %[[SX]] {{\[\[}}0, 1]] : tensor<?x1xf32> into tensor<?xf32>
// CHECK: %[[COL:.*]] = tensor.collapse_shape %[[SW]] {{\[\[}}0], [1, 2]] : tensor<8x128x1xbf16> into tensor<8x128xbf16>
// CHECK: moe.grouped_gemm a(%[[X]] : tensor<?x64xi8> quant #moe.quant{{.*}}) b(%[[W]] : tensor<8x128x64xi8> quant
// CHECK-SAME: row(%[[ROW]] : tensor<?xf32>) col(%{{.*}}, %[[COL]] : tensor<8x128xf32>, tensor<8x128xbf16>)
// CHECK-SAME: scales <a = epilogue, b = epilogue>
// CHECK-NEXT: ^bb0(%[[G:.*]]: f32, %[[U:.*]]: f32, %[[R:.*]]: f32, %[[BG:.*]]: f32, %[[BU:.*]]: f32, %[[CG:.*]]: f32, %[[CU:.*]]: f32):
// CHECK-NEXT: %[[FG:.*]] = arith.mulf %[[R]], %[[CG]]
// CHECK-NEXT: %[[G1:.*]] = arith.mulf %[[G]], %[[FG]]
// CHECK-NEXT: %[[FU:.*]] = arith.mulf %[[R]], %[[CU]]
// CHECK-NEXT: %[[U1:.*]] = arith.mulf %[[U]], %[[FU]]
// CHECK-NEXT: %[[G2:.*]] = arith.addf %[[G1]], %[[BG]]
// CHECK-NEXT: %[[U2:.*]] = arith.addf %[[U1]], %[[BU]]
// CHECK-NEXT: arith.mulf %[[G2]], %[[U2]]
func.func @token_channel(%x: tensor<?x64xi8>, %sx: tensor<?x1xf32>,
                         %w: tensor<8x128x64xi8>, %sw: tensor<8x128x1xbf16>, %b: tensor<8x128xf32>,
                         %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %y = moe.grouped_gemm a(%x : tensor<?x64xi8> scale %sx : tensor<?x1xf32> quant #token)
         b(%w : tensor<8x128x64xi8> scale %sw : tensor<8x128x1xbf16> quant #channel)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = expert_sorted gate_up <halves> col(%b : tensor<8x128xf32>)
         outs(%o : tensor<?x64xf32>) {
    ^bb0(%g: f32, %u: f32, %bg: f32, %bu: f32):
      %g1 = arith.addf %g, %bg : f32
      %u1 = arith.addf %u, %bu : f32
      %v = arith.mulf %g1, %u1 : f32
      moe.yield %v : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Row scales of flat slots become [T, k] beside the router weight; one scale
// per expert of B becomes an expert operand.
#token = #moe.quant<f8E4M3FN, granule = [1, *], scale = f32>
#tensor = #moe.quant<f8E4M3FN, granule = [*, *], scale = f32>
// CHECK-LABEL: func.func @slots
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %{{.*}} : tensor<?x1xf32> into tensor<?xf32>
// CHECK: %[[T:.*]] = arith.divui
// CHECK: %[[ROW:.*]] = tensor.expand_shape %[[FLAT]] {{.*}} output_shape [%[[T]], 2] : tensor<?xf32> into tensor<?x2xf32>
// CHECK: %[[E:.*]] = tensor.collapse_shape %{{.*}} : tensor<8x1x1xf32> into tensor<8xf32>
// CHECK: moe.grouped_gemm {{.*}} row(%{{.*}}, %[[ROW]] : tensor<?x2xf32>, tensor<?x2xf32>) expert(%[[E]] : tensor<8xf32>) scales <a = epilogue, b = epilogue>
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32, %[[W:.*]]: f32, %[[R:.*]]: f32, %[[X:.*]]: f32):
// CHECK-NEXT: %[[F:.*]] = arith.mulf %[[R]], %[[X]]
// CHECK-NEXT: %[[V:.*]] = arith.mulf %[[ACC]], %[[F]]
// CHECK-NEXT: arith.mulf %[[V]], %[[W]]
func.func @slots(%x: tensor<?x64xf8E4M3FN>, %sx: tensor<?x1xf32>, %w: tensor<8x32x64xf8E4M3FN>,
                 %sw: tensor<8x1x1xf32>, %tw: tensor<?x2xf32>,
                 %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x32xf32>) -> tensor<?x32xf32> {
  %y = moe.grouped_gemm a(%x : tensor<?x64xf8E4M3FN> scale %sx : tensor<?x1xf32> quant #token)
         b(%w : tensor<8x32x64xf8E4M3FN> scale %sw : tensor<8x1x1xf32> quant #tensor)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = slots a_layout = flat_topk out = flat_topk row(%tw : tensor<?x2xf32>)
         outs(%o : tensor<?x32xf32>) {
    ^bb0(%a: f32, %t: f32):
      %v = arith.mulf %a, %t : f32
      moe.yield %v : f32
  } -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}

// -----

// Sorted row scales cannot be addressed by slot: promoted once over all of K,
// in a run that the 128-runs of B divide. One scale for all of A is a splat.
#token = #moe.quant<f8E4M3FN, granule = [1, *], scale = f32>
#all = #moe.quant<f8E4M3FN, granule = [*, *], scale = f32>
#block = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
// CHECK-LABEL: func.func @sorted
// CHECK: moe.grouped_gemm {{.*}} scales <a = promote 256, b = promote 128>
// CHECK: moe.yield %{{.*}} : f32
// CHECK: %[[ONE:.*]] = tensor.extract
// CHECK: %[[S:.*]] = tensor.splat %[[ONE]] : tensor<8xf32>
// CHECK: moe.grouped_gemm {{.*}} expert(%[[S]] : tensor<8xf32>) scales <a = epilogue, b = promote 128>
func.func @sorted(%x: tensor<?x192xf8E4M3FN>, %sx: tensor<?x1xf32>, %one: tensor<1x1xf32>,
                  %w: tensor<8x256x192xf8E4M3FN>, %sw: tensor<8x2x2xf32>,
                  %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x256xf32>)
    -> (tensor<?x256xf32>, tensor<?x256xf32>) {
  %y = moe.grouped_gemm a(%x : tensor<?x192xf8E4M3FN> scale %sx : tensor<?x1xf32> quant #token)
         b(%w : tensor<8x256x192xf8E4M3FN> scale %sw : tensor<8x2x2xf32> quant #block)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = slots a_layout = expert_sorted out = flat_topk outs(%o : tensor<?x256xf32>) {
    ^bb0(%a: f32):
      moe.yield %a : f32
  } -> tensor<?x256xf32>
  %z = moe.grouped_gemm a(%x : tensor<?x192xf8E4M3FN> scale %one : tensor<1x1xf32> quant #all)
         b(%w : tensor<8x256x192xf8E4M3FN> scale %sw : tensor<8x2x2xf32> quant #block)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = slots a_layout = expert_sorted out = flat_topk outs(%o : tensor<?x256xf32>) {
    ^bb0(%a: f32):
      moe.yield %a : f32
  } -> tensor<?x256xf32>
  return %y, %z : tensor<?x256xf32>, tensor<?x256xf32>
}

// -----

// 4-bit weights: a constant zero point stays per element, an operand one
// becomes row sums of the gathered tokens. Groups of 32 are too short to promote.
#w4 = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
#w4z = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = operand, packing = low_even>
#g32 = #moe.quant<i4, granule = [1, 32], scale = bf16, zero = operand, packing = low_even>
// CHECK-LABEL: func.func @zeros
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x256xbf16>
// CHECK: moe.grouped_gemm {{.*}} scales <a = none, b = promote 128, zero = element>
// CHECK: %[[E:.*]] = tensor.empty(%{{.*}}) : tensor<2x?xf32>
// CHECK: %[[S:.*]] = moe.group_sum %[[X]] : tensor<?x256xbf16> group = 128 outs(%[[E]] : tensor<2x?xf32>)
// CHECK: moe.grouped_gemm a(%[[X]] : tensor<?x256xbf16> sums %[[S]] : tensor<2x?xf32>)
// CHECK-SAME: zero %{{.*}} : tensor<8x32x2xi8>
// CHECK-SAME: scales <a = none, b = promote 128, zero = row_sum>
// CHECK: moe.grouped_gemm {{.*}} scales <a = none, b = operand, zero = element>
// SUM-LABEL: func.func @zeros
// SUM: moe.group_sum {{.*}} group = 128
// SUM: scales <a = none, b = promote 128, zero = row_sum>
// SUM: scales <a = none, b = promote 128, zero = row_sum>
// SUM: moe.group_sum {{.*}} group = 32
// SUM: scales <a = none, b = promote 32, zero = row_sum>
// REMARK: remark: [Missed] row_sum | Category:moe-fold-scales | Reason="the scale of b is applied on load"
func.func @zeros(%x: tensor<?x256xbf16>, %w: tensor<8x32x128xi8>, %s: tensor<8x32x2xbf16>,
                 %z: tensor<8x32x2xi8>, %s32: tensor<8x32x8xbf16>, %z32: tensor<8x32x8xi8>,
                 %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x32xf32>)
    -> (tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>) {
  %a = moe.grouped_gemm a(%x : tensor<?x256xbf16>)
         b(%w : tensor<8x32x128xi8> scale %s : tensor<8x32x2xbf16> quant #w4)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk outs(%o : tensor<?x32xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x32xf32>
  %b = moe.grouped_gemm a(%x : tensor<?x256xbf16>)
         b(%w : tensor<8x32x128xi8> scale %s : tensor<8x32x2xbf16> zero %z : tensor<8x32x2xi8> quant #w4z)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk outs(%o : tensor<?x32xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x32xf32>
  %c = moe.grouped_gemm a(%x : tensor<?x256xbf16>)
         b(%w : tensor<8x32x128xi8> scale %s32 : tensor<8x32x8xbf16> zero %z32 : tensor<8x32x8xi8> quant #g32)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk outs(%o : tensor<?x32xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x32xf32>
  return %a, %b, %c : tensor<?x32xf32>, tensor<?x32xf32>, tensor<?x32xf32>
}

// -----

// A plan that is there is obeyed; plain GEMMs get none.
#block = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
// CHECK-LABEL: func.func @kept
// CHECK: scales <a = none, b = operand>
// CHECK: moe.grouped_gemm
// CHECK-NOT: scales
// CHECK: return
func.func @kept(%x: tensor<?x256xbf16>, %w: tensor<8x256x256xf8E4M3FN>, %s: tensor<8x2x2xf32>,
                %p: tensor<8x256x256xbf16>,
                %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x256xf32>)
    -> (tensor<?x256xf32>, tensor<?x256xf32>) {
  %a = moe.grouped_gemm a(%x : tensor<?x256xbf16>)
         b(%w : tensor<8x256x256xf8E4M3FN> scale %s : tensor<8x2x2xf32> quant #block)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk scales <a = none, b = operand>
         outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  %b = moe.grouped_gemm a(%x : tensor<?x256xbf16>) b(%p : tensor<8x256x256xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a, %b : tensor<?x256xf32>, tensor<?x256xf32>
}

// -----

// Packed weights: for few rows per expert (32 tokens to 2 of 8 experts are 8) the sums are scaled, else the weights.
// RUN: moe-opt %s -split-input-file -moe-fold-scales="packed-operand packed-rows=8 tokens=32" | FileCheck %s --check-prefix=FEW
// RUN: moe-opt %s -split-input-file -moe-fold-scales="packed-operand packed-rows=8 tokens=33" | FileCheck %s --check-prefix=MANY
// RUN: moe-opt %s -split-input-file -moe-fold-scales="packed-operand packed-rows=8" | FileCheck %s --check-prefix=MANY
// RUN: moe-opt %s -split-input-file -moe-fold-scales="packed-operand tokens=1" | FileCheck %s --check-prefix=MANY
// FEW-LABEL: func.func @packed_rows
// FEW: scales <a = none, b = promote 128, zero = element>
// MANY-LABEL: func.func @packed_rows
// MANY: scales <a = none, b = operand, zero = element>
#packed = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @packed_rows(%x: tensor<?x256xbf16>, %w: tensor<8x256x128xi8>, %s: tensor<8x256x2xbf16>,
                       %r: !moe.routing<experts = 8, topk = 2>, %o: tensor<?x256xf32>) -> tensor<?x256xf32> {
  %a = moe.grouped_gemm a(%x : tensor<?x256xbf16>)
         b(%w : tensor<8x256x128xi8> scale %s : tensor<8x256x2xbf16> quant #packed)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = flat_topk outs(%o : tensor<?x256xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x256xf32>
  return %a : tensor<?x256xf32>
}
