// A quantisation that only the opposite reads stores neither codes nor scales; with another reader it does.
// RUN: moe-opt %s --moe-to-tile --verify-each | FileCheck %s
#q = #moe.quant<f8E4M3FN, granule = [1, 32], scale = f8E8M0FNU>
#b = #moe.quant<i8, granule = [1, *], scale = f32>

// CHECK-LABEL: moe_tile.plan @rounds
// CHECK-NOT:     workspace
// CHECK:         moe_tile.launch @rounds_round(
// CHECK-NOT:     launch
// CHECK-LABEL: moe_tile.kernel @rounds_round(%{{.+}}: memref<?x80xbf16>, %{{.+}}: memref<?x80xbf16>
// CHECK:         moe_tile.row_reduce
// CHECK:         -> !moe_tile.frag<1x32xf8E4M3FN>
// CHECK:         moe_tile.map ins({{.*}} : !moe_tile.frag<1x32xf8E4M3FN>, !moe_tile.frag<1x1xf8E8M0FNU>) -> !moe_tile.frag<1x32xbf16>
// CHECK:         moe_tile.store
// The last group has 16 columns.
// CHECK:         -> !moe_tile.frag<1x16xbf16>
func.func @rounds(%x: tensor<?x80xbf16>, %out: tensor<?x80xbf16>) -> tensor<?x80xbf16> {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x80xbf16>
  %q0 = tensor.empty(%t) : tensor<?x80xf8E4M3FN>
  %s0 = tensor.empty(%t) : tensor<?x3xf8E8M0FNU>
  %q:2 = moe.quantize %x : tensor<?x80xbf16> quant #q outs(%q0, %s0 : tensor<?x80xf8E4M3FN>, tensor<?x3xf8E8M0FNU>)
      -> tensor<?x80xf8E4M3FN>, tensor<?x3xf8E8M0FNU>
  %y = moe.dequantize %q#0 : tensor<?x80xf8E4M3FN> scale(%q#1 : tensor<?x3xf8E8M0FNU>) quant #q
         outs(%out : tensor<?x80xbf16>) -> tensor<?x80xbf16>
  return %y : tensor<?x80xbf16>
}

// CHECK-LABEL: moe_tile.kernel @bytes_round(
// CHECK:         arith.sitofp
func.func @bytes(%x: tensor<?x80xf32>, %out: tensor<?x80xf32>) -> tensor<?x80xf32> {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x80xf32>
  %q0 = tensor.empty(%t) : tensor<?x80xi8>
  %s0 = tensor.empty(%t) : tensor<?x1xf32>
  %q:2 = moe.quantize %x : tensor<?x80xf32> quant #b outs(%q0, %s0 : tensor<?x80xi8>, tensor<?x1xf32>)
      -> tensor<?x80xi8>, tensor<?x1xf32>
  %y = moe.dequantize %q#0 : tensor<?x80xi8> scale(%q#1 : tensor<?x1xf32>) quant #b
         outs(%out : tensor<?x80xf32>) -> tensor<?x80xf32>
  return %y : tensor<?x80xf32>
}

// CHECK-LABEL: moe_tile.kernel @both_quantize(
// CHECK-LABEL: moe_tile.kernel @both_dequantize(
func.func @both(%x: tensor<?x80xf32>, %codes: tensor<?x80xi8>, %out: tensor<?x80xf32>) -> (tensor<?x80xi8>, tensor<?x80xf32>) {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x80xf32>
  %s0 = tensor.empty(%t) : tensor<?x1xf32>
  %q:2 = moe.quantize %x : tensor<?x80xf32> quant #b outs(%codes, %s0 : tensor<?x80xi8>, tensor<?x1xf32>)
      -> tensor<?x80xi8>, tensor<?x1xf32>
  %y = moe.dequantize %q#0 : tensor<?x80xi8> scale(%q#1 : tensor<?x1xf32>) quant #b
         outs(%out : tensor<?x80xf32>) -> tensor<?x80xf32>
  return %q#0, %y : tensor<?x80xi8>, tensor<?x80xf32>
}
