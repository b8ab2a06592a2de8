// Rows with a power of two for 32 columns are decoded once for all GEMMs that read them; a closing quantisation
// becomes an operation of its own. Plans that scale sums are left alone.
// RUN: moe-opt %s --split-input-file --moe-widen-rows | FileCheck %s
// RUN: moe-opt %s --split-input-file --moe-widen-rows --moe-widen-rows | FileCheck %s
#q = #moe.quant<f8E4M3FN, granule = [1, 32], scale = f8E8M0FNU>

// CHECK-LABEL: func.func @layer(
// CHECK:         %[[Q:.+]]:2 = moe.quantize %{{.+}} : tensor<?x64xbf16>
// CHECK:         %[[ROWS:.+]] = moe.dequantize %[[Q]]#0 : tensor<?x64xf8E4M3FN> scale(%[[Q]]#1 {{.*}} -> tensor<?x64xbf16>
// CHECK-NOT:     moe.dequantize
// CHECK:         %[[H:.+]] = moe.grouped_gemm a(%[[ROWS]] : tensor<?x64xbf16>) b({{.*}} quant #{{.*}}) {{.*}} scales <a = none, b = operand>
// CHECK-SAME:      outs(%{{.+}} : tensor<?x64xf32>)
// CHECK:         %[[HQ:.+]]:2 = moe.quantize %[[H]] : tensor<?x64xf32>
// CHECK:         %[[HROWS:.+]] = moe.dequantize %[[HQ]]#0
// CHECK:         moe.grouped_gemm a(%[[HROWS]] : tensor<?x64xbf16>) b({{.*}}) {{.*}} a_layout = expert_sorted {{.*}} scales <a = none, b = operand>
func.func @layer(%x: tensor<?x64xbf16>, %ids: tensor<?x2xi32>, %w: tensor<4x64x64xf8E4M3FN>, %s: tensor<4x64x2xf8E8M0FNU>,
                 %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = tensor.dim %x, %c0 : tensor<?x64xbf16>
  %n = arith.muli %t, %c2 : index
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 4, topk = 2>
  %q0 = tensor.empty(%t) : tensor<?x64xf8E4M3FN>
  %s0 = tensor.empty(%t) : tensor<?x2xf8E8M0FNU>
  %xq:2 = moe.quantize %x : tensor<?x64xbf16> quant #q outs(%q0, %s0 : tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>)
      -> tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>
  %q1 = tensor.empty(%n) : tensor<?x64xf8E4M3FN>
  %s1 = tensor.empty(%n) : tensor<?x2xf8E8M0FNU>
  %h:2 = moe.grouped_gemm a(%xq#0 : tensor<?x64xf8E4M3FN> scale %xq#1 : tensor<?x2xf8E8M0FNU> quant #q)
         b(%w : tensor<4x64x64xf8E4M3FN> scale %s : tensor<4x64x2xf8E8M0FNU> quant #q)
         routing(%r : !moe.routing<experts = 4, topk = 2>) rows = gather a_layout = token out = expert_sorted
         quantize #q scales <a = operand, b = operand, zero = none>
         outs(%q1, %s1 : tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>
  %y = moe.grouped_gemm a(%h#0 : tensor<?x64xf8E4M3FN> scale %h#1 : tensor<?x2xf8E8M0FNU> quant #q)
         b(%w : tensor<4x64x64xf8E4M3FN> scale %s : tensor<4x64x2xf8E8M0FNU> quant #q)
         routing(%r : !moe.routing<experts = 4, topk = 2>) rows = slots a_layout = expert_sorted out = flat_topk
         scales <a = operand, b = operand, zero = none> outs(%o : tensor<?x64xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

#aq = #moe.quant<f8E4M3FN, granule = [1, 128], scale = f32>
#bq = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>

// CHECK-LABEL: func.func @sums(
// CHECK-NOT:     moe.dequantize
// CHECK:         scales <a = promote 128, b = promote 128>
func.func @sums(%x: tensor<?x256xf8E4M3FN>, %sx: tensor<?x2xf32>, %ids: tensor<?x2xi32>, %w: tensor<4x128x256xf8E4M3FN>,
                %s: tensor<4x1x2xf32>, %o: tensor<?x128xf32>) -> tensor<?x128xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 4, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x256xf8E4M3FN> scale %sx : tensor<?x2xf32> quant #aq)
         b(%w : tensor<4x128x256xf8E4M3FN> scale %s : tensor<4x1x2xf32> quant #bq)
         routing(%r : !moe.routing<experts = 4, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = promote 128, b = promote 128, zero = none> outs(%o : tensor<?x128xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

// -----

#q = #moe.quant<f8E4M3FN, granule = [1, 32], scale = f8E8M0FNU>

// Two readers of one quantisation, and codes that come from outside.
// CHECK-LABEL: func.func @readers(
// CHECK-COUNT-2: moe.dequantize
// CHECK-NOT:     moe.dequantize
func.func @readers(%x: tensor<?x64xbf16>, %xa: tensor<?x64xf8E4M3FN>, %sa: tensor<?x2xf8E8M0FNU>, %ids: tensor<?x1xi32>,
                   %w: tensor<4x64x64xf8E4M3FN>, %s: tensor<4x64x2xf8E8M0FNU>, %o: tensor<?x64xf32>)
    -> (tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x64xbf16>
  %r = moe.align %ids : tensor<?x1xi32> -> !moe.routing<experts = 4, topk = 1>
  %q0 = tensor.empty(%t) : tensor<?x64xf8E4M3FN>
  %s0 = tensor.empty(%t) : tensor<?x2xf8E8M0FNU>
  %xq:2 = moe.quantize %x : tensor<?x64xbf16> quant #q outs(%q0, %s0 : tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>)
      -> tensor<?x64xf8E4M3FN>, tensor<?x2xf8E8M0FNU>
  %y:3 = scf.execute_region -> (tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>) {
    %a = moe.grouped_gemm a(%xq#0 : tensor<?x64xf8E4M3FN> scale %xq#1 : tensor<?x2xf8E8M0FNU> quant #q)
           b(%w : tensor<4x64x64xf8E4M3FN> scale %s : tensor<4x64x2xf8E8M0FNU> quant #q)
           routing(%r : !moe.routing<experts = 4, topk = 1>) rows = gather a_layout = token out = flat_topk
           scales <a = operand, b = operand, zero = none> outs(%o : tensor<?x64xf32>) {
      ^bb0(%v: f32):
        moe.yield %v : f32
    } -> tensor<?x64xf32>
    %b = moe.grouped_gemm a(%xq#0 : tensor<?x64xf8E4M3FN> scale %xq#1 : tensor<?x2xf8E8M0FNU> quant #q)
           b(%w : tensor<4x64x64xf8E4M3FN> scale %s : tensor<4x64x2xf8E8M0FNU> quant #q)
           routing(%r : !moe.routing<experts = 4, topk = 1>) rows = gather a_layout = token out = flat_topk
           scales <a = operand, b = operand, zero = none> outs(%o : tensor<?x64xf32>) {
      ^bb0(%v: f32):
        %n = arith.negf %v : f32
        moe.yield %n : f32
    } -> tensor<?x64xf32>
    %c = moe.grouped_gemm a(%xa : tensor<?x64xf8E4M3FN> scale %sa : tensor<?x2xf8E8M0FNU> quant #q)
           b(%w : tensor<4x64x64xf8E4M3FN> scale %s : tensor<4x64x2xf8E8M0FNU> quant #q)
           routing(%r : !moe.routing<experts = 4, topk = 1>) rows = gather a_layout = token out = flat_topk
           scales <a = operand, b = operand, zero = none> outs(%o : tensor<?x64xf32>) {
      ^bb0(%v: f32):
        moe.yield %v : f32
    } -> tensor<?x64xf32>
    scf.yield %a, %b, %c : tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
  }
  return %y#0, %y#1, %y#2 : tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
}
